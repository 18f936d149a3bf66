//! The least that the format demands, written by hand for this one layout: the measure of what is possible.
//!
//! No errors with a place, no iterator, no headers taken apart; a broken batch panics. Safe code, as ours.

use bytes::Bytes;

use super::{Shape, black_box, timestamp_of, touch};

/// Checks the checksum and walks the records.
pub(super) fn read(batch: &[u8]) -> i64 {
    let crc = u32::from_be_bytes(batch[17..21].try_into().expect("4 bytes"));
    assert_eq!(crc, crc32c::crc32c(&batch[21..]));
    let base_timestamp = i64::from_be_bytes(batch[27..35].try_into().expect("8 bytes"));
    let record_count = i32::from_be_bytes(batch[57..61].try_into().expect("4 bytes"));
    let mut at = 61;
    let mut sum = 0_i64;
    for _ in 0..record_count {
        let length = varint(batch, &mut at);
        let end = at + length as usize;
        at += 1;
        let timestamp = base_timestamp + varint(batch, &mut at);
        let offset = varint(batch, &mut at);
        let key = slice(batch, &mut at);
        let value = slice(batch, &mut at);
        let header_count = varint(batch, &mut at);
        let headers = at;
        for _ in 0..header_count {
            slice(batch, &mut at);
            slice(batch, &mut at);
        }
        // The parts of a record must be as long as the record says: Kafka checks it, so the least that can be done does.
        assert_eq!(at, end);
        sum = sum.wrapping_add(black_box(touch(offset, timestamp, key, value, &batch[headers..end])));
    }
    sum
}

#[inline(always)]
fn slice<'a>(batch: &'a [u8], at: &mut usize) -> &'a [u8] {
    let length = varint(batch, at);
    if length < 0 {
        return &[];
    }
    let slice = &batch[*at..*at + length as usize];
    *at += length as usize;
    slice
}

#[inline(always)]
fn varint(batch: &[u8], at: &mut usize) -> i64 {
    let mut raw = 0_u64;
    let mut shift = 0;
    loop {
        let byte = batch[*at];
        *at += 1;
        raw |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return (raw >> 1) as i64 ^ -((raw & 1) as i64);
        }
        shift += 7;
    }
}

/// Writes the records behind each other, then the header and its checksum.
pub(super) fn write(shape: &Shape, capacity_bytes: usize) -> Bytes {
    let headers = shape.headers();
    let mut batch = Vec::with_capacity(capacity_bytes);
    batch.resize(61, 0);
    let base_timestamp = timestamp_of(0);
    let mut timestamp = base_timestamp;
    for index in 0..shape.record_count {
        timestamp = timestamp_of(index);
        let delta = timestamp - base_timestamp;
        let (key, value) = (shape.key.as_slice(), shape.value.as_slice());
        let length = 1
            + size(delta)
            + size(index as i64)
            + size(key.len() as i64)
            + key.len()
            + size(value.len() as i64)
            + value.len()
            + size(headers.count() as i64)
            + headers.as_bytes().len();
        put(&mut batch, length as i64);
        batch.push(0);
        put(&mut batch, delta);
        put(&mut batch, index as i64);
        put(&mut batch, key.len() as i64);
        batch.extend_from_slice(key);
        put(&mut batch, value.len() as i64);
        batch.extend_from_slice(value);
        put(&mut batch, headers.count() as i64);
        batch.extend_from_slice(headers.as_bytes());
    }
    let length = batch.len() as i32 - 12;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch[12..16].copy_from_slice(&(-1_i32).to_be_bytes());
    batch[16] = 2;
    batch[23..27].copy_from_slice(&(shape.record_count as i32 - 1).to_be_bytes());
    batch[27..35].copy_from_slice(&base_timestamp.to_be_bytes());
    batch[35..43].copy_from_slice(&timestamp.to_be_bytes());
    batch[43..57].fill(0xff);
    batch[57..61].copy_from_slice(&(shape.record_count as i32).to_be_bytes());
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    Bytes::from(batch)
}

#[inline(always)]
fn size(number: i64) -> usize {
    let raw = ((number << 1) ^ (number >> 63)) as u64;
    ((70 - (raw | 1).leading_zeros()) / 7) as usize
}

#[inline(always)]
fn put(batch: &mut Vec<u8>, number: i64) {
    let mut raw = ((number << 1) ^ (number >> 63)) as u64;
    while raw >= 0x80 {
        batch.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    batch.push(raw as u8);
}
