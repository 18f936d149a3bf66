//! A second output of a step: records that are not those of the stream that goes on, such as errors and late records.
//!
//! It is a stream like any other. Its records keep the order in which the step puts them out; against those of the first
//! output there is no order. Both are in the same transaction. An output that nothing follows costs nothing: what would go
//! there is dropped.

use std::any::Any;
use std::marker::PhantomData;

use super::context::{Context, Operator};
use super::stage::{Arm, Chain, NodeId, StageBuilder};
use crate::error::ProcessError;
use crate::types::{Rec, View};

/// The second output of a step, declared: where a stream begins.
pub struct Side<K, V> {
    node: NodeId,
    record: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Side<K, V> {
    pub(crate) const fn new(node: NodeId) -> Self {
        Self { node, record: PhantomData }
    }
}

// Derived, it would ask for `K: Clone`.
impl<K, V> Clone for Side<K, V> {
    fn clone(&self) -> Self {
        Self::new(self.node)
    }
}

impl<K: View, V: View> Chain for Side<K, V> {
    type Key = K;
    type Value = V;

    fn build<N: Operator<K, V>>(&self, next: N, stage: &mut StageBuilder<'_>) {
        let arm: Arm<K, V> = Box::new(next);
        stage.joint(self.node, Box::new(arm));
    }
}

/// The way to the second output, for the operator that has one.
pub struct SideOutlet {
    /// Its place among the joints; `None` when nothing follows.
    place: Option<usize>,
}

impl SideOutlet {
    /// The way to the stream `node`.
    pub(super) fn new(node: NodeId, stage: &mut StageBuilder<'_>) -> Self {
        Self { place: stage.side(node) }
    }

    /// Whether anybody takes what is pushed.
    #[must_use]
    pub const fn is_used(&self) -> bool {
        self.place.is_some()
    }

    /// Pushes a record into the second output.
    ///
    /// # Errors
    /// As [`Operator::push`].
    pub fn push<K: View, V: View>(&self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let Some(place) = self.place else { return Ok(()) };
        let mut joint = context.joints.take(place);
        let arm = (&mut *joint as &mut dyn Any).downcast_mut::<Arm<K, V>>();
        let result = arm.expect("built for the records of this output").push(record, context);
        context.joints.put_back(place, joint);
        result
    }
}
