//! The transaction coordinator: the producer that holds each transactional id, and the state of its transaction.
//!
//! ```text
//! Empty --add--> Ongoing --end, timeout, fence--> Ending --markers written--> Ended --add--> Ongoing
//! ```
//! `Empty` follows InitProducerId. `Ending` lasts for the marker delay, in which every request gets
//! CONCURRENT_TRANSACTIONS. Two protocols differ in the end: version 1 keeps the producer's epoch, version 2 bumps it
//! with every transaction, so that a late request of the previous transaction is fenced (KIP-890).
//!
//! Source: KIP-98, KIP-360, KIP-890; the rules are those of Kafka's `TransactionCoordinator`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use kafka_wire::protocol::ErrorCode;
use kafka_wire::time::Moment;
use kafka_wire::types::{ProducerEpoch, ProducerId};
use kafka_wire::wire::Str;

use super::partition::PartitionName;

mod describe;

pub use self::describe::{Described, STATES};

/// A producer id and the epoch under which it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIdentity {
    /// The producer id.
    pub id: ProducerId,
    /// The epoch.
    pub epoch: ProducerEpoch,
}

/// The protocol by which a transaction is ended: that of the version of the EndTxn request, or of the feature when
/// the coordinator ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndProtocol {
    /// `transaction.version` 1: the epoch stays.
    V1,
    /// `transaction.version` 2: the epoch is bumped, or the producer id replaced when the epochs are used up.
    V2,
}

/// The markers to write for a transaction that has been decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Markers {
    /// The identity that the markers carry.
    pub producer: ProducerIdentity,
    /// Commit or abort.
    pub is_commit: bool,
    /// The partitions that get a marker.
    pub partitions: BTreeSet<PartitionName>,
    /// The groups whose pending offsets are decided.
    pub groups: BTreeSet<Str>,
}

/// A part of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Participant {
    /// A partition with records of the transaction.
    Partition(PartitionName),
    /// Offsets of a consumer group.
    Group(Str),
}

/// Every transactional id that the broker has seen.
#[derive(Clone, Debug)]
pub struct Transactions {
    by_id: BTreeMap<Str, Transaction>,
    next_producer_id: i64,
    marker_delay: Duration,
    /// The protocol by which the coordinator itself ends transactions.
    protocol: EndProtocol,
    markers: VecDeque<Markers>,
}

#[derive(Clone, Debug)]
struct Transaction {
    producer: ProducerIdentity,
    /// The producer id before the present one, if that was replaced because its epochs were used up.
    previous_id: Option<ProducerId>,
    /// The epoch before the present one, as its holder knew it. A producer that still shows it missed an
    /// answer, and is not fenced.
    last_epoch: Option<ProducerEpoch>,
    timeout: Duration,
    phase: Phase,
    /// Start of its last transaction.
    started: Option<Moment>,
    /// The last change; an id that is not used expires.
    changed: Moment,
    partitions: BTreeSet<PartitionName>,
    groups: BTreeSet<Str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Empty,
    Ongoing {
        deadline: Moment,
    },
    Ending {
        is_commit: bool,
        complete_at: Moment,
        /// The producer id that replaces the present one once the markers are written.
        next_id: Option<ProducerId>,
    },
    Ended {
        is_commit: bool,
    },
}

impl Transactions {
    /// Makes the coordinator without transactional ids. Markers are due `marker_delay` after the end of a transaction;
    /// `protocol` is the level of `transaction.version`.
    #[must_use]
    pub fn new(marker_delay: Duration, protocol: EndProtocol) -> Self {
        Self { by_id: BTreeMap::new(), next_producer_id: 0, marker_delay, protocol, markers: VecDeque::new() }
    }

    /// Allocates a new producer id with epoch 0, for an idempotent producer without a transactional id.
    pub fn allocate(&mut self) -> ProducerIdentity {
        let id = ProducerId(self.next_producer_id);
        self.next_producer_id += 1;
        ProducerIdentity { id, epoch: ProducerEpoch(0) }
    }

    /// Takes hold of a transactional id and fences its former holder. `expected` is the identity that a producer
    /// believes to hold when it carries on after an error (KIP-360).
    ///
    /// # Errors
    /// `CONCURRENT_TRANSACTIONS` while a transaction is being ended; an open one is aborted first, so the caller has
    /// to ask again. `PRODUCER_FENCED` if another producer has taken over from `expected`.
    pub fn init(
        &mut self,
        now: Moment,
        transactional_id: &Str,
        timeout: Duration,
        expected: Option<ProducerIdentity>,
    ) -> Result<ProducerIdentity, ErrorCode> {
        let fresh = ProducerIdentity { id: ProducerId(self.next_producer_id), epoch: ProducerEpoch(0) };
        let Some(transaction) = self.by_id.get_mut(transactional_id) else {
            self.next_producer_id += 1;
            self.by_id.insert(transactional_id.detached(), Transaction::new(fresh, timeout, now));
            return Ok(fresh);
        };
        if expected.is_some_and(|expected| !transaction.may_init(expected)) {
            return Err(ErrorCode::PRODUCER_FENCED);
        }
        match transaction.phase {
            Phase::Ending { .. } => Err(ErrorCode::CONCURRENT_TRANSACTIONS),
            Phase::Ongoing { .. } => {
                transaction.fence(self.protocol);
                self.start_ending(now, transactional_id, false, None);
                Err(ErrorCode::CONCURRENT_TRANSACTIONS)
            }
            Phase::Empty | Phase::Ended { .. } => {
                let expected = expected.map(|expected| expected.epoch);
                if transaction.has_used_up(expected) {
                    self.next_producer_id += 1;
                    transaction.replace_producer(fresh, expected);
                } else {
                    transaction.bump(expected)?;
                }
                transaction.timeout = timeout;
                transaction.phase = Phase::Empty;
                transaction.started = None;
                transaction.changed = now;
                Ok(transaction.producer)
            }
        }
    }

    /// Makes `participants` part of the transaction, and begins the transaction if there is none.
    ///
    /// # Errors
    /// `INVALID_PRODUCER_ID_MAPPING` for an unknown transactional id or another producer id, `PRODUCER_FENCED` for
    /// another epoch, `CONCURRENT_TRANSACTIONS` while the last transaction is being ended.
    pub fn add(
        &mut self,
        now: Moment,
        transactional_id: &str,
        producer: ProducerIdentity,
        participants: impl IntoIterator<Item = Participant>,
    ) -> Result<(), ErrorCode> {
        let transaction = self.by_id.get_mut(transactional_id).ok_or(ErrorCode::INVALID_PRODUCER_ID_MAPPING)?;
        transaction.check_holder(producer)?;
        match transaction.phase {
            Phase::Ending { .. } => return Err(ErrorCode::CONCURRENT_TRANSACTIONS),
            Phase::Ongoing { .. } => {}
            Phase::Empty | Phase::Ended { .. } => {
                transaction.phase = Phase::Ongoing { deadline: now + transaction.timeout };
                transaction.started = Some(now);
                transaction.changed = now;
            }
        }
        for participant in participants {
            match participant {
                Participant::Partition(partition) => transaction.partitions.insert(partition),
                Participant::Group(group) => transaction.groups.insert(group),
            };
        }
        Ok(())
    }

    /// Checks that `participant` is part of the open transaction, as a write under version 1 requires.
    ///
    /// # Errors
    /// The errors of [`Transactions::add`]; `TRANSACTION_ABORTABLE` if it is not part of it.
    pub fn verify(
        &self,
        transactional_id: &str,
        producer: ProducerIdentity,
        participant: &Participant,
    ) -> Result<(), ErrorCode> {
        let transaction = self.by_id.get(transactional_id).ok_or(ErrorCode::INVALID_PRODUCER_ID_MAPPING)?;
        transaction.check_holder(producer)?;
        if matches!(transaction.phase, Phase::Ending { .. }) {
            return Err(ErrorCode::CONCURRENT_TRANSACTIONS);
        }
        let is_part = match participant {
            Participant::Partition(partition) => transaction.partitions.contains(partition),
            Participant::Group(group) => transaction.groups.contains(group),
        };
        if is_part { Ok(()) } else { Err(ErrorCode::TRANSACTION_ABORTABLE) }
    }

    /// Decides the transaction. Returns the identity to go on with, which only version 2 changes.
    ///
    /// A repeated request for the same decision gets the same result (it is a retry after a lost answer).
    /// Version 2 tells a retry by its epoch from the end of a further, empty transaction, which may be aborted.
    ///
    /// # Errors
    /// `INVALID_PRODUCER_ID_MAPPING`, `PRODUCER_FENCED`; `CONCURRENT_TRANSACTIONS` while it is being ended in the same
    /// way; `INVALID_TXN_STATE` if it was ended in the other way, or there is nothing to end.
    pub fn end(
        &mut self,
        now: Moment,
        transactional_id: &Str,
        producer: ProducerIdentity,
        is_commit: bool,
        protocol: EndProtocol,
    ) -> Result<ProducerIdentity, ErrorCode> {
        let transaction = self.by_id.get(transactional_id).ok_or(ErrorCode::INVALID_PRODUCER_ID_MAPPING)?;
        let is_retry = transaction.check_end(producer, protocol)?;
        let may_start = match (transaction.phase, protocol) {
            (Phase::Ending { is_commit: decided, .. }, _) if decided == is_commit => {
                return Err(ErrorCode::CONCURRENT_TRANSACTIONS);
            }
            (Phase::Ended { is_commit: decided }, _) if decided == is_commit && is_retry => {
                return Ok(transaction.producer);
            }
            (Phase::Ongoing { .. }, _) => true,
            (Phase::Empty, EndProtocol::V2) => !is_commit,
            (Phase::Ended { .. }, EndProtocol::V2) => !is_commit && !is_retry,
            (Phase::Ending { .. }, _) | (Phase::Empty | Phase::Ended { .. }, EndProtocol::V1) => false,
        };
        if !may_start {
            return Err(ErrorCode::INVALID_TXN_STATE);
        }
        if protocol == EndProtocol::V1 {
            self.start_ending(now, transactional_id, is_commit, None);
            return Ok(producer);
        }
        let next = is_exhausted(producer.epoch).then(|| self.allocate());
        let bumped = ProducerIdentity { id: producer.id, epoch: ProducerEpoch(producer.epoch.0.saturating_add(1)) };
        let transaction = self.by_id.get_mut(transactional_id).expect("looked up above");
        transaction.last_epoch = Some(producer.epoch);
        transaction.producer = bumped;
        self.start_ending(now, transactional_id, is_commit, next.map(|next| next.id));
        Ok(next.unwrap_or(bumped))
    }

    /// Aborts transactions that are past their timeout, fencing their producers, and completes those whose markers are
    /// due.
    pub fn handle_timeout(&mut self, now: Moment) {
        let due: Vec<Str> = self.by_id.iter().filter(|(_, t)| t.due().is_some_and(|due| due <= now)).map(key).collect();
        for transactional_id in due {
            let transaction = self.by_id.get_mut(&transactional_id).expect("it was just found");
            match transaction.phase {
                Phase::Ongoing { .. } => {
                    transaction.fence(self.protocol);
                    self.start_ending(now, &transactional_id, false, None);
                }
                Phase::Ending { .. } => self.markers.extend(transaction.complete()),
                Phase::Empty | Phase::Ended { .. } => {}
            }
        }
    }

    /// Forgets the transactional ids that have no transaction and have not changed for `age`. Their producers get
    /// `INVALID_PRODUCER_ID_MAPPING` after that, until they ask for an id again.
    pub fn forget_unused(&mut self, now: Moment, age: Duration) {
        let is_used = |transaction: &Transaction| transaction.due().is_some() || transaction.changed + age > now;
        self.by_id.retain(|_, transaction| is_used(transaction));
    }

    /// Returns the time at which [`Transactions::handle_timeout`] is due. Looks at every transactional id.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Moment> {
        self.by_id.values().filter_map(Transaction::due).min()
    }

    /// The next transaction whose markers have to be written.
    pub fn poll(&mut self) -> Option<Markers> {
        self.markers.pop_front()
    }

    fn start_ending(&mut self, now: Moment, transactional_id: &str, is_commit: bool, next_id: Option<ProducerId>) {
        let transaction = self.by_id.get_mut(transactional_id).expect("callers looked it up");
        transaction.phase = Phase::Ending { is_commit, complete_at: now + self.marker_delay, next_id };
        transaction.changed = now;
        if self.marker_delay.is_zero() {
            self.markers.extend(transaction.complete());
        }
    }
}

impl Transaction {
    fn new(producer: ProducerIdentity, timeout: Duration, now: Moment) -> Self {
        Self {
            producer,
            previous_id: None,
            last_epoch: None,
            timeout,
            phase: Phase::Empty,
            started: None,
            changed: now,
            partitions: BTreeSet::new(),
            groups: BTreeSet::new(),
        }
    }

    fn due(&self) -> Option<Moment> {
        match self.phase {
            Phase::Ongoing { deadline } => Some(deadline),
            Phase::Ending { complete_at, .. } => Some(complete_at),
            Phase::Empty | Phase::Ended { .. } => None,
        }
    }

    fn check_holder(&self, producer: ProducerIdentity) -> Result<(), ErrorCode> {
        if producer.id != self.producer.id {
            return Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING);
        }
        if producer.epoch != self.producer.epoch {
            return Err(ErrorCode::PRODUCER_FENCED);
        }
        Ok(())
    }

    /// Whether a producer that believes to hold `expected` may ask for a new epoch. The epoch itself is checked
    /// by [`Transaction::bump`]. After the producer id was replaced, only the last epoch of the old id can
    /// come from a lost answer.
    fn may_init(&self, expected: ProducerIdentity) -> bool {
        expected.id == self.producer.id || (Some(expected.id) == self.previous_id && is_exhausted(expected.epoch))
    }

    /// Bumps the epoch for InitProducerId. `last_epoch` makes a retry return the same as the lost answer.
    fn bump(&mut self, expected: Option<ProducerEpoch>) -> Result<(), ErrorCode> {
        let current = self.producer.epoch;
        if expected.is_some() && expected != Some(current) {
            return if expected == self.last_epoch { Ok(()) } else { Err(ErrorCode::PRODUCER_FENCED) };
        }
        self.last_epoch = expected;
        self.producer.epoch = ProducerEpoch(current.0 + 1);
        Ok(())
    }

    /// Whether the producer id has to be replaced for a caller that believes to hold the epoch `expected`. After
    /// a fence the epoch may be the highest, which not even a producer that missed the fence gets.
    fn has_used_up(&self, expected: Option<ProducerEpoch>) -> bool {
        let ProducerEpoch(current) = self.producer.epoch;
        let is_holder = expected.is_none_or(|epoch| epoch == self.producer.epoch);
        (is_exhausted(self.producer.epoch) && is_holder) || (current == i16::MAX && expected == self.last_epoch)
    }

    fn replace_producer(&mut self, fresh: ProducerIdentity, last_epoch: Option<ProducerEpoch>) {
        self.previous_id = Some(self.producer.id);
        self.last_epoch = last_epoch;
        self.producer = fresh;
    }

    /// Fences the holder of the id. Version 2 lets that holder have the new epoch if it asks before anybody else.
    fn fence(&mut self, protocol: EndProtocol) {
        self.last_epoch = (protocol == EndProtocol::V2).then_some(self.producer.epoch);
        self.producer.epoch = ProducerEpoch(self.producer.epoch.0.saturating_add(1));
    }

    /// Checks that EndTxn comes from the holder, and returns whether it repeats one that was already decided.
    fn check_end(&self, producer: ProducerIdentity, protocol: EndProtocol) -> Result<bool, ErrorCode> {
        if protocol == EndProtocol::V1 {
            return self.check_holder(producer).map(|()| true);
        }
        let is_after_replacement = self.previous_id == Some(producer.id)
            && producer.epoch.0 == EXHAUSTED_EPOCH
            && self.producer.epoch == ProducerEpoch(0);
        if producer.id != self.producer.id && !is_after_replacement {
            return Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING);
        }
        let is_retry = is_after_replacement || producer.epoch.0.checked_add(1) == Some(self.producer.epoch.0);
        let is_holder = producer.epoch == self.producer.epoch;
        let is_valid = match self.phase {
            Phase::Empty | Phase::Ongoing { .. } => is_holder,
            Phase::Ending { .. } => is_retry,
            Phase::Ended { .. } => is_retry || is_holder,
        };
        if is_valid { Ok(is_retry) } else { Err(ErrorCode::PRODUCER_FENCED) }
    }

    /// Completes the end of the transaction, whose markers are written now. `None` unless the transaction is
    /// being ended.
    fn complete(&mut self) -> Option<Markers> {
        let Phase::Ending { is_commit, next_id, .. } = self.phase else { return None };
        let producer = self.producer;
        self.phase = Phase::Ended { is_commit };
        if let Some(id) = next_id {
            self.previous_id = Some(producer.id);
            self.producer = ProducerIdentity { id, epoch: ProducerEpoch(0) };
        }
        Some(Markers {
            producer,
            is_commit,
            partitions: std::mem::take(&mut self.partitions),
            groups: std::mem::take(&mut self.groups),
        })
    }
}

fn key<V>((key, _): (&Str, V)) -> Str {
    key.clone()
}

/// Whether an epoch is the highest. That one is never given to a client, so that the coordinator can always fence
/// once more.
fn is_exhausted(epoch: ProducerEpoch) -> bool {
    epoch.0 >= EXHAUSTED_EPOCH
}

const EXHAUSTED_EPOCH: i16 = i16::MAX - 1;

#[cfg(test)]
mod tests;
