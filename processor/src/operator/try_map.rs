//! A step with one record in, and another value out, or an error into a stream of its own.
//!
//! Both outputs keep key, timestamp and headers. Errors are dropped if no step follows that stream.
//! With [`MapOrFail`] an error is a failure of the whole record, to which the job reacts by its policy.
//! It has no state: a crash repeats the call for the records of the open transaction.

use std::fmt::Display;

use super::{Chain, Context, NodeId, Operator, SideOutlet, Signals, StageBuilder};
use crate::error::ProcessError;
use crate::types::{Owned, Rec, View};

/// `try_map`, declared.
#[derive(Clone)]
pub struct TryMap<C, F> {
    pub(crate) previous: C,
    pub(crate) map: F,
    /// The stream of the errors.
    pub(crate) errors: NodeId,
}

impl<C, F, B, E> Chain for TryMap<C, F>
where
    C: Chain,
    B: 'static,
    E: 'static,
    F: FnMut(&Rec<'_, C::Key, C::Value>) -> Result<B, E> + Clone + Send + Sync + 'static,
{
    type Key = C::Key;
    type Value = Owned<B>;

    fn build<N: Operator<C::Key, Owned<B>>>(&self, next: N, stage: &mut StageBuilder<'_>) {
        let errors = SideOutlet::new(self.errors, stage);
        self.previous.build(TryMapOperator { map: self.map.clone(), errors, next }, stage);
    }
}

/// `try_map`, built.
struct TryMapOperator<F, N> {
    map: F,
    errors: SideOutlet,
    next: N,
}

impl<F: Send, N: Signals> Signals for TryMapOperator<F, N> {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        Some(&mut self.next)
    }
}

impl<K, V, B, E, F, N> Operator<K, V> for TryMapOperator<F, N>
where
    K: View,
    V: View,
    B: 'static,
    E: 'static,
    F: FnMut(&Rec<'_, K, V>) -> Result<B, E> + Send + 'static,
    N: Operator<K, Owned<B>>,
{
    #[inline]
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        match (self.map)(&record) {
            Ok(value) => self.next.push(record.with_value(value), context),
            Err(error) => self.errors.push(record.with_value::<Owned<E>>(error), context),
        }
    }
}

/// `map_or_fail`, declared.
#[derive(Clone)]
pub struct MapOrFail<C, F> {
    pub(crate) previous: C,
    pub(crate) map: F,
    /// Name of the step.
    pub(crate) step: String,
}

impl<C, F, B, E> Chain for MapOrFail<C, F>
where
    C: Chain,
    B: 'static,
    E: Display + 'static,
    F: FnMut(&Rec<'_, C::Key, C::Value>) -> Result<B, E> + Clone + Send + Sync + 'static,
{
    type Key = C::Key;
    type Value = Owned<B>;

    fn build<N: Operator<C::Key, Owned<B>>>(&self, next: N, stage: &mut StageBuilder<'_>) {
        let operator = MapOrFailOperator { map: self.map.clone(), step: self.step.clone(), next };
        self.previous.build(operator, stage);
    }
}

/// `map_or_fail`, built.
struct MapOrFailOperator<F, N> {
    map: F,
    step: String,
    next: N,
}

impl<F: Send, N: Signals> Signals for MapOrFailOperator<F, N> {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        Some(&mut self.next)
    }
}

impl<K, V, B, E, F, N> Operator<K, V> for MapOrFailOperator<F, N>
where
    K: View,
    V: View,
    B: 'static,
    E: Display + 'static,
    F: FnMut(&Rec<'_, K, V>) -> Result<B, E> + Send + 'static,
    N: Operator<K, Owned<B>>,
{
    #[inline]
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        match (self.map)(&record) {
            Ok(value) => self.next.push(record.with_value(value), context),
            Err(error) => {
                let (origin, step) = (context.record(), self.step.clone());
                Err(ProcessError::Failed { origin, step, message: error.to_string() })
            }
        }
    }
}
