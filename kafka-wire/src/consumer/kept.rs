//! Records of a batch for the user: none below the position, and either borrowed or owned.

use std::iter::FusedIterator;

use bytes::{Bytes, BytesMut};

use super::ConsumeError;
use super::fetched::FetchedBatch;
use crate::cluster::{CommittedOffset, TopicPartition};
use crate::compression::{Compression, Decompressed};
use crate::record::{Record, Records};
use crate::types::{LeaderEpoch, Offset, PartitionId, TimestampMs};
use crate::wire::Str;

/// The records of a batch from the position on, in place: keys, values and headers are slices of the fetched memory.
///
/// After an error the iteration ends, and the partition stops at this batch.
#[derive(Debug)]
pub struct BatchRecords<'a> {
    batch: &'a FetchedBatch,
    records: Records<'a>,
}

/// An owned record. It shares the memory of the fetch that brought it, or, if the batch was compressed, memory that all
/// records of the batch share, and keeps that memory alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerRecord {
    /// Name of the topic.
    pub topic: Str,
    /// Its partition.
    pub partition: PartitionId,
    /// Its offset.
    pub offset: Offset,
    /// Time at which the record was made, or, with log append time, at which it came to the broker; -1 if unknown.
    pub timestamp: TimestampMs,
    /// `None` is Kafka's null.
    pub key: Option<Bytes>,
    /// `None` is Kafka's null: a tombstone in a compacted topic.
    pub value: Option<Bytes>,
    /// Headers, with names that need neither be text nor differ.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
    /// Epoch of the leader that appended the record, to be committed with its offset; -1 if unknown.
    pub leader_epoch: LeaderEpoch,
}

impl ConsumerRecord {
    /// Returns the partition that the record is of.
    #[must_use]
    pub fn topic_partition(&self) -> TopicPartition {
        TopicPartition { topic: self.topic.clone(), partition: self.partition }
    }

    /// Returns what to commit once this record and all before it in its partition are processed: the offset behind it,
    /// with its leader epoch. For [`commit_offsets`](crate::client::GroupConsumer::commit_offsets) of a program that
    /// processes records in tasks of its own.
    ///
    /// ```
    /// # use kafka_wire::client::{GroupConsumer, OffsetCommitError, ConsumerRecord};
    /// async fn done(consumer: &mut GroupConsumer, record: &ConsumerRecord) -> Result<(), OffsetCommitError> {
    ///     consumer.commit_offsets(vec![record.to_commit()]).await
    /// }
    /// ```
    #[must_use]
    pub fn to_commit(&self) -> (TopicPartition, CommittedOffset) {
        let behind = CommittedOffset::new(Offset(self.offset.0.saturating_add(1)));
        (self.topic_partition(), CommittedOffset { leader_epoch: self.leader_epoch, ..behind })
    }
}

impl FetchedBatch {
    /// Verifies the checksum and reads the records from [`position`](Self::position) on, in place.
    ///
    /// # Errors
    /// [`ConsumeError::Corrupt`], which also stops the consumer at this batch.
    pub fn records<'a>(&'a self, buffer: &'a mut Decompressed) -> Result<BatchRecords<'a>, ConsumeError> {
        Ok(BatchRecords { batch: self, records: self.open(buffer)? })
    }

    /// Returns the records from [`position`](Self::position) on, as owned records.
    ///
    /// # Errors
    /// As for [`FetchedBatch::records`].
    pub fn to_owned_records(&self, buffer: &mut Decompressed) -> Result<Vec<ConsumerRecord>, ConsumeError> {
        self.records(buffer)?.into_owned_records()
    }
}

impl<'a> BatchRecords<'a> {
    /// Returns the partition of the records. It is not called `partition`, since every iterator has a
    /// method of that name.
    #[must_use]
    pub const fn topic_partition(&self) -> &'a TopicPartition {
        self.batch.partition()
    }

    /// Returns the records that are left, as owned records: to pass them to another task, while polls go on.
    ///
    /// # Errors
    /// [`ConsumeError::Corrupt`], which also stops the consumer at this batch.
    pub fn into_owned_records(self) -> Result<Vec<ConsumerRecord>, ConsumeError> {
        let frame = (self.batch.batch.header.compression() == Compression::None).then(|| self.batch.batch.bytes());
        // Decompressed records are in a buffer that is needed for the next batch.
        let mut copies = BytesMut::new();
        let mut keep = |part: &[u8]| match &frame {
            Some(frame) => frame.slice_ref(part),
            None => {
                copies.extend_from_slice(part);
                copies.split().freeze()
            }
        };
        let TopicPartition { topic, partition } = self.topic_partition();
        let leader_epoch = self.batch.batch.header.partition_leader_epoch;
        let mut kept = Vec::new();
        for record in self {
            let record = record?;
            kept.push(ConsumerRecord {
                topic: topic.clone(),
                partition: *partition,
                offset: Offset(record.offset),
                timestamp: TimestampMs(record.timestamp),
                key: record.key.map(&mut keep),
                value: record.value.map(&mut keep),
                headers: record.headers.iter().map(|(key, value)| (keep(key), value.map(&mut keep))).collect(),
                leader_epoch,
            });
        }
        Ok(kept)
    }
}

impl<'a> Iterator for BatchRecords<'a> {
    type Item = Result<Record<'a>, ConsumeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.records.next()? {
                Ok(record) if record.offset < self.batch.position.0 => {}
                Ok(record) => return Some(Ok(record)),
                Err(cause) => return Some(Err(self.batch.corrupt(cause))),
            }
        }
    }
}

impl FusedIterator for BatchRecords<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_behind_a_record_is_what_to_commit() {
        let record = ConsumerRecord {
            topic: Str::from("t"),
            partition: PartitionId(3),
            offset: Offset(41),
            timestamp: TimestampMs(0),
            key: None,
            value: None,
            headers: Vec::new(),
            leader_epoch: LeaderEpoch(7),
        };
        let (partition, committed) = record.to_commit();
        assert_eq!(partition, TopicPartition::new("t", PartitionId(3)));
        assert_eq!((committed.offset, committed.leader_epoch, &*committed.metadata), (Offset(42), LeaderEpoch(7), ""));
    }
}
