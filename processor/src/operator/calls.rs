//! Calls to the outside: futures that a step has begun, each polled only after it was woken.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{self, Poll, Wake, Waker};

use kafka_wire::time::Moment;

/// Wakes a worker when a call of one of its tasks can go on.
#[derive(Debug, Default)]
pub struct CallHub {
    is_ready: AtomicBool,
    worker: Mutex<Option<Waker>>,
}

impl CallHub {
    /// Waits until a call can go on. It is for one waiter at a time, and cancel safe.
    pub fn poll_ready(&self, context: &task::Context<'_>) -> Poll<()> {
        if self.take_ready() {
            return Poll::Ready(());
        }
        *lock(&self.worker) = Some(context.waker().clone());
        // A call may have been woken in between.
        if self.take_ready() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn take_ready(&self) -> bool {
        self.is_ready.swap(false, Ordering::AcqRel)
    }

    fn wake(&self) {
        if !self.is_ready.swap(true, Ordering::AcqRel)
            && let Some(waker) = lock(&self.worker).take()
        {
            waker.wake();
        }
    }
}

/// The calls of one task, as the task and its worker see them.
#[derive(Debug)]
pub struct Calls {
    pub(super) hub: Arc<CallHub>,
    /// Number of records whose result has not come out.
    pub outstanding: usize,
    /// Number of those whose result goes on to further steps, so that event time waits for it.
    pub awaited: usize,
    /// Number of those whose call has not begun, because a step has as many calls as it may have.
    pub waiting: usize,
    /// The next time at which a call may have timed out, or is to be repeated.
    pub next_timeout: Option<Moment>,
}

impl Calls {
    /// No calls; `hub` is that of the worker.
    #[must_use]
    pub const fn new(hub: Arc<CallHub>) -> Self {
        Self { hub, outstanding: 0, awaited: 0, waiting: 0, next_timeout: None }
    }

    /// Forgets all calls.
    pub const fn clear(&mut self) {
        (self.outstanding, self.awaited, self.waiting, self.next_timeout) = (0, 0, 0, None);
    }

    /// Asks for another look at this time.
    pub(super) fn wake_at(&mut self, at: Moment) {
        self.next_timeout = Some(self.next_timeout.map_or(at, |next| next.min(at)));
    }
}

/// Futures by slot. A slot, its waker and the memory of its future are used again.
#[derive(Debug)]
pub(super) struct Futures<F> {
    slots: Vec<Slot<F>>,
    free: Vec<usize>,
    woken: Arc<Woken>,
    /// A list that is used again.
    ready: Vec<usize>,
}

#[derive(Debug)]
struct Slot<F> {
    future: Pin<Box<Option<F>>>,
    waker: Waker,
}

/// The slots that were woken since the last look.
#[derive(Debug, Default)]
struct Woken {
    slots: Mutex<Vec<usize>>,
    /// Set with the first future.
    hub: Mutex<Option<Arc<CallHub>>>,
}

struct SlotWaker {
    slot: usize,
    woken: Arc<Woken>,
}

impl Wake for SlotWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        lock(&self.woken.slots).push(self.slot);
        let hub = lock(&self.woken.hub).clone();
        if let Some(hub) = hub {
            hub.wake();
        }
    }
}

impl<F> Default for Futures<F> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), woken: Arc::default(), ready: Vec::new() }
    }
}

impl<F: Future> Futures<F> {
    /// Number of futures.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Adds a future. Returns its slot, which is to be polled at once.
    pub(super) fn insert(&mut self, future: F, hub: &Arc<CallHub>) -> usize {
        if let Some(slot) = self.free.pop() {
            self.slots[slot].future.set(Some(future));
            return slot;
        }
        let slot = self.slots.len();
        lock(&self.woken.hub).get_or_insert_with(|| Arc::clone(hub));
        let waker = Waker::from(Arc::new(SlotWaker { slot, woken: Arc::clone(&self.woken) }));
        self.slots.push(Slot { future: Box::pin(Some(future)), waker });
        slot
    }

    /// Polls a future; frees its slot if it has ended. Pending, if there is none.
    pub(super) fn poll(&mut self, slot: usize) -> Poll<F::Output> {
        let Slot { future, waker } = &mut self.slots[slot];
        let Some(running) = future.as_mut().as_pin_mut() else { return Poll::Pending };
        let polled = running.poll(&mut task::Context::from_waker(waker));
        if polled.is_ready() {
            self.remove(slot);
        }
        polled
    }

    /// Drops the future of a slot.
    pub(super) fn remove(&mut self, slot: usize) {
        self.slots[slot].future.set(None);
        self.free.push(slot);
    }

    /// The slots that were woken since the last call; some may be free, or occur twice.
    pub(super) fn take_woken(&mut self) -> Vec<usize> {
        let mut ready = std::mem::take(&mut self.ready);
        ready.clear();
        std::mem::swap(&mut ready, &mut *lock(&self.woken.slots));
        ready
    }

    /// Gives the list of [`Futures::take_woken`] back, to be used again.
    pub(super) fn put_back(&mut self, ready: Vec<usize>) {
        self.ready = ready;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
