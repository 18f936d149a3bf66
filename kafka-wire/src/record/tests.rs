use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::header::{ATTRIBUTES_AT, CRC_AT};
use super::*;
use crate::compression::{Compression, CompressionError, Compressor, Decompressed};
use crate::types::{LeaderEpoch, ProducerEpoch, ProducerId};

/// A batch with three records: headers, nulls, and bytes that repeat.
fn batch_of(seal: Seal) -> Bytes {
    let mut builder = BatchBuilder::new(1_024);
    let mut headers = HeadersBuf::new();
    headers.push(b"\xff", None);
    headers.push(b"k", Some(b"v"));
    builder.append(1_000, None, Some(&[b'x'; 70]), headers.as_raw()).unwrap();
    builder.append(999, Some(b"key"), None, RawHeaders::EMPTY).unwrap();
    builder.append(5_000, Some(b""), Some(b""), RawHeaders::EMPTY).unwrap();
    builder.seal(seal).unwrap()
}

fn supported() -> impl Iterator<Item = Compression> {
    Compression::ALL.into_iter().filter(|compression| compression.is_supported())
}

/// One of the codecs of this build.
fn any_codec() -> impl Strategy<Value = Compression> {
    proptest::sample::select(supported().collect::<Vec<_>>())
}

/// A batch of one record whose encoded body is `body`.
fn batch_around(body: &[u8]) -> Bytes {
    let mut records = Vec::new();
    varint::put_varint(&mut records, varint::zigzag_length(body.len()));
    records.extend_from_slice(body);
    batch_with(&records, 1)
}

fn batch_with(records: &[u8], record_count: i32) -> Bytes {
    let one = batch_of(Seal::default());
    let mut bytes = [&one[..HEADER_BYTES], records].concat();
    let length = i32::try_from(bytes.len() - 12).unwrap();
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[57..61].copy_from_slice(&record_count.to_be_bytes());
    repaired(&bytes)
}

/// The bytes with a right checksum.
fn repaired(bytes: &[u8]) -> Bytes {
    let mut bytes = bytes.to_vec();
    let crc = crc32c::crc32c(&bytes[ATTRIBUTES_AT..]);
    bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
    Bytes::from(bytes)
}

fn changed(at: usize, field: &[u8]) -> Bytes {
    let mut bytes = batch_of(Seal::default()).to_vec();
    bytes[at..at + field.len()].copy_from_slice(field);
    repaired(&bytes)
}

/// The first error anywhere in the bytes, or the number of records.
fn outcome(bytes: Bytes) -> Result<usize, RecordError> {
    let mut count = 0;
    let mut buffer = Decompressed::new(1 << 20);
    for batch in Batches::new(bytes) {
        let batch = batch?;
        for record in batch.open(&mut buffer)? {
            count += 1;
            let record = record?;
            assert_eq!(record.headers.iter().count(), record.headers.count(), "read headers are well formed");
        }
    }
    Ok(count)
}

fn check_error(bytes: Bytes, at: usize, what: &'static str, cause: RecordErrorCause) {
    assert_eq!(outcome(bytes), Err(RecordError { at, decompressed: false, what, cause }));
}

#[test]
fn what_is_built_reads_back() {
    for compression in supported() {
        let bytes = batch_of(Seal { compression, transactional: true, ..Seal::default() });
        let batch = Batch::from_bytes(bytes).unwrap();
        assert_eq!(batch.header.compression(), compression);
        assert!(batch.header.is_transactional() && !batch.header.is_control() && !batch.header.has_producer_id());
        assert_eq!((batch.header.max_timestamp, batch.header.next_offset()), (5_000, 3));
        let mut buffer = Decompressed::default();
        let records: Vec<_> = batch.open(&mut buffer).unwrap().map(Result::unwrap).collect();
        let places: Vec<_> = records.iter().map(|record| (record.offset, record.timestamp)).collect();
        assert_eq!(places, [(0, 1_000), (1, 999), (2, 5_000)]);
        assert_eq!((records[1].key, records[1].value), (Some(b"key".as_slice()), None));
        assert_eq!((records[2].key, records[2].value), (Some(b"".as_slice()), Some(b"".as_slice())));
        let headers: Vec<_> = records[0].headers.iter().collect();
        assert_eq!(headers, [(b"\xff".as_slice(), None), (b"k", Some(b"v".as_slice()))]);
        assert_eq!(records[0].headers.last(b"\xff"), Some(None));
        assert_eq!(records[0].headers.last(b"none"), None);
    }
}

#[test]
fn a_batch_without_records_is_no_bytes() {
    let builder = BatchBuilder::new(0);
    assert!(builder.is_empty());
    assert_eq!(builder.seal(Seal::default()), Ok(Bytes::new()));
}

#[test]
fn records_that_do_not_shrink_are_sent_plain() {
    let mut builder = BatchBuilder::new(0);
    builder.append(0, None, Some(b"abc"), RawHeaders::EMPTY).unwrap();
    let plain = builder.clone().seal(Seal::default()).unwrap();
    for compression in Compression::ALL {
        let sealed = builder.clone().seal(Seal { compression, ..Seal::default() });
        match compression.is_supported() {
            true => assert_eq!(sealed.as_ref(), Ok(&plain)),
            false => assert_eq!(sealed, Err(CompressionError::UnsupportedCodec { compression })),
        }
    }
}

#[test]
fn the_bound_of_a_record_holds() {
    let mut builder = BatchBuilder::new(0);
    for (timestamp, key, value) in [(0, None, None), (i64::MIN, Some(b"k".as_slice()), Some([1; 9_000].as_slice()))] {
        let before = builder.size_bytes();
        builder.append(timestamp, key, value, RawHeaders::EMPTY).unwrap();
        assert!(builder.size_bytes() - before <= BatchBuilder::record_bytes_max(key, value, RawHeaders::EMPTY));
    }
}

#[test]
fn a_batch_cut_off_ends_the_iteration() {
    let one = batch_of(Seal::default());
    let two = [one.clone(), one.clone()].concat();
    for end in 0..one.len() {
        let mut batches = Batches::new(one.slice(..end));
        assert!(batches.next().is_none());
        assert_eq!((batches.position(), batches.rest().len()), (0, end));
        let mut batches = Batches::new(Bytes::copy_from_slice(&two[..one.len() + end]));
        assert_eq!(
            batches.by_ref().map(|batch| batch.unwrap().bytes()).collect::<Vec<_>>(),
            std::slice::from_ref(&one)
        );
        assert_eq!(batches.rest(), &one.slice(..end));
    }
    let cut = Batch::from_bytes(one.slice(..one.len() - 1)).unwrap_err();
    assert_eq!(cut.cause, RecordErrorCause::Truncated);
    let trailing = Batch::from_bytes(Bytes::from(two)).unwrap_err();
    assert_eq!((trailing.at, trailing.cause), (one.len(), RecordErrorCause::BytesLeft(one.len())));
}

#[test]
fn the_checksum_covers_attributes_to_end_and_no_more() {
    let good = batch_of(Seal::default());
    for at in 0..good.len() {
        let mut bytes = BytesMut::from(good.as_ref());
        bytes[at] ^= 0x40;
        let flipped = outcome(bytes.freeze());
        let outside = at < 8 || (12..16).contains(&at);
        assert_eq!(flipped == Ok(3), outside, "byte {at}: {flipped:?}");
    }
    let placed = with_base_offset(&good, 1 << 40, LeaderEpoch(9));
    assert_eq!(outcome(placed), Ok(3));
}

#[test]
fn log_append_time_is_the_time_of_every_record() {
    let batch = Batch::from_bytes(with_log_append_time(&batch_of(Seal::default()), 77)).unwrap();
    assert_eq!(batch.header.timestamp_type(), TimestampType::LogAppendTime);
    let mut buffer = Decompressed::default();
    assert!(batch.open(&mut buffer).unwrap().all(|record| record.unwrap().timestamp == 77));
}

#[test]
fn broken_headers_are_named() {
    use RecordErrorCause::{Compression as Codec, OutOfRange, UnsupportedMagic};
    check_error(changed(8, &(-1_i32).to_be_bytes()), 8, "batch length", OutOfRange(-1));
    check_error(changed(8, &48_i32.to_be_bytes()), 8, "batch length", OutOfRange(48));
    check_error(changed(16, &[3]), 16, "magic", UnsupportedMagic(3));
    check_error(changed(16, &[0xff]), 16, "magic", UnsupportedMagic(-1));
    check_error(changed(22, &[5]), 21, "attributes", Codec(CompressionError::UnknownCodec { code: 5 }));
    check_error(changed(23, &(-1_i32).to_be_bytes()), 23, "last offset delta", OutOfRange(-1));
    check_error(changed(57, &(-1_i32).to_be_bytes()), 57, "record count", OutOfRange(-1));
    check_error(changed(57, &i32::MAX.to_be_bytes()), 57, "record count", OutOfRange(i64::from(i32::MAX)));
    let parsed = BatchHeader::parse(&[2; 60]).unwrap_err();
    assert_eq!((parsed.at, parsed.cause), (60, RecordErrorCause::Truncated));
}

#[test]
fn record_counts_that_lie_are_named() {
    use RecordErrorCause::{BytesLeft, OutOfRange, Truncated};
    assert_eq!(outcome(batch_with(&[], 0)), Ok(0), "no records is legal: compaction keeps such batches");
    check_error(batch_with(&[], 1), 57, "record count", OutOfRange(1));
    check_error(batch_with(&[0; 13], 2), 57, "record count", OutOfRange(2));
    check_error(batch_with(&[1, 2, 3], 0), 61, "records", BytesLeft(3));
    let one = [12, 0, 0, 0, 1, 1, 0];
    assert_eq!(outcome(batch_with(&one, 1)), Ok(1));
    check_error(batch_with(&[one, [0x80; 7]].concat(), 2), 68, "record length", RecordErrorCause::VarintTooLong);
    check_error(batch_with(&[one, [14, 0, 0, 0, 1, 1, 0]].concat(), 2), 69, "record length", Truncated);
}

#[test]
fn broken_records_are_named() {
    use RecordErrorCause::{BytesLeft, NullHeaderKey, OutOfRange, Truncated, VarintTooLong};
    assert_eq!(outcome(batch_around(&[0, 0, 0, 1, 1, 0])), Ok(1));
    assert_eq!(outcome(batch_around(&[0, 0, 0, 3, 5, 0])), Ok(1), "every negative length is null, as in Java");
    assert_eq!(outcome(batch_around(&[0, 0, 0, 1, 1, 2, 0, 1])), Ok(1), "an empty header key is legal");
    check_error(batch_with(&[1; 7], 1), 62, "record length", OutOfRange(-1));
    check_error(batch_with(&[0; 7], 1), 62, "record attributes", Truncated);
    check_error(batch_around(&[0, 0, 6, 1, 1, 0]), 64, "offset delta", OutOfRange(3));
    check_error(batch_around(&[0, 0, 1, 1, 1, 0]), 64, "offset delta", OutOfRange(-1));
    check_error(batch_around(&[0, 0, 0, 1, 1, 0, 9]), 68, "record", BytesLeft(1));
    check_error(batch_around(&[0, 0, 0, 20, 1, 0]), 66, "key", Truncated);
    check_error(batch_around(&[0, 0, 0, 1, 20, 0]), 67, "value", Truncated);
    check_error(batch_around(&[0, 0, 0, 1, 1, 1]), 67, "header count", OutOfRange(-1));
    check_error(batch_around(&[0, 0, 0, 1, 1, 2, 1, 1]), 68, "header key", NullHeaderKey);
    check_error(batch_around(&[0, 0, 0, 1, 1, 2, 0]), 69, "header value", Truncated);
    check_error(batch_around(&[0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f]), 72, "header key", Truncated);
    check_error(batch_around(&[0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01]), 64, "offset delta", VarintTooLong);
    check_error(batch_around(&[&[0][..], &[0xff; 11]].concat()), 63, "timestamp delta", VarintTooLong);
}

#[test]
fn an_iteration_ends_after_its_error() {
    let batch = Batch::from_bytes(batch_with(&[12, 0, 0, 0, 20, 1, 0, 1, 2, 3, 4, 5, 6, 7], 2)).unwrap();
    let mut buffer = Decompressed::default();
    let mut records = batch.open(&mut buffer).unwrap();
    assert!(records.next().unwrap().is_err());
    assert!(records.next().is_none() && records.next().is_none());
    let mut batches = Batches::new(changed(16, &[3]));
    assert!(batches.next().unwrap().is_err());
    assert!(batches.next().is_none());
}

#[test]
fn timestamps_of_any_distance_come_back() {
    let times = [i64::MIN, i64::MAX, -1, 0, 1 << 40];
    let mut builder = BatchBuilder::new(0);
    for time in times {
        builder.append(time, None, None, RawHeaders::EMPTY).unwrap();
    }
    let batch = Batch::from_bytes(builder.seal(Seal::default()).unwrap()).unwrap();
    assert_eq!(batch.header.max_timestamp, i64::MAX);
    let mut buffer = Decompressed::default();
    let read: Vec<_> = batch.open(&mut buffer).unwrap().map(|record| record.unwrap().timestamp).collect();
    assert_eq!(read, times);
}

#[test]
fn sequences_wrap_to_zero() {
    assert_eq!(sequence_after(0, 1), 1);
    assert_eq!(sequence_after(i32::MAX, 1), 0);
    assert_eq!(sequence_after(i32::MAX - 1, 4), 2);
    let seal = Seal {
        producer_id: ProducerId(1),
        producer_epoch: ProducerEpoch(0),
        base_sequence: i32::MAX,
        ..Seal::default()
    };
    let header = Batch::from_bytes(batch_of(seal)).unwrap().header;
    assert_eq!((header.base_sequence, header.last_sequence()), (i32::MAX, 1));
    let none = Batch::from_bytes(batch_of(Seal::default())).unwrap().header;
    assert_eq!((none.producer_id.0, none.producer_epoch.0, none.base_sequence, none.last_sequence()), (-1, -1, -1, -1));
}

#[test]
fn markers_that_are_none_are_named() {
    let record = |key, value| Record { offset: 0, timestamp: 0, key, value, headers: RawHeaders::EMPTY };
    let decode = |key, value| ControlRecord::decode(&record(key, value)).map_err(|error| (error.what, error.cause));
    let abort: &[u8] = &[0, 0, 0, 0];
    assert_eq!(decode(None, None), Err(("control record key", RecordErrorCause::NotControl)));
    assert_eq!(decode(Some(&abort[..3]), None), Err(("control record key", RecordErrorCause::NotControl)));
    assert_eq!(
        decode(Some(&[0xff, 0xff, 0, 0]), None),
        Err(("control record key version", RecordErrorCause::NotControl))
    );
    assert_eq!(decode(Some(abort), None), Err(("control record value", RecordErrorCause::Truncated)));
    assert_eq!(decode(Some(&[0, 9, 0, 5]), None), Ok(ControlRecord::Other { kind: 5 }));
    let newer = Some([0, 1, 0, 0, 0, 8, 9, 9].as_slice());
    assert_eq!(decode(Some(abort), newer), Ok(ControlRecord::Abort { coordinator_epoch: 8 }));
    let negative = Some([0xff, 0xff, 0, 0, 0, 8].as_slice());
    let refused = ("control record value version", RecordErrorCause::NotControl);
    assert_eq!(decode(Some(abort), negative), Err(refused));
    let other = ControlRecord::Other { kind: 2 }.encode(0, ProducerId(1), ProducerEpoch(0));
    assert_eq!(other.unwrap_err().cause, RecordErrorCause::NotControl);
}

#[test]
fn a_bomb_of_a_batch_is_an_error() {
    let mut builder = BatchBuilder::new(0);
    builder.append(0, None, Some(&vec![0; 1 << 20]), RawHeaders::EMPTY).unwrap();
    for compression in supported().filter(|compression| *compression != Compression::None) {
        let sealed = builder.clone().seal(Seal { compression, ..Seal::default() }).unwrap();
        let batch = Batch::from_bytes(sealed).unwrap();
        let error = batch.open(&mut Decompressed::new(1 << 20)).unwrap_err();
        let limit = CompressionError::LimitExceeded { limit_bytes: 1 << 20 };
        assert_eq!(error.cause, RecordErrorCause::Compression(limit));
        assert!(batch.open(&mut Decompressed::default()).is_ok());
    }
}

#[test]
fn errors_say_what_and_where() {
    let error = RecordError { at: 61, decompressed: false, what: "key", cause: RecordErrorCause::Truncated };
    assert_eq!(error.to_string(), "record batch, byte 61, key: the bytes end too early");
    let error = error.in_decompressed().to_string();
    assert_eq!(error, "record batch, byte 61 of the decompressed records, key: the bytes end too early");
}

type Fields = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(Vec<u8>, Option<Vec<u8>>)>);

fn field() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => proptest::collection::vec(any::<u8>(), 0..20), 1 => proptest::collection::vec(0..2_u8, 0..20_000)]
}

fn fields() -> impl Strategy<Value = Fields> {
    let header = (field(), proptest::option::of(field()));
    (
        any::<i64>(),
        proptest::option::of(field()),
        proptest::option::of(field()),
        proptest::collection::vec(header, 0..5),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]
    /// Small bytes are valid lengths, nulls and empty parts: of such bodies, one in fifty is a record.
    #[test]
    fn a_short_record_is_what_the_parsers_read(
        mut body in proptest::collection::vec(prop_oneof![4 => 0..6_u8, 1 => any::<u8>()], 6..14),
    ) {
        body.insert(0, u8::try_from(body.len() * 2).unwrap());
        let parsed = parse::record(&body, u32::MAX).ok().map(|(rest, raw)| (body.len() - rest.len(), raw));
        let short = short::record(&body, 0);
        if short.is_some() || body.iter().all(|byte| *byte < 0x80) {
            // The short form cannot have a negative offset delta; that is left to the parsers.
            let parsed = parsed.filter(|(_, raw)| raw.offset_delta >= 0);
            prop_assert_eq!(short, parsed);
        }
    }
}

proptest! {
    #[test]
    fn any_records_come_back(records in proptest::collection::vec(fields(), 1..40), compression in any_codec()) {
        let mut builder = BatchBuilder::new(0);
        let mut headers = HeadersBuf::new();
        for (time, key, value, pairs) in &records {
            headers.clear();
            pairs.iter().for_each(|(key, value)| headers.push(key, value.as_deref()));
            builder.append(*time, key.as_deref(), value.as_deref(), headers.as_raw()).unwrap();
        }
        let batch = Batch::from_bytes(builder.seal(Seal { compression, ..Seal::default() }).unwrap()).unwrap();
        let mut buffer = Decompressed::default();
        let read: Vec<Fields> = batch.open(&mut buffer).unwrap().map(|record| {
            let record = record.unwrap();
            let headers = record.headers.iter().map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec)));
            (record.timestamp, record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec), headers.collect())
        }).collect();
        prop_assert_eq!(read, records);
    }

    /// The checksum is corrected, so that the change reaches the parsers.
    #[test]
    fn changed_bytes_are_a_value_or_an_error(
        changes in proptest::collection::vec((0..200_usize, any::<u8>()), 1..4),
        compression in any_codec(),
    ) {
        let mut bytes = batch_of(Seal { compression, ..Seal::default() }).to_vec();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let _ = outcome(repaired(&bytes));
    }

    #[test]
    fn bytes_of_chance_are_a_value_or_an_error(records in proptest::collection::vec(any::<u8>(), 0..300), count in 0..40) {
        let _ = outcome(Bytes::from(records.clone()));
        let _ = outcome(batch_with(&records, count));
    }
}

#[test]
fn owned_records_are_read_in_parts() {
    for compression in supported() {
        let batch = Batch::from_bytes(batch_of(Seal { compression, ..Seal::default() })).unwrap();
        let mut buffer = Decompressed::default();
        let all: Vec<_> = batch.open(&mut buffer).unwrap().map(|record| record.unwrap().offset).collect();
        let mut owned = OwnedRecords::new(&batch.open(&mut Decompressed::default()).unwrap());
        for offset in &all {
            assert_eq!(owned.take_while(|_| false).count(), 0);
            let taken: Vec<_> = owned.take_while(|record| record.offset == *offset).collect();
            assert_eq!(taken.into_iter().map(|record| record.unwrap().offset).collect::<Vec<_>>(), [*offset]);
            assert_eq!(owned.iter().count(), all.len() - usize::try_from(*offset).unwrap() - 1);
        }
        assert_eq!(owned.take_while(|_| true).count(), 0);
    }
}

#[test]
fn records_before_an_offset_are_a_part() {
    for compression in supported() {
        let batch = Batch::from_bytes(batch_of(Seal { compression, ..Seal::default() })).unwrap();
        let offsets = |records: Records<'_>| records.map(|record| record.unwrap().offset).collect::<Vec<_>>();
        let mut buffer = Decompressed::default();
        let records = batch.open(&mut buffer).unwrap();
        let all = offsets(records.clone());
        let end = all.last().unwrap() + 1;
        for offset in 0..=end + 1 {
            let before: Vec<_> = all.iter().copied().filter(|there| *there < offset).collect();
            assert_eq!(offsets(records.clone().before(offset)), before);
        }
        let mut rest = records;
        rest.next();
        assert_eq!(offsets(rest.before(end - 1)), all[1..all.len() - 1]);
    }
}

#[test]
fn owned_records_of_an_old_format_are_read_in_parts() {
    let compression = Compression::Gzip;
    if !compression.is_supported() {
        return;
    }
    let set = MessageSet { compression, ..MessageSet::new(MessageFormat::V1) };
    let mut builder = MessageSetBuilder::new(set, 1_024);
    (0..3).for_each(|time| builder.append(time, None, Some(&[b'x'; 70])).unwrap());
    let batch = Batches::new(builder.finish(&mut Compressor::default()).unwrap()).next().unwrap().unwrap();
    let mut owned = OwnedRecords::new(&batch.open(&mut Decompressed::default()).unwrap());
    let times = |records: Records<'_>| records.map(|record| record.unwrap().timestamp).collect::<Vec<_>>();
    assert_eq!(times(owned.take_while(|record| record.timestamp < 2)), [0, 1]);
    assert_eq!(times(owned.iter()), [2]);
    assert_eq!(times(owned.take_while(|_| true)), [2]);
    assert_eq!(times(owned.iter()), [0; 0]);
}

#[test]
fn an_error_is_taken_with_the_records_before_it() {
    // A record of one byte after a valid one.
    let mut records = Vec::new();
    let body = [0, 0, 0, 1, 1, 0];
    varint::put_varint(&mut records, varint::zigzag_length(body.len()));
    records.extend_from_slice(&body);
    records.extend_from_slice(&[2, 0, 0, 0, 0, 0, 0]);
    let batch = Batch::from_bytes(batch_with(&records, 2)).unwrap();
    let mut owned = OwnedRecords::new(&batch.open(&mut Decompressed::default()).unwrap());
    assert_eq!(owned.take_while(|record| record.offset > 0).count(), 0, "the first does not belong");
    let taken: Vec<_> = owned.take_while(|_| true).collect();
    assert!(taken[0].is_ok() && taken[1].is_err(), "{taken:?}");
    assert_eq!(owned.iter().count(), 0);
}
