//! The format of the records: columns one after the other, numbers as eight bytes, most significant first, and text
//! behind its length. A row is read in place: its text borrows from the bytes.

use std::marker::PhantomData;

use processor::{Owned, Serde, SerdeError};

/// A value that can be a column, or several.
pub(crate) trait Column<'a>: Sized {
    /// Takes the value off the front of `bytes`.
    fn read(bytes: &mut &'a [u8]) -> Result<Self, SerdeError>;

    fn write(&self, out: &mut Vec<u8>);
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Column<'_> for $number {
            #[inline]
            fn read(bytes: &mut &[u8]) -> Result<Self, SerdeError> {
                let (number, rest) = bytes.split_first_chunk().ok_or_else(too_short)?;
                *bytes = rest;
                Ok(Self::from_be_bytes(*number))
            }

            #[inline]
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
        }
    )*};
}
numbers!(u8, u32, u64, i64);

impl<'a> Column<'a> for &'a [u8] {
    #[inline]
    fn read(bytes: &mut &'a [u8]) -> Result<Self, SerdeError> {
        let length = u32::read(bytes)? as usize;
        let (found, rest) = bytes.split_at_checked(length).ok_or_else(too_short)?;
        *bytes = rest;
        Ok(found)
    }

    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        (self.len() as u32).write(out);
        out.extend_from_slice(self);
    }
}

impl<'a> Column<'a> for &'a str {
    #[inline]
    fn read(bytes: &mut &'a [u8]) -> Result<Self, SerdeError> {
        let text = <&[u8]>::read(bytes)?;
        std::str::from_utf8(text).map_err(|error| SerdeError::NotUtf8 { valid_up_to: error.valid_up_to() })
    }

    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        self.as_bytes().write(out);
    }
}

impl Column<'_> for String {
    fn read(bytes: &mut &[u8]) -> Result<Self, SerdeError> {
        <&str>::read(bytes).map(str::to_owned)
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.as_str().write(out);
    }
}

impl<'a, T: Column<'a>> Column<'a> for Option<T> {
    fn read(bytes: &mut &'a [u8]) -> Result<Self, SerdeError> {
        Ok(if u8::read(bytes)? == 0 { None } else { Some(T::read(bytes)?) })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.is_some()));
        self.iter().for_each(|value| value.write(out));
    }
}

impl<'a, T: Column<'a>> Column<'a> for Vec<T> {
    fn read(bytes: &mut &'a [u8]) -> Result<Self, SerdeError> {
        (0..u32::read(bytes)?).map(|_| T::read(bytes)).collect()
    }

    fn write(&self, out: &mut Vec<u8>) {
        (self.len() as u32).write(out);
        self.iter().for_each(|value| value.write(out));
    }
}

impl<'a, T: Column<'a> + Copy + Default, const N: usize> Column<'a> for [T; N] {
    fn read(bytes: &mut &'a [u8]) -> Result<Self, SerdeError> {
        let mut values = [T::default(); N];
        values.iter_mut().try_for_each(|value| T::read(bytes).map(|read| *value = read))?;
        Ok(values)
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.iter().for_each(|value| value.write(out));
    }
}

macro_rules! tuples {
    ($(($($part:ident $index:tt),*))*) => {$(
        impl<'a, $($part: Column<'a>),*> Column<'a> for ($($part,)*) {
            #[inline]
            fn read(bytes: &mut &'a [u8]) -> Result<Self, SerdeError> {
                Ok(($($part::read(bytes)?,)*))
            }

            #[inline]
            fn write(&self, out: &mut Vec<u8>) {
                $(self.$index.write(out);)*
            }
        }
    )*};
}
tuples! {
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
}

/// Declares structs of columns that own their values.
macro_rules! columns {
    ($($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $field:ident: $type:ty),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default)]
        pub(crate) struct $name { $($(#[$of])* pub(crate) $field: $type),* }

        impl $crate::rows::Column<'_> for $name {
            fn read(bytes: &mut &[u8]) -> Result<Self, processor::SerdeError> {
                Ok(Self { $($field: $crate::rows::Column::read(bytes)?),* })
            }

            fn write(&self, out: &mut Vec<u8>) {
                $($crate::rows::Column::write(&self.$field, out);)*
            }
        }
    )*};
}

/// Declares rows that borrow their text, with their views, which are their serdes as well.
macro_rules! rows {
    ($($(#[$doc:meta])* $row:ident<$a:lifetime> as $rows:ident { $($field:ident: $type:ty),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) struct $row<$a> { $(pub(crate) $field: $type),* }

        impl<$a> $crate::rows::Column<$a> for $row<$a> {
            #[inline]
            fn read(bytes: &mut &$a [u8]) -> Result<Self, processor::SerdeError> {
                Ok(Self { $($field: $crate::rows::Column::read(bytes)?),* })
            }

            #[inline]
            fn write(&self, out: &mut Vec<u8>) {
                $($crate::rows::Column::write(&self.$field, out);)*
            }
        }

        $crate::rows::viewed! { $row as $rows }
    )*};
}

/// Makes the view and serde of a row.
macro_rules! viewed {
    ($row:ident as $rows:ident) => {
        #[doc = concat!("The view and the serde of a [`", stringify!($row), "`].")]
        #[derive(Clone, Copy, Debug, Default)]
        pub(crate) struct $rows;

        impl processor::types::View for $rows {
            type Ref<'a> = $row<'a>;
        }

        impl processor::types::Reborrow for $rows {
            #[inline]
            fn reborrow<'short, 'long: 'short>(row: &'short $row<'long>) -> $row<'short> {
                *row
            }
        }

        impl processor::Serde for $rows {
            type View = Self;

            #[inline]
            fn decode<'a>(&self, bytes: &'a [u8]) -> Result<$row<'a>, processor::SerdeError> {
                $crate::rows::whole(bytes)
            }

            #[inline]
            fn encode(&self, row: &$row<'_>, out: &mut Vec<u8>) -> Result<(), processor::SerdeError> {
                $crate::rows::Column::write(row, out);
                Ok(())
            }
        }
    };
}

pub(crate) use {columns, rows, viewed};

/// Reads a value that is all of `bytes`.
#[inline]
pub(crate) fn whole<'a, T: Column<'a>>(mut bytes: &'a [u8]) -> Result<T, SerdeError> {
    let value = T::read(&mut bytes)?;
    if bytes.is_empty() { Ok(value) } else { Err(SerdeError::Custom(format!("{} bytes too many", bytes.len()))) }
}

/// The bytes of a value.
pub(crate) fn bytes_of<'a>(value: &impl Column<'a>) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.write(&mut bytes);
    bytes
}

#[cold]
fn too_short() -> SerdeError {
    SerdeError::Custom("a row that ends early".to_owned())
}

/// The serde of values that own their columns.
pub(crate) struct Columns<T>(PhantomData<fn() -> T>);

impl<T> Columns<T> {
    pub(crate) const fn new() -> Self {
        Self(PhantomData)
    }
}

// A derived implementation would require the same of `T`.
impl<T> Clone for Columns<T> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<T: for<'a> Column<'a> + 'static> Serde for Columns<T> {
    type View = Owned<T>;

    #[inline]
    fn decode(&self, bytes: &[u8]) -> Result<T, SerdeError> {
        whole(bytes)
    }

    #[inline]
    fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        value.write(out);
        Ok(())
    }
}

/// A row of `R` as its bytes, for state that holds rows of which it needs few columns: one allocation a row, and none
/// when another row takes its place.
pub(crate) struct Packed<R>(Vec<u8>, PhantomData<fn() -> R>);

impl<R: Serde + Default> Packed<R> {
    pub(crate) fn of(row: &<R::View as processor::types::View>::Ref<'_>) -> Self {
        let mut packed = Self::default();
        packed.set(row);
        packed
    }

    pub(crate) fn set(&mut self, row: &<R::View as processor::types::View>::Ref<'_>) {
        self.0.clear();
        R::default().encode(row, &mut self.0).expect("every row can be written");
    }

    /// Whether there is no row in it yet.
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn row(&self) -> <R::View as processor::types::View>::Ref<'_> {
        R::default().decode(&self.0).expect("it was packed by the same serde")
    }
}

impl<R> Default for Packed<R> {
    fn default() -> Self {
        Self(Vec::new(), PhantomData)
    }
}

impl<R> Clone for Packed<R> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), PhantomData)
    }
}

impl<R> std::fmt::Debug for Packed<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl<R> Column<'_> for Packed<R> {
    fn read(bytes: &mut &[u8]) -> Result<Self, SerdeError> {
        Ok(Self(<&[u8]>::read(bytes)?.to_vec(), PhantomData))
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.0.as_slice().write(out);
    }
}
