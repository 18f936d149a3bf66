//! Calls to the outside: each record's value is passed to an asynchronous function, and replaced by its result.
//!
//! # Order
//! Ordered by key, the call of a record begins after that of the record before it with the same key has ended: the
//! outside sees the records of a key in their order, and so do the next steps. Records with a null key have no order.
//! Unordered, all calls run side by side and results come out as they come.
//!
//! # Time
//! The event time of the task goes on when no call is outstanding, so no result is late by it, neither in the next step
//! nor behind a merge; that is at each commit at the latest. The calls that begin at a watermark, for results of
//! windows, hold that watermark. The wall clock passes at once.
//!
//! # Failures
//! A call that fails, or takes longer than its timeout, is repeated; after the last attempt the job ends. To go on
//! without a result, let the function return a value that says so. An error of a later step that takes a result ends
//! the job, too: the record is no longer at hand to be left out.
//!
//! # What a crash repeats
//! A transaction is committed only when every call of its records has ended and the results are in it. So no result is
//! lost or doubled; but the calls of a transaction that is aborted, or cut off by a crash, are made again: the outside
//! sees each at least once.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Display;
use std::future::Future;
use std::task::Poll;
use std::time::Duration;

use hashbrown::HashMap;
use kafka_wire::record::HeadersBuf;
use kafka_wire::time::Moment;
use kafka_wire::types::TimestampMs;

use super::calls::Futures;
use super::{Chain, Context, Operator, Signals, StageBuilder};
use crate::error::ProcessError;
use crate::serde::Serde;
use crate::types::{Owned, Rec};

/// How an [`async_map`](crate::topology::Stream::async_map) makes its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallOptions {
    is_ordered: bool,
    outstanding_max: usize,
    timeout: Duration,
    attempts: u32,
    pause: Duration,
}

impl CallOptions {
    /// Calls of a key one after the other, at most `outstanding_max` in all for each task. Each may take 1 s, and is
    /// made three times at most.
    #[must_use]
    pub const fn ordered_by_key(outstanding_max: usize) -> Self {
        let (timeout, pause) = (Duration::from_secs(1), Duration::from_millis(100));
        Self { is_ordered: true, outstanding_max, timeout, attempts: 3, pause }
    }

    /// Calls side by side, at most `outstanding_max` for each task; otherwise as [`CallOptions::ordered_by_key`].
    #[must_use]
    pub const fn unordered(outstanding_max: usize) -> Self {
        Self { is_ordered: false, ..Self::ordered_by_key(outstanding_max) }
    }

    /// Sets the time that an attempt may take. A commit waits for all attempts of the calls that are outstanding, so
    /// together they must stay far below `transaction.timeout.ms`.
    #[must_use]
    pub const fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Sets how often a call is made at most, and the pause before it is repeated.
    #[must_use]
    pub const fn attempts(self, attempts: u32, pause: Duration) -> Self {
        Self { attempts, pause, ..self }
    }

    /// Whether there can be a call at all; `build()` refuses other options.
    pub(crate) const fn is_valid(self) -> bool {
        self.outstanding_max > 0 && self.attempts > 0
    }

    /// The text for `describe()`.
    pub(crate) fn describe(self) -> String {
        let order = if self.is_ordered { "ordered by key" } else { "unordered" };
        format!(
            "{order}, {} outstanding, {} ms, {} attempts",
            self.outstanding_max,
            self.timeout.as_millis(),
            self.attempts
        )
    }
}

/// `async_map`, declared.
#[derive(Clone)]
pub struct AsyncMap<C, KS, F> {
    pub(crate) previous: C,
    pub(crate) name: String,
    pub(crate) key_serde: KS,
    pub(crate) options: CallOptions,
    pub(crate) call: F,
}

impl<C, KS, A, B, E, F, R> Chain for AsyncMap<C, KS, F>
where
    C: Chain<Key = KS::View, Value = Owned<A>>,
    KS: Serde,
    A: Clone + Send + 'static,
    B: 'static,
    E: Display + 'static,
    F: FnMut(A) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<B, E>> + Send + 'static,
{
    type Key = KS::View;
    type Value = Owned<B>;

    fn build<N: Operator<KS::View, Owned<B>>>(&self, next: N, stage: &mut StageBuilder<'_>) {
        stage.make_calls();
        let Self { name, key_serde, options, call, .. } = self.clone();
        let results = Results { name, key_serde, next };
        self.previous.build(AsyncOperator { options, call, results, state: State::default(), last_call: 0 }, stage);
    }
}

/// `async_map`, built.
struct AsyncOperator<KS, A, F, R, N> {
    options: CallOptions,
    call: F,
    results: Results<KS, N>,
    state: State<A, R>,
    /// Number of the last call, which tells a call from a later one in the same slot.
    last_call: u64,
}

/// The calls of the open transaction.
struct State<A, R> {
    futures: Futures<R>,
    /// The records whose calls are being made, by slot.
    running: Vec<Option<Running<A>>>,
    /// Timeouts in their order: time, slot, number of the call. Calls that have ended are still in it.
    deadlines: VecDeque<(Moment, usize, u64)>,
    /// Records whose call is repeated at a time.
    repeated: BTreeMap<(Moment, u64), Input<A>>,
    /// Records for which there was no room yet.
    waiting: VecDeque<Input<A>>,
    /// The keys with a call, and the records that wait for its end.
    busy: HashMap<Vec<u8>, VecDeque<Input<A>>>,
    /// Number of records whose result has not come out.
    outstanding: usize,
}

/// A record that waits for its result.
struct Input<A> {
    key: Option<Vec<u8>>,
    value: A,
    timestamp: TimestampMs,
    headers: HeadersBuf,
    /// Number of calls that have failed.
    failures: u32,
}

struct Running<A> {
    input: Input<A>,
    number: u64,
}

/// The way of results to the next operator.
struct Results<KS, N> {
    name: String,
    key_serde: KS,
    next: N,
}

impl<A, R> Default for State<A, R> {
    fn default() -> Self {
        Self {
            futures: Futures::default(),
            running: Vec::new(),
            deadlines: VecDeque::new(),
            repeated: BTreeMap::new(),
            waiting: VecDeque::new(),
            busy: HashMap::new(),
            outstanding: 0,
        }
    }
}

impl<KS, A, B, E, F, R, N> AsyncOperator<KS, A, F, R, N>
where
    KS: Serde,
    A: Clone + Send + 'static,
    B: 'static,
    E: Display + 'static,
    F: FnMut(A) -> R + Send + 'static,
    R: Future<Output = Result<B, E>> + Send + 'static,
    N: Operator<KS::View, Owned<B>>,
{
    /// Takes a record: makes its call, unless it has to wait for another one.
    fn take(&mut self, input: Input<A>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        if let Some(key) = input.key.as_ref().filter(|_| self.options.is_ordered) {
            if let Some(waiting) = self.state.busy.get_mut(key) {
                waiting.push_back(input);
                return Ok(());
            }
            self.state.busy.insert(key.clone(), VecDeque::new());
        }
        self.begin(input, context)
    }

    /// Makes the call of a record, if there is room for it; and as long as calls end at once, those that wait for it.
    fn begin(&mut self, input: Input<A>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let mut next = Some(input);
        while let Some(input) = next.take() {
            if self.state.futures.len() >= self.options.outstanding_max {
                context.calls.waiting += 1;
                self.state.waiting.push_back(input);
                return Ok(());
            }
            let future = (self.call)(input.value.clone());
            let slot = self.state.futures.insert(future, &context.calls.hub);
            self.last_call += 1;
            let number = self.last_call;
            if self.state.running.len() <= slot {
                self.state.running.resize_with(slot + 1, || None);
            }
            self.state.running[slot] = Some(Running { input, number });
            match self.state.futures.poll(slot) {
                Poll::Ready(result) => next = self.ended(slot, result.map_err(|cause| cause.to_string()), context)?,
                Poll::Pending => {
                    let deadline = context.now + self.options.timeout;
                    self.state.deadlines.push_back((deadline, slot, number));
                    context.calls.wake_at(deadline);
                }
            }
        }
        Ok(())
    }

    /// Handles the end of a call. Returns the record whose call has waited for it.
    fn ended(
        &mut self,
        slot: usize,
        result: Result<B, String>,
        context: &mut Context<'_>,
    ) -> Result<Option<Input<A>>, ProcessError> {
        let Some(Running { mut input, number }) = self.state.running[slot].take() else { return Ok(None) };
        let value = match result {
            Ok(value) => value,
            Err(cause) => {
                input.failures += 1;
                if input.failures >= self.options.attempts {
                    let (step, attempts) = (self.results.name.clone(), input.failures);
                    return Err(ProcessError::CallFailed { step, attempts, cause });
                }
                let again = context.now + self.options.pause;
                context.calls.wake_at(again);
                self.state.repeated.insert((again, number), input);
                return Ok(None);
            }
        };
        self.state.outstanding -= 1;
        context.calls.outstanding -= 1;
        context.calls.awaited -= 1;
        self.results.emit(&input, value, context)?;
        let Some(key) = input.key.filter(|_| self.options.is_ordered) else { return Ok(None) };
        let next = self.state.busy.get_mut(&key).and_then(VecDeque::pop_front);
        if next.is_none() {
            self.state.busy.remove(&key);
        }
        Ok(next)
    }

    /// Handles the end of a call, and begins the one that has waited for it.
    fn end(&mut self, slot: usize, result: Result<B, String>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        // An error of a later step is none of the result that was put out before.
        context.failures.begin_signal();
        match self.ended(slot, result, context)? {
            Some(next) => self.begin(next, context),
            None => Ok(()),
        }
    }

    fn time_out(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        while let Some((deadline, slot, number)) = self.state.deadlines.front().copied() {
            let is_running = self.state.running[slot].as_ref().is_some_and(|running| running.number == number);
            if is_running && deadline > context.now {
                context.calls.wake_at(deadline);
                break;
            }
            self.state.deadlines.pop_front();
            if is_running {
                self.state.futures.remove(slot);
                let cause = format!("no answer within {} ms", self.options.timeout.as_millis());
                self.end(slot, Err(cause), context)?;
            }
        }
        Ok(())
    }

    fn repeat(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        while let Some(entry) = self.state.repeated.first_entry() {
            let (at, _) = *entry.key();
            if at > context.now {
                context.calls.wake_at(at);
                break;
            }
            let input = entry.remove();
            self.begin(input, context)?;
        }
        Ok(())
    }

    fn poll_woken(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let woken = self.state.futures.take_woken();
        for slot in &woken {
            if let Poll::Ready(result) = self.state.futures.poll(*slot) {
                self.end(*slot, result.map_err(|cause| cause.to_string()), context)?;
            }
        }
        self.state.futures.put_back(woken);
        Ok(())
    }

    fn fill(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        while self.state.futures.len() < self.options.outstanding_max {
            let Some(input) = self.state.waiting.pop_front() else { break };
            context.calls.waiting -= 1;
            self.begin(input, context)?;
        }
        Ok(())
    }
}

impl<KS: Serde, N> Results<KS, N> {
    fn emit<A, B: 'static>(&mut self, input: &Input<A>, value: B, context: &mut Context<'_>) -> Result<(), ProcessError>
    where
        N: Operator<KS::View, Owned<B>>,
    {
        let raw_key = input.key.as_deref();
        // The key was decoded before.
        let bad = |cause| ProcessError::Encode { to: self.name.clone(), cause };
        let key = self.key_serde.decode_nullable(raw_key).map_err(bad)?;
        let (timestamp, headers) = (input.timestamp, input.headers.as_raw());
        self.next.push(Rec { key, value, timestamp, headers, raw_key }, context)
    }
}

impl<KS, A, B, E, F, R, N> Signals for AsyncOperator<KS, A, F, R, N>
where
    KS: Serde,
    A: Clone + Send + 'static,
    B: 'static,
    E: Display + 'static,
    F: FnMut(A) -> R + Send + 'static,
    R: Future<Output = Result<B, E>> + Send + 'static,
    N: Operator<KS::View, Owned<B>>,
{
    fn next(&mut self) -> Option<&mut dyn Signals> {
        Some(&mut self.results.next)
    }

    fn watermark(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        // The task tells it again when the calls have ended.
        if self.state.outstanding == 0 { self.results.next.watermark(context) } else { Ok(()) }
    }

    fn resume(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.time_out(context)?;
        self.repeat(context)?;
        self.poll_woken(context)?;
        self.fill(context)?;
        self.results.next.resume(context)
    }

    fn forget_calls(&mut self) {
        self.state = State::default();
        self.results.next.forget_calls();
    }
}

impl<KS, A, B, E, F, R, N> Operator<KS::View, Owned<A>> for AsyncOperator<KS, A, F, R, N>
where
    KS: Serde,
    A: Clone + Send + 'static,
    B: 'static,
    E: Display + 'static,
    F: FnMut(A) -> R + Send + 'static,
    R: Future<Output = Result<B, E>> + Send + 'static,
    N: Operator<KS::View, Owned<B>>,
{
    fn push(&mut self, record: Rec<'_, KS::View, Owned<A>>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let key = match record.raw_key {
            Some(raw_key) => Some(raw_key.to_vec()),
            None if self.results.key_serde.is_null(&record.key) => None,
            // A step before this one has made the key.
            None => {
                let mut raw_key = Vec::new();
                if let Err(cause) = self.results.key_serde.encode(&record.key, &mut raw_key) {
                    return context.leave_out_unencodable(&self.results.name, cause);
                }
                Some(raw_key)
            }
        };
        // A record that fails from here on is left out by an abort, which forgets its call.
        context.stores.note_effect();
        self.state.outstanding += 1;
        context.calls.outstanding += 1;
        context.calls.awaited += 1;
        let mut headers = HeadersBuf::new();
        record.headers.iter().for_each(|(key, value)| headers.push(key, value));
        let timestamp = record.timestamp;
        self.take(Input { key, value: record.value, timestamp, headers, failures: 0 }, context)
    }
}
