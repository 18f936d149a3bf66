//! The transactions of one producer id, one after the other: the next request to the coordinators, and the
//! meaning of its response.
//!
//! ```text
//! open -> Ready -begin-> Open -commit-> [AddPartitions] [AddOffsets] TxnOffsetCommit,
//!                         |             all batches acknowledged, EndTxn -> Ready
//!                         |                                         | no answer
//!                         | any failure                             v
//!                         v                                       InDoubt -recover-> Ready
//!                       Failed -abort-> nothing in flight, EndTxn, [InitProducerId] -> Ready
//!
//! (brackets: only where needed)
//! ```
//! **A producer id that the coordinator does not know** (INVALID_PRODUCER_ID_MAPPING, UNKNOWN_PRODUCER_ID) has expired,
//! or another producer has the transactional id and got another producer id. InitProducerId tells which, at once, so
//! that the operation that failed reports a fenced producer as such (`Doubted`).
//!
//! **Version 1** (KIP-98): partitions and groups are registered with AddPartitionsToTxn and AddOffsetsToTxn before
//! anything is written to them, and the epoch stays the same from one transaction to the next. So a request without
//! a response may still be in flight when the next transaction begins, and would be taken as part of it (KAFKA-17754
//! is such an EndTxn). Whenever that is possible, InitProducerId with the current id and epoch raises the epoch before
//! the next transaction begins (KIP-360).
//!
//! **Version 2** (KIP-890): every EndTxn v5 raises the epoch and returns it, so late requests are fenced. Produce v12
//! and TxnOffsetCommit v5 register by themselves what is not registered yet. The version in force is fixed when
//! a transaction begins.
//!
//! **Partitions are registered by requests of our own at version 2, too**, which Java's client leaves to the leaders.
//! A leader that registers a partition asks the coordinator, and the coordinator answers CONCURRENT_TRANSACTIONS while
//! it still writes the markers of the last transaction, and while it notes the partition of another leader. The leader
//! then waits `add.partitions.to.txn.retry.backoff.ms` (20 ms by default) before it asks again, so a transaction that
//! follows another, or has records for several leaders, is late by 20 ms or by a multiple of it. A client gets that
//! answer at once and asks again after a millisecond; the leaders then find the partitions registered. A commit of
//! offsets alone registers the group for the same reason. A late AddPartitionsToTxn has an epoch of the past.
//!
//! **A transaction that lasts registers ahead of its commit** what it uses, and what the last ones have used: that
//! takes a round trip, and their markers may be in the way ([`TransactionManager::expect_usual`]). A refusal of what it
//! does not use after all is no failure; a partition without records gets a marker, and holds no reader up.
//!
//! **EndTxn without a response** is sent again unchanged. At version 1 the coordinator answers a repeat with the same
//! epoch by the state that it finds: CompleteCommit to a commit is success, PrepareCommit is CONCURRENT_TRANSACTIONS.
//! At version 2 the repeat has an epoch one below the coordinator's, which it takes as a repeat (`retryOnEpochBump`
//! in `TransactionCoordinator.endTransaction`) with the same answers. Once one attempt had no response, the refusal
//! of a later one proves nothing about the first: the outcome is then unknown. [`TransactionManager::recover`]
//! settles it with an EndTxn that aborts: INVALID_TXN_STATE means that the commit was carried out, success that it was
//! not and never will be.

mod reaction;
mod registration;
mod requests;
mod state;
mod usual;

use std::time::Duration;

pub use reaction::{Reaction, produce_reaction, reaction};
pub use requests::{Request, RequestOutcome};

use self::registration::Registration;
use self::state::{Attempts, Doubt, OffsetsToCommit, State};
use super::ProducerConfig;
use super::accumulator::Slot;
use super::error::{NotReady, TransactionCause};
use super::sequence::ProducerIdentity;
use crate::cluster::{CommittedOffset, CoordinatorKind, GroupMetadata, TopicPartition};
use crate::protocol::{ApiKey, ErrorCode};
use crate::time::Moment;
use crate::wire::Str;

/// The transactional protocol that the cluster has finalized (`transaction.version`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TransactionVersion {
    /// KIP-98: what is not registered must not be written. Also stands for level 0.
    V1,
    /// KIP-890: a new epoch for each transaction, and a write registers what is not registered yet.
    V2,
}

/// A request to a coordinator, whose outcome goes to [`TransactionManager::handle`].
#[derive(Clone, Debug, PartialEq)]
pub struct CoordinatorRequest {
    /// The request.
    pub request: Request,
    /// Highest version to use.
    pub max_version: i16,
    /// The destination: the coordinator of this kind and key, or any broker.
    pub coordinator: Option<(CoordinatorKind, Str)>,
    /// Whether the coordinator has to be looked up again before.
    pub find_again: bool,
    /// Longest time to wait for the response.
    pub timeout: Duration,
}

/// The outcome of an operation of the owner.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// The producer has a producer id.
    Opened,
    /// The transaction was committed.
    Committed,
    /// The transaction was aborted, or never existed.
    Aborted,
    /// The transaction may be committed; the manager waits for `recover`.
    Unknown(TransactionCause),
    /// The transaction failed; the manager waits for `abort`.
    Abortable(TransactionCause),
    /// The same; and the group no longer knows the member.
    GroupChanged(ErrorCode),
    /// No conclusive response came in time. The operation may be repeated.
    TimedOut(TransactionCause),
    /// The producer was fenced and cannot go on.
    Fenced(TransactionCause),
    /// The end of the producer, after which it cannot go on.
    Fatal(TransactionCause),
}

/// The transactions of one producer; without a transactional id it only obtains producer ids.
#[derive(Debug)]
pub struct TransactionManager {
    transactional_id: Option<Str>,
    transaction_timeout: Duration,
    init_timeout: Duration,
    end_timeout: Duration,
    identity: ProducerIdentity,
    /// Whether records need no producer id.
    is_anonymous: bool,
    state: State,
    version: TransactionVersion,
    registration: Registration,
    offsets: Option<OffsetsToCommit>,
    /// Whether the coordinator may know of this transaction, so that it has to be ended.
    reached: bool,
    /// Whether the epoch has to be raised: a request of this epoch may still be carried out, or a sequence was skipped.
    needs_epoch: bool,
    attempts: Attempts,
    ended: Option<Ended>,
    /// The outcome of the last transaction, for an owner that did not wait for it.
    last: Ended,
}

impl TransactionManager {
    /// Makes a producer without an id: the first [`Self::poll`] requests one.
    #[must_use]
    pub fn new(config: &ProducerConfig) -> Self {
        Self {
            transactional_id: config.transactional_id.clone(),
            transaction_timeout: config.transaction_timeout,
            init_timeout: config.init_timeout,
            end_timeout: config.end_timeout,
            identity: ProducerIdentity::NONE,
            is_anonymous: !config.is_idempotent(),
            state: if config.is_idempotent() { State::Opening } else { State::Ready },
            version: TransactionVersion::V1,
            registration: Registration::default(),
            offsets: None,
            reached: false,
            needs_epoch: false,
            attempts: Attempts::default(),
            ended: (!config.is_idempotent()).then_some(Ended::Opened),
            last: Ended::Aborted,
        }
    }

    /// The present identity of this producer at the brokers.
    #[must_use]
    pub fn identity(&self) -> ProducerIdentity {
        self.identity
    }

    /// Whether the producer writes in transactions.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.transactional_id.is_some()
    }

    /// The version of the open transaction.
    #[must_use]
    pub fn version(&self) -> TransactionVersion {
        self.version
    }

    /// Begins a transaction, without a request.
    ///
    /// # Errors
    /// A transaction is open, or has to be aborted or recovered first, or the producer cannot go on.
    pub fn begin(&mut self, version: TransactionVersion) -> Result<(), NotReady> {
        if !self.is_transactional() {
            return Err(NotReady::NotTransactional);
        }
        match self.state {
            State::Ready => {}
            State::Open => return Err(NotReady::AlreadyBegun),
            _ => return Err(self.not_ready()),
        }
        self.clear();
        self.registration.begin();
        self.ended = None;
        (self.state, self.version) = (State::Open, version);
        Ok(())
    }

    /// Notes a batch for a partition, which will be registered before it may be sent.
    pub fn touch(&mut self, slot: Slot, partition: impl FnOnce() -> TopicPartition) {
        if self.is_transactional() {
            self.registration.touch(slot, partition);
            if self.registration.waits_for(slot) {
                self.attempts.hurry();
            }
        }
    }

    /// Notes records for a partition that are not to be sent yet: it may be registered by now.
    pub fn expect(&mut self, slot: Slot, partition: impl FnOnce() -> TopicPartition) {
        if self.state == State::Open {
            self.registration.touch(slot, partition);
        }
    }

    /// Age of the first records of a transaction at which to call [`Self::expect`] for them, and then
    /// [`Self::expect_usual`]: about the time that the coordinator takes to end the transaction before.
    #[must_use]
    pub fn expects_after(&self) -> Duration {
        self.registration.pause()
    }

    /// Expects the open transaction to write to the partitions that most of the last ones have written to, and to
    /// commit offsets as the last one did: they are registered now, while its records are still being made. At version
    /// 2 the group is left to TxnOffsetCommit, which does it without another request.
    pub fn expect_usual(&mut self) {
        if self.state == State::Open {
            self.registration.expect_partitions();
            if self.version == TransactionVersion::V1 {
                self.registration.expect_group();
            }
        }
    }

    /// Whether batches of a partition may be sent now.
    #[must_use]
    pub fn may_produce(&self, slot: Slot) -> bool {
        if !self.is_transactional() {
            return self.identity.is_some() || self.is_anonymous;
        }
        matches!(self.state, State::Open | State::Committing) && self.registration.contains(slot)
    }

    /// Notes that an attempt to produce got no response, or that a batch with a sequence was given up.
    pub fn require_epoch(&mut self) {
        self.needs_epoch = true;
    }

    /// Fails the open transaction because of a batch; the leader's code decides how.
    pub fn fail(&mut self, cause: TransactionCause) {
        let code = match &cause {
            TransactionCause::Delivery(error) => error.refused_with(),
            TransactionCause::Refused { code, .. } => Some(*code),
            TransactionCause::TimedOut { .. } | TransactionCause::Unsendable { .. } => None,
        };
        self.needs_epoch = true;
        self.spoil(code.map_or(Reaction::Abortable, produce_reaction), cause);
    }

    /// Starts to commit the open transaction: everything written, `offsets` committed, EndTxn. The outcome comes
    /// from [`Self::take_ended`].
    ///
    /// # Errors
    /// No transaction is open. A failed transaction is no error here, but an outcome.
    pub fn commit(
        &mut self,
        group: Option<(GroupMetadata, Vec<(TopicPartition, CommittedOffset)>)>,
    ) -> Result<(), NotReady> {
        match &self.state {
            State::Open => {}
            State::Ready => return Err(NotReady::NotBegun),
            State::Failed { why, .. } | State::Finished(why) => {
                self.ended = Some(why.clone());
                return Ok(());
            }
            // Its outcome is that of the commit.
            State::Doubted(Doubt::Fails(_)) => return Ok(()),
            _ => return Err(self.not_ready()),
        }
        (self.state, self.ended) = (State::Committing, None);
        self.offsets =
            group.filter(|(_, offsets)| !offsets.is_empty()).map(|(group, offsets)| OffsetsToCommit { group, offsets });
        self.registration.note_group(self.committed_group().cloned());
        self.registration.is_urgent = true;
        self.attempts.hurry();
        Ok(())
    }

    /// Starts to abort the open transaction, if any. The owner has to discard the batches that are
    /// not in flight before.
    ///
    /// # Errors
    /// A commit without a response has to be recovered instead; or the producer cannot go on.
    pub fn abort(&mut self) -> Result<(), NotReady> {
        let skip_end = match &self.state {
            State::Ready => {
                self.ended = Some(Ended::Aborted);
                return Ok(());
            }
            State::Open => false,
            State::Failed { skip_end, .. } => *skip_end,
            State::Doubted(Doubt::Fails(_)) => {
                self.state = State::Doubted(Doubt::Aborts);
                return Ok(());
            }
            State::Finished(why) => {
                self.ended = Some(why.clone());
                return Ok(());
            }
            _ => return Err(self.not_ready()),
        };
        self.registration.unregistered.clear();
        self.offsets = None;
        self.start(State::Aborting { skip_end });
        Ok(())
    }

    /// Starts to determine the outcome of the last transaction, and prepares the next. Allowed in every state.
    pub fn recover(&mut self) {
        match &self.state {
            State::Ready => self.ended = Some(self.last.clone()),
            State::Stale(ended) => self.start(State::Renewing(ended.clone())),
            State::InDoubt => self.start(State::Recovering),
            State::Open | State::Failed { .. } | State::Doubted(Doubt::Fails(_)) => {
                self.abort().expect("a transaction that is open can be aborted");
            }
            State::Finished(why) => self.ended = Some(why.clone()),
            // The operation is in progress already; its outcome will come.
            State::Opening | State::Committing | State::Aborting { .. } | State::Recovering | State::Renewing(_) => {}
            State::Doubted(Doubt::Aborts) => {}
        }
    }

    /// Raises the epoch locally, which only a producer without transactions may do (KIP-360); after the last epoch
    /// a new producer id is requested.
    pub fn raise_epoch(&mut self) {
        assert!(!self.is_transactional(), "the coordinator gives a transactional producer its epochs");
        match self.identity.epoch.0.checked_add(1) {
            Some(epoch) => self.identity.epoch.0 = epoch,
            None => {
                self.identity = ProducerIdentity::NONE;
                self.start(State::Opening);
            }
        }
    }

    /// Whether batches are to be discarded instead of sent.
    #[must_use]
    pub fn gives_up(&self) -> bool {
        match self.state {
            State::Failed { .. } | State::Aborting { .. } | State::Recovering | State::InDoubt | State::Finished(_) => {
                true
            }
            State::Doubted(_) => true,
            State::Opening | State::Ready | State::Open | State::Committing | State::Renewing(_) | State::Stale(_) => {
                false
            }
        }
    }

    /// Whether a request is in flight or due, so that an outcome will come.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        match self.state {
            State::Opening | State::Committing | State::Aborting { .. } | State::Recovering | State::Renewing(_) => {
                true
            }
            State::Doubted(_) => true,
            State::Ready | State::Open | State::Failed { .. } => false,
            State::InDoubt | State::Stale(_) | State::Finished(_) => false,
        }
    }

    /// Whether the transaction has failed for a reason that is still being found out.
    #[must_use]
    pub fn is_doubted(&self) -> bool {
        matches!(self.state, State::Doubted(_))
    }

    /// The failure of the transaction or of the producer, after which nothing more is worth sending.
    #[must_use]
    pub fn failure(&self) -> Option<&Ended> {
        match &self.state {
            State::Failed { why, .. } | State::Finished(why) => Some(why),
            _ => None,
        }
    }

    /// The outcome of the last operation; returned once.
    pub fn take_ended(&mut self) -> Option<Ended> {
        self.ended.take()
    }

    /// The next request, if one is due. `drained`: no batch waits or is in flight.
    pub fn poll(&mut self, now: Moment, drained: bool) -> Option<CoordinatorRequest> {
        if self.attempts.in_flight.is_some() || now < self.attempts.retry_at {
            return None;
        }
        if self.state == State::Committing {
            self.registration.keep_used();
        }
        let api = self.due(drained)?;
        let limit = if api == ApiKey::InitProducerId { self.init_timeout } else { self.end_timeout };
        let deadline = *self.attempts.deadline.get_or_insert(now + limit);
        if now >= deadline {
            self.give_up(api);
            return None;
        }
        if api == ApiKey::AddOffsetsToTxn {
            self.registration.ask_for_group(self.committed_group().cloned());
        }
        let call = self.call(api, deadline - now);
        self.attempts.in_flight = Some(api);
        self.attempts.find_again = false;
        Some(call)
    }

    /// The time at which to call [`Self::poll`] even if nothing happens.
    #[must_use]
    pub fn next_timeout(&self, now: Moment) -> Option<Moment> {
        Some(self.attempts.retry_at).filter(|at| *at > now && self.attempts.in_flight.is_none())
    }

    /// The API of the request that is due; ends operations that need no request.
    fn due(&mut self, drained: bool) -> Option<ApiKey> {
        match &self.state {
            State::Opening | State::Renewing(_) => Some(ApiKey::InitProducerId),
            State::Doubted(_) => drained.then_some(ApiKey::InitProducerId),
            State::Open | State::Committing if !self.registration.unregistered.is_empty() => {
                Some(ApiKey::AddPartitionsToTxn)
            }
            State::Open => self.registration.missing_group(None).map(|_| ApiKey::AddOffsetsToTxn),
            State::Committing => {
                if self.offsets.is_some() {
                    if self.registration.missing_group(self.committed_group()).is_none() {
                        return Some(ApiKey::TxnOffsetCommit);
                    }
                    let registers_itself = self.version == TransactionVersion::V2 && self.reached;
                    if registers_itself && !drained {
                        // Leaders that ask the coordinator at that moment would have to ask again.
                        return None;
                    }
                    return Some(if registers_itself { ApiKey::TxnOffsetCommit } else { ApiKey::AddOffsetsToTxn });
                }
                if drained && !self.reached {
                    self.finish(Ended::Committed);
                    return None;
                }
                drained.then_some(ApiKey::EndTxn)
            }
            State::Aborting { skip_end } if drained => {
                if *skip_end {
                    self.start(State::Doubted(Doubt::Aborts));
                    return Some(ApiKey::InitProducerId);
                }
                if !self.reached {
                    self.end(Ended::Aborted);
                    return self.due(drained);
                }
                Some(ApiKey::EndTxn)
            }
            State::Recovering => Some(ApiKey::EndTxn),
            State::Aborting { .. } | State::Ready | State::Failed { .. } => None,
            State::InDoubt | State::Stale(_) | State::Finished(_) => None,
        }
    }

    /// The group whose offsets are being committed.
    fn committed_group(&self) -> Option<&Str> {
        self.offsets.as_ref().map(|offsets| &offsets.group.group_id)
    }

    /// Gives up the request that is due, because its time is over.
    fn give_up(&mut self, api: ApiKey) {
        let cause = TransactionCause::TimedOut { api, last: self.attempts.last_code };
        match &self.state {
            State::Open => self.spoil(Reaction::Abortable, cause),
            // Some attempt got "not now" as the response, or none at all: it may have been carried out.
            State::Committing if api == ApiKey::EndTxn && self.attempts.got_there() => {
                self.rest(State::InDoubt, Ended::Unknown(cause));
            }
            State::Committing => self.spoil(Reaction::Abortable, cause),
            State::Aborting { skip_end } => {
                let why = Ended::Abortable(cause.clone());
                let skip_end = *skip_end;
                self.rest(State::Failed { why, skip_end }, Ended::TimedOut(cause));
            }
            State::Doubted(Doubt::Fails(why)) => {
                let why = why.clone();
                self.rest(State::Failed { why: why.clone(), skip_end: true }, why);
            }
            State::Doubted(Doubt::Aborts) => {
                let why = Ended::Abortable(cause.clone());
                self.rest(State::Failed { why, skip_end: true }, Ended::TimedOut(cause));
            }
            State::Recovering => self.rest(State::InDoubt, Ended::TimedOut(cause)),
            State::Renewing(ended) => {
                let ended = ended.clone();
                self.rest(State::Stale(ended.clone()), ended);
            }
            State::Opening => self.rest(State::Opening, Ended::TimedOut(cause)),
            State::Ready | State::Failed { .. } | State::InDoubt | State::Stale(_) | State::Finished(_) => {}
        }
    }

    /// Notes that the transaction cannot be committed any more.
    fn spoil(&mut self, reaction: Reaction, cause: TransactionCause) {
        // A response after the end changes nothing, in particular not an outcome that is still to be taken.
        if matches!(self.state, State::Finished(_)) {
            return;
        }
        let why = match reaction {
            Reaction::Fenced => Ended::Fenced(cause),
            Reaction::Fatal => Ended::Fatal(cause),
            Reaction::GroupChanged => match cause {
                TransactionCause::Refused { code, .. } => Ended::GroupChanged(code),
                cause => Ended::Abortable(cause),
            },
            _ => Ended::Abortable(cause),
        };
        if reaction >= Reaction::Fenced {
            let report = match &self.state {
                // The transaction ended before, whatever happens to the producer.
                State::Renewing(ended) => Some(ended.clone()),
                _ if self.is_busy() => Some(why.clone()),
                _ => None,
            };
            self.start(State::Finished(why));
            self.ended = report;
            return;
        }
        match self.state {
            State::Open | State::Committing if reaction == Reaction::Reinitialize => {
                self.start(State::Doubted(Doubt::Fails(why)));
            }
            State::Open => self.start(State::Failed { why, skip_end: false }),
            State::Committing => self.rest(State::Failed { why: why.clone(), skip_end: false }, why),
            // The transaction failed before, or is being given up anyway.
            State::Aborting { .. } | State::Recovering | State::Opening | State::Renewing(_) | State::Doubted(_) => {}
            State::Ready | State::Failed { .. } | State::InDoubt | State::Stale(_) | State::Finished(_) => {}
        }
    }

    /// Ends the transaction; if a new epoch is needed, that comes first.
    fn end(&mut self, ended: Ended) {
        if self.needs_epoch {
            self.start(State::Renewing(ended));
        } else {
            self.finish(ended);
        }
    }

    fn finish(&mut self, ended: Ended) {
        self.clear();
        self.last = ended.clone();
        self.rest(State::Ready, ended);
    }

    /// Clears the state of the last transaction.
    fn clear(&mut self) {
        self.registration.clear();
        self.offsets = None;
        (self.reached, self.needs_epoch) = (false, false);
    }

    /// Enters a state that waits for the owner, which gets the outcome.
    fn rest(&mut self, state: State, ended: Ended) {
        self.start(state);
        self.ended = Some(ended);
    }

    fn start(&mut self, state: State) {
        (self.state, self.ended) = (state, None);
        let in_flight = self.attempts.in_flight;
        self.attempts = Attempts { in_flight, ..Attempts::default() };
    }

    fn not_ready(&self) -> NotReady {
        match self.state {
            State::Ready | State::Opening => NotReady::NotBegun,
            State::Open => NotReady::AlreadyBegun,
            State::Failed { .. } => NotReady::NeedsAbort,
            State::Finished(_) => NotReady::Finished,
            State::Committing | State::Aborting { .. } | State::Recovering | State::Renewing(_) => {
                NotReady::NeedsRecover
            }
            State::InDoubt | State::Stale(_) | State::Doubted(_) => NotReady::NeedsRecover,
        }
    }
}

#[cfg(test)]
mod tests;
