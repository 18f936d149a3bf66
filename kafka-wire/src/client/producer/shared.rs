//! What the owner of a producer and its background task both touch.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use crate::producer::accumulator::{Accumulator, Slot};
use crate::producer::transaction::{Ended, TransactionManager};
use crate::producer::{DeliveryError, ProducerConfig};
use crate::types::Offset;

/// Two locks, none ever held across an await. When both are needed, `core` is taken first.
#[derive(Debug)]
pub(super) struct Shared {
    buffer: Mutex<Buffer>,
    core: Mutex<Core>,
    /// Rung when there is something new for the task.
    pub(super) wake: Notify,
}

/// What appending needs: the task holds it only to take batches out and to give room back.
#[derive(Debug)]
pub(super) struct Buffer {
    pub(super) accumulator: Accumulator,
    /// Last acknowledged offset by slot.
    pub(super) last_offsets: Vec<Option<Offset>>,
    /// Wants to know when there is room, or the transaction has failed.
    pub(super) on_room: Option<oneshot::Sender<()>>,
}

/// What the task decides by.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) manager: TransactionManager,
    /// The first batch that failed and was not yet reported, and how many records failed in all.
    pub(super) failed: Option<(DeliveryError, u64)>,
    /// Wants to know when every batch is settled, or the transaction has failed.
    pub(super) on_drained: Option<oneshot::Sender<()>>,
    /// Wants to know how what the manager was asked for has ended.
    pub(super) on_ended: Option<oneshot::Sender<Ended>>,
    /// The owner is gone.
    pub(super) is_closed: bool,
    /// The task is gone.
    pub(super) has_stopped: bool,
}

impl Shared {
    pub(super) fn new(config: &ProducerConfig) -> Self {
        let buffer = Buffer { accumulator: Accumulator::new(config), last_offsets: Vec::new(), on_room: None };
        let core = Core {
            manager: TransactionManager::new(config),
            failed: None,
            on_drained: None,
            on_ended: None,
            is_closed: false,
            has_stopped: false,
        };
        Self { buffer: Mutex::new(buffer), core: Mutex::new(core), wake: Notify::new() }
    }

    /// A panic of the other side leaves at worst an unfinished batch behind, which is never sent.
    pub(super) fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// See [`Self::buffer`]; the manager's steps are complete or have not happened.
    pub(super) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    /// Keeps the last offset of a partition.
    pub(super) fn acknowledge(&mut self, slot: Slot, offset: Offset) {
        if self.last_offsets.len() <= slot.index() {
            self.last_offsets.resize(slot.index() + 1, None);
        }
        self.last_offsets[slot.index()] = Some(offset);
    }
}
