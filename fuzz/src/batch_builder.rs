//! Writing of record batches: the records that were appended are the records that are read.

use bytes::Bytes;
use kafka_wire::compression::{Compression, Decompressed};
use kafka_wire::record::{Batch, BatchBuilder, HeadersBuf, Seal};
use kafka_wire::types::{ProducerEpoch, ProducerId};

/// One record: timestamp, key, value and headers.
pub(crate) type Row<'a> = (i64, Option<&'a [u8]>, Option<&'a [u8]>, Vec<(&'a [u8], Option<&'a [u8]>)>);

/// The first byte chooses the compression, the rest becomes records.
pub fn run(data: &[u8]) {
    let [choice, rest @ ..] = data else { return };
    let compression = Compression::from_code(choice % 5).expect("five codecs");
    let rows = rows(rest);
    if rows.is_empty() {
        return;
    }
    let batch = Batch::from_bytes(build(&rows, compression)).expect("a sealed batch is whole");
    let mut buffer = Decompressed::default();
    let records = batch.open(&mut buffer).expect("a sealed batch opens");
    let found = records.map(|record| record.expect("a sealed record reads")).collect::<Vec<_>>();
    assert_eq!(found.len(), rows.len());
    for (index, (record, (timestamp, key, value, headers))) in found.iter().zip(&rows).enumerate() {
        assert_eq!(record.offset, index as i64);
        assert_eq!((record.timestamp, record.key, record.value), (*timestamp, *key, *value));
        assert_eq!(record.headers.iter().collect::<Vec<_>>(), *headers);
    }
}

fn build(rows: &[Row<'_>], compression: Compression) -> Bytes {
    let mut builder = BatchBuilder::new(1024);
    for (timestamp, key, value, headers) in rows {
        let mut raw = HeadersBuf::new();
        for (key, value) in headers {
            raw.push(key, *value);
        }
        builder.append(*timestamp, *key, *value, raw.as_raw()).expect("a few bytes fit");
    }
    let seal = Seal {
        producer_id: ProducerId(7),
        producer_epoch: ProducerEpoch(1),
        base_sequence: 0,
        transactional: true,
        compression,
    };
    builder.seal(seal).expect("every codec is built in")
}

/// Cuts the bytes into records: each field is a length byte (255 for null) and as many of the bytes left as it says.
pub(crate) fn rows(mut data: &[u8]) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    while let Some((timestamp, rest)) = data.split_first_chunk() {
        data = rest;
        let key = field(&mut data);
        let value = field(&mut data);
        let mut headers = Vec::new();
        while let Some(key) = field(&mut data) {
            headers.push((key, field(&mut data)));
        }
        rows.push((i64::from_be_bytes(*timestamp) >> 1, key, value, headers));
    }
    rows
}

fn field<'a>(data: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = data.split_first()?;
    *data = rest;
    if *length == u8::MAX {
        return None;
    }
    let (field, rest) = rest.split_at(usize::from(*length).min(rest.len()));
    *data = rest;
    Some(field)
}
