//! Record batches for people: as lines like those of Kafka's `DumpLogSegments --print-data-log`, and as JSON.

use std::fmt::{self, Write as _};

use bytes::Bytes;
use kafka_wire::compression::Decompressed;
use kafka_wire::protocol::any::MessageKind;
use kafka_wire::record::{
    Batch, BatchHeader, Batches, ControlRecord, MAGIC_V2, Record, RecordError, TimestampType, sequence_after,
};
use kafka_wire::wire::Reader;
use serde::{Serialize, Serializer};

/// The header of a batch, and whether its checksum is right.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BatchShown {
    /// Number of bytes before it.
    position: u64,
    size: usize,
    magic: i8,
    base_offset: i64,
    last_offset: i64,
    count: i32,
    base_sequence: i32,
    last_sequence: i32,
    producer_id: i64,
    producer_epoch: i16,
    partition_leader_epoch: i32,
    is_transactional: bool,
    is_control: bool,
    delete_horizon_ms: Option<i64>,
    timestamp_type: &'static str,
    max_timestamp: i64,
    compression: &'static str,
    crc: u32,
    is_valid: bool,
}

impl BatchShown {
    pub(super) fn new(batch: &Batch, position: u64) -> Self {
        let header = &batch.header;
        Self {
            position,
            size: batch.size_bytes(),
            magic: header.magic,
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            count: header.record_count,
            base_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
            producer_id: header.producer_id.0,
            producer_epoch: header.producer_epoch.0,
            partition_leader_epoch: header.partition_leader_epoch.0,
            is_transactional: header.is_transactional(),
            is_control: header.is_control(),
            delete_horizon_ms: header.delete_horizon_ms(),
            timestamp_type: timestamp_type(header),
            max_timestamp: header.max_timestamp,
            compression: header.compression().name(),
            crc: batch.crc(),
            is_valid: batch.check_crc().is_ok(),
        }
    }
}

impl fmt::Display for BatchShown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.magic < MAGIC_V2 {
            write!(f, "offset: {}", self.last_offset)?;
        } else {
            write!(f, "baseOffset: {} lastOffset: {} count: {}", self.base_offset, self.last_offset, self.count)?;
            write!(f, " baseSequence: {} lastSequence: {}", self.base_sequence, self.last_sequence)?;
            write!(f, " producerId: {} producerEpoch: {}", self.producer_id, self.producer_epoch)?;
            write!(f, " partitionLeaderEpoch: {}", self.partition_leader_epoch)?;
            write!(f, " isTransactional: {} isControl: {}", self.is_transactional, self.is_control)?;
            match self.delete_horizon_ms {
                Some(horizon) => write!(f, " deleteHorizonMs: OptionalLong[{horizon}]")?,
                None => f.write_str(" deleteHorizonMs: OptionalLong.empty")?,
            }
        }
        write!(f, " position: {} {}: {}", self.position, self.timestamp_type, self.max_timestamp)?;
        write!(f, " size: {} magic: {} compresscodec: {}", self.size, self.magic, self.compression)?;
        write!(f, " crc: {} isvalid: {}", self.crc, self.is_valid)
    }
}

/// A record, or the content of a control record.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RecordShown<'a> {
    offset: i64,
    timestamp: i64,
    #[serde(skip)]
    timestamp_type: &'static str,
    /// `None` in the old formats, which have neither sequences nor headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<i32>,
    key: Option<Text<'a>>,
    value: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<Header<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    control: Option<String>,
}

#[derive(Debug, Serialize)]
struct Header<'a> {
    key: Text<'a>,
    value: Option<Text<'a>>,
}

impl<'a> RecordShown<'a> {
    pub(super) fn new(header: &BatchHeader, record: &Record<'a>) -> Self {
        let sequence = match i32::try_from(record.offset.saturating_sub(header.base_offset)) {
            Ok(delta) if delta >= 0 && header.base_sequence >= 0 => sequence_after(header.base_sequence, delta),
            _ => -1,
        };
        let headers = record.headers.iter().map(|(key, value)| Header { key: Text(key), value: value.map(Text) });
        Self {
            offset: record.offset,
            timestamp: record.timestamp,
            timestamp_type: timestamp_type(header),
            sequence: (header.magic >= MAGIC_V2).then_some(sequence),
            key: record.key.map(Text),
            value: record.value.map(Text),
            headers: headers.collect(),
            control: header.is_control().then(|| control(record)),
        }
    }
}

impl fmt::Display for RecordShown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = |text: &Option<Text<'_>>| text.map_or(-1, |text| i64::try_from(text.0.len()).unwrap_or(i64::MAX));
        write!(f, "| offset: {} {}: {}", self.offset, self.timestamp_type, self.timestamp)?;
        write!(f, " keySize: {} valueSize: {}", size(&self.key), size(&self.value))?;
        if let Some(sequence) = self.sequence {
            write!(f, " sequence: {sequence} headerKeys: [")?;
            for (index, header) in self.headers.iter().enumerate() {
                write!(f, "{}{}", if index == 0 { "" } else { "," }, header.key)?;
            }
            f.write_char(']')?;
        }
        if let Some(control) = &self.control {
            return write!(f, " {control}");
        }
        self.key.iter().try_for_each(|key| write!(f, " key: {key}"))?;
        self.value.iter().try_for_each(|value| write!(f, " payload: {value}"))
    }
}

/// Bytes that are usually text: a string in JSON, or `{"hex": ".."}` if they are not UTF-8.
#[derive(Clone, Copy, Debug)]
struct Text<'a>(&'a [u8]);

impl fmt::Display for Text<'_> {
    /// Characters that would break the line, and bytes that are not text, are escaped as in Rust.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                if character.is_control() {
                    write!(f, "{}", character.escape_default())?;
                } else {
                    f.write_char(character)?;
                }
            }
            chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        Ok(())
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Hex {
            hex: String,
        }
        match str::from_utf8(self.0) {
            Ok(text) => to.serialize_str(text),
            Err(_) => Hex { hex: self.0.iter().map(|byte| format!("{byte:02x}")).collect() }.serialize(to),
        }
    }
}

/// A control record in the words of Kafka's tool.
fn control(record: &Record<'_>) -> String {
    let marker = match ControlRecord::decode(record) {
        Ok(marker) => marker,
        Err(error) => return format!("controlType: {}: {}", error.what, error.cause),
    };
    let kind = match marker {
        ControlRecord::Abort { coordinator_epoch } | ControlRecord::Commit { coordinator_epoch } => {
            return format!("endTxnMarker: {} coordinatorEpoch: {coordinator_epoch}", marker.name());
        }
        ControlRecord::Other { kind } => kind,
    };
    let (label, message) = match marker.name() {
        "LEADER_CHANGE" => ("LeaderChange:", "LeaderChangeMessage"),
        "SNAPSHOT_HEADER" => ("SnapshotHeader", "SnapshotHeaderRecord"),
        "SNAPSHOT_FOOTER" => ("SnapshotFooter", "SnapshotFooterRecord"),
        "KRAFT_VERSION" => ("KRaftVersion", "KRaftVersionRecord"),
        "KRAFT_VOTERS" => ("KRaftVoters", "VotersRecord"),
        name => return format!("controlType: {name}({kind})"),
    };
    let value = Bytes::copy_from_slice(record.value.unwrap_or_default());
    message_json(message, &value)
        .map_or_else(|error| format!("controlType: {kind}: {error}"), |json| format!("{label} {json}"))
}

/// Each of these messages begins with its own version, two bytes that are also its first field.
fn message_json(name: &str, value: &Bytes) -> Result<String, String> {
    let kind = MessageKind::named(name).ok_or_else(|| format!("there is no message {name}"))?;
    let version = value.first_chunk().map_or(0, |bytes| i16::from_be_bytes(*bytes)).clamp(0, kind.layout().last);
    let message = kind.decode(version, &mut Reader::new(value)).map_err(|error| error.to_string())?;
    Ok(message.json(version))
}

fn timestamp_type(header: &BatchHeader) -> &'static str {
    match header.timestamp_type() {
        _ if header.magic == 0 => "NoTimestampType",
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    }
}

/// The batches of a records field, each with its records, as a JSON list. A batch that cannot be read is an element
/// with an error, and so is the last batch if it is cut off, as brokers do at the limit of a fetch.
pub(super) fn json(records: &Bytes) -> String {
    #[derive(Serialize)]
    struct Element<'a> {
        #[serde(flatten)]
        batch: Option<&'a BatchShown>,
        #[serde(skip_serializing_if = "Option::is_none")]
        records: Option<Vec<RecordShown<'a>>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    }
    let mut text = String::from("[");
    let mut batches = Batches::new(records.clone());
    let mut buffer = Decompressed::default();
    let mut put = |element: Element<'_>| {
        let separator = if text.len() > 1 { "," } else { "" };
        let element = serde_json::to_string(&element).expect("texts and numbers have a form in JSON");
        text.push_str(separator);
        text.push_str(&element);
    };
    let mut position = 0;
    for batch in batches.by_ref() {
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => {
                put(Element { batch: None, records: None, error: Some(place(&error, position, None)) });
                break;
            }
        };
        let shown = BatchShown::new(&batch, position);
        let opened = batch.open(&mut buffer).and_then(|records| {
            records.map(|record| Ok(RecordShown::new(&batch.header, &record?))).collect::<Result<Vec<_>, _>>()
        });
        let (records, error) = match opened {
            Ok(records) => (Some(records), None),
            Err(error) => (None, Some(place(&error, position, Some(&batch)))),
        };
        put(Element { batch: Some(&shown), records, error });
        position += batch.size_bytes() as u64;
    }
    if !batches.rest().is_empty() {
        put(Element { batch: None, records: None, error: Some(format!("byte {position}: this batch is cut off")) });
    }
    text.push(']');
    text
}

/// The position of an error, for a batch at `position`, and the error in words.
pub(super) fn place(error: &RecordError, position: u64, batch: Option<&Batch>) -> String {
    let RecordError { at, what, cause, .. } = error;
    match batch.filter(|_| error.decompressed) {
        Some(batch) => {
            let records = position + batch.records_at() as u64;
            format!("byte {records}: in what the records decompress to, byte {at}, {what}: {cause}")
        }
        None => format!("byte {}: {what}: {cause}", position + *at as u64),
    }
}
