//! The end of a stage in topics of the user's that are not declared: each record names its own.
//!
//! The order is kept within a partition of a topic. A topic that is named for the first time is looked up before the
//! transaction is committed; what its record meets is the policy of [`ErrorKind::Produce`](crate::error::ErrorKind).

use std::borrow::Cow;

use super::to::To;
use super::{Context, Operator, Signals};
use crate::error::ProcessError;
use crate::serde::Encode;
use crate::types::{Rec, View};

/// Writes each record into the topic that a closure names.
#[derive(Clone)]
pub struct ToNamed<F, KS, VS> {
    pub(crate) name: F,
    /// The end in the topic of the last record.
    pub(crate) last: To<KS, VS>,
}

impl<F: Send, KS: Send, VS: Send> Signals for ToNamed<F, KS, VS> {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        None
    }
}

impl<K, V, F, KS, VS> Operator<K, V> for ToNamed<F, KS, VS>
where
    K: View,
    V: View,
    F: for<'r> FnMut(&'r Rec<'_, K, V>) -> Cow<'r, str> + Send + 'static,
    KS: Encode<K>,
    VS: Encode<V>,
{
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let Self { name, last } = self;
        last.topic.clear();
        last.topic.push_str(&name(&record));
        match context.output.named(&last.topic) {
            Ok(sink) => last.sink = sink,
            Err(refused) => return context.leave_out_refused(&last.topic, refused.0),
        }
        last.push(record, context)
    }
}
