//! Batches and message sets as lines of text, the same that `vectors/RecordVectors.java` writes.

use std::fmt::Write;

use bytes::Bytes;
use kafka_wire::compression::Decompressed;
use kafka_wire::record::{Batch, Batches, Record, RecordError, TimestampType};

pub(crate) const NOW: i64 = 1_700_000_000_000;

/// The same lines that `RecordVectors.java` writes.
pub(crate) fn describe(bytes: &Bytes) -> Result<String, RecordError> {
    let mut text = String::new();
    for batch in Batches::new(bytes.clone()) {
        let batch = batch?;
        text += &describe_header(&batch);
        for record in batch.open(&mut Decompressed::default())? {
            text += &describe_record(&record?);
        }
    }
    text += "bytes ";
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a String takes it");
    }
    Ok(text + "\n")
}

fn describe_header(batch: &Batch) -> String {
    let header = batch.header;
    let time = match header.timestamp_type() {
        _ if header.magic == 0 => "NoTimestampType",
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    };
    if header.magic < 2 {
        let (last_offset, codec) = (header.last_offset(), header.compression());
        return format!(
            "message magic={} last_offset={last_offset} codec={codec} time={time} max_timestamp={}\n",
            header.magic, header.max_timestamp
        );
    }
    format!(
        "batch base_offset={} last_offset={} leader_epoch={} count={} codec={} time={time} max_timestamp={} \
         producer={}/{} sequence={}..{} transactional={} control={} delete_horizon={}\n",
        header.base_offset,
        header.last_offset(),
        header.partition_leader_epoch,
        header.record_count,
        header.compression(),
        header.max_timestamp,
        header.producer_id,
        header.producer_epoch,
        header.base_sequence,
        header.last_sequence(),
        header.is_transactional(),
        header.is_control(),
        header.delete_horizon_ms().map_or("none".to_owned(), |time| time.to_string()),
    )
}

fn describe_record(record: &Record<'_>) -> String {
    let headers: Vec<_> =
        record.headers.iter().map(|(key, value)| format!("{}:{}", show(Some(key)), show(value))).collect();
    format!(
        "record offset={} timestamp={} key={} value={} headers=[{}]\n",
        record.offset,
        record.timestamp,
        show(record.key),
        show(record.value),
        headers.join(",")
    )
}

fn show(bytes: Option<&[u8]>) -> String {
    match bytes {
        None => "null".to_owned(),
        Some(long) if long.len() > 64 => format!("{}*{:08x}", long.len(), crc32c::crc32c(long)),
        Some(short) => short.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}
