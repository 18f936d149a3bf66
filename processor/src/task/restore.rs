//! The restore of a task's stores, and of its event time, before its first record.

use kafka_wire::cluster::TopicPartition;
use kafka_wire::record::Record;
use kafka_wire::types::{Offset, TimestampMs};

use super::progress_log::seen_in;
use super::{Task, changelogs};
use crate::error::{Origin, ProcessError};
use crate::output::StoreId;
use crate::state::RestoreError;
use crate::watermark::{Mark, NO_WATERMARK};

impl Task {
    /// Restores one record of the changelog of `store`, in the order of the log. Call it before anything else.
    ///
    /// # Errors
    /// [`ProcessError::BadChangelog`]: the changelog is not of this job, or of a later version.
    /// [`ProcessError::OtherVersion`]: it is of an earlier form of this job, before a step was changed.
    pub fn restore(&mut self, store: StoreId, key: &[u8], value: Option<&[u8]>) -> Result<(), ProcessError> {
        debug_assert!(!self.is_resumed, "restored before the first record");
        if let Some((topic, marks)) = self.changelogs.restore(&mut self.stores, store, key, value)? {
            self.restore_progress(topic, &marks);
            self.committed.clone_from(&self.state);
        }
        Ok(())
    }

    /// Restores a record of the input `from` as a row of `store`, whose changelog that input is. Call it before
    /// anything else, in the order of the log.
    ///
    /// # Errors
    /// [`ProcessError::Undecodable`] if the value cannot be decoded, and the job stops then.
    pub fn restore_row(
        &mut self,
        store: StoreId,
        from: &TopicPartition,
        record: &Record<'_>,
    ) -> Result<(), ProcessError> {
        debug_assert!(!self.is_resumed, "restored before the first record");
        // A record without a key was left out when it was input.
        let Some((key, store)) = record.key.zip(self.stores.get_dyn_mut(store)) else { return Ok(()) };
        let Err(error) = store.restore(key, record.value) else { return Ok(()) };
        let (RestoreError::Value(cause), TopicPartition { topic, partition }) = (error, from) else { return Ok(()) };
        let origin = Origin { topic: topic.to_string(), partition: *partition, offset: Offset(record.offset) };
        let error = ProcessError::Undecodable { origin, part: "value", cause };
        if self.failures.skips(&error) { Ok(()) } else { Err(error) }
    }

    /// Announces that these keys of the changelog of `store` are restored next, at most [`AHEAD`](crate::state::AHEAD).
    pub fn expect_restored<'k>(&self, store: StoreId, keys: impl Iterator<Item = &'k [u8]>) {
        changelogs::expect_restored(&self.stores, store, keys);
    }

    /// Takes a changelog's record about event time: that of an upstream task in a topic, or of the task itself
    /// if the topic is empty.
    fn restore_progress(&mut self, topic: &[u8], marks: &[Mark]) {
        if topic.is_empty() {
            let watermarks = marks.iter().map(|mark| mark.watermark);
            self.state.time.restore(watermarks.max().unwrap_or(NO_WATERMARK));
            self.state.seen = marks.iter().filter_map(seen_in).fold(self.state.seen, TimestampMs::max);
        } else if let Some(input) = self.inputs.iter().position(|input| input.topic.as_bytes() == topic)
            && self.state.time.hear(input, marks)
        {
            self.state.time.advance();
        }
    }
}
