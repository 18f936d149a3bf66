//! Progress of event time in the changelog of a task's first store, so that a restart does not forget it.
//!
//! Upstream tasks do not repeat their marks, and a window that was closed must not open again:
//! so both are state. Marks are written in blocks of consecutive partitions, one record for each block, because those
//! of one worker come together.

use std::collections::BTreeSet;

use kafka_wire::cluster::TopicPartition;
use kafka_wire::record::RawHeaders;
use kafka_wire::types::{Offset, PartitionId, TimestampMs};

use crate::output::{OutRecord, Output, Route, SinkId};
use crate::state::ChangelogKey;
use crate::watermark::{Mark, NO_WATERMARK, Progress, TaskTime, encode_marks};

/// The progress that is not in the changelog yet.
pub(super) struct ProgressLog {
    changelog: SinkId,
    /// Blocks that have received marks since the last commit: input, and the first upstream partition.
    heard: BTreeSet<(usize, i32)>,
    /// The task's own watermark, and the greatest timestamp that it has seen, as they are in the changelog after the
    /// last commit, and after the open transaction.
    committed: (TimestampMs, TimestampMs),
    written: (TimestampMs, TimestampMs),
    /// The keys under which the changelog had progress when it was restored.
    restored: BTreeSet<Vec<u8>>,
    key: Vec<u8>,
    value: Vec<u8>,
    marks: Vec<Mark>,
}

impl ProgressLog {
    pub(super) fn new(changelog: SinkId) -> Self {
        let (committed, written) = (NOTHING, NOTHING);
        let (heard, key, value, marks) = (BTreeSet::new(), Vec::new(), Vec::new(), Vec::new());
        Self { changelog, heard, committed, written, restored: BTreeSet::new(), key, value, marks }
    }

    /// Whether restored progress is the latest under its key. If another store was the first before, its changelog
    /// keeps what it had then, and the two come in any order.
    pub(super) fn takes(&mut self, changelog: SinkId, key: &[u8]) -> bool {
        if changelog != self.changelog {
            return !self.restored.contains(key);
        }
        self.restored.insert(key.to_vec());
        true
    }

    pub(super) fn heard(&mut self, input: usize, marks: &[Mark]) {
        self.heard.extend(marks.iter().map(|mark| (input, mark.upstream.0 / BLOCK * BLOCK)));
    }

    /// Writes the new progress. Records get the given partition, and the greatest timestamp that the task has seen.
    pub(super) fn write(
        &mut self,
        (time, inputs): (&TaskTime, &[TopicPartition]),
        place: (PartitionId, TimestampMs),
        output: &mut dyn Output,
    ) {
        for (input, first) in std::mem::take(&mut self.heard) {
            let marks = time.progress(input).into_iter().flat_map(Progress::marks).skip(index(first));
            self.marks.clear();
            self.marks.extend(marks.take(index(BLOCK)).filter_map(|(_, mark)| mark.copied()));
            let topic = inputs[input].topic.as_bytes();
            self.emit(ChangelogKey::Progress { topic, upstream: PartitionId(first) }, place, output);
        }
        let (watermark, seen) = (time.watermark(), place.1);
        if (watermark, seen) != self.written {
            self.written = (watermark, seen);
            self.marks.clear();
            self.marks.push(own_mark(watermark, seen));
            self.emit(ChangelogKey::OWN, place, output);
        }
    }

    fn emit(
        &mut self,
        key: ChangelogKey<'_>,
        (partition, timestamp): (PartitionId, TimestampMs),
        output: &mut dyn Output,
    ) {
        key.encode_into(&mut self.key);
        encode_marks(&self.marks, &mut self.value);
        let (key, value) = (Some(self.key.as_slice()), Some(self.value.as_slice()));
        let (sink, route, headers) = (self.changelog, Route::Partition(partition), RawHeaders::EMPTY);
        output.emit(OutRecord { sink, route, timestamp, key, value, headers });
    }

    pub(super) fn committed(&mut self) {
        self.heard.clear();
        self.committed = self.written;
    }

    pub(super) fn rolled_back(&mut self) {
        self.heard.clear();
        self.written = self.committed;
    }
}

/// The mark that a task keeps of itself. It needs no end there, and has the greatest timestamp in its place.
fn own_mark(watermark: TimestampMs, seen: TimestampMs) -> Mark {
    Mark { upstream: PartitionId(-1), upstream_count: 0, watermark, idle: None, ended: Some(Offset(seen.0)) }
}

/// The greatest timestamp of [`own_mark`]; `None` in one of an earlier version.
pub(super) fn seen_in(mark: &Mark) -> Option<TimestampMs> {
    mark.ended.map(|seen| TimestampMs(seen.0))
}

/// No progress.
const NOTHING: (TimestampMs, TimestampMs) = (NO_WATERMARK, TimestampMs(0));

fn index(upstream: i32) -> usize {
    usize::try_from(upstream).unwrap_or_default()
}

/// Number of upstream partitions whose marks are in one record.
const BLOCK: i32 = 64;
