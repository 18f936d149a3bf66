//! Reads the stores of a running job from the rest of the program.
//!
//! A question goes to each worker of the process, which answers between two batches, at a moment at which the store is
//! as the last commit left it. So a reader never sees what a crash would undo, and waits for a commit at most
//! (`commit.interval.max.ms`) while records come.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use kafka_wire::types::PartitionId;
use tokio::sync::{Notify, oneshot};

use crate::error::ProcessError;
use crate::output::StoreId;
use crate::serde::{Serde, SerdeError};
use crate::topology::Topology;
use crate::types::{Owned, View, Window};
use crate::worker::{Reading, Worker};

/// Reads a store of a job that runs in this process. Made by [`Running::reader`](super::Running::reader); it may be
/// cloned, and used from any task or thread.
///
/// ```no_run
/// use processor::{App, Config, Emit, Text, Topology, U64, Utf8};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let mut job = Topology::builder("visits");
/// job.keyed_stream("visits", Utf8, Utf8).count("counts", Emit::OnUpdate).to("visits-out", Utf8, U64);
/// let running = App::new(job.build()?, Config::new("127.0.0.1:9092")).start().await?;
/// let counts = running.reader("counts", Text, U64)?;
/// println!("ann: {:?}", counts.get(&"ann".to_owned()).await?);
/// for entry in counts.entries().await? {
///     println!("{}: {}", entry.key, entry.value);
/// }
/// # Ok(())
/// # }
/// ```
///
/// Values are as of the last commit of the worker that has them. A process sees the partitions of its own tasks only:
/// [`StoreReader::partitions`] tells which. To have all of a store, ask all processes, or let one process run the job.
/// A process that was cut off from the cluster answers from its last commit until it learns that others have its
/// partitions.
///
/// The worker stands still while it answers: `get` takes as long as a record or two, `entries` passes over the whole
/// store.
pub struct StoreReader<KS, VS> {
    store: StoreId,
    key_serde: KS,
    value_serde: VS,
    workers: Vec<Arc<Questions>>,
}

impl<KS: Clone, VS: Clone> Clone for StoreReader<KS, VS> {
    fn clone(&self) -> Self {
        let (key_serde, value_serde) = (self.key_serde.clone(), self.value_serde.clone());
        Self { store: self.store, key_serde, value_serde, workers: self.workers.clone() }
    }
}

impl<KS, VS> fmt::Debug for StoreReader<KS, VS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreReader").field("store", &self.store).finish_non_exhaustive()
    }
}

/// An entry of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry<K, A> {
    /// The partition of the task that has it.
    pub partition: PartitionId,
    /// The window; all of time, from `i64::MIN` to `i64::MAX`, in a store without windows.
    pub window: Window,
    /// The key.
    pub key: K,
    /// The value.
    pub value: A,
}

/// The reason why a store cannot be read.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadError {
    /// The job has no store of that name.
    NoStore {
        /// The name.
        name: String,
        /// The stores that it has.
        stores: Vec<String>,
    },
    /// The job has no global table of that topic.
    NoGlobalTable {
        /// The topic.
        topic: String,
        /// The topics of those that it has.
        topics: Vec<String>,
    },
    /// No task of this process has the store: other processes have its partitions.
    NotHere,
    /// A worker of this process has ended, and with it what it held.
    Ended,
    /// The key cannot be encoded, or an entry is none of these serdes.
    Serde(SerdeError),
    /// An entry cannot be encoded.
    Process(ProcessError),
}

debug_as_text!(ReadError);

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoStore { name, stores } => {
                write!(f, "the job has no store `{name}`; it has: {}", stores.join(", "))
            }
            Self::NoGlobalTable { topic, topics } => {
                write!(f, "the job has no global table of the topic {topic}; it has those of: {}", topics.join(", "))
            }
            Self::NotHere => write!(f, "no task of this process has the store; other processes have its partitions"),
            Self::Ended => write!(f, "a worker of this process has ended"),
            Self::Serde(error) => write!(f, "the store is not written by this serde: {error}"),
            Self::Process(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for ReadError {}

/// The place of a name among those that there are; all of these, if it is not among them.
pub(super) fn place_of<'n>(name: &str, names: impl Iterator<Item = &'n str> + Clone) -> Result<usize, Vec<String>> {
    names.clone().position(|known| known == name).ok_or_else(|| names.map(str::to_owned).collect())
}

impl<KS, VS, A> StoreReader<KS, VS>
where
    KS: Serde,
    VS: Serde<View = Owned<A>>,
    A: 'static,
{
    /// A reader of the store `name`.
    pub(super) fn new(
        topology: &Topology,
        name: &str,
        (key_serde, value_serde): (KS, VS),
        workers: Vec<Arc<Questions>>,
    ) -> Result<Self, ReadError> {
        let stores = topology.stores().iter().map(|store| &*store.name);
        let store = place_of(name, stores).map_err(|stores| ReadError::NoStore { name: name.to_owned(), stores })?;
        Ok(Self { store: StoreId(store), key_serde, value_serde, workers })
    }

    /// The value of a key, for a store without windows. `None`: the tasks of this process have no such key.
    ///
    /// Waits until the stores are restored, and for the end of the open transaction. Cancel safe.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn get(&self, key: &<KS::View as View>::Ref<'_>) -> Result<Option<A>, ReadError> {
        let last = self.find(key).await?.pop();
        last.map(|found| self.value_serde.decode(&found.value).map_err(ReadError::Serde)).transpose()
    }

    /// The open windows of a key with their values, in the order of the windows; otherwise as [`StoreReader::get`].
    /// For windows that slide, of a number of records too, these are the panes that the windows share.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn windows(&self, key: &<KS::View as View>::Ref<'_>) -> Result<Vec<(Window, A)>, ReadError> {
        let mut found = self.find(key).await?;
        found.sort_by_key(|entry| entry.window);
        let decode = |found: Raw| Ok((found.window, self.value_serde.decode(&found.value).map_err(ReadError::Serde)?));
        found.into_iter().map(decode).collect()
    }

    async fn find(&self, key: &<KS::View as View>::Ref<'_>) -> Result<Vec<Raw>, ReadError> {
        let mut bytes = Vec::new();
        self.key_serde.encode(key, &mut bytes).map_err(ReadError::Serde)?;
        Ok(self.ask(Some(bytes)).await?.entries)
    }

    /// The partitions whose tasks are in this process, in order; otherwise as [`StoreReader::get`].
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn partitions(&self) -> Result<Vec<PartitionId>, ReadError> {
        // No entry has a key that is not asked for, and the tasks are told apart all the same.
        let mut partitions = self.ask(Some(Vec::new())).await?.partitions;
        partitions.sort_unstable();
        Ok(partitions)
    }

    /// All entries that the tasks of this process have, by partition; otherwise as [`StoreReader::get`].
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn entries<K>(&self) -> Result<Vec<Entry<K, A>>, ReadError>
    where
        KS: Serde<View = Owned<K>>,
        K: 'static,
    {
        let mut found = self.ask(None).await?.entries;
        found.sort_by_key(|entry| entry.partition);
        let decode = |Raw { partition, window, key, value }: Raw| {
            let key = self.key_serde.decode(&key).map_err(ReadError::Serde)?;
            let value = self.value_serde.decode(&value).map_err(ReadError::Serde)?;
            Ok(Entry { partition, window, key, value })
        };
        found.into_iter().map(decode).collect()
    }

    /// Asks all workers, and puts their answers together.
    async fn ask(&self, key: Option<Vec<u8>>) -> Result<Answer, ReadError> {
        let asked = Asked::Store(self.store);
        let answers: Vec<_> = self.workers.iter().map(|worker| worker.ask(asked, key.clone())).collect();
        let mut all = None;
        for answer in answers {
            let Some(answer) = answer.await.map_err(|_| ReadError::Ended)?.map_err(ReadError::Process)? else {
                continue;
            };
            let all = all.get_or_insert_with(Answer::default);
            all.partitions.extend(answer.partitions);
            all.entries.extend(answer.entries);
        }
        all.ok_or(ReadError::NotHere)
    }
}

/// The entries that a worker has found.
#[derive(Debug, Default)]
pub(super) struct Answer {
    partitions: Vec<PartitionId>,
    pub(super) entries: Vec<Raw>,
}

/// An entry as it is written.
#[derive(Debug)]
pub(super) struct Raw {
    partition: PartitionId,
    window: Window,
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
}

/// The object of a question.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    Store(StoreId),
    /// The global table of this number, all of whose rows have one partition and one window.
    Global(usize),
}

/// Gets the answer; `None` if no task of the worker has the store.
type Answered = oneshot::Sender<Result<Option<Answer>, ProcessError>>;

/// The questions to a worker that it has not answered yet.
#[derive(Default)]
pub(super) struct Questions {
    queue: Mutex<Queue>,
    /// Whether the queue has questions, to be looked at in each turn of the worker.
    are_there: AtomicBool,
    asked: Notify,
}

#[derive(Default)]
struct Queue {
    questions: Vec<Question>,
    /// Whether the worker has ended for good.
    is_closed: bool,
}

struct Question {
    asked: Asked,
    key: Option<Vec<u8>>,
    answered: Answered,
}

impl Questions {
    /// Asks the worker. The receiver fails if the worker ends without an answer.
    pub(super) fn ask(
        &self,
        asked: Asked,
        key: Option<Vec<u8>>,
    ) -> oneshot::Receiver<Result<Option<Answer>, ProcessError>> {
        let (answered, answer) = oneshot::channel();
        let mut queue = self.lock();
        if !queue.is_closed {
            queue.questions.push(Question { asked, key, answered });
            self.are_there.store(true, Ordering::Release);
            self.asked.notify_one();
        }
        answer
    }

    /// Returns when there may be a new question. Cancel safe.
    pub(super) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Answers the questions that can be answered now.
    pub(super) fn answer(&self, worker: &Worker) {
        if !self.are_there.load(Ordering::Acquire) {
            return;
        }
        let mut queue = self.lock();
        let questions = std::mem::take(&mut queue.questions);
        queue.questions = questions.into_iter().filter_map(|question| question.answer(worker)).collect();
        self.are_there.store(!queue.questions.is_empty(), Ordering::Release);
    }

    /// Drops the questions, and those to come: the worker has ended for good.
    fn close(&self) {
        let mut queue = self.lock();
        queue.is_closed = true;
        queue.questions.clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        // Whoever panicked with the lock has left a queue of whole questions.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Held by the thread of a worker for as long as it answers. Dropping it closes the questions, also if the thread
/// panics.
pub(super) struct Answering(Option<Arc<Questions>>);

impl Answering {
    pub(super) fn new(questions: &Arc<Questions>) -> Self {
        Self(Some(Arc::clone(questions)))
    }

    /// Leaves the questions to the next worker.
    pub(super) fn stay_open(mut self) {
        self.0 = None;
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.iter().for_each(|questions| questions.close());
    }
}

impl Question {
    /// Answers it, or returns it if that cannot be done yet. One that nobody waits for any more is dropped.
    fn answer(self, worker: &Worker) -> Option<Self> {
        if self.answered.is_closed() {
            return None;
        }
        let mut found = Answer::default();
        let mut note = |partition, window, key: &[u8], value: &[u8]| {
            found.entries.push(Raw { partition, window, key: key.to_vec(), value: value.to_vec() });
        };
        let read = match self.asked {
            Asked::Store(store) => worker.read_store(store, self.key.as_deref(), &mut note),
            Asked::Global(table) => {
                let mut note = |key: &[u8], value: &[u8]| note(PartitionId(0), Window { start: 0, end: 0 }, key, value);
                worker.read_global(table, self.key.as_deref(), &mut note)
            }
        };
        let answer = match read {
            Ok(Reading::NotYet) => return Some(self),
            Ok(Reading::NoTask) => Ok(None),
            Ok(Reading::Done) => {
                if let Asked::Store(store) = self.asked {
                    found.partitions = worker.partitions_of(store).collect();
                }
                Ok(Some(found))
            }
            Err(error) => Err(error),
        };
        // Whoever asked may have gone meanwhile.
        let _ = self.answered.send(answer);
        None
    }
}
