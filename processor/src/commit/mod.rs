//! Exactly-once: when a transaction begins and ends, and the recovery from an unknown outcome.
//!
//! One transaction covers everything that a worker's tasks did since the last one: output, changelogs, marks,
//! and the offsets of the input. It is sans-IO: the owner (the runtime with a producer, the test driver with
//! logs in memory) asks [`CommitMachine::poll`] for the next [`Step`], carries it out, and reports its outcome
//! to [`CommitMachine::handle`].
//!
//! ```text
//!          begin()               due                       Flushed              Committed
//!  Idle -----------> Open ----------------> Flushing --------------> Ending ----------------> Confirm, Idle
//!                      |                       | MustAbort             | MustAbort
//!                      | abort()               v                       |       | Unknown
//!                      +------------------> Aborting <-----------------+       v
//!                                              |                          Recovering: Recover, ReadCommitted
//!                                       Done:  v                               |                   |
//!                                    RollBack, Idle <--------------------------+ Landed(false)     | Landed(true)
//!                                                                                                  v
//!                                                                                           Confirm, Idle
//! ```
//! # When the answer to EndTxn is missing
//! The outcome is unknown, and a wrong guess loses or doubles records. `InitProducerId` makes the coordinator
//! finish the transaction one way or the other before it answers. Then the committed offsets tell:
//! their metadata ([`OffsetMetadata`]) has the transactional id and the sequence number of the transaction that wrote
//! them. So every transaction must commit the offset of at least one partition, even one that only a timer caused.
//! Tasks keep their state and their undo log meanwhile; nothing is wiped.
//!
//! The next transaction never begins before the last one has finished, so there is one undo log and one order.

mod metadata;
mod policy;

#[cfg(test)]
mod tests;

use kafka_wire::time::Moment;

pub use metadata::OffsetMetadata;
pub use policy::CommitPolicy;

/// The next action of the owner. A step is returned once; steps with an answer wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Call `before_commit` of every task, then send everything and wait for every acknowledgement.
    /// Answer: [`Outcome::Done`], [`Outcome::MustAbort`], [`Outcome::Fatal`].
    Flush,
    /// Add the offsets to the transaction, with this sequence number in their metadata, and end it.
    /// Answer: [`Outcome::Done`], [`Outcome::Unknown`], [`Outcome::MustAbort`], [`Outcome::Fatal`].
    Commit {
        /// The number for [`OffsetMetadata::sequence`].
        sequence: u64,
    },
    /// Abort the transaction. Answer: [`Outcome::Done`], [`Outcome::Unknown`], [`Outcome::Fatal`].
    Abort,
    /// Get a new epoch by `InitProducerId`, repeatedly while a transaction is still being finished.
    /// Answer: [`Outcome::Done`], [`Outcome::Fatal`].
    Recover,
    /// Read the committed offsets of the partitions that were in the transaction, stable offsets only, and compare
    /// their metadata: one that is of the transaction tells for all. Answer: [`Outcome::Landed`], [`Outcome::Fatal`].
    ReadCommitted {
        /// The sequence number to look for.
        sequence: u64,
    },
    /// The transaction is committed: call `committed` of every task. No answer.
    Confirm,
    /// The transaction is aborted: call `rolled_back` of every task, and go back to the committed offsets. No answer.
    RollBack,
    /// Give up: drop the tasks without a further request to the brokers. The next owner goes on from the committed
    /// state. It is returned once; the machine has then ended.
    GiveUp,
}

/// The outcome of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The step succeeded.
    Done,
    /// There was no answer: the step may have been carried out or not.
    Unknown,
    /// The transaction cannot be committed, but the producer can go on: a record was refused, or the group has changed.
    MustAbort,
    /// The committed offsets are (or are not) those of the transaction.
    Landed(bool),
    /// Another producer has taken over, or the step can never succeed.
    Fatal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Open {
        since: Moment,
        size: Size,
    },
    Flushing {
        is_given: bool,
    },
    Ending {
        is_given: bool,
    },
    Aborting {
        is_given: bool,
    },
    /// `InitProducerId` is in progress; then the offsets are read if a commit may have been carried out.
    Recovering {
        is_given: bool,
        may_have_landed: bool,
    },
    Reading {
        is_given: bool,
    },
    Committed,
    RolledBack,
    Failed {
        is_given: bool,
    },
}

/// The size of a transaction so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Size {
    records: u64,
    bytes: u64,
}

/// The exactly-once state machine of one worker. The module describes its states.
#[derive(Clone, Debug)]
pub struct CommitMachine {
    policy: CommitPolicy,
    state: State,
    /// Sequence number of the open transaction, or of the next one.
    sequence: u64,
    /// Whether there is nothing more to read at the moment.
    is_drained: bool,
    /// Whether to commit as soon as possible.
    is_urgent: bool,
    /// End of the last transaction.
    ended_at: Option<Moment>,
}

impl CommitMachine {
    /// Makes a machine without a transaction.
    ///
    /// `first_sequence` must be above every sequence number that this transactional id has used, or an old commit is
    /// taken for one without an answer. The milliseconds since 1970 at the start, times 1,000, satisfy this:
    /// no worker commits that fast.
    #[must_use]
    pub const fn new(policy: CommitPolicy, first_sequence: u64) -> Self {
        Self {
            policy,
            state: State::Idle,
            sequence: first_sequence,
            is_drained: false,
            is_urgent: false,
            ended_at: None,
        }
    }

    /// Sets another policy for the commits from now on.
    pub const fn set_policy(&mut self, policy: CommitPolicy) {
        self.policy = policy;
    }

    /// Call it before the first output or offset of a transaction. Returns whether a transaction has to be begun
    /// at the producer now.
    ///
    /// # Panics
    /// While a commit is in progress: tasks must not run then, see [`CommitMachine::accepts_work`].
    pub fn begin(&mut self, now: Moment) -> bool {
        match self.state {
            State::Idle => {
                self.state = State::Open { since: now, size: Size::default() };
                true
            }
            State::Open { .. } => false,
            state => panic!("tasks must not run during a commit ({state:?})"),
        }
    }

    /// Whether tasks may run: there is no transaction, or it is still open.
    #[must_use]
    pub const fn accepts_work(&self) -> bool {
        matches!(self.state, State::Idle | State::Open { .. })
    }

    /// The sequence number of the open transaction, or of the next one.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Whether there is no transaction.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Adds records of output and their bytes to the size of the transaction.
    pub const fn handle_work(&mut self, records: u64, bytes: u64) {
        if let State::Open { size, .. } = &mut self.state {
            size.records = size.records.saturating_add(records);
            size.bytes = size.bytes.saturating_add(bytes);
        }
    }

    /// Tells whether there is nothing more to read at the moment: then waiting makes the transaction older,
    /// but not larger.
    pub const fn handle_drained(&mut self, is_drained: bool) {
        self.is_drained = is_drained;
    }

    /// Whether there was nothing more to read, as of the last [`CommitMachine::handle_drained`].
    #[must_use]
    pub const fn is_drained(&self) -> bool {
        self.is_drained
    }

    /// Commits the open transaction as soon as possible: before a rebalance, at the end, on shutdown.
    /// Holds until it is committed.
    pub const fn request_commit(&mut self) {
        self.is_urgent = true;
    }

    /// Whether [`CommitMachine::request_commit`] was called for the transaction that is open or being committed.
    #[must_use]
    pub const fn is_requested(&self) -> bool {
        self.is_urgent
    }

    /// Aborts the open transaction: a task has failed, or its partition is gone. No effect if there is no transaction,
    /// or if its commit is in progress.
    pub const fn request_abort(&mut self) {
        if matches!(self.state, State::Open { .. }) {
            self.state = State::Aborting { is_given: false };
        }
    }

    /// The next step, if one is due.
    pub fn poll(&mut self, now: Moment) -> Option<Step> {
        if self.is_due(now) {
            self.state = State::Flushing { is_given: false };
        }
        let sequence = self.sequence;
        let (is_given, step) = match &mut self.state {
            State::Idle | State::Open { .. } => return None,
            State::Flushing { is_given } => (is_given, Step::Flush),
            State::Ending { is_given } => (is_given, Step::Commit { sequence }),
            State::Aborting { is_given } => (is_given, Step::Abort),
            State::Recovering { is_given, .. } => (is_given, Step::Recover),
            State::Reading { is_given } => (is_given, Step::ReadCommitted { sequence }),
            State::Failed { is_given } => (is_given, Step::GiveUp),
            State::Committed => return Some(self.end(Step::Confirm, now)),
            State::RolledBack => return Some(self.end(Step::RollBack, now)),
        };
        (!std::mem::replace(is_given, true)).then_some(step)
    }

    /// Handles the outcome of the last step.
    ///
    /// # Panics
    /// If no step waits for an answer, or not for this one.
    pub fn handle(&mut self, outcome: Outcome) {
        self.state = match (self.state, outcome) {
            (State::Flushing { is_given: true }, Outcome::Done) => State::Ending { is_given: false },
            (State::Flushing { is_given: true } | State::Ending { is_given: true }, Outcome::MustAbort) => {
                State::Aborting { is_given: false }
            }
            (State::Ending { is_given: true }, Outcome::Done) => State::Committed,
            (State::Ending { is_given: true }, Outcome::Unknown) => {
                State::Recovering { is_given: false, may_have_landed: true }
            }
            (State::Aborting { is_given: true }, Outcome::Done) => State::RolledBack,
            // The producer retries a flush without an answer; if it cannot, the new epoch aborts the rest.
            (State::Aborting { is_given: true } | State::Flushing { is_given: true }, Outcome::Unknown) => {
                State::Recovering { is_given: false, may_have_landed: false }
            }
            (State::Recovering { is_given: true, may_have_landed: true }, Outcome::Done) => {
                State::Reading { is_given: false }
            }
            (State::Recovering { is_given: true, may_have_landed: false }, Outcome::Done) => State::RolledBack,
            (State::Reading { is_given: true }, Outcome::Landed(true)) => State::Committed,
            (State::Reading { is_given: true }, Outcome::Landed(false)) => State::RolledBack,
            (_, Outcome::Fatal) => State::Failed { is_given: false },
            (state, outcome) => panic!("{outcome:?} is no answer in {state:?}"),
        };
    }

    /// The time at which [`CommitMachine::poll`] may next have a step, if nothing else happens before.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Moment> {
        let State::Open { since, .. } = self.state else { return None };
        let latest = since + self.policy.max;
        let earliest = self.ended_at.map_or(since, |ended_at| ended_at + self.policy.min);
        Some(if self.is_drained { earliest.min(latest) } else { latest })
    }

    fn is_due(&self, now: Moment) -> bool {
        let State::Open { size, .. } = self.state else { return false };
        let is_full = size.records >= self.policy.records_max || size.bytes >= self.policy.bytes_max;
        self.is_urgent || is_full || self.next_timeout().is_some_and(|due| due <= now)
    }

    fn end(&mut self, step: Step, now: Moment) -> Step {
        self.state = State::Idle;
        self.sequence += 1;
        self.is_urgent = false;
        self.ended_at = Some(now);
        step
    }
}
