//! A step that gives each record another key, without a shuffle.
//!
//! The record stays in its task, so records with one new key may be in several tasks: no step with state can follow
//! before a `key_by`, and `build()` checks that. Value, timestamp, headers and order stay. It has no state.

use std::marker::PhantomData;

use super::{Chain, Context, Operator, Signals, StageBuilder};
use crate::error::ProcessError;
use crate::serde::Serde;
use crate::types::{Rec, View};

/// `select_key`, declared.
pub struct SelectKey<C, KS, F> {
    pub(crate) previous: C,
    pub(crate) key: PhantomData<fn() -> KS>,
    pub(crate) select: F,
}

// A derived implementation would require `KS: Clone`, although it holds no `KS`.
impl<C: Clone, KS, F: Clone> Clone for SelectKey<C, KS, F> {
    fn clone(&self) -> Self {
        Self { previous: self.previous.clone(), key: PhantomData, select: self.select.clone() }
    }
}

/// A key that lives as long as the record.
type KeyOf<'a, KS> = <<KS as Serde>::View as View>::Ref<'a>;

impl<C, KS, F> Chain for SelectKey<C, KS, F>
where
    C: Chain,
    KS: Serde,
    F: for<'a> FnMut(&Rec<'a, C::Key, C::Value>) -> KeyOf<'a, KS> + Clone + Send + Sync + 'static,
{
    type Key = KS::View;
    type Value = C::Value;

    fn build<N: Operator<KS::View, C::Value>>(&self, next: N, stage: &mut StageBuilder<'_>) {
        let (select, key) = (self.select.clone(), PhantomData::<fn() -> KS>);
        self.previous.build(SelectKeyOperator { select, key, next }, stage);
    }
}

/// `select_key`, built.
struct SelectKeyOperator<KS, F, N> {
    select: F,
    key: PhantomData<fn() -> KS>,
    next: N,
}

impl<KS: Serde, F: Send, N: Signals> Signals for SelectKeyOperator<KS, F, N> {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        Some(&mut self.next)
    }
}

impl<K, V, KS, F, N> Operator<K, V> for SelectKeyOperator<KS, F, N>
where
    K: View,
    V: View,
    KS: Serde,
    F: for<'a> FnMut(&Rec<'a, K, V>) -> KeyOf<'a, KS> + Send + 'static,
    N: Operator<KS::View, V>,
{
    #[inline]
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let key = (self.select)(&record);
        let Rec { value, timestamp, headers, .. } = record;
        // `build()` refuses steps with state after this one, and `async_map` encodes the key.
        self.next.push(Rec { key, value, timestamp, headers, raw_key: None }, context)
    }
}
