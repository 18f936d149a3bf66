//! A step with one record in, and one out with another value.

use super::{Chain, Context, Operator, Signals, StageBuilder};
use crate::error::ProcessError;
use crate::types::{Owned, Rec, View};

/// `map`, declared.
#[derive(Clone)]
pub struct Map<C, F> {
    pub(crate) previous: C,
    pub(crate) map: F,
}

impl<C, F, B> Chain for Map<C, F>
where
    C: Chain,
    B: 'static,
    F: FnMut(&Rec<'_, C::Key, C::Value>) -> B + Clone + Send + Sync + 'static,
{
    type Key = C::Key;
    type Value = Owned<B>;

    fn build<N: Operator<C::Key, Owned<B>>>(&self, next: N, stage: &mut StageBuilder<'_>) {
        self.previous.build(MapOperator { map: self.map.clone(), next }, stage);
    }
}

/// `map`, built.
pub struct MapOperator<F, N> {
    map: F,
    next: N,
}

impl<F: Send, N: Signals> Signals for MapOperator<F, N> {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        Some(&mut self.next)
    }
}

impl<K, V, B, F, N> Operator<K, V> for MapOperator<F, N>
where
    K: View,
    V: View,
    B: 'static,
    F: FnMut(&Rec<'_, K, V>) -> B + Send + 'static,
    N: Operator<K, Owned<B>>,
{
    #[inline]
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let value = (self.map)(&record);
        self.next.push(record.with_value(value), context)
    }
}
