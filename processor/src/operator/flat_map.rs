//! A step with one record in, and any number out, each with another value.
//!
//! The closure pushes its outputs instead of returning them: so they may borrow from the record, or from a buffer that
//! the closure reuses for each of them. Nothing is collected.

use std::marker::PhantomData;

use super::{Chain, Context, Operator, Signals, StageBuilder};
use crate::error::ProcessError;
use crate::types::{Reborrow, Rec, View};

/// Takes the outputs of one record of a `flat_map`.
///
/// Type-erased, because the closure must not depend on what follows it in the chain: one indirect call per output.
pub struct Outputs<'o, B: View> {
    push: &'o mut dyn Push<B>,
}

impl<B: View> Outputs<'_, B> {
    /// Puts out one value, with the key, timestamp and headers of the record.
    #[inline]
    pub fn push<'s>(&'s mut self, value: B::Ref<'s>) {
        self.push.push(value);
    }
}

trait Push<B: View> {
    fn push<'s>(&'s mut self, value: B::Ref<'s>);
}

/// `flat_map`, declared.
pub struct FlatMap<C, B, F> {
    pub(crate) previous: C,
    pub(crate) output: PhantomData<fn() -> B>,
    pub(crate) flat_map: F,
}

// A derived implementation would require `B: Clone`.
impl<C: Clone, B, F: Clone> Clone for FlatMap<C, B, F> {
    fn clone(&self) -> Self {
        Self { previous: self.previous.clone(), output: PhantomData, flat_map: self.flat_map.clone() }
    }
}

impl<C, B, F> Chain for FlatMap<C, B, F>
where
    C: Chain<Key: Reborrow>,
    B: View,
    F: FnMut(&Rec<'_, C::Key, C::Value>, &mut Outputs<'_, B>) + Clone + Send + Sync + 'static,
{
    type Key = C::Key;
    type Value = B;

    fn build<N: Operator<C::Key, B>>(&self, next: N, stage: &mut StageBuilder<'_>) {
        self.previous.build(FlatMapOperator { output: PhantomData, flat_map: self.flat_map.clone(), next }, stage);
    }
}

/// `flat_map`, built.
pub struct FlatMapOperator<B, F, N> {
    output: PhantomData<fn() -> B>,
    flat_map: F,
    next: N,
}

impl<B: 'static, F: Send, N: Signals> Signals for FlatMapOperator<B, F, N> {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        Some(&mut self.next)
    }
}

impl<K, V, B, F, N> Operator<K, V> for FlatMapOperator<B, F, N>
where
    K: Reborrow,
    V: View,
    B: View,
    F: FnMut(&Rec<'_, K, V>, &mut Outputs<'_, B>) + Send + 'static,
    N: Operator<K, B>,
{
    #[inline]
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let mut pusher = Pusher { record: &record, next: &mut self.next, context, result: Ok(()) };
        (self.flat_map)(&record, &mut Outputs { push: &mut pusher });
        pusher.result
    }
}

/// Passes outputs to the next operator until one fails.
struct Pusher<'p, 'a, 'c, K: View, V: View, N> {
    record: &'p Rec<'a, K, V>,
    next: &'p mut N,
    context: &'p mut Context<'c>,
    result: Result<(), ProcessError>,
}

impl<K: Reborrow, V: View, B: View, N: Operator<K, B>> Push<B> for Pusher<'_, '_, '_, K, V, N> {
    #[inline]
    fn push<'s>(&'s mut self, value: B::Ref<'s>) {
        if self.result.is_ok() {
            let Rec { key, timestamp, headers, raw_key, .. } = self.record;
            let record: Rec<'s, K, B> =
                Rec { key: K::reborrow(key), value, timestamp: *timestamp, headers: *headers, raw_key: *raw_key };
            self.result = self.next.push(record, self.context);
        }
    }
}
