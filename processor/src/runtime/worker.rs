//! A worker: one thread that holds a share of the partitions, with one transaction at a time.
//!
//! The thread runs [`Worker::run`]: join the group, work (`session`), and start over when something broke that passes by
//! itself. Whatever was not committed is gone with the session, which is what makes starting over safe: the next session
//! begins at what the group has committed, and `InitProducerId` aborts what the last one left open.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use kafka_wire::wire::Str;
use tokio::sync::{Notify, oneshot};
use tracing::{info, warn};

use super::config::Config;
use super::error::RunError;
use super::session::Session;
use super::status::Counters;
use super::topics::Ends;
use crate::topology::Topology;

/// What a worker is made of; the same again when it is replaced after a kill.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) topology: Arc<Topology>,
    pub(crate) config: Arc<Config>,
    /// Names the worker to the transaction coordinator; no two live workers have the same one.
    pub(crate) transactional_id: Str,
    /// Names the worker to the group when its id outlives a restart (KIP-345).
    pub(crate) group_instance_id: Option<Str>,
    /// Where a bounded run ends; `None` runs until stopped.
    pub(crate) ends: Option<Arc<Ends>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) control: Arc<Control>,
}

/// How a worker came to its end.
#[derive(Debug)]
pub(crate) enum Exit {
    /// Asked to, it committed and left the group.
    Stopped,
    /// It died in the middle of what it did, as asked.
    Killed,
    /// It cannot go on, and neither would a replacement.
    Failed(RunError),
}

/// Why a session ended.
#[derive(Debug)]
pub(crate) enum SessionEnd {
    /// Committed and left the group.
    Stopped,
    /// Drop everything, say goodbye to nobody.
    Killed,
    /// Something that passes: start over.
    Restart(String),
    /// Something that does not.
    Fatal(RunError),
}

impl<E: Into<RunError>> From<E> for SessionEnd {
    fn from(error: E) -> Self {
        Self::Fatal(error.into())
    }
}

impl Worker {
    /// Starts the worker's thread; the receiver gets its end, or is dropped when the thread panicked.
    pub(crate) fn spawn(self) -> Result<oneshot::Receiver<Exit>, RunError> {
        let (ended, end) = oneshot::channel();
        let refused = |error: std::io::Error| RunError::Worker(format!("a worker thread cannot be started: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(refused)?;
        std::thread::Builder::new()
            .name(self.transactional_id.to_string())
            .spawn(move || {
                let exit = runtime.block_on(self.run());
                // Connections and their tasks end here, without a word to the brokers.
                runtime.shutdown_background();
                let _ = ended.send(exit);
            })
            .map_err(refused)?;
        Ok(end)
    }

    async fn run(self) -> Exit {
        let mut pause = RESTART_PAUSE_MIN;
        loop {
            let commits_before = self.counters.commits.load(Ordering::Relaxed);
            let end = Session::run(&self).await;
            self.counters.is_running.store(false, Ordering::Relaxed);
            self.counters.tasks.store(0, Ordering::Relaxed);
            self.counters.is_finished.store(false, Ordering::Release);
            match end {
                SessionEnd::Stopped => return Exit::Stopped,
                SessionEnd::Killed => {
                    Counters::add(&self.counters.kills, 1);
                    return Exit::Killed;
                }
                SessionEnd::Fatal(error) => return Exit::Failed(error),
                SessionEnd::Restart(cause) => warn!(worker = %self.transactional_id, %cause, "worker starts over"),
            }
            Counters::add(&self.counters.restarts, 1);
            let has_progressed = self.counters.commits.load(Ordering::Relaxed) > commits_before;
            pause = if has_progressed { RESTART_PAUSE_MIN } else { (pause * 2).min(RESTART_PAUSE_MAX) };
            if self.control.is_stopped_within(pause).await {
                info!(worker = %self.transactional_id, "stopped while starting over; nothing was left open that the next start does not abort");
                return Exit::Stopped;
            }
        }
    }
}

/// How others steer a worker. Cheap to look at: the worker does so between batches.
#[derive(Debug, Default)]
pub(crate) struct Control {
    wish: AtomicU8,
    changed: Notify,
}

impl Control {
    /// Commit, leave the group, end.
    pub(crate) fn stop(&self) {
        self.wish.store(STOP, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Die at the next commit, with its transaction flushed and open, or when idle for a while. Does not override a stop.
    pub(crate) fn kill(&self) {
        let _ = self.wish.compare_exchange(RUN, KILL, Ordering::AcqRel, Ordering::Acquire);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.wish.load(Ordering::Acquire) == STOP
    }

    /// Whether the worker should die now; true once.
    pub(crate) fn takes_kill(&self) -> bool {
        self.wish.compare_exchange(KILL, RUN, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Returns when a stop is wished. Cancel safe.
    pub(crate) async fn stopped(&self) {
        loop {
            // Registered before the look, so that a wish between the two is not missed.
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.is_stopped() {
                return;
            }
            changed.await;
        }
    }

    async fn is_stopped_within(&self, pause: Duration) -> bool {
        tokio::time::timeout(pause, self.stopped()).await.is_ok()
    }
}

const RUN: u8 = 0;
const STOP: u8 = 1;
const KILL: u8 = 2;

const RESTART_PAUSE_MIN: Duration = Duration::from_millis(50);
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(2);
