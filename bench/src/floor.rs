//! The least work that the format demands, written by hand for this one layout: the floor that others are compared
//! with.
//!
//! It has no errors with a place, no iterator, does not parse headers, and knows no number above 2 MiB; any other batch
//! panics. It is safe code, as ours is. It uses the tricks that were found to pay: one slice and an index that moves,
//! and short numbers written as one word.

use std::hint::black_box;

use bytes::Bytes;

use crate::shapes::{Shape, touch};

pub(crate) const HEADER_BYTES: usize = 61;

/// Checks the checksum and walks the records.
pub(crate) fn read(batch: &[u8]) -> u64 {
    check(batch);
    walk(batch, &batch[HEADER_BYTES..])
}

/// Compares the checksum with the bytes.
pub(crate) fn check(batch: &[u8]) {
    let crc = u32::from_be_bytes(batch[17..21].try_into().expect("4 bytes"));
    assert_eq!(crc, crc32c::crc32c(&batch[21..]));
}

/// Walks the `records` of a batch, which are in it or were decompressed.
pub(crate) fn walk(batch: &[u8], records: &[u8]) -> u64 {
    walked(batch, records).expect("a good batch")
}

fn walked(batch: &[u8], records: &[u8]) -> Option<u64> {
    let base_offset = i64::from_be_bytes(*batch.first_chunk()?);
    let base_timestamp = i64::from_be_bytes(*batch[27..].first_chunk()?);
    let record_count = i32::from_be_bytes(*batch[57..].first_chunk()?);
    let (mut at, mut sum) = (0, 0_u64);
    for _ in 0..record_count {
        let (start, length) = varint(records, at)?;
        let record = records.get(..start + (length >> 1) as usize)?;
        let (part, timestamp_delta) = varint(record, start + 1)?;
        let (part, offset_delta) = varint(record, part)?;
        let (part, key) = nullable(record, part)?;
        let (part, value) = nullable(record, part)?;
        let (mut part, header_count) = varint(record, part)?;
        for _ in 0..header_count >> 1 {
            part = nullable(record, part)?.0;
            part = nullable(record, part)?.0;
        }
        // The parts of a record must be as long as the record says. Kafka checks this, so it belongs to the least work.
        if part != record.len() {
            return None;
        }
        at = record.len();
        let (offset, timestamp) = (base_offset + unzigzag(offset_delta), base_timestamp + unzigzag(timestamp_delta));
        sum = sum.wrapping_add(black_box(touch(offset, timestamp, key, value, (header_count >> 1) as usize)));
    }
    (at == records.len()).then_some(sum)
}

#[inline(always)]
fn nullable(record: &[u8], at: usize) -> Option<(usize, &[u8])> {
    let (start, length) = varint(record, at)?;
    if length & 1 != 0 {
        return Some((start, &[]));
    }
    let end = start + (length >> 1) as usize;
    Some((end, record.get(start..end)?))
}

/// A number of at most three bytes, without undoing its zig-zag encoding.
#[inline(always)]
fn varint(record: &[u8], at: usize) -> Option<(usize, u32)> {
    let first = u32::from(*record.get(at)?);
    if first < 0x80 {
        return Some((at + 1, first));
    }
    let second = u32::from(*record.get(at + 1)?);
    if second < 0x80 {
        return Some((at + 2, first & 0x7f | second << 7));
    }
    let third = u32::from(*record.get(at + 2)?);
    (third < 0x80).then_some((at + 3, first & 0x7f | (second & 0x7f) << 7 | third << 14))
}

#[inline(always)]
fn unzigzag(raw: u32) -> i64 {
    i64::from((raw >> 1) as i32 ^ -((raw & 1) as i32))
}

/// Writes the records one after the other, then the header and its checksum.
pub(crate) fn write(shape: &Shape, capacity_bytes: usize) -> Bytes {
    let mut batch = Vec::with_capacity(capacity_bytes);
    batch.resize(HEADER_BYTES, 0);
    append(shape, &mut batch);
    seal(shape, 0, &mut batch);
    Bytes::from(batch)
}

/// Writes the records at the end of `batch`.
pub(crate) fn append(shape: &Shape, batch: &mut Vec<u8>) {
    let headers = shape.raw_headers();
    let base_timestamp = shape.first_timestamp();
    for (offset, (timestamp, value)) in shape.records().enumerate() {
        let key = shape.key;
        let timestamp_delta = zigzag(timestamp - base_timestamp);
        let offset_delta = zigzag(offset as i64);
        let (key_length, value_length) = (zigzag(key.len() as i64), zigzag(value.len() as i64));
        let header_count = zigzag(headers.count() as i64);
        let numbers = timestamp_delta.1 + offset_delta.1 + key_length.1 + value_length.1 + header_count.1;
        let length = 1 + numbers + key.len() + value.len() + headers.as_bytes().len();
        let (mut word, mut bytes) = zigzag(length as i64);
        for number in [(0, 1), timestamp_delta, offset_delta, key_length] {
            word |= number.0 << (8 * bytes);
            bytes += number.1;
        }
        put(batch, (word, bytes));
        put_bytes(batch, key);
        put(batch, value_length);
        put_bytes(batch, value);
        put(batch, header_count);
        put_bytes(batch, headers.as_bytes());
    }
}

/// Fills the header in front of the records.
pub(crate) fn seal(shape: &Shape, attributes: u8, batch: &mut [u8]) {
    let length = batch.len() as i32 - 12;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch[12..16].copy_from_slice(&(-1_i32).to_be_bytes());
    batch[16] = 2;
    batch[22] = attributes;
    batch[23..27].copy_from_slice(&(shape.record_count as i32 - 1).to_be_bytes());
    batch[27..35].copy_from_slice(&shape.first_timestamp().to_be_bytes());
    batch[35..43].copy_from_slice(&shape.last_timestamp().to_be_bytes());
    batch[43..57].fill(0xff);
    batch[57..61].copy_from_slice(&(shape.record_count as i32).to_be_bytes());
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// The varint of a number, lowest byte first, and its size in bytes: at most three.
#[inline(always)]
fn zigzag(number: i64) -> (u128, usize) {
    let raw = ((number << 1) ^ (number >> 63)) as u32;
    let (word, bytes) = match raw {
        ..0x80 => (raw, 1),
        0x80..0x4000 => (raw & 0x7f | 0x80 | (raw & 0x3f80) << 1, 2),
        0x4000..0x20_0000 => (raw & 0x7f | 0x8080 | (raw & 0x3f80) << 1 | (raw & 0x1f_c000) << 2, 3),
        _ => panic!("a number above what the shapes have"),
    };
    (u128::from(word), bytes)
}

/// Writes a whole word and truncates the excess.
#[inline(always)]
fn put(batch: &mut Vec<u8>, (word, bytes): (u128, usize)) {
    let end = batch.len() + bytes;
    batch.extend_from_slice(&word.to_le_bytes());
    batch.truncate(end);
}

/// Up to 16 bytes are copied as two halves that overlap: a call of memcpy would cost more.
#[inline(always)]
fn put_bytes(batch: &mut Vec<u8>, bytes: &[u8]) {
    match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(first), Some(last)) if bytes.len() <= 16 => {
            let end = batch.len() + bytes.len();
            batch.extend_from_slice(first);
            batch.truncate(end - last.len());
            batch.extend_from_slice(last);
        }
        _ if bytes.is_empty() => {}
        _ => batch.extend_from_slice(bytes),
    }
}
