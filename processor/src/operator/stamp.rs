//! Steps that give each record another timestamp, or other headers.
//!
//! Later steps see them, and they are written to repartition topics and sinks. Only sources advance event
//! time: a timestamp that is set here moves no watermark, and a later window may find it late.
//! The order stays; there is no state.

use kafka_wire::record::HeadersBuf;
use kafka_wire::types::TimestampMs;

use super::{Chain, Context, Operator, Signals, StageBuilder};
use crate::error::ProcessError;
use crate::types::{Reborrow, Rec, View};

/// `set_timestamp`, declared.
#[derive(Clone)]
pub struct SetTimestamp<C, F> {
    pub(crate) previous: C,
    pub(crate) stamp: F,
}

impl<C, F> Chain for SetTimestamp<C, F>
where
    C: Chain,
    F: FnMut(&Rec<'_, C::Key, C::Value>) -> TimestampMs + Clone + Send + Sync + 'static,
{
    type Key = C::Key;
    type Value = C::Value;

    fn build<N: Operator<C::Key, C::Value>>(&self, next: N, stage: &mut StageBuilder<'_>) {
        self.previous.build(SetTimestampOperator { stamp: self.stamp.clone(), next }, stage);
    }
}

/// `set_timestamp`, built.
struct SetTimestampOperator<F, N> {
    stamp: F,
    next: N,
}

impl<F: Send, N: Signals> Signals for SetTimestampOperator<F, N> {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        Some(&mut self.next)
    }
}

impl<K, V, F, N> Operator<K, V> for SetTimestampOperator<F, N>
where
    K: View,
    V: View,
    F: FnMut(&Rec<'_, K, V>) -> TimestampMs + Send + 'static,
    N: Operator<K, V>,
{
    #[inline]
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let timestamp = (self.stamp)(&record);
        self.next.push(Rec { timestamp, ..record }, context)
    }
}

/// `set_headers`, declared.
#[derive(Clone)]
pub struct SetHeaders<C, F> {
    pub(crate) previous: C,
    pub(crate) set: F,
}

impl<C, F> Chain for SetHeaders<C, F>
where
    C: Chain<Key: Reborrow, Value: Reborrow>,
    F: FnMut(&Rec<'_, C::Key, C::Value>, &mut HeadersBuf) + Clone + Send + Sync + 'static,
{
    type Key = C::Key;
    type Value = C::Value;

    fn build<N: Operator<C::Key, C::Value>>(&self, next: N, stage: &mut StageBuilder<'_>) {
        let (set, buffer) = (self.set.clone(), HeadersBuf::new());
        self.previous.build(SetHeadersOperator { set, buffer, next }, stage);
    }
}

/// `set_headers`, built.
struct SetHeadersOperator<F, N> {
    set: F,
    /// The headers of a record; the buffer is reused for the next.
    buffer: HeadersBuf,
    next: N,
}

impl<F: Send, N: Signals> Signals for SetHeadersOperator<F, N> {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        Some(&mut self.next)
    }
}

impl<K, V, F, N> Operator<K, V> for SetHeadersOperator<F, N>
where
    K: Reborrow,
    V: Reborrow,
    F: FnMut(&Rec<'_, K, V>, &mut HeadersBuf) + Send + 'static,
    N: Operator<K, V>,
{
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.buffer.clear();
        record.headers.iter().for_each(|(key, value)| self.buffer.push(key, value));
        (self.set)(&record, &mut self.buffer);
        self.next.push(Rec { headers: self.buffer.as_raw(), ..record.reborrow() }, context)
    }
}
