//! Starts a producer's sender: on a thread of its own, or on the runtime of the caller.
//!
//! A sender on the caller's runtime depends on the caller. tokio puts a task that another one wakes into a slot of that
//! one's thread, from which no other thread takes it, and a busy thread drives neither sockets nor timers:
//! records appended by a task that went on computing were not sent, even on a runtime with an idle second thread.
//! So the sender, its timers and its connections have a thread and a runtime to themselves. The cost is one switch
//! of threads per batch, not per record.

use std::io;
use std::sync::Arc;
use std::thread;

use super::super::Client;
use super::sender::Sender;
use super::shared::Shared;
use crate::producer::{ProducerConfig, RunsOn};

/// Starts the sender for the owner of `shared`; it ends when the owner is dropped.
///
/// # Errors
/// The operating system has no thread or no event queue left.
pub(super) fn start(
    client: &Client,
    shared: &Arc<Shared>,
    config: &ProducerConfig,
    has_many_owners: bool,
) -> io::Result<()> {
    let (client, shared) = (client.clone(), Arc::clone(shared));
    match config.runs_on {
        RunsOn::CallersRuntime => {
            tokio::spawn(Sender::new(client, shared, config, has_many_owners).run());
        }
        RunsOn::OwnThread => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let config = config.clone();
            thread::Builder::new().name(THREAD_NAME.to_owned()).spawn(move || {
                runtime.block_on(async move {
                    let own = client.fork();
                    drop(client);
                    Sender::new(own, shared, &config, has_many_owners).run().await;
                });
                // A name look-up that is in progress is not waited for.
                runtime.shutdown_background();
            })?;
        }
    }
    Ok(())
}

/// The name in debuggers and `top -H`; Linux keeps 15 bytes.
const THREAD_NAME: &str = "kafka-producer";
