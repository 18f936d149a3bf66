//! JSON, by `serde`.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::finite::write_json;
use super::{Serde, SerdeError};
use crate::types::Owned;

/// A value as JSON, by its `serde` implementation.
///
/// JSON has no NaN and no infinities: a value with one cannot be encoded. Nor can one that nests deeper than 127 arrays
/// and objects, which could not be read again.
pub struct Json<T>(PhantomData<fn() -> T>);

impl<T> Json<T> {
    /// Makes the serde of `T`.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> Default for Json<T> {
    fn default() -> Self {
        Self::new()
    }
}

// A derived implementation would require `T: Clone`.
impl<T> Clone for Json<T> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<T: Serialize + DeserializeOwned + 'static> Serde for Json<T> {
    type View = Owned<T>;

    fn decode(&self, bytes: &[u8]) -> Result<T, SerdeError> {
        serde_json::from_slice(bytes).map_err(json_error)
    }

    #[inline]
    fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        write_json(value, out).map_err(json_error)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "an argument of map_err")]
pub(super) fn json_error(error: serde_json::Error) -> SerdeError {
    SerdeError::Json { line: error.line(), column: error.column(), message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_again(number: f64) -> Result<f64, SerdeError> {
        let (json, mut out) = (Json::<f64>::new(), Vec::new());
        json.encode(&number, &mut out).and_then(|()| json.decode(&out))
    }

    proptest! {
        /// State is the same after a restart.
        #[test]
        fn each_number_comes_back(bits: u64) {
            let number = f64::from_bits(bits);
            prop_assert_eq!(read_again(number).ok(), Some(number).filter(|number| number.is_finite()));
        }
    }

    /// A value that holds itself.
    #[derive(Serialize, serde::Deserialize)]
    enum Nested {
        Leaf,
        Array(Vec<Nested>),
        Variant { of: Box<Nested> },
    }

    #[test]
    fn a_value_that_is_too_deep_to_be_read_is_not_written() {
        let nested = |times, outer: fn(Nested) -> Nested| (0..times).fold(Nested::Leaf, |inner, _| outer(inner));
        let array = |inner| Nested::Array(vec![inner]);
        let variant = |inner| Nested::Variant { of: Box::new(inner) };
        let (json, mut encoded) = (Json::<Nested>::new(), 0);
        // Each takes two levels.
        for depth in 55..75 {
            for value in [nested(depth, array), nested(depth, variant)] {
                let mut out = Vec::new();
                let is_encoded = json.encode(&value, &mut out).is_ok();
                assert_eq!(json.decode(&out).is_ok(), is_encoded, "{depth}");
                encoded += usize::from(is_encoded);
            }
        }
        assert_eq!(encoded, 2 * (63 - 55 + 1));
    }

    #[test]
    fn a_sum_of_tenths_is_read_as_it_was_written() {
        let sum = (0..10).fold(0.0, |sum, _| sum + 0.1);
        assert_eq!(sum.to_string(), "0.9999999999999999");
        assert_eq!(read_again(sum), Ok(sum));
    }
}
