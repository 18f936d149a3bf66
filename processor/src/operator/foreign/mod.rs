//! The join of the rows of a table with those rows of another table that they point to, by a foreign key.
//!
//! ```text
//! left rows --[subscription, by foreign key]--> right rows, and their subscribers
//!                                                 --[response, by the key of the left row]--> results
//! ```
//! [`Subscribe`] sends each changed left row to the task of the right row that it points to, and tells the task
//! of the right row that it pointed to before. [`Answering`] keeps the rows that point to each right row; it answers
//! a subscription, and on a change of the right row all of its subscribers. [`Reveal`] puts out the answers as changes
//! of the results.
//!
//! # Superseded answers
//! The answers for a left row come from the tasks of all right rows that it has pointed to, and between tasks there is
//! no order. Each change of a left row therefore has a number, which its answers carry, and an answer with a lower
//! number than one before it is dropped. In KIP-213 a hash of the left row does this, which the left task compares;
//! there results go back to the left task. Here no circle of tasks arises, so event time and the end of a bounded run
//! pass through as in any other job.
//!
//! The number of a left row that is gone has to be remembered for as long as an older answer may come. It carries the
//! watermark of the left task when the row went. Once the watermark of the results is greater, every task on the way
//! has processed everything that the left task had written by then, and the number is forgotten.
//!
//! # Order, and crashes
//! Records of both tables are processed as they come, and each result is that of the rows that were there when the
//! later of the two came; its event time is that of the change. A crash undoes rows, subscriptions, numbers and
//! results of the open transaction together.

mod messages;

use kafka_wire::record::RawHeaders;
use kafka_wire::types::TimestampMs;

pub use self::messages::{Answer, Shown, Subscriber, Subscription};
pub(crate) use self::messages::{AnswerSerde, ShownSerde, SubscriberSerde, SubscriptionSerde};
use self::messages::{Answered, Request, State};
use super::to::Scratch;
use super::two_sided::{self, TwoSided};
use super::{Chain, Change, Context, NodeId, Operator, Signals, StageBuilder};
use crate::error::ProcessError;
use crate::output::{OutRecord, Route, SinkId};
use crate::serde::{Raw, Serde, SerdeError};
use crate::state::{Clock, Handle, KeyValueStore, SortedStore, TimerStore};
use crate::types::{Owned, Rec, View};

/// The topic of a shuffle, with the serde of what crosses it, and buffers.
#[derive(Clone)]
pub(crate) struct Crossing<S> {
    pub(crate) sink: SinkId,
    pub(crate) topic: String,
    pub(crate) serde: S,
    pub(crate) scratch: Scratch,
}

impl<S: Serde> Crossing<S> {
    fn send(
        &mut self,
        key: &[u8],
        value: &<S::View as View>::Ref<'_>,
        timestamp: TimestampMs,
        context: &mut Context<'_>,
    ) -> Result<(), ProcessError> {
        let out = &mut self.scratch.value;
        out.clear();
        if let Err(cause) = self.serde.encode(value, out) {
            return context.leave_out_unencodable(&self.topic, cause);
        }
        let (route, headers) = (Route::ByKey, RawHeaders::EMPTY);
        let record = OutRecord { sink: self.sink, route, timestamp, key: Some(key), value: Some(out), headers };
        context.emit(&self.topic, record)
    }
}

/// The end of the left side: sends subscriptions.
#[derive(Clone)]
pub struct Subscribe<KF, S, F> {
    pub(crate) spec: SubscribeSpec<KF, S>,
    /// Returns the foreign key of a row.
    pub(crate) key_of: F,
}

/// The parts of [`Subscribe`] besides the closure.
#[derive(Clone)]
pub struct SubscribeSpec<KF, S> {
    pub(crate) foreign: KF,
    pub(crate) to: Crossing<SubscriptionSerde<S>>,
    /// The number of the last change.
    pub(crate) versions: Handle<KeyValueStore<u64>>,
    /// Whether a row without a right row has a result.
    pub(crate) may_be_alone: bool,
}

/// The key of the only entry of the store of numbers.
const LAST: &[u8] = b"last";

/// The place to which a left row sends its subscription.
#[derive(PartialEq, Eq)]
enum Target {
    /// The task of the right row with this key.
    Foreign(Vec<u8>),
    /// The row has a result, and points to no right row. Its message goes to a task by its own key.
    Alone,
    Nowhere,
}

impl<L, KF, S, F> Subscribe<KF, S, F>
where
    L: 'static,
    KF: Serde,
    S: Serde<View = Owned<L>>,
    F: for<'a> FnMut(&'a L) -> Option<<KF::View as View>::Ref<'a>>,
{
    fn target(&mut self, row: Option<&L>) -> Result<Target, SerdeError> {
        let Some(row) = row else { return Ok(Target::Nowhere) };
        let Some(foreign) = (self.key_of)(row) else {
            return Ok(if self.spec.may_be_alone { Target::Alone } else { Target::Nowhere });
        };
        let mut key = Vec::new();
        self.spec.foreign.encode(&foreign, &mut key)?;
        Ok(Target::Foreign(key))
    }
}

impl<KF: Serde, S: Serde, F: Send> Signals for Subscribe<KF, S, F> {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        None
    }
}

impl<K, L, KF, S, F> Operator<K, Owned<Change<L>>> for Subscribe<KF, S, F>
where
    K: View,
    L: 'static,
    KF: Serde,
    S: Serde<View = Owned<L>>,
    F: for<'a> FnMut(&'a L) -> Option<<KF::View as View>::Ref<'a>> + Send + 'static,
{
    fn push(&mut self, record: Rec<'_, K, Owned<Change<L>>>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let (primary, timestamp) = (record.raw_key.unwrap_or_default(), record.timestamp);
        let Change { old, new } = record.value;
        let targets = self.target(old.as_ref()).and_then(|before| Ok((before, self.target(new.as_ref())?)));
        let (before, now) = match targets {
            Ok(targets) => targets,
            Err(cause) => return context.leave_out_unencodable(&self.spec.to.topic, cause),
        };
        if before == Target::Nowhere && now == Target::Nowhere {
            return Ok(());
        }
        let SubscribeSpec { to, versions, .. } = &mut self.spec;
        let next = |last: &mut u64| {
            *last += 1;
            *last
        };
        let version = context.stores.get_mut(*versions).update(LAST, || 0, next);
        let message = |request| Subscription { version, primary: primary.to_vec(), request };
        let gone = Request::Gone { watermark: context.watermark };
        match (&before, &now) {
            (Target::Foreign(before), Target::Nowhere) => to.send(before, &message(gone), timestamp, context)?,
            (Target::Alone, Target::Nowhere) => to.send(primary, &message(gone), timestamp, context)?,
            (Target::Foreign(before), Target::Foreign(now)) if before == now => {}
            (Target::Foreign(before), _) => to.send(before, &message(Request::Moved), timestamp, context)?,
            (Target::Alone | Target::Nowhere, _) => {}
        }
        match (now, new) {
            (Target::Foreign(key), Some(row)) => to.send(&key, &message(Request::Join(row)), timestamp, context),
            (Target::Alone, Some(row)) => to.send(primary, &message(Request::Alone(row)), timestamp, context),
            (Target::Nowhere | Target::Foreign(_) | Target::Alone, _) => Ok(()),
        }
    }
}

/// The declaration of the tasks of the right rows, after the chains of the subscriptions and of the right rows.
#[derive(Clone)]
pub struct Answering<C, D, L, R, S, F> {
    /// With the bytes of foreign keys; the messages of rows that point nowhere have the keys of these rows.
    pub(crate) subscriptions: C,
    pub(crate) rights: D,
    pub(crate) spec: AnsweringSpec<L, R, S>,
    /// Makes a result of a left row and the right row that it points to; `None` if there is no result.
    pub(crate) join: F,
    pub(crate) node: NodeId,
}

/// The parts of [`Answering`] besides the chains and the closure.
#[derive(Clone)]
pub struct AnsweringSpec<L, R, S> {
    /// The right rows.
    pub(crate) rows: Handle<KeyValueStore<R>>,
    /// The left rows, by foreign key and the key of the left row.
    pub(crate) subscribers: Handle<SortedStore<Subscriber<L>>>,
    pub(crate) to: Crossing<AnswerSerde<S>>,
}

impl<C, D, KF, L, R, B, S, F> Answering<C, D, L, R, S, F>
where
    C: Chain<Key = Raw, Value = Owned<Subscription<L>>>,
    D: Chain<Key = KF, Value = Owned<Change<R>>>,
    KF: View,
    L: Clone + Send + 'static,
    R: Clone + Send + 'static,
    B: 'static,
    S: Serde<View = Owned<B>>,
    F: FnMut(&L, Option<&R>) -> Option<B> + Clone + Send + Sync + 'static,
{
    /// Builds both chains for one task.
    pub(crate) fn build(&self, stage: &mut StageBuilder<'_>) {
        let (spec, join) = (self.spec.clone(), self.join.clone());
        let operator = AnsweringOperator { spec, join, key: std::marker::PhantomData::<fn() -> KF> };
        two_sided::build(self.node, operator, (&self.subscriptions, &self.rights), stage);
    }
}

/// [`Answering`], built.
struct AnsweringOperator<KF, L, R, S, F> {
    spec: AnsweringSpec<L, R, S>,
    join: F,
    key: std::marker::PhantomData<fn() -> KF>,
}

impl<KF, L, R, S: Serde, F: Send> Signals for AnsweringOperator<KF, L, R, S, F> {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        None
    }
}

impl<KF, L, R, B, S, F> TwoSided for AnsweringOperator<KF, L, R, S, F>
where
    KF: View,
    L: Clone + Send + 'static,
    R: Clone + Send + 'static,
    B: 'static,
    S: Serde<View = Owned<B>>,
    F: FnMut(&L, Option<&R>) -> Option<B> + Send + 'static,
{
    type LeftKey = Raw;
    type Left = Owned<Subscription<L>>;
    type RightKey = KF;
    type Right = Owned<Change<R>>;

    fn left(
        &mut self,
        record: Rec<'_, Raw, Owned<Subscription<L>>>,
        context: &mut Context<'_>,
    ) -> Result<(), ProcessError> {
        let Self { spec, join, .. } = self;
        let foreign = record.raw_key.unwrap_or_default();
        let Subscription { version, primary, request } = record.value;
        let result = match request {
            Request::Join(row) => {
                let result = join(&row, context.stores.get_mut(spec.rows).get(foreign));
                context.stores.get_mut(spec.subscribers).put(foreign, &primary, Subscriber { version, row });
                result.map_or(Answered::NoRow, Answered::Row)
            }
            Request::Alone(row) => join(&row, None).map_or(Answered::NoRow, Answered::Row),
            Request::Moved => {
                context.stores.get_mut(spec.subscribers).remove(foreign, &primary);
                return Ok(());
            }
            Request::Gone { watermark } => {
                context.stores.get_mut(spec.subscribers).remove(foreign, &primary);
                Answered::Gone { watermark }
            }
        };
        spec.to.send(&primary, &Answer { version, result }, record.timestamp, context)
    }

    fn right(&mut self, record: Rec<'_, KF, Owned<Change<R>>>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let AnsweringSpec { subscribers, to, .. } = &mut self.spec;
        let Change { old, new } = record.value;
        if old.is_none() && new.is_none() {
            return Ok(());
        }
        let foreign = record.raw_key.unwrap_or_default();
        context.with_store(*subscribers, |subscribers, context| {
            for (primary, Subscriber { version, row }) in subscribers.group(foreign) {
                let result = (self.join)(row, new.as_ref()).map_or(Answered::NoRow, Answered::Row);
                to.send(primary, &Answer { version: *version, result }, record.timestamp, context)?;
            }
            Ok(())
        })
    }
}

/// The declaration of the results, after the chain `C` of the answers. Changes of the results come out: `None` for one
/// that is deleted.
#[derive(Clone)]
pub struct Reveal<C> {
    pub(crate) previous: C,
    pub(crate) spec: RevealSpec,
}

/// The parts of [`Reveal`] besides the chain.
#[derive(Clone, Copy)]
pub struct RevealSpec {
    pub(crate) shown: Handle<KeyValueStore<Shown>>,
    /// The times from which on the numbers of rows that are gone are not needed.
    pub(crate) ends: Handle<TimerStore>,
}

impl<C: Chain<Value = Owned<Answer<B>>>, B: 'static> Chain for Reveal<C> {
    type Key = C::Key;
    type Value = Owned<Option<B>>;

    fn build<N: Operator<C::Key, Owned<Option<B>>>>(&self, next: N, stage: &mut StageBuilder<'_>) {
        self.previous.build(RevealOperator { spec: self.spec, due: Vec::new(), next }, stage);
    }
}

/// [`Reveal`], built.
struct RevealOperator<N> {
    spec: RevealSpec,
    /// The key of a number that is forgotten.
    due: Vec<u8>,
    next: N,
}

impl<N: Signals> Signals for RevealOperator<N> {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        Some(&mut self.next)
    }

    fn watermark(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let Self { spec, due, .. } = self;
        while let Some(at) = context.stores.get_mut(spec.ends).pop_due_into(Clock::Event, context.watermark, due) {
            let shown = context.stores.get_mut(spec.shown);
            // The row may be there again, or have gone again since.
            if shown.get(due).is_some_and(|shown| shown.state == State::Gone { end: at }) {
                shown.remove(due);
            }
        }
        self.next.watermark(context)
    }
}

impl<K: View, B: 'static, N: Operator<K, Owned<Option<B>>>> Operator<K, Owned<Answer<B>>> for RevealOperator<N> {
    fn push(&mut self, record: Rec<'_, K, Owned<Answer<B>>>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let raw_key = record.raw_key.unwrap_or_default();
        let shown = context.stores.get_mut(self.spec.shown);
        let known = shown.get(raw_key).copied();
        let version = record.value.version;
        if known.is_some_and(|known| known.version > version) {
            // It is superseded.
            return Ok(());
        }
        let (state, value) = match record.value.result {
            Answered::Row(row) => (State::Row, Some(row)),
            Answered::NoRow => (State::NoRow, None),
            Answered::Gone { watermark } => (State::Gone { end: TimestampMs(watermark.0.saturating_add(1)) }, None),
        };
        shown.put(raw_key, Shown { version, state });
        if let State::Gone { end } = state {
            context.stores.get_mut(self.spec.ends).set(Clock::Event, end, raw_key);
        }
        let was_there = known.is_some_and(|known| known.state == State::Row);
        if !was_there && value.is_none() {
            return Ok(());
        }
        let Rec { key, timestamp, headers, raw_key, .. } = record;
        self.next.push(Rec { key, value, timestamp, headers, raw_key }, context)
    }
}
