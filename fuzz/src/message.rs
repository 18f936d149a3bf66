//! The rules for every message, and the table of all messages.

use std::sync::LazyLock;

use allocation_counter::measure;
use bytes::Bytes;
use kafka_wire::protocol::{ApiKey, Message};
use kafka_wire::wire::{DecodeCause, DecodeError, ELEMENTS_PER_BYTE, Layout, Reader, UnknownTags, Writer};

/// Most memory to decode a version of a message, besides [`ELEMENTS_PER_BYTE`] times its bytes.
const FREE_BYTES: usize = 64 << 10;

/// One message, with the functions that the targets and tests apply to its bytes at a version.
pub struct Arm {
    /// The target that decodes it.
    pub target: &'static str,
    /// The byte that chooses it in that target.
    pub selector: u8,
    /// Its name and versions.
    pub layout: Layout,
    /// Panics if the bytes break one of the rules of this module.
    pub check: fn(i16, &Bytes),
    /// Decodes the bytes, which have to be a whole message; keeps unknown tagged fields if asked to.
    pub decode: fn(i16, &Bytes, bool) -> Result<(), DecodeError>,
    /// Decodes the bytes, which have to be a whole message, and encodes it with its unknown tagged fields.
    pub rewrite: fn(i16, &Bytes) -> Result<Bytes, DecodeError>,
}

/// Every message: requests, responses, and the others.
pub static ARMS: LazyLock<Vec<Arm>> = LazyLock::new(|| {
    let mut arms = Vec::new();
    macro_rules! api {
        ($key:ident, $request:ty, $response:ty) => {
            let key = u8::try_from(i16::from(ApiKey::$key)).expect("keys are below 256");
            arms.push(arm::<$request>("request_decode", key));
            arms.push(arm::<$response>("response_decode", key));
        };
    }
    kafka_wire::for_each_api!(api);
    let apis = arms.len();
    macro_rules! message {
        ($name:literal, $message:ty) => {
            let place = u8::try_from(arms.len() - apis).expect("fewer than 256 messages");
            arms.push(arm::<$message>("group_metadata", place));
        };
    }
    kafka_wire::for_each_message!(message);
    arms
});

fn arm<M: Message>(target: &'static str, selector: u8) -> Arm {
    Arm { target, selector, layout: M::LAYOUT, check: check::<M>, decode: read::<M>, rewrite: rewrite::<M> }
}

/// Messages of a target by their selector.
pub(crate) struct Table(Vec<Option<&'static Arm>>);

impl Table {
    pub(crate) fn of(target: &str) -> Self {
        let mut arms = vec![None; 256];
        for arm in ARMS.iter().filter(|arm| arm.target == target) {
            arms[usize::from(arm.selector)] = Some(arm);
        }
        Self(arms)
    }

    /// Checks the message that the first byte chooses, at the version of the second byte, with the other bytes.
    pub(crate) fn run(&self, data: &[u8]) {
        let [selector, version, body @ ..] = data else { return };
        if let Some(arm) = self.0[usize::from(*selector)] {
            (arm.check)(i16::from(*version), &Bytes::copy_from_slice(body));
        }
    }
}

/// A message that decodes can be encoded; the result decodes to the same message and encodes to the same bytes.
/// The same holds with unknown tagged fields kept. Decoding takes no more memory than its limit.
fn check<M: Message>(version: i16, frame: &Bytes) {
    let plain = bounded(frame, || decode::<M>(frame, version, false));
    let Ok(Decoded { message, .. }) = plain else { return };
    let bytes = encode(&message, version, UnknownTags::default());
    let Some(again) = decode_again::<M>(version, &bytes, frame, false) else { return };
    assert_eq!(again.end, Ok(()), "our own bytes are read to their end");
    assert_same(&again.message, &message);
    assert_eq!(encode(&again.message, version, UnknownTags::default()), bytes);
    if M::LAYOUT.is_flexible(version) {
        check_tags(version, frame, &message, &bytes);
    }
}

/// The same with unknown tagged fields kept.
fn check_tags<M: Message>(version: i16, frame: &Bytes, message: &M, plain: &Bytes) {
    let kept = match bounded(frame, || decode::<M>(frame, version, true)) {
        Err(error) => {
            assert_eq!(error.cause, DecodeCause::ElementsTooLarge, "keeping tags makes no other error");
            return;
        }
        Ok(kept) => kept,
    };
    assert_same(&kept.message, message);
    if kept.tags.is_empty() {
        return;
    }
    let bytes = encode(message, version, kept.tags.clone());
    assert!(bytes.len() > plain.len(), "tags are written");
    let Some(again) = decode_again::<M>(version, &bytes, frame, true) else { return };
    assert_same(&again.message, message);
    assert_eq!(again.tags, kept.tags);
    assert_eq!(encode(&again.message, version, again.tags), bytes);
}

/// Decodes our encoding of `frame`. We write lengths in the fewest bytes, and a shorter frame may take less memory,
/// so decoding may be refused: `None`.
fn decode_again<M: Message>(version: i16, bytes: &Bytes, frame: &Bytes, keeps_tags: bool) -> Option<Decoded<M>> {
    match decode(bytes, version, keeps_tags) {
        Err(error) if error.cause == DecodeCause::ElementsTooLarge && bytes.len() < frame.len() => None,
        again => Some(again.expect("our own bytes decode")),
    }
}

/// Compares two messages. Numbers that do not equal themselves (NaN) are compared by their bytes.
fn assert_same<M: Message>(left: &M, right: &M) {
    assert!(left == right || format!("{right:?}").contains("NaN"), "{left:?} is not {right:?}");
}

struct Decoded<M> {
    message: M,
    tags: UnknownTags,
    end: Result<(), DecodeError>,
}

fn decode<M: Message>(frame: &Bytes, version: i16, keeps_tags: bool) -> Result<Decoded<M>, DecodeError> {
    let mut reader = Reader::new(frame);
    if keeps_tags {
        reader.keep_unknown_tags();
    }
    let message = M::decode(&mut reader, version)?;
    Ok(Decoded { message, tags: reader.take_unknown_tags(), end: reader.finish() })
}

fn read<M: Message>(version: i16, frame: &Bytes, keeps_tags: bool) -> Result<(), DecodeError> {
    decode::<M>(frame, version, keeps_tags)?.end
}

fn rewrite<M: Message>(version: i16, frame: &Bytes) -> Result<Bytes, DecodeError> {
    let Decoded { message, tags, end } = decode::<M>(frame, version, true)?;
    end.map(|()| encode(&message, version, tags))
}

fn encode<M: Message>(message: &M, version: i16, tags: UnknownTags) -> Bytes {
    let mut writer = Writer::new();
    writer.put_back(tags);
    message.encode(&mut writer, version).expect("a version can say what was read from it");
    writer.into_bytes()
}

/// Runs a decoder of `frame`, and panics if it takes more memory than it may.
pub fn bounded<T>(frame: &[u8], decode: impl FnOnce() -> T) -> T {
    let mut decoded = None;
    let taken = measure(|| decoded = Some(decode())).bytes_max;
    let limit = frame.len() * ELEMENTS_PER_BYTE + FREE_BYTES;
    assert!(taken <= limit as u64, "{taken} bytes of memory for a frame of {}, {limit} allowed", frame.len());
    decoded.expect("it has run")
}
