//! The end of a stage in one of several topics of the user's, chosen for each record.
//!
//! The topics are declared, so that a job checks at its start whether all of them exist. The order is kept within
//! a partition of a topic.

use super::to::To;
use super::{Context, Operator, Signals};
use crate::error::ProcessError;
use crate::serde::Encode;
use crate::types::{Rec, View};

/// Writes each record into the topic that a closure chooses, by its index in the list.
#[derive(Clone)]
pub struct ToChosen<F, KS, VS> {
    pub(crate) choose: F,
    pub(crate) topics: Vec<To<KS, VS>>,
}

impl<F: Send, KS: Send, VS: Send> Signals for ToChosen<F, KS, VS> {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        None
    }
}

impl<K, V, F, KS, VS> Operator<K, V> for ToChosen<F, KS, VS>
where
    K: View,
    V: View,
    F: FnMut(&Rec<'_, K, V>) -> usize + Send + 'static,
    KS: Encode<K>,
    VS: Encode<V>,
{
    #[inline]
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let chosen = (self.choose)(&record);
        let (count, topic) = (self.topics.len(), self.topics.get_mut(chosen));
        // This is a mistake of the program: the record must not get lost, and no topic is the right one.
        topic.unwrap_or_else(|| panic!("topic {chosen} was chosen of {count}")).push(record, context)
    }
}
