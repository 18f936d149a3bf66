//! Protobuf messages.

use std::fmt;
use std::marker::PhantomData;

use processor::{Owned, Serde, SerdeError};
use prost::Message;

/// A message of `prost`, as Protobuf encodes it, with nothing before or after it.
///
/// Unknown fields are ignored when a message is read, and are not written again. Messages nest at most 100 deep.
pub struct Protobuf<M>(PhantomData<fn() -> M>);

impl<M> Protobuf<M> {
    /// Makes the format of `M`.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<M> Default for Protobuf<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M> Clone for Protobuf<M> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<M> fmt::Debug for Protobuf<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Protobuf")
    }
}

impl<M: Message + Default + 'static> Serde for Protobuf<M> {
    type View = Owned<M>;

    /// # Errors
    /// If the bytes are not such a message: the message of the error names the field.
    fn decode(&self, bytes: &[u8]) -> Result<M, SerdeError> {
        M::decode(bytes).map_err(|error| SerdeError::Custom(error.to_string()))
    }

    fn encode(&self, value: &M, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        value.encode(out).map_err(|error| SerdeError::Custom(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, PartialEq, Message)]
    struct Order {
        #[prost(uint32, tag = "1")]
        id: u32,
        #[prost(string, tag = "2")]
        text: String,
    }

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let (format, order) = (Protobuf::<Order>::new(), Order { id: 150, text: "testing".to_owned() });
        let mut out = Vec::new();
        format.encode(&order, &mut out).expect("encodes");
        // The example of Protobuf's documentation of its encoding: field 1 is 150, field 2 is "testing".
        assert_eq!(out, [0x08, 0x96, 0x01, 0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67]);
        assert_eq!(format.decode(&out), Ok(order));
        assert_eq!(format.decode(&[]), Ok(Order::default()));
        assert!(format.decode(&out[..5]).expect_err("it is cut off").to_string().contains("text"));
        assert_eq!(format.name(), "Protobuf<Order>");
    }
}
