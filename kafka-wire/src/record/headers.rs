//! Headers of a record, in their encoded form.

use super::field;
use super::varint::{put_varint, zigzag, zigzag_length};

/// The headers of a record, checked but not decoded: that is left to readers who want them.
///
/// Appending them to another record copies their bytes once. Keys are bytes, because Kafka does not check that they are
/// UTF-8; a key is never null, a value may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawHeaders<'a> {
    /// At most `i32::MAX`.
    count: u32,
    /// `count` times: key length, key, value length, value. Always well formed.
    bytes: &'a [u8],
}

impl<'a> RawHeaders<'a> {
    /// No headers.
    pub const EMPTY: RawHeaders<'static> = RawHeaders { count: 0, bytes: &[] };

    /// Number of headers.
    pub fn count(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Keys and values, in the order in which they were added. A key may occur more than once.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let mut rest = self.bytes;
        (0..self.count).map_while(move |_| {
            let (after, header) = field::header(rest).ok()?;
            rest = after;
            Some(header)
        })
    }

    /// The value of the last header with this key; `None` if there is none, `Some(None)` if its value is null.
    pub fn last(&self, key: &[u8]) -> Option<Option<&'a [u8]>> {
        self.iter().filter(|(candidate, _)| *candidate == key).last().map(|(_, value)| value)
    }

    /// Headers whose bytes have been checked to their end.
    #[inline]
    pub(super) fn checked(count: u32, bytes: &'a [u8]) -> Self {
        Self { count, bytes }
    }

    pub(super) fn raw_count(&self) -> u32 {
        self.count
    }

    /// The encoded headers, without their count: for measuring and hashing.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// Headers under construction; cleared and reused for record after record.
#[derive(Clone, Debug, Default)]
pub struct HeadersBuf {
    count: u32,
    bytes: Vec<u8>,
}

impl HeadersBuf {
    /// Makes an empty buffer, without an allocation.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a header after the others.
    ///
    /// A key or value of 2 GiB or more does not fit the format; the record with it is refused as too large when it is
    /// appended, because the sum of its parts is.
    pub fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        put_sized(&mut self.bytes, key);
        match value {
            Some(value) => put_sized(&mut self.bytes, value),
            None => put_varint(&mut self.bytes, zigzag(-1)),
        }
        self.count = self.count.saturating_add(1);
    }

    /// Removes all headers and keeps the memory.
    pub fn clear(&mut self) {
        self.count = 0;
        self.bytes.clear();
    }

    /// The headers so far, to append to a record.
    pub fn as_raw(&self) -> RawHeaders<'_> {
        RawHeaders { count: self.count, bytes: &self.bytes }
    }
}

fn put_sized(buffer: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(buffer, zigzag_length(bytes.len()));
    buffer.extend_from_slice(bytes);
}
