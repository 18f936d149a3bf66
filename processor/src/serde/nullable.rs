//! Values that may be Kafka's null.

use super::{Encode, Serde, SerdeError};
use crate::types::{Owned, Reborrow, View};

/// The values of another serde, or null: seen as an `Option`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nullable<S>(pub S);

impl<S: 'static> View for Nullable<S>
where
    S: View,
{
    type Ref<'a> = Option<S::Ref<'a>>;
}

impl<S: Reborrow> Reborrow for Nullable<S> {
    #[inline]
    fn reborrow<'short, 'long: 'short>(key: &'short Option<S::Ref<'long>>) -> Option<S::Ref<'short>> {
        key.as_ref().map(S::reborrow)
    }
}

impl<S: Serde> Serde for Nullable<S> {
    type View = Nullable<S::View>;

    #[inline]
    fn decode<'a>(&self, bytes: &'a [u8]) -> Result<Option<<S::View as View>::Ref<'a>>, SerdeError> {
        self.0.decode(bytes).map(Some)
    }

    #[inline]
    fn encode(&self, value: &Option<<S::View as View>::Ref<'_>>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        value.as_ref().map_or(Ok(()), |value| self.0.encode(value, out))
    }

    #[inline]
    fn decode_null<'a>(&self) -> Result<Option<<S::View as View>::Ref<'a>>, SerdeError> {
        Ok(None)
    }

    #[inline]
    fn is_null(&self, value: &Option<<S::View as View>::Ref<'_>>) -> bool {
        value.is_none()
    }

    fn has_null(&self) -> bool {
        true
    }
}

/// Encodes values made by a closure that may be missing: `None` is written as null, which deletes a key
/// from a compacted topic.
impl<A: 'static, S: Serde<View = Owned<A>>> Encode<Owned<Option<A>>> for Nullable<S> {
    #[inline]
    fn write(&self, value: &Option<A>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        value.as_ref().map_or(Ok(()), |value| self.0.encode(value, out))
    }

    #[inline]
    fn writes_null(&self, value: &Option<A>) -> bool {
        value.is_none()
    }
}
