//! Idempotence: the batches of one partition in order, each with its sequence until it is acknowledged.
//!
//! The broker takes a batch only when its sequence follows the last one of the same producer id and epoch, and knows
//! the last five batches again when they are repeated (KIP-98). From that follow the rules here:
//!
//! 1. At most five batches of a partition are in flight, or a repeat could fall out of what the broker remembers.
//! 2. A batch is sealed with its producer id, epoch and sequence when it is first sent, and frozen: a repeat is the
//!    same bytes. DUPLICATE_SEQUENCE_NUMBER is an acknowledgement that got lost the first time.
//! 3. After a retriable answer, or none, nothing more is sent until everything in flight is answered; then the queue is
//!    sent again from its front. OUT_OF_ORDER_SEQUENCE_NUMBER for a batch behind another unacknowledged one only says
//!    that the one before did not make it.
//! 4. OUT_OF_ORDER_SEQUENCE_NUMBER or UNKNOWN_PRODUCER_ID for a batch that was sent as the next in line is a real gap:
//!    the partition has lost what was acknowledged. In a transaction that spoils the transaction. Otherwise the
//!    partition starts anew at sequence 0 under a higher epoch (KIP-360); but a batch that may have been written keeps
//!    the stamp it was sent with and is given up instead, since the broker could not recognise it under another.
//! 5. A broker that knows nothing of a producer id takes any sequence from it (`ProducerAppendInfo.checkSequence`): were
//!    the first batch to fail and the second to get there, they would end up in the wrong order for good. So a batch
//!    travels alone until one has been acknowledged, and again after a time in which the broker may have forgotten.
//! 6. A batch of several records that is too large for the topic is replaced by two, which share its sequences: the broker
//!    has taken none of them. One that may have been written before is not, since the broker could not recognise its parts.
//! 7. Without idempotence there is no sequence: up to five batches are in flight, and one that is sent again may come in behind
//!    a later one, or twice.
//! 8. A partition changes to a newer producer id or epoch only when it has no sealed batch, so an epoch that was raised
//!    for one partition never makes another repeat itself.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::delivery::Promise;
use super::error::DeliveryCause;
use super::split;
use crate::compression::{Compression, Compressor};
use crate::protocol::ErrorCode;
use crate::record::{BatchBuilder, Seal, restamp, sequence_after};
use crate::time::Moment;
use crate::types::{Offset, ProducerEpoch, ProducerId};

/// Batches of one partition that may be in flight at once: as many as a broker recognises when they are repeated.
pub const IN_FLIGHT_MAX: usize = 5;

/// How long after an acknowledgement a broker surely remembers the producer: far below `producer.id.expiration.ms` (1 day).
const REMEMBERED: Duration = Duration::from_secs(60);

/// What the brokers know a producer by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProducerIdentity {
    /// Given by InitProducerId; -1 before.
    pub id: ProducerId,
    /// Counts the holders of the id; -1 before.
    pub epoch: ProducerEpoch,
}

impl ProducerIdentity {
    /// No identity yet.
    pub const NONE: Self = Self { id: ProducerId(-1), epoch: ProducerEpoch(-1) };

    /// Whether there is one.
    #[must_use]
    pub const fn is_some(self) -> bool {
        self.id.0 >= 0
    }
}

/// Marks one batch of one partition's queue; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BatchId(u64);

/// A batch ready for the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// How its answer is recognised.
    pub id: BatchId,
    /// The frozen bytes.
    pub bytes: Bytes,
}

/// A batch that left the queue, acknowledged or given up.
#[derive(Debug, PartialEq, Eq)]
pub struct Finished {
    /// Bytes that it held in the buffer.
    pub buffered_bytes: usize,
    /// Its records.
    pub record_count: i32,
    /// Whether it had been given a sequence.
    pub has_sequence: bool,
    /// Where its last record is, if the broker said so.
    pub last_offset: Option<Offset>,
    /// Where its first record is, if the broker said so.
    pub base_offset: Option<Offset>,
    /// Why it was given up; `None` when it was acknowledged.
    pub failure: Option<Failure>,
    /// Whom to tell.
    pub promise: Option<Promise>,
    /// Its memory, if it was sealed.
    pub bytes: Bytes,
    /// Whether it was the whole batch that was closed, or the last part of it.
    pub ends_batch: bool,
}

/// Why a batch left the queue without an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub cause: DeliveryCause,
    /// Whether it may be in the log nevertheless.
    pub possibly_written: bool,
}

/// How one attempt to send a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Written at this offset (-1 when the broker does not remember it).
    Acknowledged(Offset),
    /// Not written; may be sent again at this moment.
    Retry(Moment, Option<ErrorCode>),
    /// Nobody knows; may be sent again at this moment.
    Unknown(Moment, Option<ErrorCode>),
    /// The broker says that a batch before this one is missing, or that it knows nothing of the producer.
    OutOfOrder(Moment, ErrorCode),
    /// Not written: it is larger than the topic takes. Goes on in parts, if it has any.
    TooLarge(ErrorCode),
    /// Not written, and trying again would not help.
    Refused(DeliveryCause),
}

/// The unacknowledged batches of one partition, oldest first.
#[derive(Debug)]
pub struct PartitionQueue {
    identity: ProducerIdentity,
    next_sequence: i32,
    batches: VecDeque<Batch>,
    /// The first `sent` batches have been sent since the queue was last taken from its front.
    sent: usize,
    /// Attempts that are not answered.
    in_flight: usize,
    /// Send again from the front as soon as nothing is in flight.
    rewind: bool,
    /// Start anew at sequence 0 under a higher epoch as soon as nothing is in flight.
    needs_epoch: bool,
    retry_at: Moment,
    /// Until then the broker remembers this producer, and with it the order of what is sent to it.
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
    /// No unacknowledged batch was before it when it was last sent.
    was_next: bool,
    possibly_written: bool,
    last_code: Option<ErrorCode>,
    /// Of the batch that was closed, also where this is a part of it.
    number: u64,
    promise: Option<Promise>,
}

#[derive(Debug)]
enum Contents {
    /// Not stamped yet. With a sequence: part of a batch that was too large, of whose sequences it has its share.
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
    /// An empty queue whose first record gets `sequence`; other than 0 for tests of the wrap only.
    #[must_use]
    pub fn starting_at(sequence: i32) -> Self {
        Self {
            identity: ProducerIdentity::NONE,
            next_sequence: sequence,
            batches: VecDeque::new(),
            sent: 0,
            in_flight: 0,
            rewind: false,
            needs_epoch: false,
            retry_at: Moment::ZERO,
            remembered_until: Moment::ZERO,
            next_id: 0,
        }
    }

    /// Adds a closed batch at the end; from `deadline` on it is given up. `number`: see [`Self::oldest_number`].
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
            possibly_written: false,
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

    /// Records that are neither acknowledged nor given up.
    #[must_use]
    pub fn record_count(&self) -> u64 {
        self.batches.iter().map(|batch| u64::from(batch.record_count.unsigned_abs())).sum()
    }

    /// Whether nothing waits for an acknowledgement.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Attempts that are not answered.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether every batch has been sent, so that one more would be sent at once.
    #[must_use]
    pub fn has_sent_all(&self, now: Moment) -> bool {
        self.sent == self.batches.len() && !self.is_blocked(now)
    }

    /// Bytes of the batch that [`Self::send`] would give now (before compression when it is not sealed).
    #[must_use]
    pub fn next_bytes(&self, now: Moment) -> Option<usize> {
        let next = self.batches.get(self.sent).filter(|_| !self.is_blocked(now))?;
        Some(match &next.contents {
            Contents::Open { builder, .. } => builder.size_bytes(),
            Contents::Sealed { bytes, .. } => bytes.len(),
        })
    }

    /// When a batch that waits may be sent or has to be given up.
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

    /// The identity its sealed batches are stamped with.
    #[must_use]
    pub fn identity(&self) -> ProducerIdentity {
        self.identity
    }

    /// Seals the next batch, if it is not, and counts it as in flight. `None` when nothing may be sent now.
    ///
    /// # Errors
    /// The batch cannot be compressed; it stays in the queue, to be refused with [`Self::fail_all`].
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
            let builder = std::mem::replace(builder, BatchBuilder::new(0));
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

    /// Takes in how an attempt ended; gives the batch when that was its end.
    ///
    /// `transactional` decides what a gap means: see the rules at the top.
    pub fn handle(&mut self, now: Moment, id: BatchId, attempt: Attempt, transactional: bool) -> Option<Finished> {
        let index = self.batches.iter().position(|batch| batch.id == id && batch.in_flight)?;
        self.in_flight -= 1;
        let batch = &mut self.batches[index];
        batch.in_flight = false;
        let finished = match attempt {
            Attempt::Acknowledged(base_offset) => {
                self.remembered_until = now + REMEMBERED;
                let last = Offset(base_offset.0 + i64::from(batch.record_count) - 1);
                let is_known = base_offset.0 >= 0;
                self.finish(index, is_known.then_some((base_offset, last)), None)
            }
            Attempt::Retry(at, code) => self.send_again(index, at, code),
            Attempt::Unknown(at, code) => {
                batch.possibly_written = true;
                self.send_again(index, at, code)
            }
            Attempt::OutOfOrder(at, code) if !batch.was_next => self.send_again(index, at, Some(code)),
            Attempt::OutOfOrder(_, code) if transactional || !self.identity.is_some() => {
                self.fail(index, DeliveryCause::Refused(code))
            }
            Attempt::OutOfOrder(_, code) => {
                // The leader has nothing of it: had it been written, it would be among the batches that are recognised.
                batch.possibly_written = false;
                batch.last_code = Some(code);
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

    /// Gives up the first batch if its time is over and no attempt is unanswered; call until `None`.
    pub fn expire(&mut self, now: Moment, transactional: bool) -> Option<Finished> {
        let front = self.batches.front().filter(|front| front.deadline <= now && !front.in_flight)?;
        let cause = DeliveryCause::TimedOut(front.last_code);
        self.needs_epoch |= !transactional && front.contents.has_sequence() && self.identity.is_some();
        self.fail(0, cause)
    }

    /// Starts anew at sequence 0 under `identity`: what waits is stamped again. Gives the batches that cannot be,
    /// because they may have been written under their old stamp.
    pub fn restart(&mut self, identity: ProducerIdentity) -> Vec<Finished> {
        assert!(self.in_flight == 0, "a batch in flight may be written under its old stamp");
        let mut lost = Vec::new();
        while let Some(index) = self.batches.iter().position(|batch| batch.possibly_written) {
            let code = self.batches[index].last_code;
            lost.extend(self.fail(index, DeliveryCause::TimedOut(code)));
        }
        self.identity = identity;
        self.next_sequence = 0;
        for batch in &mut self.batches {
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
        // It was the broker's forgetting that led here.
        self.remembered_until = Moment::ZERO;
        lost
    }

    /// Gives up everything that is not in flight; the rest is given up when it is answered without success.
    pub fn fail_all(&mut self, cause: DeliveryCause) -> Vec<Finished> {
        let mut failed = Vec::new();
        while let Some(index) = self.batches.iter().position(|batch| !batch.in_flight) {
            failed.extend(self.fail(index, cause));
        }
        failed
    }

    fn is_blocked(&self, now: Moment) -> bool {
        let has_order = now < self.remembered_until || !self.identity.is_some();
        let in_flight_max = if has_order { IN_FLIGHT_MAX } else { 1 };
        self.rewind || self.needs_epoch || self.in_flight >= in_flight_max || now < self.retry_at
    }

    /// A newer identity takes over, from sequence 0, once no batch is stamped with the old one.
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

    /// Gives up a batch that a repeat would not help.
    fn refuse(&mut self, index: usize, cause: DeliveryCause, transactional: bool) -> Option<Finished> {
        // What follows has sequences behind a gap; in a transaction nothing that follows will be sent.
        self.needs_epoch |= !transactional && self.identity.is_some();
        self.fail(index, cause)
    }

    /// Puts two halves in the place of a batch that was refused for its size, each with its share of the sequences, as
    /// Java's `ProducerBatch.split` does. Tells whether that was possible.
    fn split(&mut self, index: usize) -> bool {
        let batch = &self.batches[index];
        let Contents::Sealed { bytes, base_sequence } = &batch.contents else { return false };
        if batch.possibly_written {
            return false;
        }
        // A batch of ours can be read; if not, it is refused like one of a single record.
        let Ok(Some([first, second])) = split::split(bytes) else { return false };
        let has_sequence = *base_sequence != NO_SEQUENCE;
        let second_sequence =
            if has_sequence { sequence_after(*base_sequence, first.record_count()) } else { NO_SEQUENCE };
        // Together they hold as much of the buffer as the whole did, whatever they measure now.
        let first_bytes = first.size_bytes().min(batch.buffered_bytes);
        let second_bytes = batch.buffered_bytes - first_bytes;
        let (base_sequence, deadline, last_code) = (*base_sequence, batch.deadline, batch.last_code);
        let number = batch.number;
        let promise = self.batches[index].promise.take();
        let (first_promise, second_promise) = match promise {
            Some(mut promise) => {
                let rest = promise.split_off(first.record_count());
                (Some(promise), Some(rest))
            }
            None => (None, None),
        };
        let mut part = |builder: BatchBuilder, base_sequence, buffered_bytes, promise| Batch {
            id: self.new_id(),
            record_count: builder.record_count(),
            buffered_bytes,
            contents: Contents::Open { builder, base_sequence: Some(base_sequence) },
            deadline,
            in_flight: false,
            was_next: false,
            possibly_written: false,
            last_code,
            number,
            promise,
        };
        let first = part(first, base_sequence, first_bytes, first_promise);
        let second = part(second, second_sequence, second_bytes, second_promise);
        self.batches[index] = first;
        self.batches.insert(index + 1, second);
        self.sent += 1;
        true
    }

    fn new_id(&mut self) -> BatchId {
        let id = BatchId(self.next_id);
        self.next_id += 1;
        id
    }

    fn fail(&mut self, index: usize, cause: DeliveryCause) -> Option<Finished> {
        let possibly_written = self.batches[index].possibly_written;
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

/// What all batches of a producer have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchKind {
    /// Whether they belong to transactions.
    pub transactional: bool,
    /// Codec for those that it makes smaller.
    pub compression: Compression,
}

#[cfg(test)]
mod tests;
