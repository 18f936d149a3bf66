//! The control of a worker by others. Checking it is cheap: the worker does so between batches.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// Whether a worker is to stop.
#[derive(Debug, Default)]
pub(super) struct Control {
    is_stopped: AtomicBool,
    changed: Notify,
}

impl Control {
    /// Asks the worker to commit, leave the group and end.
    pub(super) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Acquire)
    }

    /// Returns when a stop has been requested. Cancel safe.
    pub(super) async fn stopped(&self) {
        loop {
            // This is registered before the check, so that a request between the two is not missed.
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.is_stopped() {
                return;
            }
            changed.await;
        }
    }

    pub(super) async fn is_stopped_within(&self, pause: Duration) -> bool {
        tokio::time::timeout(pause, self.stopped()).await.is_ok()
    }
}
