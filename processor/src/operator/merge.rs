//! Two streams merged to one.

use std::any::Any;
use std::marker::PhantomData;

use super::{Chain, Context, NodeId, Operator, Signals, StageBuilder};
use crate::error::ProcessError;
use crate::types::{Rec, View};

/// `merge`, declared.
#[derive(Clone)]
pub struct Merge<L, R> {
    pub(crate) left: L,
    pub(crate) right: R,
    pub(crate) node: NodeId,
}

impl<L, R> Chain for Merge<L, R>
where
    L: Chain,
    R: Chain<Key = L::Key, Value = L::Value>,
{
    type Key = L::Key;
    type Value = L::Value;

    fn build<N: Operator<L::Key, L::Value>>(&self, next: N, stage: &mut StageBuilder<'_>) {
        let joint = stage.joint(self.node, Box::new(next));
        self.left.build(Inlet::<N> { joint, next: PhantomData }, stage);
        self.right.build(Inlet::<N> { joint, next: PhantomData }, stage);
    }
}

/// The end of a stream that is merged: it shares the next operator with other streams. A record takes that operator out
/// of the list of joints and puts it back; its type is known, so this costs one comparison more than a call.
pub struct Inlet<N> {
    joint: usize,
    next: PhantomData<fn() -> N>,
}

impl<N> Signals for Inlet<N> {
    /// The next operator gets its signals when all streams before it have had theirs.
    fn next(&mut self) -> Option<&mut dyn Signals> {
        None
    }
}

impl<K: View, V: View, N: Operator<K, V>> Operator<K, V> for Inlet<N> {
    #[inline]
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        context.with_joint(self.joint, |joint, context| {
            let next = (joint as &mut dyn Any).downcast_mut::<N>();
            next.expect("built for what follows this merge").push(record, context)
        })
    }
}
