//! The state shared by the owners of a producer and its sender.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

use super::super::MetadataError;
use super::clock::TimeOfDay;
use crate::cluster::{CommittedOffset, GroupMetadata, TopicPartition};
use crate::metrics::{ProducerCounters, ProducerMetrics};
use crate::producer::accumulator::{Accumulator, Slot};
use crate::producer::outbox::SettledBatch;
use crate::producer::partitioner::Chooser;
use crate::producer::transaction::{Ended, TransactionManager};
use crate::producer::{AppendError, DeliveryError, NotReady, ProducerConfig, TopicHandle};
use crate::record::{Batch, with_base_offset};
use crate::time::Moment;
use crate::types::{LeaderEpoch, Offset};
use crate::wire::Str;

/// Two locks, neither ever held across an await. If both are needed, `core` is taken first.
#[derive(Debug)]
pub(super) struct Shared {
    buffer: Mutex<Buffer>,
    core: Mutex<Core>,
    /// Wakes the sender.
    pub(super) wake: Notify,
    pub(super) counters: ProducerCounters,
}

/// The state for appending: the sender locks it only to take batches and to release room.
#[derive(Debug)]
pub(super) struct Buffer {
    pub(super) accumulator: Accumulator,
    pub(super) chooser: Chooser,
    pub(super) time: TimeOfDay,
    pub(super) gate: Gate,
    /// Time for which a batch waits for more records; `None` if only full batches and flushes are sent,
    /// in transactions.
    pub(super) linger: Option<Duration>,
    pub(super) bell: Bell,
    pub(super) first_batch: FirstBatch,
    /// Last acknowledged offset by slot.
    pub(super) last_offsets: Vec<Option<Offset>>,
    /// Batches that are acknowledged are kept here, while their owner wants them.
    pub(super) kept: Option<Kept>,
    /// Fulfilled when there is room, or the transaction has failed.
    pub(super) on_room: Option<oneshot::Sender<()>>,
    /// Records that wait for room, in the order of arrival.
    pub(super) waiting: VecDeque<Waiting>,
    /// Requested look-ups of topics.
    pub(super) lookups: Vec<Lookup>,
}

/// Whether records are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    NoTransaction,
    /// The transaction has failed.
    Failed,
    Closed,
    Stopped,
}

/// The first batch of a transaction, some time after which the transaction registers its partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum FirstBatch {
    /// The transaction has none yet.
    Awaited,
    /// It was opened, or announced, at that time.
    OpenedAt(Moment),
    /// The transaction has been seen to, or ends already, or there is none.
    #[default]
    Done,
}

/// News for the sender that it has not seen yet, or will see in time.
#[derive(Debug, Default)]
pub(super) struct Bell {
    has_rung: bool,
    /// The time at which the sender will look at open batches by itself; a batch that is opened now is due later.
    next_look: Option<Moment>,
}

/// The acknowledged batches of some topics.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) topics: Vec<TopicHandle>,
    pub(super) batches: Vec<KeptBatch>,
}

/// A batch that a leader has written, with the offset of its first record.
#[derive(Debug)]
pub(super) struct KeptBatch {
    pub(super) slot: Slot,
    pub(super) base_offset: Offset,
    pub(super) bytes: Bytes,
}

impl KeptBatch {
    /// The batch as the leader has appended it.
    pub(super) fn in_log(self) -> Option<Batch> {
        Batch::from_bytes(with_base_offset(&self.bytes, self.base_offset.0, LeaderEpoch(-1))).ok()
    }
}

/// A record without room, and the owner to be told to try again.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) record_bytes: usize,
    pub(super) deadline: Moment,
    pub(super) promise: oneshot::Sender<Turn>,
}

/// The message to a waiting owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    TryAgain,
    TimeIsOver,
}

/// A topic that an owner wants to write to.
#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) name: Str,
    /// Time at which to give up, if that is before the client's own.
    pub(super) deadline: Option<Moment>,
    pub(super) promise: oneshot::Sender<Result<TopicHandle, LookupError>>,
}

/// The reason why a topic was not found.
#[derive(Clone, Debug)]
pub(super) enum LookupError {
    Metadata(MetadataError),
    TimedOut,
    Stopped,
}

/// The state for the sender's decisions.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) manager: TransactionManager,
    /// Offsets to be committed with the open transaction.
    pub(super) offsets: Option<(GroupMetadata, Vec<(TopicPartition, CommittedOffset)>)>,
    /// The first failed batch that was not reported yet, and the number of records that failed in all.
    pub(super) failed: Option<(DeliveryError, u64)>,
    /// Fulfilled when every batch below this number is settled, or the transaction has failed.
    pub(super) on_settled: Vec<(u64, oneshot::Sender<()>)>,
    /// Fulfilled with the outcome of the manager's operation.
    pub(super) on_ended: Vec<oneshot::Sender<Ended>>,
    /// Fulfilled when the sender has ended.
    pub(super) on_stopped: Vec<oneshot::Sender<()>>,
    /// Whether the owners were dropped, or have closed the producer.
    pub(super) is_closed: bool,
    /// Whether the sender has ended.
    pub(super) has_stopped: bool,
}

impl Shared {
    /// `lingers`: batches are also sent inside transactions when their linger is over.
    pub(super) fn new(config: &ProducerConfig, lingers: bool, seed: u64) -> Self {
        let is_transactional = config.transactional_id.is_some();
        let adaptive = config.adaptive_partitioning;
        let buffer = Buffer {
            accumulator: Accumulator::new(config),
            chooser: Chooser::new(config.partitioning.clone(), config.batch_size_bytes, adaptive, seed),
            time: TimeOfDay::new(),
            gate: if is_transactional { Gate::NoTransaction } else { Gate::Open },
            linger: (lingers || !is_transactional).then_some(config.linger),
            bell: Bell::default(),
            first_batch: FirstBatch::Done,
            last_offsets: Vec::new(),
            kept: None,
            on_room: None,
            waiting: VecDeque::new(),
            lookups: Vec::new(),
        };
        let core = Core {
            manager: TransactionManager::new(config),
            offsets: None,
            failed: None,
            on_settled: Vec::new(),
            on_ended: Vec::new(),
            on_stopped: Vec::new(),
            is_closed: false,
            has_stopped: false,
        };
        let counters = ProducerCounters::default();
        Self { buffer: Mutex::new(buffer), core: Mutex::new(core), wake: Notify::new(), counters }
    }

    /// A panic of the other side leaves at worst an unfinished batch, which is never sent.
    #[inline]
    pub(super) fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The numbers of the producer so far.
    pub(super) fn metrics(&self, client_id: &Str) -> ProducerMetrics {
        let buffer = self.buffer();
        ProducerMetrics {
            buffer_used_bytes: buffer.accumulator.buffered_bytes() as u64,
            buffer_limit_bytes: buffer.accumulator.limit_bytes() as u64,
            waiting_sends: buffer.waiting.len() as u64,
            ..self.counters.read(client_id)
        }
    }

    /// See [`Self::buffer`]; the manager's steps are complete or have not happened.
    pub(super) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Core {
    /// Returns an error if there is no sender: it was closed, or has ended on its own.
    pub(super) fn check(&self) -> Result<(), NotReady> {
        match (self.has_stopped, self.is_closed) {
            (false, _) => Ok(()),
            (true, true) => Err(NotReady::Finished),
            (true, false) => Err(NotReady::Stopped),
        }
    }
}

impl Buffer {
    /// Records the last acknowledged offset of a partition.
    pub(super) fn acknowledge(&mut self, slot: Slot, offset: Offset) {
        if self.last_offsets.len() <= slot.index() {
            self.last_offsets.resize(slot.index() + 1, None);
        }
        self.last_offsets[slot.index()] = Some(offset);
    }

    /// Keeps the memory of a settled batch, for the owner if it wants the batch, else for later ones.
    pub(super) fn keep(&mut self, settled: SettledBatch) {
        let Self { accumulator, kept, .. } = self;
        let SettledBatch { slot, bytes, base_offset, is_as_sent, .. } = settled;
        let is_wanted = |kept: &&mut Kept| is_as_sent && kept.topics.contains(&accumulator.topic_of(slot));
        match (kept.as_mut().filter(is_wanted), base_offset) {
            (Some(kept), Some(base_offset)) => kept.batches.push(KeptBatch { slot, base_offset, bytes }),
            _ => accumulator.recycle(bytes),
        }
    }

    /// Notes that a batch was opened or closed. Returns whether the sender has to be woken for it.
    pub(super) fn note_news(&mut self, now: Moment) -> bool {
        self.accumulator.date_opened(now);
        let mut rings = self.accumulator.has_closed() && !self.bell.has_rung;
        if let Some(linger) = self.linger
            && self.bell.next_look.is_none()
        {
            self.bell.next_look = Some(now + linger);
            rings = true;
        }
        rings |= self.expect_batches(now);
        self.bell.has_rung |= rings;
        rings
    }

    /// Notes that the open transaction has its first batch, or will have it soon. Returns whether the sender has to be
    /// woken for it.
    pub(super) fn expect_batches(&mut self, now: Moment) -> bool {
        let is_first = self.first_batch == FirstBatch::Awaited;
        if is_first {
            self.first_batch = FirstBatch::OpenedAt(now);
        }
        is_first
    }

    /// Opens or closes the gate, unless it is closed for good.
    pub(super) fn set_gate(&mut self, gate: Gate) {
        if !matches!(self.gate, Gate::Closed | Gate::Stopped) {
            self.gate = gate;
        }
        self.first_batch = if self.gate == Gate::Open { FirstBatch::Awaited } else { FirstBatch::Done };
    }
}

impl Bell {
    /// Notes that the sender looks now, and will look again at `next_look`.
    pub(super) fn looked(&mut self, next_look: Option<Moment>) {
        *self = Self { has_rung: false, next_look };
    }
}

impl Gate {
    #[inline]
    pub(super) fn check(self) -> Result<(), AppendError> {
        match self {
            Self::Open => Ok(()),
            Self::NoTransaction => Err(AppendError::NotInTransaction),
            Self::Failed => Err(AppendError::TransactionFailed),
            Self::Closed => Err(AppendError::Closed),
            Self::Stopped => Err(AppendError::Stopped),
        }
    }
}
