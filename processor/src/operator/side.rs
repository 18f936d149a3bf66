//! A second output of a step, for records that do not go on in the stream, such as errors and late records.
//!
//! It is a stream like any other. Its records keep the order in which the step puts them out; between the two outputs
//! there is no order. Both are in the same transaction. An output without a following step costs nothing:
//! its records are dropped.

use std::any::Any;
use std::marker::PhantomData;

use super::context::{Context, Operator};
use super::stage::{Arm, Chain, StageBuilder};
use super::step::NodeId;
use crate::error::ProcessError;
use crate::types::{Rec, View};

/// The second output of a step, declared: the start of a stream.
pub struct Side<K, V> {
    node: NodeId,
    record: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Side<K, V> {
    pub(crate) const fn new(node: NodeId) -> Self {
        Self { node, record: PhantomData }
    }
}

// A derived implementation would require `K: Clone`.
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

/// The second output of an operator, built.
pub struct SideOutlet {
    /// Its index among the joints; `None` if no step follows.
    place: Option<usize>,
}

impl SideOutlet {
    /// The output to the stream `node`.
    pub(super) fn new(node: NodeId, stage: &mut StageBuilder<'_>) -> Self {
        Self { place: stage.side(node) }
    }

    /// Whether a step follows.
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
        context.with_joint(place, |joint, context| {
            let arm = (joint as &mut dyn Any).downcast_mut::<Arm<K, V>>();
            arm.expect("built for the records of this output").push(record, context)
        })
    }
}
