//! Values as their fields, one after the other: for what crosses a shuffle or stays in a store.

use std::borrow::Cow;
use std::marker::PhantomData;

use super::{Serde, SerdeError};
use crate::types::View;

/// A value of a fixed layout, packed: fields in their order, without names.
///
/// | type | bytes |
/// |---|---|
/// | integers, `f32`, `f64` | their own number, most significant first |
/// | `bool` | one, 0 or 1 |
/// | `&str`, `String`, `Cow<str>`, `&[u8]`, `Vec<u8>` | the length (u32, most significant first), then the bytes |
/// | `[u8; N]` | N |
/// | `Option` | one, 0 or 1, then the value if there is one |
/// | structs that derive [`Pack`](macro@crate::Pack) | those of their fields, in the order of their declaration |
///
/// It costs a fraction of JSON, both to write and to read; text and bytes borrow from the record. The layout is a part
/// of the serde's name: a job whose struct has changed under the same name is refused by what it wrote before, instead
/// of misreading it. `V` is a view of a type that derives [`Pack`](macro@crate::Pack): the type itself if it derives
/// [`View`](macro@crate::View), `Owned<T>` for a type that borrows nothing, such as those in stores.
///
/// ```
/// use processor::driver::TestDriver;
/// use processor::serde::{JsonView, Packed};
/// use processor::{Emit, Owned, Pack, Partitions, Topology, U64, Utf8, View};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, View, Pack, Serialize, Deserialize)]
/// struct Order<'a> {
///     customer: &'a str,
///     amount: u64,
/// }
///
/// #[derive(Clone, Default, Pack)]
/// struct Totals {
///     orders: u64,
///     amount: u64,
/// }
///
/// let mut job = Topology::builder("totals");
/// job.stream("orders", JsonView::<Order>::new())
///     .key_by("by-customer", Partitions(2), (Utf8, Packed::<Order>::new()), |order| {
///         (order.value.customer, order.value)
///     })
///     .aggregate("totals", Packed::<Owned<Totals>>::new(), Emit::OnUpdate, Totals::default, |totals, order| {
///         totals.orders += 1;
///         totals.amount += order.value.amount;
///     })
///     .map(|totals| totals.value.amount)
///     .to("amounts", Utf8, U64);
/// let mut driver = TestDriver::new(job.build().expect("a sound job"));
/// driver.pipe("orders", None, r#"{"customer":"ann","amount":120}"#, 1);
/// driver.settle();
/// assert_eq!(driver.read("amounts")[0].key_str(), "ann");
/// ```
pub struct Packed<V>(PhantomData<fn() -> V>);

impl<V> Packed<V> {
    /// Makes the serde of the view `V`.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<V> Default for Packed<V> {
    fn default() -> Self {
        Self::new()
    }
}

// A derived implementation would require `V: Clone`.
impl<V> Clone for Packed<V> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<V> Serde for Packed<V>
where
    V: View,
    for<'a> V::Ref<'a>: Pack<'a>,
{
    type View = V;

    #[inline]
    fn decode<'a>(&self, bytes: &'a [u8]) -> Result<V::Ref<'a>, SerdeError> {
        let mut left = bytes;
        let value: V::Ref<'a> = Pack::unpack(&mut left)?;
        if left.is_empty() {
            return Ok(value);
        }
        Err(SerdeError::Length { expected: bytes.len() - left.len(), actual: bytes.len() })
    }

    #[inline]
    fn encode(&self, value: &V::Ref<'_>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        value.pack(out)
    }

    fn name(&self) -> String {
        let mut name = "Packed".to_owned();
        <V::Ref<'static> as Pack<'static>>::layout(&mut name);
        name
    }
}

/// A type with a layout for [`Packed`]; derive it by [`Pack`](macro@crate::Pack). What is read may borrow for `'a`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be packed",
    label = "it has no layout",
    note = "fields are integers, `f32`, `f64`, `bool`, text (`&str`, `String`, `Cow<str>`), bytes (`&[u8]`, `Vec<u8>`, \
            `[u8; N]`), structs that `#[derive(Pack)]`, and an `Option` of any of these"
)]
pub trait Pack<'a>: Sized {
    /// Appends the description of the layout: state and records of another one are refused by it.
    fn layout(out: &mut String);

    /// Appends the value.
    ///
    /// # Errors
    /// If text or bytes are longer than 4 GiB.
    fn pack(&self, out: &mut Vec<u8>) -> Result<(), SerdeError>;

    /// Takes a value from the beginning of `bytes`.
    ///
    /// # Errors
    /// The bytes end too early, or are no such value.
    fn unpack(bytes: &mut &'a [u8]) -> Result<Self, SerdeError>;
}

/// The fields of a struct, for the derive.
#[doc(hidden)]
#[derive(Debug)]
pub struct Packing;

impl Packing {
    /// Appends a field to the description of a layout.
    #[doc(hidden)]
    pub fn layout<'a, T: Pack<'a>>(out: &mut String, name: &str) {
        if !out.ends_with(['{', '(']) {
            out.push_str(", ");
        }
        out.push_str(name);
        out.push_str(": ");
        T::layout(out);
    }

    /// Takes a field from the beginning of `bytes`.
    #[doc(hidden)]
    #[inline]
    pub fn unpack<'a, T: Pack<'a>>(bytes: &mut &'a [u8], name: &str) -> Result<T, SerdeError> {
        T::unpack(bytes).map_err(|error| in_field(name, &error))
    }
}

/// Says which field an error is of.
#[cold]
fn in_field(name: &str, error: &SerdeError) -> SerdeError {
    let inner = error.to_string();
    // A field of a field: `address.street: ..`.
    match inner.strip_prefix("field ") {
        Some(rest) => SerdeError::Custom(format!("field {name}.{rest}")),
        None => SerdeError::Custom(format!("field {name}: {inner}")),
    }
}

/// Takes `count` bytes from the beginning.
#[inline]
fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], SerdeError> {
    let (taken, left) = bytes.split_at_checked(count).ok_or_else(|| ends_early(count, bytes.len()))?;
    *bytes = left;
    Ok(taken)
}

#[cold]
const fn ends_early(expected: usize, actual: usize) -> SerdeError {
    SerdeError::Length { expected, actual }
}

#[inline]
fn take_array<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], SerdeError> {
    let (taken, left) = bytes.split_first_chunk().ok_or_else(|| ends_early(N, bytes.len()))?;
    *bytes = left;
    Ok(*taken)
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Pack<'_> for $number {
            fn layout(out: &mut String) {
                out.push_str(stringify!($number));
            }

            #[inline]
            fn pack(&self, out: &mut Vec<u8>) -> Result<(), SerdeError> {
                out.extend_from_slice(&self.to_be_bytes());
                Ok(())
            }

            #[inline]
            fn unpack(bytes: &mut &[u8]) -> Result<Self, SerdeError> {
                take_array(bytes).map(Self::from_be_bytes)
            }
        }
    )*};
}
numbers!(u8, i8, u16, i16, u32, i32, u64, i64, u128, i128, f32, f64);

impl Pack<'_> for bool {
    fn layout(out: &mut String) {
        out.push_str("bool");
    }

    #[inline]
    fn pack(&self, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.push(u8::from(*self));
        Ok(())
    }

    #[inline]
    fn unpack(bytes: &mut &[u8]) -> Result<Self, SerdeError> {
        match take_array(bytes)? {
            [0] => Ok(false),
            [1] => Ok(true),
            [byte] => Err(SerdeError::Custom(format!("{byte} is neither 0 nor 1"))),
        }
    }
}

#[inline]
fn pack_bytes(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), SerdeError> {
    let length = u32::try_from(bytes.len()).map_err(|_| SerdeError::Custom("more than 4 GiB".to_owned()))?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

#[inline]
fn unpack_bytes<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], SerdeError> {
    let length = u32::from_be_bytes(take_array(bytes)?);
    take(bytes, usize::try_from(length).unwrap_or(usize::MAX))
}

#[inline]
fn unpack_text<'a>(bytes: &mut &'a [u8]) -> Result<&'a str, SerdeError> {
    let text = std::str::from_utf8(unpack_bytes(bytes)?);
    text.map_err(|error| SerdeError::NotUtf8 { valid_up_to: error.valid_up_to() })
}

macro_rules! texts {
    ($($lifetime:lifetime $text:ty, $layout:literal, $read:ident, $make:expr;)*) => {$(
        impl<$lifetime> Pack<$lifetime> for $text {
            fn layout(out: &mut String) {
                out.push_str($layout);
            }

            #[inline]
            fn pack(&self, out: &mut Vec<u8>) -> Result<(), SerdeError> {
                pack_bytes(self.as_ref(), out)
            }

            #[inline]
            fn unpack(bytes: &mut &$lifetime [u8]) -> Result<Self, SerdeError> {
                $read(bytes).map($make)
            }
        }
    )*};
}
texts! {
    'a &'a str, "text", unpack_text, |text| text;
    'a String, "text", unpack_text, str::to_owned;
    'a &'a [u8], "bytes", unpack_bytes, |bytes| bytes;
    'a Vec<u8>, "bytes", unpack_bytes, <[u8]>::to_vec;
}

impl<'a> Pack<'a> for Cow<'a, str> {
    fn layout(out: &mut String) {
        out.push_str("text");
    }

    #[inline]
    fn pack(&self, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        pack_bytes(self.as_bytes(), out)
    }

    #[inline]
    fn unpack(bytes: &mut &'a [u8]) -> Result<Self, SerdeError> {
        unpack_text(bytes).map(Cow::Borrowed)
    }
}

impl<const N: usize> Pack<'_> for [u8; N] {
    fn layout(out: &mut String) {
        out.push_str(&format!("{N} bytes"));
    }

    #[inline]
    fn pack(&self, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(self);
        Ok(())
    }

    #[inline]
    fn unpack(bytes: &mut &[u8]) -> Result<Self, SerdeError> {
        take_array(bytes)
    }
}

impl<'a, T: Pack<'a>> Pack<'a> for Option<T> {
    fn layout(out: &mut String) {
        out.push_str("optional ");
        T::layout(out);
    }

    #[inline]
    fn pack(&self, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.is_some().pack(out)?;
        self.as_ref().map_or(Ok(()), |value| value.pack(out))
    }

    #[inline]
    fn unpack(bytes: &mut &'a [u8]) -> Result<Self, SerdeError> {
        bool::unpack(bytes)?.then(|| T::unpack(bytes)).transpose()
    }
}
