//! What a task writes about event time into the changelog of its first store, so that a restart does not forget it.
//!
//! Upstream tasks do not repeat their marks, and a window that was closed must not open again: both are state.

use std::collections::BTreeMap;

use kafka_wire::record::RawHeaders;
use kafka_wire::types::{PartitionId, TimestampMs};

use crate::output::{OutRecord, Output, Route, SinkId};
use crate::state::ChangelogKey;
use crate::watermark::{Mark, NO_WATERMARK};

/// The progress that the changelog has not got yet.
pub(super) struct ProgressLog {
    changelog: SinkId,
    /// Heard since the last commit, the latest for each topic and upstream partition.
    heard: BTreeMap<(String, PartitionId), Mark>,
    /// The task's own watermark, as the changelog has it after the last commit, and after the open transaction.
    committed: TimestampMs,
    written: TimestampMs,
    key: Vec<u8>,
}

impl ProgressLog {
    pub(super) fn new(changelog: SinkId) -> Self {
        let (heard, key) = (BTreeMap::new(), Vec::new());
        Self { changelog, heard, committed: NO_WATERMARK, written: NO_WATERMARK, key }
    }

    pub(super) fn heard(&mut self, topic: &str, mark: Mark) {
        self.heard.insert((topic.to_owned(), mark.upstream), mark);
    }

    /// Writes what is new. `watermark` is that of the task; records get the given partition and timestamp.
    pub(super) fn write(
        &mut self,
        watermark: TimestampMs,
        (partition, timestamp): (PartitionId, TimestampMs),
        output: &mut dyn Output,
    ) {
        let own = Mark { upstream: PartitionId(-1), upstream_count: 0, watermark, idle: None, ended: None };
        let own = (watermark != self.written).then_some((ChangelogKey::OWN, own));
        self.written = watermark;
        let heard = self.heard.iter().map(|((topic, upstream), mark)| {
            (ChangelogKey::Progress { topic: topic.as_bytes(), upstream: *upstream }, *mark)
        });
        for (key, mark) in heard.chain(own) {
            key.encode_into(&mut self.key);
            let (key, value) = (Some(self.key.as_slice()), mark.encode());
            let (sink, route, headers) = (self.changelog, Route::Partition(partition), RawHeaders::EMPTY);
            output.emit(OutRecord { sink, route, timestamp, key, value: Some(&value), headers });
        }
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
