//! One message in a frame, as JSON.

use std::fmt;

use bytes::Bytes;
use kafka_wire::protocol::any::{Direction, MessageKind};
use kafka_wire::protocol::fetch::FetchResponse;
use kafka_wire::protocol::header::{RequestHeader, ResponseHeader};
use kafka_wire::protocol::inspect::json;
use kafka_wire::protocol::produce::ProduceRequest;
use kafka_wire::protocol::share_fetch::ShareFetchResponse;
use kafka_wire::protocol::{ApiKey, ErrorCode, Message};
use kafka_wire::wire::{DecodeCause, DecodeError, Reader};

use super::{batch, name};

/// The reason why bytes are not the message that they are said to be.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// The bytes of `message` are wrong.
    Bytes { message: String, error: DecodeError },
    /// There is no such message, or the message cannot be determined.
    Other(String),
}

impl Fault {
    /// The same fault, with positions counted from this many bytes earlier.
    pub(super) fn behind(mut self, bytes: usize) -> Self {
        if let Self::Bytes { error, .. } = &mut self {
            error.at += bytes;
        }
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes { message, error } => write!(f, "{message}: {error}"),
            Self::Other(error) => f.write_str(error),
        }
    }
}

/// The header of a request.
#[derive(Debug)]
pub(super) struct RequestHead {
    pub(super) key: ApiKey,
    pub(super) version: i16,
    pub(super) correlation_id: i32,
    pub(super) json: String,
}

/// Reads the header of a request; the body is left in the reader.
///
/// The version of the header depends on that of the API, so the first four bytes are looked at before.
pub(super) fn request_head(reader: &mut Reader<'_>) -> Result<RequestHead, Fault> {
    let mut start = reader.clone();
    let key = start.i16("request_api_key").and_then(|key| Ok((key, start.i16("request_api_version")?)));
    let key = key.map_err(|error| Fault::Bytes { message: "RequestHeader".to_owned(), error: start.explain(error) });
    let (key, version) = key?;
    let key = ApiKey::from_i16(key).ok_or_else(|| Fault::Other(format!("no API has the key {key}")))?;
    let header_version = key.request_header_version(version);
    let header = RequestHeader::decode(reader, header_version);
    let header = header.map_err(|error| Fault::Bytes { message: format!("RequestHeader v{header_version}"), error })?;
    let json = json(&header, header_version);
    Ok(RequestHead { key, version, correlation_id: header.correlation_id, json })
}

/// Reads the header of a response to `version` of `key` and returns its JSON; the body is left in the reader.
pub(super) fn response_head(reader: &mut Reader<'_>, key: ApiKey, version: i16) -> Result<String, Fault> {
    let header_version = key.response_header_version(version);
    let header = ResponseHeader::decode(reader, header_version);
    let header =
        header.map_err(|error| Fault::Bytes { message: format!("ResponseHeader v{header_version}"), error })?;
    Ok(json(&header, header_version))
}

fn decode(kind: MessageKind, version: i16, start: &Reader<'_>, with_records: bool) -> Result<Body, DecodeError> {
    let mut reader = start.clone();
    reader.keep_unknown_tags();
    let mut json = kind.decode(version, &mut reader)?.json(version);
    if with_records {
        json = insert_batches(&json, &records(kind, version, start));
    }
    let behind = Behind { at: reader.at(), bytes: reader.rest() };
    Ok(Body { version, json, unknown_tags: reader.take_unknown_tags().len(), behind })
}

/// The records fields that are not null, in the order of the JSON.
fn records(kind: MessageKind, version: i16, start: &Reader<'_>) -> Vec<Bytes> {
    let reader = &mut start.clone();
    match kind.api() {
        Some((ApiKey::Produce, Direction::Request)) => {
            let topics = ProduceRequest::decode(reader, version).map(|message| message.topic_data);
            let partitions = topics.into_iter().flatten().flat_map(|topic| topic.partition_data);
            partitions.filter_map(|partition| partition.records).collect()
        }
        Some((ApiKey::Fetch, Direction::Response)) => {
            let topics = FetchResponse::decode(reader, version).map(|message| message.responses);
            let partitions = topics.into_iter().flatten().flat_map(|topic| topic.partitions);
            partitions.filter_map(|partition| partition.records).collect()
        }
        Some((ApiKey::ShareFetch, Direction::Response)) => {
            let topics = ShareFetchResponse::decode(reader, version).map(|message| message.responses);
            let partitions = topics.into_iter().flatten().flat_map(|topic| topic.partitions);
            partitions.map(|partition| partition.records).collect()
        }
        _ => Vec::new(),
    }
}

/// Adds the batches after the size of each records field.
///
/// The name of the size field is searched as text: no other member ends like it, and in a string its quote would
/// be escaped.
fn insert_batches(json: &str, fields: &[Bytes]) -> String {
    let (mut text, mut rest) = (String::new(), json);
    for records in fields {
        let Some((before, after)) = rest.split_once(RECORDS_SIZE) else { break };
        let size = after.len() - after.trim_start_matches(|character: char| character.is_ascii_digit()).len();
        let (size, after) = after.split_at(size);
        text.extend([before, RECORDS_SIZE, size, ",\"records\":", &batch::json(records)]);
        rest = after;
    }
    text + rest
}

const RECORDS_SIZE: &str = "\"recordsSizeInBytes\":";

/// A body as JSON.
#[derive(Debug)]
pub(super) struct Body {
    /// The version in which the body is written, which may differ from the expected one.
    pub(super) version: i16,
    pub(super) json: String,
    /// Number of unknown tagged fields; they are not in the JSON.
    pub(super) unknown_tags: usize,
    /// The bytes of the frame after the message; empty if the frame follows its schema.
    pub(super) behind: Behind,
}

impl Body {
    /// Whether the frame ends where the message ends.
    pub(super) fn is_whole(&self) -> bool {
        self.behind.len() == 0
    }
}

/// Bytes after the last field of a message. Kafka's brokers and clients ignore them.
#[derive(Debug)]
pub(super) struct Behind {
    at: usize,
    bytes: Bytes,
}

impl Behind {
    /// Number of bytes.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes as hex digits.
    pub(super) fn hex(&self) -> String {
        self.bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = DecodeError { at: self.at, what: "message", cause: DecodeCause::TrailingBytes };
        write!(f, "{error}: {}, which Kafka ignores", self.hex())
    }
}

/// Reads the rest of a frame as this message; shows the batches of its records on request.
///
/// A broker that lacks the version of an ApiVersions request answers in version 0, with error 35 (KIP-511).
/// No answer of another version begins with this error and is complete as version 0, so version 0 is tried first.
pub(super) fn body(reader: &Reader<'_>, kind: MessageKind, version: i16, with_records: bool) -> Result<Body, Fault> {
    let is_versions = kind.api() == Some((ApiKey::ApiVersions, Direction::Response));
    if is_versions
        && reader.clone().i16("error_code") == Ok(ErrorCode::UNSUPPORTED_VERSION.0)
        && let Ok(body) = decode(kind, 0, reader, with_records)
        && body.is_whole()
    {
        return Ok(body);
    }
    name::check_version(kind, version).map_err(Fault::Other)?;
    decode(kind, version, reader, with_records)
        .map_err(|error| Fault::Bytes { message: format!("{} v{version}", kind.name()), error })
}
