//! Batches and message sets that show everything that we can write.

use bytes::Bytes;
use kafka_wire::compression::{Compression, Compressor};
use kafka_wire::record::{
    BatchBuilder, ControlRecord, HeadersBuf, MessageFormat, MessageSet, MessageSetBuilder, RawHeaders, Seal, restamp,
    with_base_offset, with_log_append_time,
};
use kafka_wire::types::{LeaderEpoch, ProducerEpoch, ProducerId};

use super::records::NOW;

/// Each with a name.
pub(crate) fn all() -> Vec<(String, Bytes)> {
    let idempotent = Seal {
        producer_id: ProducerId(12),
        producer_epoch: ProducerEpoch(3),
        base_sequence: i32::MAX - 2,
        transactional: true,
        compression: Compression::None,
    };
    let plain = builder(30).seal(idempotent).expect("no codec");
    let mut all = vec![
        ("append_time".to_owned(), with_log_append_time(&plain, NOW + 99)),
        ("offset".to_owned(), with_base_offset(&plain, 1 << 33, LeaderEpoch(4))),
        ("restamped".to_owned(), restamp(&plain, ProducerId(1 << 40), ProducerEpoch(i16::MAX), 0)),
        ("plain".to_owned(), plain),
        ("abort".to_owned(), marker(ControlRecord::Abort { coordinator_epoch: 1 })),
        ("commit".to_owned(), marker(ControlRecord::Commit { coordinator_epoch: i32::MAX })),
    ];
    for compression in Compression::ALL {
        for (size, repeats) in [("small", 20), ("large", 30_000)] {
            let sealed = builder(repeats).seal(Seal { compression, ..Seal::default() }).expect("built in");
            let appended = with_log_append_time(&sealed, NOW + 99);
            all.push((format!("batch_{compression}_{size}"), sealed));
            all.push((format!("batch_{compression}_{size}_append_time"), appended));
        }
    }
    for (format, compression) in [MessageFormat::V0, MessageFormat::V1]
        .into_iter()
        .flat_map(|format| Compression::ALL[..4].iter().map(move |compression| (format, *compression)))
    {
        let set = MessageSet { compression, base_offset: 1 << 33, ..MessageSet::new(format) };
        all.push((format!("messages_{format:?}_{compression}"), messages(set)));
        let appended = MessageSet { log_append_time: Some(NOW + 99), ..set };
        all.push((format!("messages_{format:?}_{compression}_append_time"), messages(appended)));
    }
    all.push(("mixed".to_owned(), Bytes::from(all.iter().flat_map(|(_, bytes)| bytes.to_vec()).collect::<Vec<_>>())));
    all
}

/// Nulls, empty parts, and a value of several blocks.
fn messages(set: MessageSet) -> Bytes {
    let mut builder = MessageSetBuilder::new(set, 0);
    builder.append(NOW, None, None).expect("small");
    builder.append(NOW + 1_000_000, Some(b""), Some(b"")).expect("small");
    builder.append(-1, Some(b"key"), Some(&b"0123456789".repeat(20_000))).expect("small");
    builder.append(NOW - 1, Some(b"tombstone"), None).expect("small");
    builder.finish(&mut Compressor::default()).expect("a codec of the format")
}

fn marker(marker: ControlRecord) -> Bytes {
    marker.encode(NOW, ProducerId(12), ProducerEpoch(3)).expect("an end marker")
}

/// Deltas, lengths and counts of every size, nulls, and text that repeats over several blocks of lz4.
fn builder(repeats: usize) -> BatchBuilder {
    let mut builder = BatchBuilder::new(1_000);
    let mut headers = HeadersBuf::new();
    for index in 0..70 {
        headers.push(format!("key {index}").as_bytes(), (index % 3 > 0).then_some(b"value"));
    }
    let long = b"0123456789".repeat(repeats);
    builder.append(NOW, Some(b"key"), Some(b"value"), headers.as_raw()).expect("small");
    builder.append(NOW - 1_000_000_000_000, None, None, RawHeaders::EMPTY).expect("small");
    builder.append(NOW + 1_000_000, Some(b""), Some(b""), RawHeaders::EMPTY).expect("small");
    builder.append(NOW, None, Some(&long), RawHeaders::EMPTY).expect("small");
    for index in 0..70 {
        builder.append(NOW + index, Some(&long[..70]), Some(b"v"), RawHeaders::EMPTY).expect("small");
    }
    builder
}
