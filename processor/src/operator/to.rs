//! The end of a stage in a topic of the user's.

use super::{Context, Operator, Signals};
use crate::error::ProcessError;
use crate::output::{OutRecord, Route, SinkId};
use crate::serde::Encode;
use crate::types::{Rec, View};

/// Writes records into a topic: the partition by the key's murmur2 hash, timestamp and headers unchanged.
#[derive(Clone)]
pub struct To<KS, VS> {
    pub(crate) sink: SinkId,
    pub(crate) topic: String,
    pub(crate) key_serde: KS,
    pub(crate) value_serde: VS,
    pub(crate) scratch: Scratch,
}

/// Buffers that each record is encoded into, reused for the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

impl<KS: Send, VS: Send> Signals for To<KS, VS> {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        None
    }
}

impl<K: View, V: View, KS: Encode<K>, VS: Encode<V>> Operator<K, V> for To<KS, VS> {
    #[inline]
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let (key, value) = (&mut self.scratch.key, &mut self.scratch.value);
        key.clear();
        value.clear();
        let encoded = self.key_serde.write(&record.key, key);
        if let Err(cause) = encoded.and_then(|()| self.value_serde.write(&record.value, value)) {
            return context.leave_out_refused(&self.topic, cause.to_string());
        }
        let out = OutRecord {
            sink: self.sink,
            route: Route::ByKey,
            timestamp: record.timestamp,
            key: (!self.key_serde.writes_null(&record.key)).then_some(key.as_slice()),
            value: (!self.value_serde.writes_null(&record.value)).then_some(value.as_slice()),
            headers: record.headers,
        };
        context.emit(&self.topic, out)
    }
}
