use bytes::Bytes;
use proptest::prelude::*;

use super::super::{Batch, Batches, MessageFormat, MessageSet, MessageSetBuilder};
use super::*;
use crate::compression::Compressor;

/// A message with a right checksum.
fn message_of(magic: u8, attributes: u8, offset: i64, value: Option<&[u8]>) -> Vec<u8> {
    let mut body = vec![magic, attributes];
    if magic > 0 {
        body.extend_from_slice(&7_i64.to_be_bytes());
    }
    body.extend_from_slice(&(-1_i32).to_be_bytes());
    body.extend_from_slice(&value.map_or(-1, |value| i32::try_from(value.len()).unwrap()).to_be_bytes());
    body.extend_from_slice(value.unwrap_or_default());
    let size = i32::try_from(body.len() + 4).unwrap();
    [&offset.to_be_bytes()[..], &size.to_be_bytes(), &crc32fast::hash(&body).to_be_bytes(), &body].concat()
}

/// A wrapper of these bytes, with the last offset 10.
fn wrapper_of(magic: u8, inner: &[u8]) -> Vec<u8> {
    let mut compressor = Compressor::default();
    let value = compressor.compress(Compression::Gzip, Container::Batch, inner).unwrap();
    message_of(magic, Compression::Gzip.code(), 10, Some(value))
}

/// The offsets of all records, or the first error.
fn outcome(bytes: &[u8]) -> Result<Vec<i64>, RecordError> {
    let mut offsets = Vec::new();
    let mut buffer = Decompressed::new(1 << 16);
    for batch in Batches::new(Bytes::copy_from_slice(bytes)) {
        let batch = batch?;
        for record in batch.open(&mut buffer)? {
            offsets.push(record?.offset);
        }
    }
    Ok(offsets)
}

fn check_error(bytes: &[u8], at: usize, what: &'static str, cause: RecordErrorCause) {
    assert_eq!(outcome(bytes), Err(RecordError { at, decompressed: false, what, cause }));
}

fn check_inner_error(bytes: &[u8], at: usize, what: &'static str, cause: RecordErrorCause) {
    assert_eq!(outcome(bytes), Err(RecordError { at, decompressed: true, what, cause }));
}

/// The changed message, with its checksum corrected.
fn changed(message: &[u8], at: usize, field: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    message[at..at + field.len()].copy_from_slice(field);
    let crc = crc32(&message);
    message[12..16].copy_from_slice(&crc.to_be_bytes());
    message
}

#[test]
fn broken_messages_are_named() {
    use RecordErrorCause::{ChecksumMismatch, Compression as Codec, OutOfRange, Truncated, UnsupportedMagic};
    for magic in [0, 1] {
        let good = message_of(magic, 0, 3, Some(b"value"));
        assert_eq!(outcome(&good), Ok(vec![3]));
        let value_length_at = good.len() - 9;
        check_error(&changed(&good, 8, &13_i32.to_be_bytes()), 8, "batch length", OutOfRange(13));
        check_error(&changed(&good, 16, &[3]), 16, "magic", UnsupportedMagic(3));
        check_error(&changed(&good, 17, &[4]), 17, "attributes", Codec(CompressionError::UnknownCodec { code: 4 }));
        check_error(&changed(&good, 17, &[5]), 17, "attributes", Codec(CompressionError::UnknownCodec { code: 5 }));
        let longer = changed(&good, value_length_at, &6_i32.to_be_bytes());
        check_error(&longer, value_length_at + 4, "value", Truncated);
        let (shorter, null) = (2_i32.to_be_bytes(), (-9_i32).to_be_bytes());
        assert_eq!(outcome(&changed(&good, value_length_at, &shorter)), Ok(vec![3]), "the rest is not looked at");
        assert_eq!(outcome(&changed(&good, value_length_at, &null)), Ok(vec![3]), "every negative length is null");
        let mut broken = good.clone();
        *broken.last_mut().unwrap() ^= 1;
        let stored = crc32(&good);
        check_error(&broken, 12, "crc", ChecksumMismatch { stored, computed: crc32(&broken) });
    }
    // A size that fits v0 is too small for v1.
    let small = message_of(0, 0, 3, None);
    check_error(&changed(&small, 16, &[1]), 8, "batch length", OutOfRange(14));
}

#[test]
fn broken_wrappers_are_named() {
    use RecordErrorCause::{ChecksumMismatch, NestedCompression, OutOfRange, Truncated, UnsupportedMagic};
    for magic in [0, 1] {
        let inner = message_of(magic, 0, 2, Some(b"value"));
        let offsets = if magic == 0 { vec![2] } else { vec![10] };
        assert_eq!(outcome(&wrapper_of(magic, &inner)), Ok(offsets.clone()));
        let cut = [&inner[..], &inner[..inner.len() - 1]].concat();
        assert_eq!(outcome(&wrapper_of(magic, &cut)), Ok(offsets), "the last message may be cut off, as Java reads it");
        check_inner_error(&wrapper_of(magic, &[]), 0, "messages", Truncated);
        let nested = [inner.clone(), wrapper_of(magic, &inner)].concat();
        check_inner_error(&wrapper_of(magic, &nested), inner.len() + 17, "attributes", NestedCompression);
        let mut broken = inner.clone();
        *broken.last_mut().unwrap() ^= 1;
        let mismatch = ChecksumMismatch { stored: crc32(&inner), computed: crc32(&broken) };
        check_inner_error(&wrapper_of(magic, &[&inner[..], &broken].concat()), inner.len() + 12, "crc", mismatch);
        let future = changed(&inner, 16, &[2]);
        check_inner_error(&wrapper_of(magic, &future), 16, "magic", UnsupportedMagic(2));
        let small = changed(&inner, 8, &(-1_i32).to_be_bytes());
        check_inner_error(&wrapper_of(magic, &small), 8, "message size", OutOfRange(-1));
        let null = message_of(magic, Compression::Gzip.code(), 10, None);
        let length_at = if magic == 0 { 22 } else { 30 };
        check_error(&null, length_at, "value of a compressed message", OutOfRange(-1));
    }
    let late = [message_of(1, 0, 0, Some(b"value")), message_of(1, 0, 11, Some(b"value"))].concat();
    check_inner_error(&wrapper_of(1, &late), late.len() / 2, "last inner offset", OutOfRange(11));
}

#[test]
fn bombs_in_wrappers_stop_at_the_limit() {
    let bomb = wrapper_of(1, &message_of(1, 0, 0, Some(&vec![0; 1 << 20])));
    let batch = Batch::from_bytes(Bytes::from(bomb)).unwrap();
    let error = batch.open(&mut Decompressed::new(1 << 16)).unwrap_err();
    let limit = CompressionError::LimitExceeded { limit_bytes: 1 << 16 };
    assert_eq!((error.at, error.cause), (batch.records_at(), RecordErrorCause::Compression(limit)));
}

type Fields = (i64, Option<Vec<u8>>, Option<Vec<u8>>);

fn fields() -> impl Strategy<Value = Fields> {
    let field = || proptest::option::of(proptest::collection::vec(0..4_u8, 0..300));
    (0..i64::MAX, field(), field())
}

fn codec() -> impl Strategy<Value = Compression> {
    proptest::sample::select(&Compression::ALL[..4])
}

fn built(set: MessageSet, messages: &[Fields]) -> Bytes {
    let mut builder = MessageSetBuilder::new(set, 0);
    for (timestamp, key, value) in messages {
        builder.append(*timestamp, key.as_deref(), value.as_deref()).unwrap();
    }
    builder.finish(&mut Compressor::default()).unwrap()
}

proptest! {
    #[test]
    fn any_messages_come_back(
        messages in proptest::collection::vec(fields(), 1..20),
        compression in codec(),
        has_timestamps in any::<bool>(),
        base_offset in 1..1_i64 << 60,
    ) {
        let format = if has_timestamps { MessageFormat::V1 } else { MessageFormat::V0 };
        let bytes = built(MessageSet { compression, base_offset, ..MessageSet::new(format) }, &messages);
        let mut read: Vec<Fields> = Vec::new();
        let mut buffer = Decompressed::default();
        for batch in Batches::new(bytes) {
            let batch = batch.unwrap();
            for record in batch.open(&mut buffer).unwrap() {
                let record = record.unwrap();
                prop_assert_eq!(record.offset, base_offset + read.len() as i64);
                let timestamp = if has_timestamps { record.timestamp } else { messages[read.len()].0 };
                read.push((timestamp, record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec)));
            }
        }
        prop_assert_eq!(read, messages);
    }

    /// Checksums are corrected, inside the wrapper as well, so that the change reaches the parsers.
    #[test]
    fn changed_messages_are_a_value_or_an_error(
        magic in 0..2_u8,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        outside in any::<bool>(),
    ) {
        let mut bytes = message_of(magic, 0, 2, Some(b"some value"));
        if outside {
            bytes = wrapper_of(magic, &bytes);
        }
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let bytes = changed(&bytes, 0, &[]);
        let _ = outcome(&bytes);
        let _ = outcome(&wrapper_of(magic, &bytes));
    }
}
