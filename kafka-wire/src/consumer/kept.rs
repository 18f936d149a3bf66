//! Records of a batch for the user: none below the position, borrowed or kept.

use std::iter::FusedIterator;

use bytes::{Bytes, BytesMut};

use super::ConsumeError;
use super::fetched::FetchedBatch;
use crate::cluster::TopicPartition;
use crate::compression::{Compression, Decompressed};
use crate::record::{Record, Records};
use crate::types::{LeaderEpoch, Offset, PartitionId, TimestampMs};
use crate::wire::Str;

/// The records of a batch from the position on, in place: keys, values and headers are slices of what was fetched.
///
/// After an error the iteration is over, and the partition stands still at the batch.
#[derive(Debug)]
pub struct BatchRecords<'a> {
    batch: &'a FetchedBatch,
    records: Records<'a>,
}

/// A record that is its own: it shares the memory of the fetch that brought it, and so keeps that while it lives, or,
/// when it came compressed, memory that the records of its batch share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerRecord {
    /// Name of the topic.
    pub topic: Str,
    /// Its partition.
    pub partition: PartitionId,
    /// Its offset.
    pub offset: Offset,
    /// When it was made, or with log append time when it came to the broker; -1 when unknown.
    pub timestamp: TimestampMs,
    /// `None` is Kafka's null.
    pub key: Option<Bytes>,
    /// `None` is Kafka's null: a tombstone in a compacted topic.
    pub value: Option<Bytes>,
    /// Names, which need not be text nor differ, with values.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
    /// Epoch of the leader that took it, to be committed with its offset; -1 when unknown.
    pub leader_epoch: LeaderEpoch,
}

impl FetchedBatch {
    /// Checks the checksum and reads the records from [`position`](Self::position) on, in place.
    ///
    /// # Errors
    /// [`ConsumeError::Corrupt`], which also stops the consumer at this batch.
    pub fn records<'a>(&'a self, buffer: &'a mut Decompressed) -> Result<BatchRecords<'a>, ConsumeError> {
        Ok(BatchRecords { batch: self, records: self.open(buffer)? })
    }

    /// The records from [`position`](Self::position) on, to keep.
    ///
    /// # Errors
    /// As for [`FetchedBatch::records`].
    pub fn to_owned_records(&self, buffer: &mut Decompressed) -> Result<Vec<ConsumerRecord>, ConsumeError> {
        let frame = (self.batch.header.compression() == Compression::None).then(|| self.batch.bytes());
        // Decompressed records are in a buffer that the next batch needs.
        let mut copies = BytesMut::new();
        let mut keep = |part: &[u8]| match &frame {
            Some(frame) => frame.slice_ref(part),
            None => {
                copies.extend_from_slice(part);
                copies.split().freeze()
            }
        };
        let TopicPartition { topic, partition } = self.partition();
        let mut kept = Vec::new();
        for record in self.records(buffer)? {
            let record = record?;
            kept.push(ConsumerRecord {
                topic: topic.clone(),
                partition: *partition,
                offset: Offset(record.offset),
                timestamp: TimestampMs(record.timestamp),
                key: record.key.map(&mut keep),
                value: record.value.map(&mut keep),
                headers: record.headers.iter().map(|(key, value)| (keep(key), value.map(&mut keep))).collect(),
                leader_epoch: self.batch.header.partition_leader_epoch,
            });
        }
        Ok(kept)
    }
}

impl<'a> BatchRecords<'a> {
    /// The partition that the records are of. Not `partition`, which every iterator has.
    #[must_use]
    pub const fn topic_partition(&self) -> &'a TopicPartition {
        self.batch.partition()
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
