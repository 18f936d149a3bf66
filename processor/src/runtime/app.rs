//! A job in this process: its topics, its workers, its end.

use std::future::Future;
use std::sync::Arc;

use kafka_wire::wire::Str;
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::config::Config;
use super::error::RunError;
use super::global_reader::GlobalReader;
use super::instance::Instance;
use super::kill::Deaths;
use super::reader::{ReadError, StoreReader};
use super::spec::Spec;
use super::start::{self, Prepared};
use super::status::Status;
use super::thread::{self, Exit};
use crate::serde::Serde;
use crate::topology::Topology;
use crate::types::Owned;
use crate::worker::TaskReport;

/// A job, ready to run in this process. Start the same program again, here or elsewhere, to spread the work:
/// the application id is the consumer group.
pub struct App {
    topology: Topology,
    config: Config,
    is_bounded: bool,
    deaths: Option<Deaths>,
}

impl App {
    /// Makes a job that runs until it is stopped.
    #[must_use]
    pub fn new(topology: Topology, config: Config) -> Self {
        Self { topology, config, is_bounded: false, deaths: None }
    }

    /// Makes the job bounded: it reads to the ends that the source topics have at the start, closes every
    /// window, commits and ends. An input that has a bound of its own ([`Stream::bounded`]) reads to that.
    ///
    /// [`Stream::bounded`]: crate::topology::Stream::bounded
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.is_bounded = true;
        self
    }

    /// Lets `deaths` kill workers. For demonstrations and tests.
    #[must_use]
    pub fn with_deaths(mut self, deaths: &Deaths) -> Self {
        self.deaths = Some(deaths.clone());
        self
    }

    /// Starts the workers: checks the configuration, finds the topics, and creates the job's own. Waits up to
    /// `start.timeout.ms` for brokers that are down or moving. Cancel safe: if the future is dropped, nothing runs.
    ///
    /// # Errors
    /// See [`RunError`]; after an error nothing runs.
    pub async fn start(self) -> Result<Running, RunError> {
        let Self { topology, config, is_bounded, deaths } = self;
        config.validate()?;
        let topology = config.policies().fold(topology, |topology, (kind, policy)| topology.with_policy(kind, policy));
        let topology = match &config.dead_letters {
            Some(topic) => topology.with_dead_letters(topic),
            None => topology,
        };
        let instance = instance(&config, topology.application_id());
        let transactional_id = |index| format!("{}-{}-{index}", topology.application_id(), instance.id());
        let ids: Vec<Str> = (0..config.workers).map(transactional_id).map(Str::from).collect();
        let Prepared { topology: found, ends } = start::prepare(&topology, &config, &ids, is_bounded).await?;
        let topology = Arc::new(found.unwrap_or(topology));
        let config = Arc::new(config);
        let mut slots = Vec::new();
        for (index, id) in ids.into_iter().enumerate() {
            let spec = Spec {
                topology: Arc::clone(&topology),
                config: Arc::clone(&config),
                transactional_id: id.clone(),
                group_instance_id: Some(id),
                is_discovering: !is_bounded,
                ends: ends.clone(),
                board: Arc::default(),
                control: Arc::default(),
                questions: Arc::default(),
                index,
                deaths: deaths.clone(),
            };
            let end = thread::spawn(spec.clone())?;
            slots.push(Slot { spec, end: Some(end) });
        }
        info!(application = topology.application_id(), workers = slots.len(), instance = instance.id(), "started");
        Ok(Running { topology, slots, _instance: instance })
    }

    /// Runs until `stop` completes, a bounded run has ended, or the job cannot go on; then commits and leaves
    /// the group.
    ///
    /// # Errors
    /// See [`RunError`]. Earlier commits stay.
    pub async fn run_until(self, stop: impl Future) -> Result<Status, RunError> {
        let mut stop = std::pin::pin!(stop);
        let mut running = tokio::select! {
            biased;
            _ = &mut stop => return Ok(Status::default()),
            running = self.start() => running?,
        };
        let finished = tokio::select! {
            biased;
            finished = running.finished() => finished,
            _ = stop => Ok(()),
        };
        // The other workers commit and leave the group even if one cannot go on.
        let stopped = running.stop().await;
        finished.and(stopped)
    }
}

/// Completes at SIGTERM or SIGINT (Ctrl-C), for [`App::run_until`]. On Windows at Ctrl-C, Ctrl-Break, and when
/// the console is closed.
///
/// # Panics
/// Outside of a tokio runtime that has its I/O driver enabled.
#[cfg(unix)]
pub async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).expect("the runtime has its I/O driver enabled");
    let mut interrupt = signal(SignalKind::interrupt()).expect("the runtime has its I/O driver enabled");
    tokio::select! {
        biased;
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Completes at Ctrl-C, at Ctrl-Break, and when the console is closed, for [`App::run_until`].
/// On Unix at SIGTERM or SIGINT.
///
/// # Panics
/// Outside of a tokio runtime that has its I/O driver enabled.
#[cfg(windows)]
pub async fn terminated() {
    use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close};
    let mut interrupt = ctrl_c().expect("the runtime has its I/O driver enabled");
    let mut break_key = ctrl_break().expect("the runtime has its I/O driver enabled");
    let mut close = ctrl_close().expect("the runtime has its I/O driver enabled");
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = break_key.recv() => {}
        _ = close.recv() => {}
    }
}

/// The workers of a job in this process. Dropping it asks them to stop, without waiting for that.
pub struct Running {
    topology: Arc<Topology>,
    slots: Vec<Slot>,
    /// Holds the lock of this process's id until the workers have ended.
    _instance: Instance,
}

struct Slot {
    spec: Spec,
    /// `None` once the worker has ended.
    end: Option<oneshot::Receiver<Exit>>,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Slot").field(&self.spec.transactional_id).finish()
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("slots", &self.slots).finish_non_exhaustive()
    }
}

impl Running {
    /// The status of the job: the sums over its workers so far.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::sum(self.slots.iter().map(|slot| &*slot.spec.board))
    }

    /// The report of each task in this process, at most 100 ms old: by worker, then by task.
    #[must_use]
    pub fn tasks(&self) -> Vec<TaskReport> {
        self.slots.iter().flat_map(|slot| slot.spec.board.tasks()).collect()
    }

    /// Reads a store of the job: the table of an aggregation, with windows or without, the rows of a table, or a store
    /// of one value a key of a `process` step. `name` is that of the step, or `<step>-<name>` for a store of a
    /// `process` step; the serdes are those of the key and of the value that is kept: [`U64`](crate::serde::U64) for a
    /// count, that of the number for a sum, the `value_serde` of `aggregate`, `reduce` and `to_table`.
    ///
    /// # Errors
    /// [`ReadError::NoStore`] names the stores that there are.
    pub fn reader<KS, VS, A>(&self, name: &str, key: KS, value: VS) -> Result<StoreReader<KS, VS>, ReadError>
    where
        KS: Serde,
        VS: Serde<View = Owned<A>>,
        A: 'static,
    {
        let workers = self.slots.iter().map(|slot| Arc::clone(&slot.spec.questions)).collect();
        StoreReader::new(&self.topology, name, (key, value), workers)
    }

    /// Reads a global table of the job, that of the topic `topic`; the serdes are those with which it was declared.
    ///
    /// # Errors
    /// [`ReadError::NoGlobalTable`] names the topics of those that there are.
    pub fn global_reader<KS, VS, A>(&self, topic: &str, key: KS, value: VS) -> Result<GlobalReader<KS, VS>, ReadError>
    where
        KS: Serde,
        VS: Serde<View = Owned<A>>,
        A: 'static,
    {
        let first = self.slots.first().expect("a job has a worker");
        GlobalReader::new(&self.topology, topic, (key, value), Arc::clone(&first.spec.questions))
    }

    /// The indexes of the workers that hold tasks.
    #[must_use]
    pub fn busy_workers(&self) -> Vec<usize> {
        let has_tasks = |slot: &Slot| slot.spec.board.has_tasks();
        self.slots.iter().enumerate().filter(|(_, slot)| has_tasks(slot)).map(|(index, _)| index).collect()
    }

    /// Waits until a bounded run has ended, or a job all of whose inputs are bounded; another one never does. Replaces
    /// workers that were killed, so poll it while the job runs. Cancel safe.
    ///
    /// # Errors
    /// The error of the first worker that cannot go on; the others still run, and [`Running::stop`] ends them.
    pub async fn finished(&mut self) -> Result<(), RunError> {
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        loop {
            look.tick().await;
            for slot in &mut self.slots {
                slot.supervise()?;
            }
            let is_done = |slot: &Slot| slot.spec.board.is_finished();
            if self.slots.iter().all(is_done) {
                return Ok(());
            }
        }
    }

    /// Stops the workers: they commit, leave the group and end.
    ///
    /// # Errors
    /// The error of the first worker that could not.
    pub async fn stop(mut self) -> Result<Status, RunError> {
        for slot in &self.slots {
            slot.spec.control.stop();
        }
        let mut result = Ok(());
        for slot in &mut self.slots {
            if let Some(end) = slot.end.take() {
                let exit = end.await.unwrap_or_else(|_| panicked(&slot.spec));
                if let Exit::Failed(error) = exit {
                    result = result.and(Err(error));
                }
            }
        }
        result.map(|()| self.status())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for slot in &self.slots {
            slot.spec.control.stop();
        }
    }
}

impl Slot {
    /// Replaces a worker that was killed, and reports one that cannot go on.
    fn supervise(&mut self) -> Result<(), RunError> {
        let Some(end) = &mut self.end else { return Ok(()) };
        let exit = match end.try_recv() {
            Ok(exit) => exit,
            Err(oneshot::error::TryRecvError::Empty) => return Ok(()),
            Err(oneshot::error::TryRecvError::Closed) => panicked(&self.spec),
        };
        self.end = None;
        match exit {
            Exit::Stopped => Ok(()),
            Exit::Killed => {
                warn!(worker = %self.spec.transactional_id, "killed; a replacement starts");
                self.end = Some(thread::spawn(self.spec.clone())?);
                Ok(())
            }
            Exit::Failed(error) => Err(error),
        }
    }
}

fn panicked(spec: &Spec) -> Exit {
    Exit::Failed(RunError::Worker(format!(
        "worker {} panicked; its transaction aborts by itself",
        spec.transactional_id
    )))
}

/// Without a place for the id the job still runs, but a restart has to wait for timeouts.
fn instance(config: &Config, application_id: &str) -> Instance {
    if let Some(id) = &config.instance_id {
        return Instance::given(id);
    }
    let directory = config.state_dir.join(application_id);
    Instance::take(&directory).unwrap_or_else(|error| {
        warn!(directory = %directory.display(), %error, "no id can be kept there; a restart will wait for timeouts");
        Instance::random()
    })
}

const LOOK_INTERVAL: std::time::Duration = std::time::Duration::from_millis(20);
