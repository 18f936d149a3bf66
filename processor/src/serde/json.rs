//! JSON, by `serde`.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::finite::write_json;
use super::{Serde, SerdeError};
use crate::types::Owned;

/// A value as JSON, by its `serde` implementation.
///
/// JSON has no NaN and no infinities: a value with one cannot be encoded.
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

    #[test]
    fn a_sum_of_tenths_is_read_as_it_was_written() {
        let sum = (0..10).fold(0.0, |sum, _| sum + 0.1);
        assert_eq!(sum.to_string(), "0.9999999999999999");
        assert_eq!(read_again(sum), Ok(sum));
    }
}
