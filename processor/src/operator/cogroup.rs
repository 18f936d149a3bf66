//! Several streams that are gathered into one value a key, each in its own way.
//!
//! Each record becomes a change of the value ([`Update`]): the closure of its stream, applied to the record. The
//! streams are merged, and what follows is any aggregation, with windows or without: it applies the changes in the
//! order in which they come. Nothing is boxed or copied for that. Between the streams there is no order.

use std::cell::RefCell;
use std::marker::PhantomData;

use super::{Chain, Context, Operator, Signals, StageBuilder};
use crate::error::ProcessError;
use crate::types::{Reborrow, Rec, View};

/// A change of a value of type `A`.
pub struct Update<A>(PhantomData<fn() -> A>);

/// A change, as a record shows it.
pub struct UpdateRef<'a, A> {
    apply: RefCell<&'a mut (dyn FnMut(&mut A) + 'a)>,
}

impl<A: 'static> View for Update<A> {
    type Ref<'a> = UpdateRef<'a, A>;
}

impl<A: 'static> Update<A> {
    /// Applies the change of a record: the `add` of an aggregation of such records.
    pub fn apply<K: View>(value: &mut A, record: &Rec<'_, K, Self>) {
        (record.value.apply.borrow_mut())(value);
    }
}

/// The declaration of a stream whose records change a value, after the chain `C`.
pub struct Contribute<C, A, F> {
    pub(crate) previous: C,
    /// Changes the value by a record.
    pub(crate) add: F,
    pub(crate) value: PhantomData<fn() -> A>,
}

// A derived implementation would require the same of `A`.
impl<C: Clone, A, F: Clone> Clone for Contribute<C, A, F> {
    fn clone(&self) -> Self {
        Self { previous: self.previous.clone(), add: self.add.clone(), value: PhantomData }
    }
}

impl<C, A, F> Chain for Contribute<C, A, F>
where
    C: Chain<Key: Reborrow>,
    A: 'static,
    F: FnMut(&mut A, &Rec<'_, C::Key, C::Value>) + Clone + Send + Sync + 'static,
{
    type Key = C::Key;
    type Value = Update<A>;

    fn build<N: Operator<C::Key, Update<A>>>(&self, next: N, stage: &mut StageBuilder<'_>) {
        let add = self.add.clone();
        self.previous.build(ContributeOperator { add, next, value: PhantomData::<fn() -> A> }, stage);
    }
}

/// [`Contribute`], built.
struct ContributeOperator<A, F, N> {
    add: F,
    next: N,
    value: PhantomData<fn() -> A>,
}

impl<A, F: Send, N: Signals> Signals for ContributeOperator<A, F, N> {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        Some(&mut self.next)
    }
}

impl<K, V, A, F, N> Operator<K, V> for ContributeOperator<A, F, N>
where
    K: Reborrow,
    V: View,
    A: 'static,
    F: FnMut(&mut A, &Rec<'_, K, V>) + Send + 'static,
    N: Operator<K, Update<A>>,
{
    #[inline]
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let Self { add, next, .. } = self;
        let mut apply = |value: &mut A| add(value, &record);
        let (key, timestamp, headers, raw_key) =
            (K::reborrow(&record.key), record.timestamp, record.headers, record.raw_key);
        let value = UpdateRef { apply: RefCell::new(&mut apply) };
        next.push(Rec { key, value, timestamp, headers, raw_key }, context)
    }
}
