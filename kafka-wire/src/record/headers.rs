//! Headers of a record, as they lie in it.

use super::cursor::{Cursor, put_varlong};
use super::{RecordError, RecordErrorCause};

/// The headers of a record, checked but not taken apart: reading them is left to whoever wants them.
///
/// Appending them to another record copies their bytes once. Keys are bytes, because Kafka does not check that they are
/// UTF-8; a key is never null, a value may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawHeaders<'a> {
    count: i32,
    /// `count` times: key length, key, value length, value. Always well formed.
    bytes: &'a [u8],
}

impl<'a> RawHeaders<'a> {
    /// No headers.
    pub const EMPTY: RawHeaders<'static> = RawHeaders { count: 0, bytes: &[] };

    /// How many there are.
    pub fn count(&self) -> usize {
        usize::try_from(self.count).unwrap_or(0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Keys and values, in the order in which they were added. A key may come more than once.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let mut cursor = Cursor::new(self.bytes, self.bytes.len());
        (0..self.count).map_while(move |_| header(&mut cursor).ok())
    }

    /// The value of the last header with this key; `None` when there is none, `Some(None)` when its value is null.
    pub fn last(&self, key: &[u8]) -> Option<Option<&'a [u8]>> {
        self.iter().filter(|(candidate, _)| *candidate == key).last().map(|(_, value)| value)
    }

    /// Count and headers take the whole rest of a record.
    #[inline]
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Self, RecordError> {
        let count = cursor.varint("header count")?;
        let bytes = cursor.rest();
        if count != 0 {
            check_headers(cursor, count)?;
        }
        if !cursor.rest().is_empty() {
            return Err(cursor.error("record", RecordErrorCause::BytesLeft(cursor.rest().len())));
        }
        Ok(Self { count, bytes })
    }

    pub(super) fn raw_count(&self) -> i32 {
        self.count
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// Headers under construction; cleared and used again for record after record.
#[derive(Clone, Debug, Default)]
pub struct HeadersBuf {
    count: i32,
    bytes: Vec<u8>,
}

impl HeadersBuf {
    /// No headers yet, no memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a header after those that are there.
    ///
    /// A key or value of 2 GiB or more does not fit the format; the record that carries it is refused as too large
    /// when it is appended, since the sum of its parts is.
    pub fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        put_bytes(&mut self.bytes, key);
        match value {
            Some(value) => put_bytes(&mut self.bytes, value),
            None => put_varlong(&mut self.bytes, -1),
        }
        self.count = self.count.saturating_add(1);
    }

    /// Takes out all headers and keeps the memory.
    pub fn clear(&mut self) {
        self.count = 0;
        self.bytes.clear();
    }

    /// The headers so far, to append to a record.
    pub fn as_raw(&self) -> RawHeaders<'_> {
        RawHeaders { count: self.count, bytes: &self.bytes }
    }
}

fn put_bytes(buffer: &mut Vec<u8>, bytes: &[u8]) {
    put_varlong(buffer, i64::try_from(bytes.len()).expect("a slice is shorter than i64::MAX"));
    buffer.extend_from_slice(bytes);
}

fn check_headers(cursor: &mut Cursor<'_>, count: i32) -> Result<(), RecordError> {
    if count < 0 {
        return Err(cursor.error("header count", RecordErrorCause::OutOfRange(i64::from(count))));
    }
    // A count above what the bytes hold ends at the first header that is not there: nothing is reserved for it.
    for _ in 0..count {
        header(cursor)?;
    }
    Ok(())
}

#[inline]
fn header<'a>(cursor: &mut Cursor<'a>) -> Result<(&'a [u8], Option<&'a [u8]>), RecordError> {
    let Some(key) = cursor.nullable("header key")? else {
        return Err(cursor.error("header key", RecordErrorCause::NullHeaderKey));
    };
    Ok((key, cursor.nullable("header value")?))
}
