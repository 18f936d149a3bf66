//! Operators with two inputs.
//!
//! Such an operator belongs to two chains, so it stands beside them in the list of joints. Each chain ends in an inlet,
//! which takes the operator out of the list for the time of a record. The operator and the steps behind it get a signal
//! when both chains have had it.

use std::any::Any;
use std::marker::PhantomData;

use super::{Chain, Context, NodeId, Operator, Signals, StageBuilder};
use crate::error::ProcessError;
use crate::types::{Rec, View};

/// An operator with two inputs.
pub(super) trait TwoSided: Signals + Any {
    /// Key and value of the records of each side.
    type LeftKey: View;
    type Left: View;
    type RightKey: View;
    type Right: View;

    /// Takes one record of the left side.
    fn left(
        &mut self,
        record: Rec<'_, Self::LeftKey, Self::Left>,
        context: &mut Context<'_>,
    ) -> Result<(), ProcessError>;

    /// Takes one record of the right side.
    fn right(
        &mut self,
        record: Rec<'_, Self::RightKey, Self::Right>,
        context: &mut Context<'_>,
    ) -> Result<(), ProcessError>;
}

/// Builds the operator of the step `node`, and the chains of both sides before it.
pub(super) fn build<O, L, R>(node: NodeId, operator: O, (left, right): (&L, &R), stage: &mut StageBuilder<'_>)
where
    O: TwoSided,
    L: Chain<Key = O::LeftKey, Value = O::Left>,
    R: Chain<Key = O::RightKey, Value = O::Right>,
{
    let joint = stage.joint(node, Box::new(operator));
    left.build(LeftInlet::<O> { joint, operator: PhantomData }, stage);
    right.build(RightInlet::<O> { joint, operator: PhantomData }, stage);
}

macro_rules! inlet {
    ($(#[$doc:meta])* $name:ident, $method:ident, $key:ident, $value:ident) => {
        $(#[$doc])*
        struct $name<O> {
            joint: usize,
            operator: PhantomData<fn() -> O>,
        }

        impl<O> Signals for $name<O> {
            fn next(&mut self) -> Option<&mut dyn Signals> {
                None
            }
        }

        impl<O: TwoSided> Operator<O::$key, O::$value> for $name<O> {
            fn push(
                &mut self,
                record: Rec<'_, O::$key, O::$value>,
                context: &mut Context<'_>,
            ) -> Result<(), ProcessError> {
                context.with_joint(self.joint, |joint, context| {
                    let operator = (joint as &mut dyn Any).downcast_mut::<O>();
                    operator.expect("built for this step").$method(record, context)
                })
            }
        }
    };
}

inlet! {
    /// The end of the left side.
    LeftInlet, left, LeftKey, Left
}
inlet! {
    /// The end of the right side.
    RightInlet, right, RightKey, Right
}
