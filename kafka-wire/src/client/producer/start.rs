//! Setting a producer's sender to work: on a thread of its own, or on the runtime of whoever opens the producer.
//!
//! A task that sends on the caller's runtime depends on the caller. tokio puts a task that another one wakes into a place of that
//! one's thread from where no other thread takes it, and a thread that is busy drives neither sockets nor timers: records that
//! were appended by a task that goes on computing stayed where they were, on a runtime with an idle second thread, too. So
//! the sender, its timers and its connections have a thread and a runtime to themselves. What it costs is a switch of
//! threads for each batch, not for each record.

use std::io;
use std::sync::Arc;
use std::thread;

use super::super::Client;
use super::sender::Sender;
use super::shared::Shared;
use crate::producer::{ProducerConfig, RunsOn};

/// Starts what sends for the owner of `shared`; it ends when the owner is gone.
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
                // A name that is being resolved is not waited for.
                runtime.shutdown_background();
            })?;
        }
    }
    Ok(())
}

/// What debuggers and `top -H` show; Linux keeps 15 bytes.
const THREAD_NAME: &str = "kafka-producer";
