//! Our codec, by the oracle's names of messages.

use std::fmt;
use std::ops::RangeInclusive;

use bytes::Bytes;
use kafka_wire::protocol::any::{AnyMessage, Direction, data_layout, decode, decode_data};
use kafka_wire::protocol::{ApiKey, Message as _};
use kafka_wire::wire::{DecodeError, EncodeError, Layout, Reader, Writer};

/// A version of a message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    pub(crate) version: i16,
}

/// Which message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// A request or response.
    Api(ApiKey, Direction),
    /// Any other, by its name.
    Data(String),
}

/// What we make of some bytes.
#[derive(Debug)]
pub(crate) enum Reading {
    /// We read them all, and write this.
    Read { hex: String, json: String },
    /// We do not read them.
    Unread(DecodeError),
    /// We read them and could not write them again.
    Unwritten(EncodeError),
}

impl Reading {
    /// As the oracle would say it.
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
        let mut kinds = Vec::new();
        for key in ApiKey::ALL.iter().filter(|key| key.layout().is_some()) {
            kinds.push(Kind::Api(*key, Direction::Request));
            kinds.push(Kind::Api(*key, Direction::Response));
        }
        macro_rules! row {
            ($name:literal, $message:ty) => {
                assert_eq!(<$message>::LAYOUT.name, $name);
                kinds.push(Kind::Data($name.to_owned()));
            };
        }
        kafka_wire::for_each_message!(row);
        let of = |kind: &Kind| {
            kind.layout().versions().map(|version| Self { kind: kind.clone(), version }).collect::<Vec<_>>()
        };
        kinds.iter().flat_map(of).collect()
    }

    /// Reads the first three words of a line, and returns the others.
    pub(crate) fn parse(line: &str) -> (Self, &str) {
        let mut words = line.splitn(4, ' ');
        let mut word = || words.next().unwrap_or_else(|| panic!("a message and its version: {line}"));
        let (name, direction, version) = (word(), word(), word());
        let version = version.parse().expect("a version");
        let api = || ApiKey::from_i16(name.parse().expect("a key")).expect("a known key");
        let kind = match direction {
            "q" => Kind::Api(api(), Direction::Request),
            "s" => Kind::Api(api(), Direction::Response),
            _ => Kind::Data(name.to_owned()),
        };
        (Self { kind, version }, word())
    }

    /// Its name in Kafka's schema.
    pub(crate) fn name(&self) -> String {
        match &self.kind {
            Kind::Api(key, direction) => format!("{}{direction:?}", key.name()),
            Kind::Data(name) => name.clone(),
        }
    }

    /// Every version of this message.
    pub(crate) fn versions(&self) -> RangeInclusive<i16> {
        self.kind.layout().versions()
    }

    /// Reads and writes a frame, with all that we do not know of it.
    pub(crate) fn read(&self, frame: &[u8]) -> Reading {
        let frame = Bytes::copy_from_slice(frame);
        let mut reader = Reader::new(&frame);
        reader.keep_unknown_tags();
        let message = match self.decode(&mut reader) {
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
        let message = self.decode(&mut Reader::new(&frame)).map_err(|error| error.to_string())?;
        let mut writer = Writer::new();
        message.encode(&mut writer, other).map_err(|error| error.to_string())?;
        Ok(hex(&writer.into_bytes()))
    }

    fn decode(&self, reader: &mut Reader<'_>) -> Result<Box<dyn AnyMessage>, DecodeError> {
        let message = match &self.kind {
            Kind::Api(key, direction) => decode(*key, *direction, self.version, reader),
            Kind::Data(name) => decode_data(name, self.version, reader).unwrap_or_else(|| panic!("no message {name}")),
        };
        let message = message?;
        reader.finish().map(|()| message)
    }
}

impl Kind {
    fn layout(&self) -> Layout {
        match self {
            Self::Api(key, _) => key.layout().expect("a key with messages"),
            Self::Data(name) => data_layout(name).unwrap_or_else(|| panic!("no message {name}")),
        }
    }
}

/// As the oracle names it.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Api(key, Direction::Request) => write!(f, "{} q {}", i16::from(*key), self.version),
            Kind::Api(key, Direction::Response) => write!(f, "{} s {}", i16::from(*key), self.version),
            Kind::Data(name) => write!(f, "{name} d {}", self.version),
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
