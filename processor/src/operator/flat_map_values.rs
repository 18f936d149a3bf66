//! A step with one record in, and any number out: the elements of a collection that a closure returns.
//!
//! The outputs have the order of the collection, and the key, timestamp and headers of the record.
//! [`FlatMap`](super::FlatMap) does the same without a collection, for outputs that borrow. It has no state:
//! a crash repeats the call for the records of the open transaction.

use super::{Chain, Context, Operator, Signals, StageBuilder};
use crate::error::ProcessError;
use crate::types::{Owned, Reborrow, Rec, View};

/// `flat_map_values`, declared.
#[derive(Clone)]
pub struct FlatMapValues<C, F> {
    pub(crate) previous: C,
    pub(crate) flat_map: F,
}

impl<C, F, I> Chain for FlatMapValues<C, F>
where
    C: Chain<Key: Reborrow>,
    I: IntoIterator<Item: 'static>,
    F: FnMut(&Rec<'_, C::Key, C::Value>) -> I + Clone + Send + Sync + 'static,
{
    type Key = C::Key;
    type Value = Owned<I::Item>;

    fn build<N: Operator<C::Key, Owned<I::Item>>>(&self, next: N, stage: &mut StageBuilder<'_>) {
        self.previous.build(FlatMapValuesOperator { flat_map: self.flat_map.clone(), next }, stage);
    }
}

/// `flat_map_values`, built.
struct FlatMapValuesOperator<F, N> {
    flat_map: F,
    next: N,
}

impl<F: Send, N: Signals> Signals for FlatMapValuesOperator<F, N> {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        Some(&mut self.next)
    }
}

impl<K, V, I, F, N> Operator<K, V> for FlatMapValuesOperator<F, N>
where
    K: Reborrow,
    V: View,
    I: IntoIterator<Item: 'static>,
    F: FnMut(&Rec<'_, K, V>) -> I + Send + 'static,
    N: Operator<K, Owned<I::Item>>,
{
    #[inline]
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let Rec { key, timestamp, headers, raw_key, .. } = &record;
        (self.flat_map)(&record).into_iter().try_for_each(|value| {
            let (timestamp, headers, raw_key) = (*timestamp, *headers, *raw_key);
            self.next.push(Rec { key: K::reborrow(key), value, timestamp, headers, raw_key }, context)
        })
    }
}
