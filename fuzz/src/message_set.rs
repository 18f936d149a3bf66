//! Message sets, the formats before record batches.
//!
//! The first byte says how the others are used: as messages unchanged, or with sizes and checksums corrected,
//! because no fuzzer guesses a checksum; the same inside a compressed message; or as the content of messages to write.

use std::cell::RefCell;

use bytes::{BufMut, Bytes};
use kafka_wire::compression::{Compression, Compressor, Container, Decompressed};
use kafka_wire::record::{Batches, MessageFormat, MessageSet, MessageSetBuilder};

use crate::batch_builder::rows;

const DECOMPRESSED_LIMIT_BYTES: usize = 64 << 10;

const V1: u8 = 1;
const MENDED: u8 = 2;
const WRAPPED: u8 = 4;
const WRITTEN: u8 = 8;

/// Bytes of offset and size, which stand before the bytes that the size counts.
const HEAD_BYTES: usize = 12;

/// Smallest legal size.
const SIZE_MIN: usize = 14;

thread_local! {
    static KEPT: RefCell<(Decompressed, Compressor)> =
        RefCell::new((Decompressed::new(DECOMPRESSED_LIMIT_BYTES), Compressor::default()));
}

/// Any bytes are read without a panic; messages that are written are read unchanged.
pub fn run(data: &[u8]) {
    let [choice, input @ ..] = data else { return };
    let codec = Compression::from_code(choice >> 4 & 3).expect("codes 0 to 3");
    KEPT.with_borrow_mut(|(buffer, compressor)| {
        if choice & WRITTEN != 0 {
            return write(*choice, codec, input, buffer, compressor);
        }
        let mut messages = input.to_vec();
        if choice & MENDED != 0 {
            mend(&mut messages, choice & V1);
        }
        if choice & WRAPPED != 0 && codec != Compression::None {
            messages = wrap(&messages, choice & V1, codec, compressor);
        }
        read(messages.into(), buffer);
    });
}

fn read(messages: Bytes, buffer: &mut Decompressed) {
    let size_bytes = messages.len();
    let mut read_bytes = 0;
    for batch in Batches::new(messages) {
        let Ok(batch) = batch else { return };
        read_bytes += batch.size_bytes();
        assert!(read_bytes <= size_bytes, "batches follow each other");
        let checked = batch.check_crc();
        let Ok(records) = batch.open(buffer) else { continue };
        assert_eq!(checked, Ok(()), "no record of a message with a wrong checksum is read");
        for record in records {
            let Ok(record) = record else { break };
            assert!(record.key.unwrap_or_default().len() <= DECOMPRESSED_LIMIT_BYTES.max(size_bytes));
        }
    }
}

fn write(choice: u8, codec: Compression, input: &[u8], buffer: &mut Decompressed, compressor: &mut Compressor) {
    let format = if choice & V1 == 0 { MessageFormat::V0 } else { MessageFormat::V1 };
    let set = MessageSet { compression: codec, ..MessageSet::new(format) };
    let mut builder = MessageSetBuilder::new(set, 1024);
    let rows = rows(input);
    for (timestamp, key, value, _) in &rows {
        builder.append(*timestamp, *key, *value).expect("a few bytes fit");
    }
    let mut rows = rows.iter().zip(0..);
    for batch in Batches::new(builder.finish(compressor).expect("every codec is built in")) {
        let batch = batch.expect("a message that was written is whole");
        for record in batch.open(buffer).expect("it opens") {
            let record = record.expect("it reads");
            let ((timestamp, key, value, _), offset) = rows.next().expect("no more records than were written");
            let timestamp = if choice & V1 == 0 { -1 } else { *timestamp };
            assert_eq!((record.offset, record.timestamp), (offset, timestamp));
            assert_eq!((record.key, record.value), (*key, *value));
        }
    }
    assert!(rows.next().is_none(), "no fewer either");
}

/// Gives every message in the bytes this format, a size within the bytes, and its checksum.
fn mend(mut messages: &mut [u8], magic: u8) {
    while messages.len() >= HEAD_BYTES + SIZE_MIN {
        let (size, left) =
            (u32::from_be_bytes(messages[8..12].try_into().expect("four bytes")), messages.len() - HEAD_BYTES);
        let size = usize::try_from(size).ok().filter(|size| (SIZE_MIN..=left).contains(size)).unwrap_or(left);
        messages[8..12].copy_from_slice(&u32::try_from(size).expect("a short input").to_be_bytes());
        messages[16] = magic;
        let (message, after) = messages.split_at_mut(HEAD_BYTES + size);
        let sum = crc32fast::hash(&message[16..]);
        message[12..16].copy_from_slice(&sum.to_be_bytes());
        messages = after;
    }
}

/// A compressed message with these messages as its value; offset and timestamp are the first bytes of the value.
fn wrap(messages: &[u8], magic: u8, codec: Compression, compressor: &mut Compressor) -> Vec<u8> {
    let container = if magic == 0 { Container::MessageV0 } else { Container::Batch };
    let value = compressor.compress(codec, container, messages).expect("every codec is built in");
    let number = messages.first_chunk().map_or(0, |bytes| i64::from_be_bytes(*bytes));
    let mut wrapper = Vec::new();
    wrapper.put_i64(number);
    wrapper.put_bytes(0, 8);
    wrapper.put_u8(magic);
    wrapper.put_u8(codec.code());
    if magic == 1 {
        wrapper.put_i64(number);
    }
    wrapper.put_i32(-1);
    wrapper.put_u32(u32::try_from(value.len()).expect("a short input"));
    wrapper.extend(value);
    mend(&mut wrapper, magic);
    wrapper
}
