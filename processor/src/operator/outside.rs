//! The end of a stream in an output outside of Kafka, such as a database: batches of records are passed to an
//! asynchronous function.
//!
//! # Order
//! Records are gathered in their order. A batch is passed on when it is full, and with each commit; the batches of a
//! task one after the other, so that the output sees the records of a partition in their order.
//!
//! # Time
//! A record waits for its batch until the next commit at the latest, `commit.interval.max.ms`. Watermarks end here.
//!
//! # Failures
//! A batch that the output does not take, or not in time, is offered again, as often as [`BatchOptions`] says. After
//! that a new worker begins at the last commit, again and again while the output is not available. An error for which
//! no attempt helps ends the job.
//!
//! # What a crash repeats
//! A commit waits until the output has taken all records of the transaction, so none is lost. The records of a
//! transaction that is aborted, or cut off by a crash, come again: the output sees each at least once. [`ResultId`]
//! tells which ones it has seen, because a record and its results have the same ids each time.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use kafka_wire::time::Moment;
use kafka_wire::types::{Offset, PartitionId, TimestampMs};

use super::calls::Futures;
use super::{Context, Operator, Place, Signals};
use crate::error::{ProcessError, SinkError};
use crate::types::{Owned, Rec, View};

/// How [`to_outside`](crate::topology::Stream::to_outside) passes records on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchOptions {
    records_max: usize,
    timeout: Duration,
    attempts: u32,
    pause: Duration,
}

impl BatchOptions {
    /// Batches of at most `records_max` records. A batch may take 2 s, and is offered three times at most.
    #[must_use]
    pub const fn of(records_max: usize) -> Self {
        let (timeout, pause) = (Duration::from_secs(2), Duration::from_millis(100));
        Self { records_max, timeout, attempts: 3, pause }
    }

    /// Sets the time that an attempt may take. A commit waits for all attempts of a batch, so together they must stay
    /// below `transaction.timeout.ms`.
    #[must_use]
    pub const fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Sets how often a batch is offered before the worker starts over, and the pause before it is offered again.
    #[must_use]
    pub const fn attempts(self, attempts: u32, pause: Duration) -> Self {
        Self { attempts, pause, ..self }
    }

    /// Whether a batch can be passed on at all; `build()` refuses other options.
    pub(crate) const fn is_valid(self) -> bool {
        self.records_max > 0 && self.attempts > 0
    }

    /// The text for `describe()`.
    pub(crate) fn describe(self) -> String {
        let Self { records_max, timeout, attempts, .. } = self;
        format!("batches of {records_max}, {} ms, {attempts} attempts", timeout.as_millis())
    }
}

/// The name of a result: the place of the record that it comes from, and its number among the results of that record.
///
/// It is the same each time that the record is processed, also after a crash and on another worker. As text it is
/// `<topic>-<partition>-<offset>-<number>`. Behind a shuffle the topic is that of the shuffle. A topic that is deleted
/// and created again counts its offsets from 0 again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResultId {
    /// The topic that the record was read from.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: PartitionId,
    /// The offset.
    pub offset: Offset,
    /// The number of the result, from 0.
    pub number: u32,
}

impl fmt::Display for ResultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}-{}", self.topic, self.partition.0, self.offset.0, self.number)
    }
}

/// A record on its way to an output outside of Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing<A> {
    /// The name of the result; `None` if it comes from no single record: the result of a window, of a timer, of a
    /// commit (`Emit::OnUpdate`), or of an `async_map`. Such a result has its key, and its window, for a name. `None`
    /// also behind a join of streams or tables, and behind a `dedup` or `process` of several topics: which of the
    /// records a result comes out at may change when they are processed again. A pair has both its records for a name.
    pub id: Option<ResultId>,
    /// The value.
    pub value: A,
    /// The timestamp of the record.
    pub timestamp: TimestampMs,
}

/// The end of a stream in an output outside of Kafka, built.
pub(crate) struct ToOutside<A, F, R> {
    name: String,
    options: BatchOptions,
    call: F,
    /// Whether records have names.
    has_ids: bool,
    state: State<A, R>,
}

/// The records of the open transaction that the output has not taken.
struct State<A, R> {
    /// The batch that is being filled.
    filling: Vec<Outgoing<A>>,
    /// Batches that are to be passed on, the first one first.
    batches: VecDeque<Arc<[Outgoing<A>]>>,
    futures: Futures<R>,
    /// The attempt with the first batch: its slot, and the time at which it has taken too long.
    running: Option<(usize, Moment)>,
    /// Number of attempts with the first batch that have failed.
    failures: u32,
    /// The time at which the first batch is offered again.
    again: Option<Moment>,
    /// The record of the last result, and the number of its next one.
    last: Option<ResultId>,
}

impl<A, R> Default for State<A, R> {
    fn default() -> Self {
        Self {
            filling: Vec::new(),
            batches: VecDeque::new(),
            futures: Futures::default(),
            running: None,
            failures: 0,
            again: None,
            last: None,
        }
    }
}

impl<A, F, R> ToOutside<A, F, R>
where
    A: Send + Sync + 'static,
    F: FnMut(Arc<[Outgoing<A>]>) -> R + Send + 'static,
    R: Future<Output = Result<(), SinkError>> + Send + 'static,
{
    pub(crate) fn new(name: String, options: BatchOptions, has_ids: bool, call: F) -> Self {
        Self { name, options, call, has_ids, state: State::default() }
    }

    /// Closes the batch that is being filled, and passes it on when its turn has come.
    fn close_batch(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let batch = std::mem::take(&mut self.state.filling);
        context.calls.outstanding += 1;
        context.calls.waiting += usize::from(!self.state.batches.is_empty());
        self.state.batches.push_back(batch.into());
        self.begin(context)
    }

    /// Offers the first batch, unless that is under way; and those after it, as long as they are taken at once.
    fn begin(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        while self.state.running.is_none() && self.state.again.is_none() {
            let Some(batch) = self.state.batches.front() else { return Ok(()) };
            let future = (self.call)(Arc::clone(batch));
            let slot = self.state.futures.insert(future, &context.calls.hub);
            match self.state.futures.poll(slot) {
                Poll::Ready(result) => self.ended(result, context)?,
                Poll::Pending => {
                    let deadline = context.now + self.options.timeout;
                    context.calls.wake_at(deadline);
                    self.state.running = Some((slot, deadline));
                }
            }
        }
        Ok(())
    }

    /// Handles the end of an attempt with the first batch.
    fn ended(&mut self, result: Result<(), SinkError>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.state.running = None;
        let Err(cause) = result else {
            self.state.failures = 0;
            self.state.batches.pop_front();
            context.calls.outstanding -= 1;
            context.calls.waiting -= usize::from(!self.state.batches.is_empty());
            return Ok(());
        };
        self.state.failures += 1;
        if matches!(cause, SinkError::Refused(_)) || self.state.failures >= self.options.attempts {
            let (step, attempts) = (self.name.clone(), self.state.failures);
            return Err(ProcessError::NotTaken { step, attempts, cause });
        }
        let again = context.now + self.options.pause;
        context.calls.wake_at(again);
        self.state.again = Some(again);
        Ok(())
    }

    /// Looks at the attempt that is under way.
    fn poll_running(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let Some((slot, deadline)) = self.state.running else { return Ok(()) };
        let woken = self.state.futures.take_woken();
        let is_woken = woken.contains(&slot);
        self.state.futures.put_back(woken);
        let polled = if is_woken { self.state.futures.poll(slot) } else { Poll::Pending };
        match polled {
            Poll::Ready(result) => self.ended(result, context),
            Poll::Pending if deadline <= context.now => {
                self.state.futures.remove(slot);
                let cause = format!("no answer within {} ms", self.options.timeout.as_millis());
                self.ended(Err(SinkError::Unavailable(cause)), context)
            }
            Poll::Pending => {
                context.calls.wake_at(deadline);
                Ok(())
            }
        }
    }

    /// The name of the next result.
    fn next_id(&mut self, place: Place<'_>) -> Option<ResultId> {
        if !self.has_ids || place.topic.is_empty() {
            return None;
        }
        let Place { topic, partition, offset } = place;
        let id = match &self.state.last {
            Some(last) if last.offset == offset && *last.topic == *topic => {
                ResultId { number: last.number + 1, ..last.clone() }
            }
            Some(last) if *last.topic == *topic => ResultId { offset, number: 0, ..last.clone() },
            Some(_) | None => ResultId { topic: Arc::from(topic), partition, offset, number: 0 },
        };
        self.state.last = Some(id.clone());
        Some(id)
    }
}

impl<A, F, R> Signals for ToOutside<A, F, R>
where
    A: Send + Sync + 'static,
    F: FnMut(Arc<[Outgoing<A>]>) -> R + Send + 'static,
    R: Future<Output = Result<(), SinkError>> + Send + 'static,
{
    fn next(&mut self) -> Option<&mut dyn Signals> {
        None
    }

    fn resume(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.poll_running(context)?;
        match self.state.again {
            Some(again) if again > context.now => context.calls.wake_at(again),
            Some(_) | None => self.state.again = None,
        }
        self.begin(context)
    }

    fn forget_calls(&mut self) {
        self.state = State::default();
    }

    fn before_commit(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        if self.state.filling.is_empty() { Ok(()) } else { self.close_batch(context) }
    }
}

impl<K, A, F, R> Operator<K, Owned<A>> for ToOutside<A, F, R>
where
    K: View,
    A: Send + Sync + 'static,
    F: FnMut(Arc<[Outgoing<A>]>) -> R + Send + 'static,
    R: Future<Output = Result<(), SinkError>> + Send + 'static,
{
    fn push(&mut self, record: Rec<'_, K, Owned<A>>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        // A record that fails from here on is left out by an abort, which forgets what it has put out.
        context.stores.note_effect();
        context.counters.records_out += 1;
        let id = self.next_id(context.place);
        self.state.filling.push(Outgoing { id, value: record.value, timestamp: record.timestamp });
        if self.state.filling.len() < self.options.records_max { Ok(()) } else { self.close_batch(context) }
    }
}
