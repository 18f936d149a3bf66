//! Tables: the latest value of each key, in a store with a changelog; and look-ups in them, for streams
//! and for other tables.
//!
//! A record sets the row of its key, and null deletes it. Records of a key come in the order of their partition.
//! A task takes the records of a stream and of a table in the order of their event time, as far as they are in the
//! logs: a record finds the row of its time. Of equal times, the input that is declared first comes first. A crash
//! undoes the rows and the join results of the open transaction together.

use kafka_wire::types::TimestampMs;

use super::{Chain, Context, Expected, NodeId, Operator, Signals, StageBuilder};
use crate::error::ProcessError;
use crate::serde::Nullable;
use crate::state::{Handle, KeyValueStore, Stores};
use crate::types::{Owned, Rec, View};

/// A value that may be missing, as a table takes it.
pub trait Optional<A>: View {
    /// The value.
    fn take(value: Self::Ref<'_>) -> Option<A>;
}

impl<A: 'static> Optional<A> for Nullable<Owned<A>> {
    fn take(value: Option<A>) -> Option<A> {
        value
    }
}

impl<A: 'static> Optional<A> for Owned<Option<A>> {
    fn take(value: Option<A>) -> Option<A> {
        value
    }
}

impl<A: 'static> Optional<A> for Owned<A> {
    fn take(value: A) -> Option<A> {
        Some(value)
    }
}

/// The change of a row that was set or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<A> {
    /// The value before the change.
    pub old: Option<A>,
    /// The value after the change.
    pub new: Option<A>,
}

/// The declaration of a table, after the chain `C`. Its changes come out.
#[derive(Clone)]
pub struct Upsert<C, A> {
    pub(crate) previous: C,
    pub(crate) store: Handle<KeyValueStore<A>>,
    pub(crate) node: NodeId,
}

impl<A: Clone + Send + 'static, C: Chain<Value: Optional<A>>> Chain for Upsert<C, A> {
    type Key = C::Key;
    type Value = Owned<Change<A>>;

    fn build<N: Operator<C::Key, Owned<Change<A>>>>(&self, next: N, stage: &mut StageBuilder<'_>) {
        let is_followed = stage.uses(self.node) > 0;
        self.previous.build(UpsertOperator { store: self.store, is_followed, next }, stage);
    }
}

/// The operator of a table.
struct UpsertOperator<A, N> {
    store: Handle<KeyValueStore<A>>,
    /// Whether a step takes the changes.
    is_followed: bool,
    next: N,
}

impl<A: 'static, N: Signals> Signals for UpsertOperator<A, N> {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        Some(&mut self.next)
    }
}

impl<K, V, A, N> Operator<K, V> for UpsertOperator<A, N>
where
    K: View,
    V: Optional<A>,
    A: Clone + Send + 'static,
    N: Operator<K, Owned<Change<A>>>,
{
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let raw_key = record.raw_key.unwrap_or_default();
        let store = context.stores.get_mut(self.store);
        let Rec { key, value, timestamp, headers, raw_key: of_record } = record;
        let new = V::take(value);
        let old = self.is_followed.then(|| store.get(raw_key).cloned()).flatten();
        let for_next = self.is_followed.then(|| new.clone());
        match new {
            Some(new) => store.put(raw_key, new),
            None => _ = store.remove(raw_key),
        }
        let Some(new) = for_next else { return Ok(()) };
        self.next.push(Rec { key, value: Change { old, new }, timestamp, headers, raw_key: of_record }, context)
    }
}

/// The end of a chain for records that no step takes.
pub struct Drain;

impl Signals for Drain {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        None
    }
}

impl<K: View, V: View> Operator<K, V> for Drain {
    fn push(&mut self, _record: Rec<'_, K, V>, _context: &mut Context<'_>) -> Result<(), ProcessError> {
        Ok(())
    }
}

/// The rows of a table, as a look-up finds them.
pub trait Rows: Copy + Send + Sync + 'static {
    /// The type of the rows.
    type Row;

    /// Whether [`Rows::expect`] saves time.
    const LOOKS_AHEAD: bool = false;

    /// Brings the rows of the records that come next into the cache.
    fn expect(self, _stores: &mut Stores, _ahead: &[Expected<'_>]) {}

    /// Returns the row of a key for a record of this time.
    fn find<'s>(self, stores: &'s mut Stores, key: &[u8], at: TimestampMs) -> Option<&'s Self::Row>;
}

impl<A: Clone + Send + 'static> Rows for Handle<KeyValueStore<A>> {
    type Row = A;

    const LOOKS_AHEAD: bool = true;

    fn expect(self, stores: &mut Stores, ahead: &[Expected<'_>]) {
        stores.get_mut(self).expect(ahead.iter().map(|expected| expected.key));
    }

    #[inline]
    fn find<'s>(self, stores: &'s mut Stores, key: &[u8], _at: TimestampMs) -> Option<&'s A> {
        stores.get_mut(self).get(key)
    }
}

/// The declaration of a stream that looks up rows of a table.
#[derive(Clone)]
pub struct Lookup<C, T, F> {
    pub(crate) previous: C,
    pub(crate) rows: T,
    /// Makes a value of a record and its row; `None` if there is nothing to put out.
    pub(crate) join: F,
}

impl<C, T, B, F> Chain for Lookup<C, T, F>
where
    C: Chain,
    T: Rows,
    B: 'static,
    F: FnMut(&Rec<'_, C::Key, C::Value>, Option<&T::Row>) -> Option<B> + Clone + Send + Sync + 'static,
{
    type Key = C::Key;
    type Value = Owned<B>;

    fn build<N: Operator<C::Key, Owned<B>>>(&self, next: N, stage: &mut StageBuilder<'_>) {
        stage.order_inputs();
        self.previous.build(LookupOperator { rows: self.rows, join: self.join.clone(), next }, stage);
    }
}

/// The operator of a look-up.
struct LookupOperator<T, F, N> {
    rows: T,
    join: F,
    next: N,
}

impl<T: Rows, F: Send, N: Signals> Signals for LookupOperator<T, F, N> {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        Some(&mut self.next)
    }

    fn looks_ahead(&mut self) -> bool {
        T::LOOKS_AHEAD || self.next.looks_ahead()
    }

    fn expect(&mut self, ahead: &[Expected<'_>], context: &mut Context<'_>) {
        self.rows.expect(context.stores, ahead);
        self.next.expect(ahead, context);
    }
}

impl<K, V, T, B, F, N> Operator<K, V> for LookupOperator<T, F, N>
where
    K: View,
    V: View,
    T: Rows,
    B: 'static,
    F: FnMut(&Rec<'_, K, V>, Option<&T::Row>) -> Option<B> + Send + 'static,
    N: Operator<K, Owned<B>>,
{
    #[inline]
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let row = self.rows.find(context.stores, record.raw_key.unwrap_or_default(), record.timestamp);
        match (self.join)(&record, row) {
            Some(value) => self.next.push(record.with_value(value), context),
            None => Ok(()),
        }
    }
}
