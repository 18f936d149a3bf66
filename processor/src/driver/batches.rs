//! Records of a log as a fetch would return them: sealed batches.

use kafka_wire::record::{Batch, BatchBuilder, Seal, with_base_offset};
use kafka_wire::types::LeaderEpoch;

use super::logs::TestRecord;

/// Sealed batches of the records. Each has consecutive offsets: a gap begins another batch.
pub(super) fn batches<'l>(records: impl Iterator<Item = &'l TestRecord>) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut open: Vec<&TestRecord> = Vec::new();
    for record in records {
        let is_neighbour = open.last().is_some_and(|last| last.offset.0 + 1 == record.offset.0);
        if !is_neighbour || open.len() == BATCH_RECORDS_MAX {
            batches.extend(batch(&open));
            open.clear();
        }
        open.push(record);
    }
    batches.extend(batch(&open));
    batches
}

fn batch(records: &[&TestRecord]) -> Option<Batch> {
    let base_offset = records.first()?.offset.0;
    let mut builder = BatchBuilder::new(1024);
    for record in records {
        let headers = record.raw_headers();
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        builder.append(record.timestamp.0, key, value, headers.as_raw()).expect("a test's records fit a batch");
    }
    let sealed = builder.seal(Seal::default()).expect("not compressed");
    Some(Batch::from_bytes(with_base_offset(&sealed, base_offset, LeaderEpoch(0))).expect("just sealed"))
}

/// Records of one batch: few, so that a transaction has several batches.
pub(super) const BATCH_RECORDS_MAX: usize = 8;
