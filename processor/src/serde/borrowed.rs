//! JSON that is seen without a copy.

use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use super::finite::write_json;
use super::json::json_error;
use super::{Serde, SerdeError, short_type_name};
use crate::types::View;

/// A value as JSON, whose text borrows from the record: for types that derive [`View`](macro@crate::View).
///
/// A field of type `&str` is a slice of the record, and takes no memory. Text with an escape in it (`\n`, `\"`) is not
/// in the record as it is, so a `&str` cannot show it and the record is undecodable; a `Cow<str>` with
/// `#[serde(borrow)]` borrows where it can, and owns where it must. The bytes are those of [`Json`](super::Json), and
/// so is the name: a job may go from one to the other.
///
/// ```
/// use std::borrow::Cow;
///
/// use processor::driver::TestDriver;
/// use processor::serde::JsonView;
/// use processor::{Raw, Topology, View};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, View, Serialize, Deserialize)]
/// struct Order<'a> {
///     customer: &'a str,
///     #[serde(borrow)]
///     note: Cow<'a, str>,
///     amount: u64,
/// }
///
/// let mut job = Topology::builder("large-orders");
/// job.stream("orders", JsonView::<Order>::new())
///     .filter(|order| order.value.amount > 100)
///     .to("large", Raw, JsonView::<Order>::new());
/// let mut driver = TestDriver::new(job.build().expect("a sound job"));
/// driver.pipe("orders", None, r#"{"customer":"ann","note":"a \"gift\"","amount":120}"#, 1);
/// driver.pipe("orders", None, r#"{"customer":"bob","note":"","amount":7}"#, 2);
/// driver.settle();
/// assert_eq!(driver.read("large").len(), 1);
/// ```
pub struct JsonView<V>(PhantomData<fn() -> V>);

impl<V> JsonView<V> {
    /// Makes the serde of the view `V`.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<V> Default for JsonView<V> {
    fn default() -> Self {
        Self::new()
    }
}

// A derived implementation would require `V: Clone`.
impl<V> Clone for JsonView<V> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<V> Serde for JsonView<V>
where
    V: View,
    for<'a> V::Ref<'a>: Deserialize<'a> + Serialize,
{
    type View = V;

    #[inline]
    fn decode<'a>(&self, bytes: &'a [u8]) -> Result<V::Ref<'a>, SerdeError> {
        serde_json::from_slice(bytes).map_err(|error| hinted(json_error(error)))
    }

    #[inline]
    fn encode(&self, value: &V::Ref<'_>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        write_json(value, out).map_err(json_error)
    }

    /// That of [`Json`](super::Json), since the bytes are the same.
    fn name(&self) -> String {
        // Compilers differ in whether they print the lifetime of a type.
        let of = short_type_name::<V>();
        let of = of.strip_suffix("<'_>").or_else(|| of.strip_suffix("<'static>")).unwrap_or(&of);
        format!("Json<{of}>")
    }
}

/// Says how to mend a type that cannot hold a text with escapes.
fn hinted(error: SerdeError) -> SerdeError {
    match error {
        SerdeError::Json { line, column, message } if message.contains("expected a borrowed string") => {
            let hint = "text with escapes cannot be borrowed: make the field a `Cow<str>` with `#[serde(borrow)]`";
            SerdeError::Json { line, column, message: format!("{message} ({hint})") }
        }
        other => other,
    }
}
