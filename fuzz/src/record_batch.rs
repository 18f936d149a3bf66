//! Reading of record batches.
//!
//! The first byte says how the others are used: as batches unchanged; as one batch, whose length, format and checksum
//! are corrected, because no fuzzer guesses a checksum; or as one batch whose records are compressed here,
//! for the same reason.

use std::cell::RefCell;

use allocation_counter::measure;
use bytes::Bytes;
use kafka_wire::compression::{Compression, Compressor, Container, Decompressed};
use kafka_wire::record::{Batch, Batches, ControlRecord, HEADER_BYTES};

const DECOMPRESSED_LIMIT_BYTES: usize = 64 << 10;

/// Working memory of the largest decoder, which is zstd's; see [`Decompressed`].
const WORK_BYTES: usize = 512 << 10;

const MENDED: u8 = 1;
const COMPRESSED: u8 = 2;

thread_local! {
    static KEPT: RefCell<(Decompressed, Compressor)> =
        RefCell::new((Decompressed::new(DECOMPRESSED_LIMIT_BYTES), Compressor::default()));
}

/// Reads every record of every batch. This takes no more memory than the buffer's limit, and none for a plain batch.
pub fn run(data: &[u8]) {
    let [choice, records @ ..] = data else { return };
    let mut records = records.to_vec();
    KEPT.with_borrow_mut(|(buffer, compressor)| {
        if choice & COMPRESSED != 0 {
            compress(&mut records, choice >> 2, compressor);
        }
        if choice & MENDED != 0 {
            mend(&mut records);
        }
        let mut batches = Batches::new(Bytes::from(records));
        for batch in &mut batches {
            let Ok(batch) = batch else { break };
            let taken = measure(|| read(&batch, buffer)).bytes_max;
            let is_plain = batch.header.compression() == Compression::None;
            let limit = if is_plain { 0 } else { DECOMPRESSED_LIMIT_BYTES + WORK_BYTES };
            assert!(taken <= limit as u64, "{taken} bytes of memory");
        }
    });
}

fn read(batch: &Batch, buffer: &mut Decompressed) {
    let header = batch.header;
    let _ = (header.compression(), header.timestamp_type(), header.last_offset(), header.next_offset());
    let checked = batch.check_crc();
    let Ok(records) = batch.open(buffer) else { return };
    assert_eq!(checked, Ok(()), "no record of a batch with a wrong checksum is read");
    let mut count = 0;
    for record in records {
        let Ok(record) = record else { return };
        assert_eq!(record.headers.iter().count(), record.headers.count());
        let _ = ControlRecord::decode(&record);
        count += 1;
    }
    if !header.is_wrapper() {
        assert_eq!(count, header.record_count, "a batch without errors has the records it declares");
    }
}

/// Compresses the bytes after the header with one of the four codecs, and sets the codec in the header.
fn compress(batch: &mut Vec<u8>, choice: u8, compressor: &mut Compressor) {
    if batch.len() < HEADER_BYTES {
        return;
    }
    let codec = Compression::from_code(1 + (choice & 3)).expect("codes 1 to 4");
    let records =
        compressor.compress(codec, Container::Batch, &batch[HEADER_BYTES..]).expect("every codec is built in");
    batch.truncate(HEADER_BYTES);
    batch.extend(records);
    batch[22] = batch[22] & !7 | codec.code();
}

/// Corrects length, format and checksum of a batch that consists of all the bytes.
fn mend(records: &mut [u8]) {
    if records.len() < HEADER_BYTES {
        return;
    }
    let length = i32::try_from(records.len() - 12).unwrap_or(i32::MAX);
    records[8..12].copy_from_slice(&length.to_be_bytes());
    records[16] = 2;
    let sum = crc32c::crc32c(&records[21..]);
    records[17..21].copy_from_slice(&sum.to_be_bytes());
}
