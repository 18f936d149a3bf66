//! The thread of a worker slot: it runs one worker after the other.
//!
//! Whatever a worker had not committed is gone with it, which is what makes starting over safe: the next one begins at what
//! the group has committed, and `InitProducerId` aborts what the last one left open.

use std::time::Duration;

use tokio::sync::oneshot;
use tracing::info;

use super::error::RunError;
use super::spec::Spec;
use super::wiring::{self, Over};
use crate::worker::End;

/// How the thread came to its end.
#[derive(Debug)]
pub(super) enum Exit {
    /// Asked to, its worker committed and left the group.
    Stopped,
    /// Its worker died in the middle of what it did, as asked.
    Killed,
    /// Its worker cannot go on, and neither would a replacement.
    Failed(RunError),
}

/// Starts the thread; the receiver gets its end, or is dropped when the thread panicked.
pub(super) fn spawn(spec: Spec) -> Result<oneshot::Receiver<Exit>, RunError> {
    let (ended, end) = oneshot::channel();
    let refused = |error: std::io::Error| RunError::Worker(format!("a worker thread cannot be started: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(refused)?;
    std::thread::Builder::new()
        .name(spec.transactional_id.to_string())
        .spawn(move || {
            let exit = runtime.block_on(run(spec));
            // Connections and their tasks end here, without a word to the brokers.
            runtime.shutdown_background();
            let _ = ended.send(exit);
        })
        .map_err(refused)?;
    Ok(end)
}

async fn run(spec: Spec) -> Exit {
    let mut pause = RESTART_PAUSE_MIN;
    loop {
        let over = wiring::run(&spec).await;
        let has_progressed = spec.board.end_life();
        match over {
            Over::Ended(End::Stopped) => return Exit::Stopped,
            Over::Ended(End::Fatal(fatal)) => return Exit::Failed(fatal.into()),
            Over::Ended(End::Restart(_)) => {}
            Over::Killed => {
                spec.board.count_kill();
                return Exit::Killed;
            }
        }
        spec.board.count_restart();
        pause = if has_progressed { RESTART_PAUSE_MIN } else { (pause * 2).min(RESTART_PAUSE_MAX) };
        if spec.control.is_stopped_within(pause).await {
            info!(worker = %spec.transactional_id, "stopped while starting over; nothing was left open that the next start does not abort");
            return Exit::Stopped;
        }
    }
}

const RESTART_PAUSE_MIN: Duration = Duration::from_millis(50);
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(2);
