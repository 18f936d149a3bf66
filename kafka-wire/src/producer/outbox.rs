//! From closed batches to Produce requests and back: which batches are sent together, to which broker,
//! and the meaning of the responses (`answers`).
//!
//! One request takes the next batch of every partition that the same broker leads and that may send now,
//! up to the request limit; partitions take turns at the front. At most [`REQUESTS_MAX`] requests of a producer, or
//! fewer by its configuration, are in flight to one broker. [`PartitionQueue`] keeps the order within a partition.

mod answers;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use self::answers::{answer_for, blamed, names_leader, read_attempt, sort};
use super::ProducerConfig;
use super::accumulator::{ClosedBatch, Slot};
use super::config::Acks;
use super::delivery::{Outcome, Refusal};
use super::error::{DeliveryCause, DeliveryError};
use super::pauses::Pauses;
use super::sequence::{Attempt, BatchId, BatchKind, Finished, PartitionQueue, ProducerIdentity};
use crate::cluster::{Broker, Cluster, LeaderHint, TopicPartition};
use crate::compression::Compressor;
use crate::protocol::produce::{
    NodeEndpoint, PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData,
};
use crate::time::Moment;
use crate::types::{BrokerId, LeaderEpoch, Offset, PartitionId, TimestampMs};
use crate::wire::Str;

/// Most requests of one producer in flight to one broker, whatever `max.in.flight.requests.per.connection` says.
pub const REQUESTS_MAX: usize = 5;

/// Identifies a request of an outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(u64);

/// A request ready to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Produce {
    /// Identifies the request when its outcome is reported.
    pub id: RequestId,
    /// The broker to send it to.
    pub broker: BrokerId,
    /// The request.
    pub request: ProduceRequest,
}

/// The outcome of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Produced {
    /// The broker answered.
    Answered(ProduceResponse),
    /// It was written to the connection, and there will be no response: `acks=0`.
    Written,
    /// It was not sent.
    NotSent,
    /// It was sent without a response: its batches may have been written.
    Unanswered,
    /// It cannot be encoded for the broker.
    Unsendable,
}

/// The batches that have left the outbox since the last call.
#[derive(Debug, Default, PartialEq)]
pub struct Settled {
    /// The batches, or parts of batches.
    pub batches: Vec<SettledBatch>,
    /// The first batch that failed.
    pub first_failure: Option<DeliveryError>,
    /// Number of records that failed.
    pub failed_records: u64,
    /// A batch that was larger than its topic allows and is sent again in parts: its partition, and its size in bytes.
    pub split: Option<(TopicPartition, usize)>,
    /// Number of such batches.
    pub split_batches: u64,
    /// Number of attempts that have failed and are repeated.
    pub retries: u64,
}

/// A batch, or a part of one, that has left the outbox.
#[derive(Clone, Debug, PartialEq)]
pub struct SettledBatch {
    /// Its partition.
    pub slot: Slot,
    /// Bytes to release from the buffer.
    pub released_bytes: usize,
    /// Offset of its first record, as far as the broker reported it.
    pub base_offset: Option<Offset>,
    /// Offset of its last record, as far as the broker reported it.
    pub last_offset: Option<Offset>,
    /// Its memory, to be reused.
    pub bytes: Bytes,
    /// Whether the whole batch has left with it.
    pub ends_batch: bool,
    /// Number of its records.
    pub record_count: i32,
    /// Bytes of it as it was sent, or in the buffer if it was not sent.
    pub batch_bytes: usize,
    /// Whether it was acknowledged, and has not failed.
    pub is_acknowledged: bool,
    /// Whether it is in the log as it was sent: acknowledged, with the timestamps of its records.
    pub is_as_sent: bool,
}

/// The closed batches of all partitions that are not acknowledged yet.
#[derive(Debug)]
pub struct Outbox {
    transactional_id: Option<Str>,
    acks: Acks,
    kind: BatchKind,
    /// One compressor for all partitions, so that its working memory is kept from batch to batch.
    compressor: Compressor,
    delivery_timeout: Duration,
    request_limit_bytes: usize,
    in_flight_max: usize,
    request_timeout_ms: i32,
    pauses: Pauses,
    destinations: Vec<Destination>,
    /// Partitions with unacknowledged batches.
    occupied: BTreeSet<Slot>,
    /// The first partition in the last request.
    turn: Option<Slot>,
    /// Memory for the partitions in turn, for the parts of the next request, and for the batches of requests.
    in_turn: Vec<Slot>,
    parts: Vec<(Str, PartitionProduceData)>,
    spare: Vec<Vec<(Slot, BatchId, usize)>>,
    requests: BTreeMap<RequestId, Request>,
    requests_at: BTreeMap<BrokerId, usize>,
    next_request: u64,
    /// Topics whose leaders are unknown, or not known any more.
    stale: BTreeSet<Str>,
    settled: Settled,
}

#[derive(Debug)]
struct Destination {
    partition: TopicPartition,
    queue: PartitionQueue,
    leader: Option<BrokerId>,
    failures: u32,
}

#[derive(Debug)]
struct Request {
    broker: BrokerId,
    batches: Vec<(Slot, BatchId, usize)>,
}

impl Outbox {
    /// Makes an empty outbox. `request_timeout` is the time that brokers have to replicate a batch.
    #[must_use]
    pub fn new(config: &ProducerConfig, request_timeout: Duration, pauses: Pauses) -> Self {
        Self {
            transactional_id: config.transactional_id.clone(),
            // Batches with sequences must not be lost after their acknowledgement.
            acks: if config.is_idempotent() { Acks::All } else { config.acks },
            kind: BatchKind { transactional: config.transactional_id.is_some(), compression: config.compression },
            compressor: Compressor::default(),
            delivery_timeout: config.delivery_timeout,
            request_limit_bytes: config.request_limit_bytes,
            in_flight_max: config.in_flight_max.clamp(1, REQUESTS_MAX),
            request_timeout_ms: i32::try_from(request_timeout.as_millis()).unwrap_or(i32::MAX),
            pauses,
            destinations: Vec::new(),
            occupied: BTreeSet::new(),
            turn: None,
            in_turn: Vec::new(),
            parts: Vec::new(),
            spare: Vec::new(),
            requests: BTreeMap::new(),
            requests_at: BTreeMap::new(),
            next_request: 0,
            stale: BTreeSet::new(),
            settled: Settled::default(),
        }
    }

    /// Number of partitions that it knows: their slots are below it.
    #[must_use]
    pub fn partition_count(&self) -> usize {
        self.destinations.len()
    }

    /// Adds the partition of the next slot.
    pub fn add_partition(&mut self, partition: TopicPartition, cluster: &Cluster) {
        let leader = cluster.leader(&partition.topic, partition.partition).map(|(broker, _)| broker);
        let queue = PartitionQueue::default().with_in_flight_max(self.in_flight_max);
        self.destinations.push(Destination { partition, queue, leader, failures: 0 });
    }

    /// Takes a closed batch of a known partition.
    pub fn push(&mut self, now: Moment, batch: ClosedBatch) {
        let ClosedBatch { slot, builder, number, mut promise } = batch;
        let destination = &mut self.destinations[slot.index()];
        if let Some(promise) = &mut promise {
            promise.is_for(destination.partition.clone());
        }
        destination.queue.push(builder, number, promise, now + self.delivery_timeout);
        self.occupied.insert(slot);
    }

    /// The number of the oldest batch in the outbox: all before it have left.
    #[must_use]
    pub fn oldest_number(&self) -> Option<u64> {
        self.occupied.iter().filter_map(|slot| self.destinations[slot.index()].queue.oldest_number()).min()
    }

    /// Number of records that are neither acknowledged nor given up.
    #[must_use]
    pub fn record_count(&self) -> u64 {
        self.occupied.iter().map(|slot| self.destinations[slot.index()].queue.record_count()).sum()
    }

    /// Whether each partition has a leader, in the order of their slots.
    pub fn leaders(&self) -> impl Iterator<Item = bool> {
        self.destinations.iter().map(|destination| destination.leader.is_some())
    }

    /// Whether a request has no outcome yet.
    #[must_use]
    pub fn has_requests(&self) -> bool {
        !self.requests.is_empty()
    }

    /// Whether every batch was acknowledged or given up.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.occupied.is_empty()
    }

    /// Whether one more batch of the partition would be sent at once.
    #[must_use]
    pub fn wants(&self, now: Moment, slot: Slot) -> bool {
        let Some(Destination { queue, leader, .. }) = self.destinations.get(slot.index()) else { return true };
        queue.has_sent_all(now) && leader.is_none_or(|leader| self.has_place(leader))
    }

    /// Whether the broker may get one more request.
    fn has_place(&self, broker: BrokerId) -> bool {
        self.requests_at.get(&broker).is_none_or(|count| *count < self.in_flight_max)
    }

    /// The leaders that a response names for batches that it refuses, and their addresses: to be learnt, and then
    /// passed to [`Self::handle_metadata`], before or after [`Self::handle`]. Source: KIP-951.
    #[must_use]
    pub fn named_leaders(response: &ProduceResponse) -> (Vec<LeaderHint>, Vec<Broker>) {
        let mut hints = Vec::new();
        for topic in &response.responses {
            for refused in topic.partition_responses.iter().filter(|answer| names_leader(answer)) {
                hints.push(LeaderHint {
                    partition: TopicPartition::new(topic.name.clone(), PartitionId(refused.index)),
                    leader: BrokerId(refused.current_leader.leader_id),
                    epoch: LeaderEpoch(refused.current_leader.leader_epoch),
                });
            }
        }
        let broker = |endpoint: &NodeEndpoint| Broker {
            id: BrokerId(endpoint.node_id),
            host: endpoint.host.clone(),
            port: u16::try_from(endpoint.port).unwrap_or(0),
            rack: endpoint.rack.clone(),
        };
        (hints, response.node_endpoints.iter().map(broker).collect())
    }

    /// Updates the leaders of partitions from new metadata.
    pub fn handle_metadata(&mut self, cluster: &Cluster) {
        for destination in &mut self.destinations {
            let TopicPartition { topic, partition } = &destination.partition;
            destination.leader = cluster.leader(topic, *partition).map(|(broker, _)| broker);
        }
    }

    /// Topics whose leaders have to be looked up; each is returned once, until its leaders are unknown again.
    pub fn take_stale(&mut self) -> Vec<Str> {
        std::mem::take(&mut self.stale).into_iter().collect()
    }

    /// Whether [`Self::take_stale`] would return any.
    #[must_use]
    pub fn has_stale(&self) -> bool {
        !self.stale.is_empty()
    }

    /// The batches that were acknowledged or have failed since the last call.
    pub fn take_settled(&mut self) -> Settled {
        std::mem::take(&mut self.settled)
    }

    /// Takes the memory of a list back that [`Self::take_settled`] has returned.
    pub fn reuse(&mut self, mut batches: Vec<SettledBatch>) {
        batches.clear();
        if self.settled.batches.is_empty() {
            self.settled.batches = batches;
        }
    }

    /// The next request, stamped with `identity`, with batches of partitions for which `may_send` is true.
    pub fn poll(
        &mut self,
        now: Moment,
        identity: ProducerIdentity,
        may_send: impl Fn(Slot) -> bool,
    ) -> Option<Produce> {
        self.expire(now);
        let mut sent: Option<Request> = None;
        let mut request_bytes = 0;
        let slots = self.take_turn();
        for &slot in &slots {
            let Some((leader, batch_bytes)) = self.sendable(now, slot).filter(|_| may_send(slot)) else { continue };
            let is_same_broker = sent.as_ref().is_none_or(|request| request.broker == leader);
            if !is_same_broker || (sent.is_some() && request_bytes + batch_bytes > self.request_limit_bytes) {
                continue;
            }
            let destination = &mut self.destinations[slot.index()];
            match destination.queue.send(now, identity, self.kind, &mut self.compressor) {
                Ok(Some(sealed)) => {
                    request_bytes += sealed.bytes.len();
                    let index = destination.partition.partition.0;
                    let batch = (slot, sealed.id, sealed.bytes.len());
                    let data = PartitionProduceData { index, records: Some(sealed.bytes), ..Default::default() };
                    self.parts.push((destination.partition.topic.clone(), data));
                    let spare = &mut self.spare;
                    let begin = || Request { broker: leader, batches: spare.pop().unwrap_or_default() };
                    sent.get_or_insert_with(begin).batches.push(batch);
                }
                Ok(None) => {}
                Err(cause) => self.fail_partition(slot, cause),
            }
        }
        self.in_turn = slots;
        sent.map(|request| self.dispatch(request))
    }

    /// Handles the outcome of a request.
    pub fn handle(&mut self, now: Moment, id: RequestId, mut produced: Produced) {
        let Some(mut request) = self.requests.remove(&id) else { return };
        sort(&mut produced);
        if let Some(count) = self.requests_at.get_mut(&request.broker) {
            *count -= 1;
        }
        for (slot, batch, batch_bytes) in request.batches.drain(..) {
            let destination = &mut self.destinations[slot.index()];
            let found = answer_for(&produced, &destination.partition);
            let (attempt, is_stale) = read_attempt(now, &produced, found, destination.failures, self.pauses);
            if is_stale {
                self.stale.insert(destination.partition.topic.clone());
            }
            match attempt {
                Attempt::Acknowledged(_) => destination.failures = 0,
                // The parts are sent at once: a pause would not make them fit better.
                Attempt::TooLarge(_) => {}
                _ => destination.failures += 1,
            }
            if let Attempt::Retry(_, code) | Attempt::Unknown(_, code) | Attempt::Deposed(_, code) = attempt {
                let Destination { partition, failures, .. } = &*destination;
                tracing::debug!(%partition, broker = %request.broker, ?code, failures, "a batch was not acknowledged");
            }
            let finished = destination.queue.handle(now, batch, attempt, self.kind.transactional);
            if matches!(attempt, Attempt::TooLarge(_)) && finished.is_none() {
                self.settled.split = Some((destination.partition.clone(), batch_bytes));
                self.settled.split_batches += 1;
            } else if finished.is_none() {
                self.settled.retries += 1;
            }
            self.settle(slot, finished, batch_bytes, found);
        }
        if self.spare.len() < REQUESTS_MAX {
            self.spare.push(request.batches);
        }
    }

    /// The time at which to poll even if nothing happens: a pause is over, or a batch has to be given up.
    #[must_use]
    pub fn next_timeout(&self, now: Moment) -> Option<Moment> {
        self.occupied.iter().filter_map(|slot| self.destinations[slot.index()].queue.next_timeout(now)).min()
    }

    /// Gives up every batch that is not in flight. Returns whether any of them had a sequence, which is then skipped.
    pub fn give_up(&mut self) -> bool {
        let mut skipped = false;
        for slot in self.occupied.clone() {
            let finished = self.destinations[slot.index()].queue.fail_all(DeliveryCause::TransactionFailed);
            for batch in finished {
                skipped |= batch.has_sequence;
                let bytes = batch.buffered_bytes;
                self.settle(slot, Some(batch), bytes, None);
            }
        }
        skipped
    }

    /// Whether a partition waits for an epoch above `identity`'s, or only for a restart under it.
    #[must_use]
    pub fn needs_epoch(&self, identity: ProducerIdentity) -> NeedsEpoch {
        let waiting = self.occupied.iter().map(|slot| &self.destinations[slot.index()].queue);
        let mut waiting = waiting.filter(|queue| queue.needs_epoch()).map(PartitionQueue::identity).peekable();
        if waiting.peek().is_none() {
            NeedsEpoch::No
        } else if waiting.any(|stamped| stamped == identity) {
            NeedsEpoch::Higher
        } else {
            NeedsEpoch::This
        }
    }

    /// Restarts the waiting partitions at sequence 0 under `identity`.
    pub fn restart(&mut self, identity: ProducerIdentity) {
        for slot in self.occupied.clone() {
            let queue = &mut self.destinations[slot.index()].queue;
            if queue.needs_epoch() {
                for lost in queue.restart(identity) {
                    let bytes = lost.buffered_bytes;
                    self.settle(slot, Some(lost), bytes, None);
                }
            }
        }
    }

    /// Partitions with batches, beginning after the one of the last turn.
    fn take_turn(&mut self) -> Vec<Slot> {
        let mut slots = std::mem::take(&mut self.in_turn);
        slots.clear();
        let split = self.turn.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let after = self.occupied.range((split, std::ops::Bound::Unbounded));
        let before = self.turn.into_iter().flat_map(|turn| self.occupied.range(..=turn));
        slots.extend(after.chain(before));
        slots
    }

    /// Leader and size of the partition's next batch, if that may be sent now. Notes a missing leader.
    fn sendable(&mut self, now: Moment, slot: Slot) -> Option<(BrokerId, usize)> {
        let destination = &self.destinations[slot.index()];
        let batch_bytes = destination.queue.next_bytes(now)?;
        let Some(leader) = destination.leader else {
            self.stale.insert(destination.partition.topic.clone());
            return None;
        };
        self.has_place(leader).then_some((leader, batch_bytes))
    }

    fn dispatch(&mut self, request: Request) -> Produce {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        let broker = request.broker;
        self.turn = request.batches.first().map(|(slot, ..)| *slot);
        *self.requests_at.entry(broker).or_default() += 1;
        self.requests.insert(id, request);
        let request = ProduceRequest {
            transactional_id: self.transactional_id.clone(),
            acks: self.acks.code(),
            timeout_ms: self.request_timeout_ms,
            topic_data: by_topic(&mut self.parts),
            ..Default::default()
        };
        Produce { id, broker, request }
    }

    fn expire(&mut self, now: Moment) {
        let is_late = |slot: &Slot| self.destinations[slot.index()].queue.has_expired(now);
        let late: Vec<Slot> = self.occupied.iter().copied().filter(is_late).collect();
        for slot in late {
            while let Some(expired) = self.destinations[slot.index()].queue.expire(now, self.kind.transactional) {
                let bytes = expired.buffered_bytes;
                self.settle(slot, Some(expired), bytes, None);
            }
        }
    }

    fn fail_partition(&mut self, slot: Slot, cause: DeliveryCause) {
        for failed in self.destinations[slot.index()].queue.fail_all(cause) {
            let bytes = failed.buffered_bytes;
            self.settle(slot, Some(failed), bytes, None);
        }
    }

    /// Records a batch that has left its queue, and reports the outcome of its records.
    fn settle(
        &mut self,
        slot: Slot,
        finished: Option<Finished>,
        batch_bytes: usize,
        found: Option<&PartitionProduceResponse>,
    ) {
        let Destination { partition, queue, .. } = &self.destinations[slot.index()];
        if queue.is_empty() {
            self.occupied.remove(&slot);
        }
        let Some(finished) = finished else { return };
        let settled = &mut self.settled;
        let outcome = match finished.failure {
            None => Outcome::Written {
                base_offset: finished.base_offset,
                log_append_time: found.map(|found| TimestampMs(found.log_append_time_ms)).filter(|time| time.0 >= 0),
            },
            Some(failure) => {
                let error = DeliveryError {
                    partition: partition.clone(),
                    record_count: finished.record_count,
                    batch_bytes,
                    cause: failure.cause,
                    possibly_written: failure.possibly_written,
                    message: found.and_then(|found| found.error_message.clone()),
                };
                tracing::debug!(%partition, records = error.record_count, cause = %error.cause, "a batch has failed");
                settled.failed_records += u64::from(finished.record_count.unsigned_abs());
                settled.first_failure.get_or_insert_with(|| error.clone());
                Outcome::Failed(Box::new(Refusal { error, records: blamed(found) }))
            }
        };
        if let Some(promise) = finished.promise {
            promise.settle(finished.record_count, outcome);
        }
        settled.batches.push(SettledBatch {
            record_count: finished.record_count,
            batch_bytes,
            is_acknowledged: finished.failure.is_none(),
            is_as_sent: finished.failure.is_none() && found.is_some_and(|found| found.log_append_time_ms < 0),
            slot,
            released_bytes: finished.buffered_bytes,
            base_offset: finished.base_offset,
            last_offset: finished.last_offset,
            bytes: finished.bytes,
            ends_batch: finished.ends_batch,
        });
    }
}

/// Takes the parts of a request, grouped by topic; within a topic, they keep their order.
fn by_topic(parts: &mut Vec<(Str, PartitionProduceData)>) -> Vec<TopicProduceData> {
    parts.sort_by(|(a, _), (b, _)| a.cmp(b));
    // Most producers write to one topic.
    let is_one = parts.first().map(|(name, _)| name) == parts.last().map(|(name, _)| name);
    let room = if is_one { parts.len() } else { 0 };
    let mut topics: Vec<TopicProduceData> = Vec::new();
    for (name, data) in parts.drain(..) {
        match topics.last_mut().filter(|last| last.name == name) {
            Some(last) => last.partition_data.push(data),
            None => {
                let mut partition_data = Vec::with_capacity(room);
                partition_data.push(data);
                topics.push(TopicProduceData { name, partition_data, ..TopicProduceData::default() });
            }
        }
    }
    topics
}

/// The need of partitions for a new epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeedsEpoch {
    /// No partition needs one.
    No,
    /// The present epoch will do: it is newer than the one under which they failed.
    This,
    /// An epoch above the present one is needed.
    Higher,
}

#[cfg(test)]
mod tests;
