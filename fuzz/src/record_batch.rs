//! Reading record batches.

use bytes::Bytes;
use kafka_wire::compression::Decompressed;
use kafka_wire::record::{Batch, Batches, ControlRecord, HEADER_BYTES};

const DECOMPRESSED_LIMIT_BYTES: usize = 1 << 20;

/// Reads every record of every batch. When the first byte is odd, the first batch is given the length, format and
/// checksum that fit its bytes, because no fuzzer guesses a checksum.
pub fn run(data: &[u8]) {
    let [choice, records @ ..] = data else { return };
    let mut records = records.to_vec();
    if choice % 2 == 1 {
        mend(&mut records);
    }
    let mut buffer = Decompressed::new(DECOMPRESSED_LIMIT_BYTES);
    let mut batches = Batches::new(Bytes::from(records));
    for batch in &mut batches {
        let Ok(batch) = batch else { break };
        read(&batch, &mut buffer);
    }
    let _ = batches.is_truncated();
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

/// Length, format and checksum of the batch that all the bytes are.
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
