//! Messages that borrow their frame, against the owned messages of the same frame.

use std::collections::BTreeSet;
use std::fmt::Debug;

use bytes::Bytes;
use kafka_wire::protocol::fetch::FetchResponseView;
use kafka_wire::protocol::metadata::MetadataResponseView;
use kafka_wire::protocol::{Message as _, MessageView};
use kafka_wire::wire::{DecodeCause, Reader};

use super::messages::schemas;
use super::ours::Message;

/// The messages that have a view, by the schemas.
pub(crate) fn names() -> BTreeSet<String> {
    let structs = schemas().iter().flat_map(|schema| &schema.structs);
    structs.filter(|of| of.view).map(|of| of.name.clone()).collect()
}

/// The difference between the view of a frame and the message, if there is one. Both may refuse the frame, but only
/// for the same reason.
pub(crate) fn difference(message: &Message, frame: &[u8]) -> Option<String> {
    let frame = Bytes::copy_from_slice(frame);
    match message.name() {
        "FetchResponse" => compare::<FetchResponseView<'_>>(&frame, message.version),
        "MetadataResponse" => compare::<MetadataResponseView<'_>>(&frame, message.version),
        name => panic!("no view of {name} is compared"),
    }
}

fn compare<'a, V: MessageView<'a> + Debug>(frame: &'a Bytes, version: i16) -> Option<String> {
    let view = V::split(frame, version);
    let view = view.map(|(view, rest)| (format!("{view:?}").replace("View {", " {"), rest.len()));
    let mut reader = Reader::new(frame);
    let owned = V::Owned::decode(&mut reader, version);
    let owned = match owned {
        // Lists of a view take no memory.
        Err(error) if error.cause == DecodeCause::ElementsTooLarge => return None,
        owned => owned.map(|owned| (with_numbers(&format!("{owned:?}")), reader.left())),
    };
    (view != owned).then(|| format!("view:  {view:?}\n  owned: {owned:?}"))
}

/// The text with records as a list of numbers, as slices are printed; `Bytes` prints them as text.
fn with_numbers(text: &str) -> String {
    let mut parts = text.split("records: Some(b\"");
    let mut numbered = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (bytes, rest) = unescaped(part);
        numbered += &format!("records: Some({bytes:?}{rest}");
    }
    numbered
}

/// The bytes up to the closing quote, and the text after it.
fn unescaped(text: &str) -> (Vec<u8>, &str) {
    let mut bytes = Vec::new();
    let mut rest = text;
    loop {
        let (byte, length) = match rest.as_bytes() {
            [b'"', ..] => return (bytes, &rest[1..]),
            [b'\\', b'x', ..] => (u8::from_str_radix(&rest[2..4], 16).expect("hex"), 4),
            [b'\\', b'n', ..] => (b'\n', 2),
            [b'\\', b'r', ..] => (b'\r', 2),
            [b'\\', b't', ..] => (b'\t', 2),
            [b'\\', b'0', ..] => (0, 2),
            [b'\\', byte, ..] => (*byte, 2),
            [byte, ..] => (*byte, 1),
            [] => panic!("no closing quote: {text}"),
        };
        bytes.push(byte);
        rest = &rest[length..];
    }
}
