//! The end of a stage in all partitions of a repartition topic: the broadcast.

use kafka_wire::types::PartitionId;

use super::key_by::Keyed;
use super::to::Scratch;
use super::{Context, Operator, Signals};
use crate::error::ProcessError;
use crate::output::{OutRecord, Route, SinkId};
use crate::serde::Serde;
use crate::types::{Partitions, Rec, View};

/// Writes each record into every partition of a repartition topic, so that each task behind it gets all of them.
#[derive(Clone)]
pub struct ToAll<F, KS, VS> {
    pub(crate) sink: SinkId,
    pub(crate) topic: String,
    pub(crate) partitions: Partitions,
    pub(crate) select: F,
    pub(crate) key_serde: KS,
    pub(crate) value_serde: VS,
    pub(crate) scratch: Scratch,
}

impl<F: Send, KS: Serde, VS: Serde> Signals for ToAll<F, KS, VS> {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        None
    }
}

impl<K, V, KS, VS, F> Operator<K, V> for ToAll<F, KS, VS>
where
    K: View,
    V: View,
    KS: Serde,
    VS: Serde,
    F: for<'a> FnMut(Rec<'a, K, V>) -> Keyed<'a, KS, VS> + Send + 'static,
{
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let (timestamp, headers) = (record.timestamp, record.headers);
        let (key, value) = (self.select)(record);
        let Self { key_serde, value_serde, scratch, .. } = self;
        if let Err(cause) = scratch.encode::<KS::View, VS::View>((key_serde, &key), (value_serde, &value)) {
            return context.leave_out_unencodable(&self.topic, cause);
        }
        let value = (!self.value_serde.is_null(&value)).then_some(scratch.value.as_slice());
        for partition in (0..self.partitions.0).map(PartitionId) {
            let (sink, route, key) = (self.sink, Route::Partition(partition), Some(scratch.key.as_slice()));
            let taken = context.counters.records_out;
            context.emit(&self.topic, OutRecord { sink, route, timestamp, key, value, headers })?;
            // A record that one partition does not take is taken by none: it is left out once.
            if context.counters.records_out == taken {
                break;
            }
        }
        Ok(())
    }
}
