//! A step that looks at each record and passes it on unchanged.
//!
//! For logs and metrics of your own. A crash repeats the call for the records of the open transaction, so side effects
//! of the closure happen at least once.

use super::{Chain, Context, Operator, Signals, StageBuilder};
use crate::error::ProcessError;
use crate::types::{Rec, View};

/// `peek`, declared.
#[derive(Clone)]
pub struct Peek<C, F> {
    pub(crate) previous: C,
    pub(crate) look: F,
}

impl<C, F> Chain for Peek<C, F>
where
    C: Chain,
    F: FnMut(&Rec<'_, C::Key, C::Value>) + Clone + Send + Sync + 'static,
{
    type Key = C::Key;
    type Value = C::Value;

    fn build<N: Operator<C::Key, C::Value>>(&self, next: N, stage: &mut StageBuilder<'_>) {
        self.previous.build(PeekOperator { look: self.look.clone(), next }, stage);
    }
}

/// `peek`, built.
struct PeekOperator<F, N> {
    look: F,
    next: N,
}

impl<F: Send, N: Signals> Signals for PeekOperator<F, N> {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        Some(&mut self.next)
    }
}

impl<K, V, F, N> Operator<K, V> for PeekOperator<F, N>
where
    K: View,
    V: View,
    F: FnMut(&Rec<'_, K, V>) + Send + 'static,
    N: Operator<K, V>,
{
    #[inline]
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        (self.look)(&record);
        self.next.push(record, context)
    }
}
