//! The end of a stage in a topic of the user's.

use kafka_wire::producer::murmur2;

use super::{Context, Operator, Signals};
use crate::error::ProcessError;
use crate::output::{OutRecord, Route, SinkId};
use crate::serde::{Encode, SerdeError};
use crate::types::{Rec, View};

/// Writes records into a topic: the partition by the key's murmur2 hash, timestamp and headers unchanged.
pub type To<KS, VS> = ToPartition<ByKey, KS, VS>;

/// The choice of the partition of a record.
pub trait Partitioner<K: View, V: View>: Clone + Send + Sync + 'static {
    /// The partition.
    fn route(&mut self, record: &Rec<'_, K, V>) -> Route;
}

/// Chooses as Kafka's default partitioner does.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByKey;

impl<K: View, V: View> Partitioner<K, V> for ByKey {
    #[inline]
    fn route(&mut self, _record: &Rec<'_, K, V>) -> Route {
        Route::ByKey
    }
}

impl<K, V, F> Partitioner<K, V> for F
where
    K: View,
    V: View,
    F: FnMut(&Rec<'_, K, V>) -> u32 + Clone + Send + Sync + 'static,
{
    fn route(&mut self, record: &Rec<'_, K, V>) -> Route {
        Route::Number(self(record))
    }
}

/// Writes records into a topic, each into the partition that `P` chooses, timestamp and headers unchanged.
#[derive(Clone)]
pub struct ToPartition<P, KS, VS> {
    pub(crate) partitioner: P,
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

impl Scratch {
    /// Encodes the key and the value of the next record.
    #[inline]
    pub(super) fn encode<K: View, V: View>(
        &mut self,
        (key_serde, key): (&impl Encode<K>, &K::Ref<'_>),
        (value_serde, value): (&impl Encode<V>, &V::Ref<'_>),
    ) -> Result<(), SerdeError> {
        self.key.clear();
        self.value.clear();
        key_serde.write(key, &mut self.key)?;
        value_serde.write(value, &mut self.value)
    }
}

impl<P: Send, KS: Send, VS: Send> Signals for ToPartition<P, KS, VS> {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        None
    }
}

impl<K, V, P, KS, VS> Operator<K, V> for ToPartition<P, KS, VS>
where
    K: View,
    V: View,
    P: Partitioner<K, V>,
    KS: Encode<K>,
    VS: Encode<V>,
{
    #[inline]
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let Self { key_serde, value_serde, scratch, .. } = self;
        if let Err(cause) = scratch.encode::<K, V>((key_serde, &record.key), (value_serde, &record.value)) {
            return context.leave_out_unencodable(&self.topic, cause);
        }
        let Scratch { key, value } = scratch;
        let route = match self.partitioner.route(&record) {
            Route::ByKey => by_key(key, self.key_serde.chooses_by(key)),
            route @ (Route::Partition(_) | Route::Number(_)) => route,
        };
        let out = OutRecord {
            sink: self.sink,
            route,
            timestamp: record.timestamp,
            key: (!self.key_serde.writes_null(&record.key)).then_some(key.as_slice()),
            value: (!self.value_serde.writes_null(&record.value)).then_some(value.as_slice()),
            headers: record.headers,
        };
        context.emit(&self.topic, out)
    }
}

/// The partition of a key that is chosen by a part of its bytes.
#[inline]
fn by_key(key: &[u8], part: &[u8]) -> Route {
    if part.len() == key.len() { Route::ByKey } else { Route::Number(murmur2(part) & 0x7FFF_FFFF) }
}
