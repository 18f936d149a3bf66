//! The thread of a worker slot: it runs one worker after the other.
//!
//! Uncommitted work of a worker is lost with it, which makes starting over safe: the next one begins at the committed
//! offsets of the group, and `InitProducerId` aborts the open transaction of the last one.

use std::time::Duration;

use tokio::sync::oneshot;
use tracing::info;

use super::error::RunError;
use super::reader::Answering;
use super::spec::Spec;
use super::wiring::{self, Over};
use crate::worker::End;

/// The way in which the thread ended.
#[derive(Debug)]
pub(super) enum Exit {
    /// The thread was asked to stop, and its worker has committed and left the group.
    Stopped,
    /// Its worker has died in the middle of its work, as requested.
    Killed,
    /// Its worker cannot go on, and a replacement could not either.
    Failed(RunError),
}

/// Starts the thread. The receiver gets its end, or an error if the thread panicked.
pub(super) fn spawn(spec: Spec) -> Result<oneshot::Receiver<Exit>, RunError> {
    let (ended, end) = oneshot::channel();
    let refused = |error: std::io::Error| RunError::Worker(format!("a worker thread cannot be started: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(refused)?;
    std::thread::Builder::new()
        .name(spec.transactional_id.to_string())
        .spawn(move || {
            let questions = Answering::new(&spec.questions);
            let exit = runtime.block_on(run(spec));
            // A worker that was killed is replaced, and the next one answers.
            if matches!(exit, Exit::Killed) {
                questions.stay_open();
            }
            // Connections and their tasks end here, without a further request to the brokers.
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
