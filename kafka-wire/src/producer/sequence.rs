//! Idempotence: the batches of one partition in order, each with its sequence until it is acknowledged.
//!
//! The broker accepts a batch only if its sequence follows the last one of the same producer id and epoch, and
//! recognises a repetition of the last five batches (KIP-98). From that follow these rules:
//!
//! 1. At most five batches of a partition are in flight, or a repetition might no longer be remembered by the broker.
//! 2. A batch is sealed with its producer id, epoch and sequence when it is first sent, and does not change after that:
//!    a repetition has the same bytes. DUPLICATE_SEQUENCE_NUMBER is an acknowledgement that got lost the first time.
//! 3. After a retriable error, or no response, nothing more is sent until everything in flight is answered; then the
//!    queue is sent again from its front. OUT_OF_ORDER_SEQUENCE_NUMBER for a batch after another unacknowledged one
//!    means only that the earlier one was not written.
//! 4. OUT_OF_ORDER_SEQUENCE_NUMBER or UNKNOWN_PRODUCER_ID for a batch that was sent as the next in line is a real gap:
//!    the partition has lost acknowledged records. In a transaction, the transaction fails. Otherwise the partition
//!    restarts at sequence 0 under a higher epoch (KIP-360); but a batch that may have been written keeps its stamp and
//!    is given up instead, because the broker could not recognise it under another.
//! 5. A broker that knows nothing of a producer id accepts any sequence from it (`ProducerAppendInfo.checkSequence`):
//!    if the first batch failed and the second arrived, they would be in the wrong order for good. So a batch is sent
//!    alone until one has been acknowledged, and again after a time in which the broker may have forgotten the
//!    producer.
//! 6. A batch of several records that is too large for the topic is replaced by two, which share its sequences: the
//!    broker has written none of them. A batch that got no response before is not replaced, because the broker could
//!    not recognise its parts.
//! 7. Without idempotence there is no sequence: one that is sent again may be written twice, and after a later one
//!    unless at most one is in flight.
//! 8. A leader that is deposed while a batch waits for its replicas answers as one that never led the partition: the
//!    batch may be in the log of the next one (`DelayedProduce.tryComplete`). So that answer, too, leaves a batch
//!    possibly written. Yet it is split when the next leader finds it too large: the one before has the same limit.
//! 9. A partition changes to a newer producer id or epoch only while it has no sealed batch, so an epoch that was
//!    raised for one partition never makes another one repeat batches under it.
//! 10. A batch behind which a later one was acknowledged is in the log, although it is not acknowledged itself: for it,
//!     OUT_OF_ORDER_SEQUENCE_NUMBER is an acknowledgement, and no gap. See `overtaken`, also for the exception.

mod halves;
mod overtaken;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use self::overtaken::Overtaken;
use super::delivery::Promise;
use super::error::DeliveryCause;
use crate::compression::{Compression, Compressor};
use crate::protocol::ErrorCode;
use crate::record::{BatchBuilder, Seal, restamp, sequence_after};
use crate::time::Moment;
use crate::types::{Offset, ProducerEpoch, ProducerId};

/// Most batches of one partition in flight at once: as many as a broker recognises when they are repeated.
pub const IN_FLIGHT_MAX: usize = 5;

/// Time after an acknowledgement for which a broker certainly remembers the producer. `producer.id.expiration.ms` is
/// a day by default, but may be set to seconds. Longer than a slow broker takes to answer, so that only silence costs a
/// partition the round trip.
const REMEMBERED: Duration = Duration::from_secs(2);

/// The identity of a producer at the brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProducerIdentity {
    /// Producer id, given by InitProducerId; -1 before.
    pub id: ProducerId,
    /// Producer epoch, which counts the holders of the id; -1 before.
    pub epoch: ProducerEpoch,
}

impl ProducerIdentity {
    /// No identity yet.
    pub const NONE: Self = Self { id: ProducerId(-1), epoch: ProducerEpoch(-1) };

    /// Whether there is an identity.
    #[must_use]
    pub const fn is_some(self) -> bool {
        self.id.0 >= 0
    }
}

/// Identifies a batch of a partition's queue; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BatchId(u64);

/// A sealed batch, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Identifies the batch when its outcome is reported.
    pub id: BatchId,
    /// Its final bytes.
    pub bytes: Bytes,
}

/// A batch that has left the queue, acknowledged or given up.
#[derive(Debug, PartialEq, Eq)]
pub struct Finished {
    /// Bytes that it took in the buffer.
    pub buffered_bytes: usize,
    /// Number of its records.
    pub record_count: i32,
    /// Whether it had a sequence.
    pub has_sequence: bool,
    /// Offset of its last record, if the broker reported it.
    pub last_offset: Option<Offset>,
    /// Offset of its first record, if the broker reported it.
    pub base_offset: Option<Offset>,
    /// The failure for which it was given up; `None` if it was acknowledged.
    pub failure: Option<Failure>,
    /// Reports the outcome of its records.
    pub promise: Option<Promise>,
    /// Its memory, if it was sealed.
    pub bytes: Bytes,
    /// Whether it is the whole batch that was closed, or the last part of it.
    pub ends_batch: bool,
}

/// The reason why a batch left the queue without an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The cause.
    pub cause: DeliveryCause,
    /// Whether it may be in the log nevertheless.
    pub possibly_written: bool,
}

/// The outcome of one attempt to send a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The batch was written at this offset (-1 if the broker does not remember it).
    Acknowledged(Offset),
    /// The batch was not written; it may be sent again at this moment.
    Retry(Moment, Option<ErrorCode>),
    /// The outcome is unknown; the batch may be sent again at this moment.
    Unknown(Moment, Option<ErrorCode>),
    /// The broker does not lead the partition, and may have appended the batch while it did; the batch may be sent
    /// again at this moment.
    Deposed(Moment, Option<ErrorCode>),
    /// The broker reports that a batch before this one is missing, or that it does not know the producer.
    OutOfOrder(Moment, ErrorCode),
    /// The batch was not written, because it is larger than the topic allows. It goes on in parts, if it can be split.
    TooLarge(ErrorCode),
    /// The batch was not written, and a retry would not help.
    Refused(DeliveryCause),
}

/// The unacknowledged batches of one partition, oldest first.
#[derive(Debug)]
pub struct PartitionQueue {
    identity: ProducerIdentity,
    next_sequence: i32,
    batches: VecDeque<Batch>,
    /// Number of batches at the front that have been sent since sending last began at the front.
    sent: usize,
    /// Number of attempts without a response yet.
    in_flight: usize,
    in_flight_max: usize,
    /// Whether sending begins again at the front once nothing is in flight.
    rewind: bool,
    /// Whether the partition restarts at sequence 0 under a higher epoch once nothing is in flight.
    needs_epoch: bool,
    retry_at: Moment,
    /// Until then the broker certainly remembers this producer, and so keeps the order of its batches.
    remembered_until: Moment,
    next_id: u64,
}

#[derive(Debug)]
struct Batch {
    id: BatchId,
    contents: Contents,
    record_count: i32,
    buffered_bytes: usize,
    deadline: Moment,
    in_flight: bool,
    /// Whether no unacknowledged batch was before it when it was last sent.
    was_next: bool,
    written: Written,
    /// Whether a later batch was acknowledged while this one could be in the log, and what that tells.
    overtaken: Option<Overtaken>,
    last_code: Option<ErrorCode>,
    /// Number of the closed batch, which its parts keep.
    number: u64,
    promise: Option<Promise>,
}

/// Whether a batch that is not acknowledged may be in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Written {
    No,
    /// A broker that does not lead the partition any more may have appended it, and the next leader may have it from
    /// there.
    ByFormerLeader,
    /// An attempt got no conclusive response.
    Perhaps,
}

#[derive(Debug)]
enum Contents {
    /// Not stamped yet. If it has a sequence, it is a part of a batch that was too large, with its share of
    /// that batch's sequences.
    Open {
        builder: BatchBuilder,
        base_sequence: Option<i32>,
    },
    Sealed {
        bytes: Bytes,
        base_sequence: i32,
    },
}

impl Contents {
    fn has_sequence(&self) -> bool {
        !matches!(self, Self::Open { base_sequence: None, .. })
    }
}

impl Default for PartitionQueue {
    fn default() -> Self {
        Self::starting_at(0)
    }
}

impl PartitionQueue {
    /// Makes an empty queue whose first record gets `sequence`; only tests of the wrap use another than 0.
    #[must_use]
    pub fn starting_at(sequence: i32) -> Self {
        Self {
            identity: ProducerIdentity::NONE,
            next_sequence: sequence,
            batches: VecDeque::new(),
            sent: 0,
            in_flight: 0,
            in_flight_max: IN_FLIGHT_MAX,
            rewind: false,
            needs_epoch: false,
            retry_at: Moment::ZERO,
            remembered_until: Moment::ZERO,
            next_id: 0,
        }
    }

    /// The same with at most this many batches in flight, and never more than [`IN_FLIGHT_MAX`].
    #[must_use]
    pub fn with_in_flight_max(self, in_flight_max: usize) -> Self {
        Self { in_flight_max: in_flight_max.clamp(1, IN_FLIGHT_MAX), ..self }
    }

    /// Adds a closed batch at the end; it is given up at `deadline`. `number`: see [`Self::oldest_number`].
    pub fn push(&mut self, builder: BatchBuilder, number: u64, promise: Option<Promise>, deadline: Moment) {
        let id = self.new_id();
        let (record_count, buffered_bytes) = (builder.record_count(), builder.size_bytes());
        self.batches.push_back(Batch {
            id,
            record_count,
            buffered_bytes,
            contents: Contents::Open { builder, base_sequence: None },
            deadline,
            in_flight: false,
            was_next: false,
            written: Written::No,
            overtaken: None,
            last_code: None,
            number,
            promise,
        });
    }

    /// The number of the first batch; all before it have left.
    #[must_use]
    pub fn oldest_number(&self) -> Option<u64> {
        self.batches.front().map(|batch| batch.number)
    }

    /// Number of records that are neither acknowledged nor given up.
    #[must_use]
    pub fn record_count(&self) -> u64 {
        self.batches.iter().map(|batch| u64::from(batch.record_count.unsigned_abs())).sum()
    }

    /// Whether no batch waits for an acknowledgement.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Number of attempts without a response yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether every batch has been sent, so that one more would be sent at once.
    #[must_use]
    pub fn has_sent_all(&self, now: Moment) -> bool {
        // An empty queue takes a batch, whatever it waits for: a pause or an epoch is waited for with that batch.
        self.batches.is_empty() || (self.sent == self.batches.len() && !self.is_blocked(now))
    }

    /// Bytes of the batch that [`Self::send`] would return now (before compression if it is not sealed).
    #[must_use]
    pub fn next_bytes(&self, now: Moment) -> Option<usize> {
        let next = self.batches.get(self.sent).filter(|_| !self.is_blocked(now))?;
        Some(match &next.contents {
            Contents::Open { builder, .. } => builder.size_bytes(),
            Contents::Sealed { bytes, .. } => bytes.len(),
        })
    }

    /// The time at which a waiting batch may be sent or has to be given up.
    #[must_use]
    pub fn next_timeout(&self, now: Moment) -> Option<Moment> {
        let front = self.batches.front()?;
        let deadline = if front.in_flight { None } else { Some(front.deadline) };
        let retry = Some(self.retry_at).filter(|at| *at > now && self.sent < self.batches.len());
        deadline.into_iter().chain(retry).min()
    }

    /// Whether the partition waits for [`Self::restart`] under a higher epoch than it has.
    #[must_use]
    pub fn needs_epoch(&self) -> bool {
        self.needs_epoch && self.in_flight == 0
    }

    /// The identity with which its sealed batches are stamped.
    #[must_use]
    pub fn identity(&self) -> ProducerIdentity {
        self.identity
    }

    /// Seals the next batch, if it is not sealed yet, and counts it as in flight. `None` if nothing may be sent now.
    ///
    /// # Errors
    /// The batch cannot be compressed; it stays in the queue until [`Self::fail_all`] gives it up.
    pub fn send(
        &mut self,
        now: Moment,
        identity: ProducerIdentity,
        kind: BatchKind,
        compressor: &mut Compressor,
    ) -> Result<Option<Sealed>, DeliveryCause> {
        if self.next_bytes(now).is_none() {
            return Ok(None);
        }
        self.adopt(identity);
        let was_next = self.sent == 0;
        let identity = self.identity;
        let batch = self.batches.get_mut(self.sent).expect("next_bytes found it");
        if let Contents::Open { builder, base_sequence } = &mut batch.contents {
            let builder = std::mem::replace(builder, BatchBuilder::vacant());
            let sequence = base_sequence.unwrap_or_else(|| {
                if !identity.is_some() {
                    return NO_SEQUENCE;
                }
                let after = sequence_after(self.next_sequence, batch.record_count);
                std::mem::replace(&mut self.next_sequence, after)
            });
            let seal = Seal {
                producer_id: identity.id,
                producer_epoch: identity.epoch,
                base_sequence: sequence,
                transactional: kind.transactional,
                compression: kind.compression,
            };
            let bytes = builder.seal_with(seal, compressor).map_err(DeliveryCause::Compression)?;
            batch.contents = Contents::Sealed { bytes, base_sequence: sequence };
        }
        let Contents::Sealed { bytes, .. } = &batch.contents else { unreachable!("it was just sealed") };
        let sealed = Sealed { id: batch.id, bytes: bytes.clone() };
        (batch.in_flight, batch.was_next) = (true, was_next);
        if let Some(promise) = &mut batch.promise {
            promise.sent();
        }
        self.sent += 1;
        self.in_flight += 1;
        Ok(Some(sealed))
    }

    /// Handles the outcome of an attempt; returns the batch if it has left the queue by it.
    ///
    /// `transactional` decides the consequence of a gap: see the rules at the top.
    pub fn handle(&mut self, now: Moment, id: BatchId, attempt: Attempt, transactional: bool) -> Option<Finished> {
        let index = self.batches.iter().position(|batch| batch.id == id && batch.in_flight)?;
        self.in_flight -= 1;
        let overtaken = self.overtaken(index, attempt);
        let batch = &mut self.batches[index];
        batch.in_flight = false;
        let finished = match attempt {
            Attempt::Acknowledged(base_offset) => {
                let last = Offset(base_offset.0 + i64::from(batch.record_count) - 1);
                let is_known = base_offset.0 >= 0;
                self.overtake(index, now);
                self.remembered_until = now + REMEMBERED;
                self.finish(index, is_known.then_some((base_offset, last)), None)
            }
            Attempt::Retry(at, code) => self.send_again(index, at, code),
            Attempt::Unknown(at, code) => {
                batch.written = Written::Perhaps;
                self.send_again(index, at, code)
            }
            Attempt::Deposed(at, code) => {
                batch.written = batch.written.max(Written::ByFormerLeader);
                self.send_again(index, at, code)
            }
            Attempt::OutOfOrder(..) if overtaken == Some(Overtaken::InOrder) => self.finish(index, None, None),
            Attempt::OutOfOrder(_, code) if overtaken == Some(Overtaken::InDoubt) => {
                self.fail(index, DeliveryCause::Refused(code))
            }
            Attempt::OutOfOrder(at, code) if !batch.was_next => self.send_again(index, at, Some(code)),
            Attempt::OutOfOrder(_, code) if transactional || !self.identity.is_some() => {
                self.fail(index, DeliveryCause::Refused(code))
            }
            Attempt::OutOfOrder(at, code) => {
                self.retry_at = self.retry_at.max(at);
                // The leader does not have the batch: otherwise it would have been recognised as a repetition. Nor does
                // it have one behind it from a former leader, unless it takes batches in any order (rule 10).
                (batch.written, batch.last_code) = (Written::No, Some(code));
                for other in self.batches.iter_mut().filter(|other| other.overtaken.is_none()) {
                    if other.written == Written::ByFormerLeader {
                        other.written = Written::No;
                    }
                }
                self.needs_epoch = true;
                None
            }
            Attempt::TooLarge(code) if self.split(index) => self.send_again(index, now, Some(code)),
            Attempt::TooLarge(code) => self.refuse(index, DeliveryCause::Refused(code), transactional),
            Attempt::Refused(cause) => self.refuse(index, cause, transactional),
        };
        if self.rewind && self.in_flight == 0 {
            self.rewind = false;
            self.sent = 0;
        }
        finished
    }

    /// Returns whether [`Self::expire`] would give up the first batch.
    #[must_use]
    pub fn has_expired(&self, now: Moment) -> bool {
        self.batches.front().is_some_and(|front| front.deadline <= now && !front.in_flight)
    }

    /// Gives up the first batch if its time is over and no attempt is in flight; call it until `None`.
    pub fn expire(&mut self, now: Moment, transactional: bool) -> Option<Finished> {
        let front = self.batches.front().filter(|_| self.has_expired(now))?;
        let cause = DeliveryCause::TimedOut(front.last_code);
        self.needs_epoch |= !transactional && front.contents.has_sequence() && self.identity.is_some();
        self.fail(0, cause)
    }

    /// Restarts at sequence 0 under `identity`: waiting batches are stamped again. Returns the batches that cannot be,
    /// because they may have been written under their old stamp.
    pub fn restart(&mut self, identity: ProducerIdentity) -> Vec<Finished> {
        assert!(self.in_flight == 0, "a batch in flight may be written under its old stamp");
        let mut lost = Vec::new();
        while let Some(index) = self.batches.iter().position(|batch| batch.written != Written::No) {
            let code = self.batches[index].last_code;
            lost.extend(self.fail(index, DeliveryCause::TimedOut(code)));
        }
        self.identity = identity;
        self.next_sequence = 0;
        for batch in &mut self.batches {
            batch.overtaken = None;
            let next = self.next_sequence;
            match &mut batch.contents {
                Contents::Sealed { bytes, base_sequence } => {
                    *base_sequence = next;
                    *bytes = restamp(bytes, identity.id, identity.epoch, next);
                }
                Contents::Open { base_sequence: Some(base_sequence), .. } => *base_sequence = next,
                Contents::Open { base_sequence: None, .. } => continue,
            }
            self.next_sequence = sequence_after(next, batch.record_count);
        }
        (self.sent, self.rewind, self.needs_epoch) = (0, false, false);
        // The broker had forgotten the producer, which led here.
        self.remembered_until = Moment::ZERO;
        lost
    }

    /// Gives up every batch that is not in flight; the others are given up when their attempts end without success.
    pub fn fail_all(&mut self, cause: DeliveryCause) -> Vec<Finished> {
        let mut failed = Vec::new();
        while let Some(index) = self.batches.iter().position(|batch| !batch.in_flight) {
            failed.extend(self.fail(index, cause));
        }
        failed
    }

    fn is_blocked(&self, now: Moment) -> bool {
        let has_order = now < self.remembered_until || !self.identity.is_some();
        let in_flight_max = if has_order { self.in_flight_max } else { 1 };
        self.rewind || self.needs_epoch || self.in_flight >= in_flight_max || now < self.retry_at
    }

    /// Adopts a newer identity, from sequence 0 on, once no batch is stamped with the old one.
    fn adopt(&mut self, identity: ProducerIdentity) {
        let is_stamped = self.batches.iter().any(|batch| batch.contents.has_sequence());
        if self.identity != identity && !is_stamped {
            if self.identity.is_some() {
                self.next_sequence = 0;
            }
            if self.identity.id != identity.id {
                self.remembered_until = Moment::ZERO;
            }
            self.identity = identity;
        }
    }

    fn send_again(&mut self, index: usize, at: Moment, code: Option<ErrorCode>) -> Option<Finished> {
        self.batches[index].last_code = code;
        self.retry_at = self.retry_at.max(at);
        self.rewind = true;
        None
    }

    /// Gives up a batch that a repetition would not help.
    fn refuse(&mut self, index: usize, cause: DeliveryCause, transactional: bool) -> Option<Finished> {
        // The following batches have sequences after a gap; in a transaction none of them will be sent.
        self.needs_epoch |= !transactional && self.identity.is_some();
        self.fail(index, cause)
    }

    fn new_id(&mut self) -> BatchId {
        let id = BatchId(self.next_id);
        self.next_id += 1;
        id
    }

    fn fail(&mut self, index: usize, cause: DeliveryCause) -> Option<Finished> {
        let possibly_written = self.batches[index].written != Written::No;
        self.finish(index, None, Some(Failure { cause, possibly_written }))
    }

    fn finish(
        &mut self,
        index: usize,
        offsets: Option<(Offset, Offset)>,
        failure: Option<Failure>,
    ) -> Option<Finished> {
        let batch = self.batches.remove(index)?;
        if index < self.sent {
            self.sent -= 1;
        }
        Some(Finished {
            buffered_bytes: batch.buffered_bytes,
            record_count: batch.record_count,
            has_sequence: batch.contents.has_sequence(),
            base_offset: offsets.map(|(first, _)| first),
            last_offset: offsets.map(|(_, last)| last),
            failure,
            promise: batch.promise,
            ends_batch: self.batches.iter().all(|other| other.number != batch.number),
            bytes: match batch.contents {
                Contents::Sealed { bytes, .. } => bytes,
                Contents::Open { .. } => Bytes::new(),
            },
        })
    }
}

/// The sequence of a batch without one.
const NO_SEQUENCE: i32 = -1;

/// The settings that all batches of a producer share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchKind {
    /// Whether they belong to transactions.
    pub transactional: bool,
    /// Codec, used for batches that it makes smaller.
    pub compression: Compression,
}

#[cfg(test)]
mod tests;
