//! One record in, one out, with another value.

use super::{Chain, Context, Control, Operator};
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
    type Built<N: Operator<C::Key, Owned<B>>> = C::Built<MapOperator<F, N>>;

    fn build<N: Operator<C::Key, Owned<B>>>(&self, next: N) -> Self::Built<N> {
        self.previous.build(MapOperator { map: self.map.clone(), next })
    }
}

/// `map` in its place.
pub struct MapOperator<F, N> {
    map: F,
    next: N,
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

    fn control(&mut self, control: &mut Control<'_>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.next.control(control, context)
    }
}
