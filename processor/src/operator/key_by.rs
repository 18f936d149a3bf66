//! The end of a stage in a repartition topic: the shuffle.

use super::to::Scratch;
use super::{Context, Operator, Signals};
use crate::error::ProcessError;
use crate::output::{OutRecord, Route, SinkId};
use crate::serde::Serde;
use crate::types::{Rec, View};

/// Writes records under a new key into a repartition topic. Event time and headers are written with them.
#[derive(Clone)]
pub struct KeyBy<F, KS, VS> {
    pub(crate) sink: SinkId,
    pub(crate) topic: String,
    pub(crate) select: F,
    pub(crate) key_serde: KS,
    pub(crate) value_serde: VS,
    pub(crate) scratch: Scratch,
}

/// The result of a closure of `key_by`: the new key, and the value that crosses the shuffle.
pub(crate) type Keyed<'a, KS, VS> = (<<KS as Serde>::View as View>::Ref<'a>, <<VS as Serde>::View as View>::Ref<'a>);

impl<F: Send, KS: Serde, VS: Serde> Signals for KeyBy<F, KS, VS> {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        None
    }
}

impl<K, V, KS, VS, F> Operator<K, V> for KeyBy<F, KS, VS>
where
    K: View,
    V: View,
    KS: Serde,
    VS: Serde,
    F: for<'a> FnMut(Rec<'a, K, V>) -> Keyed<'a, KS, VS> + Send + 'static,
{
    #[inline]
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let (timestamp, headers) = (record.timestamp, record.headers);
        let (key, value) = (self.select)(record);
        let Self { key_serde, value_serde, scratch, .. } = self;
        if let Err(cause) = scratch.encode::<KS::View, VS::View>((key_serde, &key), (value_serde, &value)) {
            return context.leave_out_unencodable(&self.topic, cause);
        }
        let out = OutRecord {
            sink: self.sink,
            route: Route::ByKey,
            timestamp,
            // It is never null, which build() checks: a null key distinguishes a mark from data.
            key: Some(&scratch.key),
            value: (!self.value_serde.is_null(&value)).then_some(scratch.value.as_slice()),
            headers,
        };
        context.emit(&self.topic, out)
    }
}
