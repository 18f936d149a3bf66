//! Our codec, addressed by the oracle's names of messages.

use std::fmt;
use std::ops::RangeInclusive;

use bytes::Bytes;
use kafka_wire::protocol::ApiKey;
use kafka_wire::protocol::any::{Direction, MessageKind};
use kafka_wire::wire::{DecodeError, EncodeError, Reader, Writer};

/// A version of a message.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) kind: MessageKind,
    pub(crate) version: i16,
}

/// Our result for some bytes.
#[derive(Debug)]
pub(crate) enum Reading {
    /// We read all bytes, and write these.
    Read { hex: String, json: String },
    /// We refuse them.
    Unread(DecodeError),
    /// We read them and could not write them again.
    Unwritten(EncodeError),
}

impl Reading {
    /// The result as the oracle would print it.
    pub(crate) fn line(&self) -> String {
        match self {
            Self::Read { hex, json } => format!("ok {hex} {json}"),
            Self::Unread(error) => format!("unread {error}"),
            Self::Unwritten(error) => format!("unwritten {error}"),
        }
    }
}

impl Message {
    /// Every version of every message.
    pub(crate) fn all() -> Vec<Self> {
        let of = |kind: &MessageKind| {
            let kind = *kind;
            kind.layout().versions().map(move |version| Self { kind, version })
        };
        MessageKind::all().iter().flat_map(of).collect()
    }

    /// Reads the first three words of a line, and returns the others.
    pub(crate) fn parse(line: &str) -> (Self, &str) {
        let mut words = line.splitn(4, ' ');
        let mut word = || words.next().unwrap_or_else(|| panic!("a message and its version: {line}"));
        let (name, direction, version) = (word(), word(), word());
        let version = version.parse().expect("a version");
        let api = || ApiKey::from_i16(name.parse().expect("a key")).expect("a known key");
        let kind = match direction {
            "q" => MessageKind::of_api(api(), Direction::Request),
            "s" => MessageKind::of_api(api(), Direction::Response),
            _ => MessageKind::named(name),
        };
        (Self { kind: kind.unwrap_or_else(|| panic!("no message {name}")), version }, word())
    }

    /// Its name in Kafka's schema.
    pub(crate) fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// Every version of this message.
    pub(crate) fn versions(&self) -> RangeInclusive<i16> {
        self.kind.layout().versions()
    }

    /// Reads and writes a frame, unknown tagged fields included.
    pub(crate) fn read(&self, frame: &[u8]) -> Reading {
        let frame = Bytes::copy_from_slice(frame);
        let mut reader = Reader::new(&frame);
        reader.keep_unknown_tags();
        let message = match self.kind.decode_whole(self.version, &mut reader) {
            Ok(message) => message,
            Err(error) => return Reading::Unread(error),
        };
        let mut writer = Writer::new();
        writer.put_back(reader.take_unknown_tags());
        match message.encode(&mut writer, self.version) {
            Ok(()) => Reading::Read { hex: hex(&writer.into_bytes()), json: message.json(self.version) },
            Err(error) => Reading::Unwritten(error),
        }
    }

    /// Reads a frame and writes it at another version.
    pub(crate) fn cross(&self, frame: &[u8], other: i16) -> Result<String, String> {
        let frame = Bytes::copy_from_slice(frame);
        let message = self.kind.decode_whole(self.version, &mut Reader::new(&frame));
        let message = message.map_err(|error| error.to_string())?;
        let mut writer = Writer::new();
        message.encode(&mut writer, other).map_err(|error| error.to_string())?;
        Ok(hex(&writer.into_bytes()))
    }
}

/// As the oracle names it.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind.api() {
            Some((key, Direction::Request)) => write!(f, "{} q {}", i16::from(key), self.version),
            Some((key, Direction::Response)) => write!(f, "{} s {}", i16::from(key), self.version),
            None => write!(f, "{} d {}", self.name(), self.version),
        }
    }
}

/// Digits, or `-` for no bytes.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    if bytes.is_empty() {
        return "-".to_owned();
    }
    let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits = text.trim_start_matches('-');
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex")).collect()
}
