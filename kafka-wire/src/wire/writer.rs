//! Writing one message.

use bytes::{BufMut, Bytes};

use super::varint::put_unsigned_varint;
use super::{EncodeCause, EncodeError, Str, Uuid};

/// A records field of at least this many bytes becomes a chunk of its own; a copy is cheaper below.
const OWN_CHUNK_BYTES: usize = 4096;

/// Size field in front of every frame.
const FRAME_HEAD_BYTES: usize = 4;

/// Builds the bytes of a message as a list of chunks, for one vectored write.
///
/// Scalars and short fields are appended to the newest chunk; a large records field is pushed as it is, so record
/// bytes are never copied between the batch that was sealed and the socket.
#[derive(Debug, Default)]
pub struct Writer {
    chunks: Vec<Bytes>,
    tail: Vec<u8>,
    flexible: bool,
}

impl Writer {
    /// An empty message with classic lengths.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses compact lengths and tagged fields (`true`, KIP-482), or classic lengths and no tags.
    pub const fn set_flexible(&mut self, flexible: bool) {
        self.flexible = flexible;
    }

    /// Bytes written so far.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.chunks.iter().map(Bytes::len).sum::<usize>() + self.tail.len()
    }

    /// The message: its chunks, concatenated. No chunk is empty.
    #[must_use]
    pub fn finish(mut self) -> Vec<Bytes> {
        self.cut();
        self.chunks
    }

    /// The message behind its size in four bytes, as it goes to a connection.
    ///
    /// # Errors
    /// `TooLong` for a message of 2 GiB or more.
    pub fn finish_frame(mut self) -> Result<Vec<Bytes>, EncodeError> {
        let too_long = EncodeError { what: "frame", cause: EncodeCause::TooLong };
        let size = i32::try_from(self.size_bytes()).map_err(|_| too_long)?;
        if self.chunks.is_empty() {
            self.tail.splice(..0, size.to_be_bytes());
            return Ok(vec![Bytes::from(self.tail)]);
        }
        self.cut();
        let first = self.chunks.first_mut().expect("checked above");
        let mut head = Vec::with_capacity(FRAME_HEAD_BYTES + first.len());
        head.put_i32(size);
        if first.len() < OWN_CHUNK_BYTES {
            head.put_slice(first);
            *first = Bytes::from(head);
        } else {
            self.chunks.insert(0, Bytes::from(head));
        }
        Ok(self.chunks)
    }

    /// The message in one piece: copies unless it is one chunk. For tests and for small embedded messages.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        let mut chunks = self.finish();
        match chunks.len() {
            0 => Bytes::new(),
            1 => chunks.swap_remove(0),
            _ => Bytes::from(chunks.concat()),
        }
    }

    /// One byte, 0 or 1.
    pub fn bool(&mut self, value: bool) {
        self.tail.put_u8(u8::from(value));
    }

    /// A signed byte.
    pub fn i8(&mut self, value: i8) {
        self.tail.put_i8(value);
    }

    /// A big-endian integer of 16 bits.
    pub fn i16(&mut self, value: i16) {
        self.tail.put_i16(value);
    }

    /// A big-endian integer of 32 bits.
    pub fn i32(&mut self, value: i32) {
        self.tail.put_i32(value);
    }

    /// A big-endian integer of 64 bits.
    pub fn i64(&mut self, value: i64) {
        self.tail.put_i64(value);
    }

    /// Sixteen bytes.
    pub fn uuid(&mut self, value: Uuid) {
        self.tail.put_slice(&value.0);
    }

    /// A string.
    ///
    /// # Errors
    /// `TooLong` above 32,767 bytes with classic lengths.
    pub fn string(&mut self, what: &'static str, value: &Str) -> Result<(), EncodeError> {
        if self.flexible {
            self.compact_length(what, Some(value.len()))?;
            self.tail.put_slice(value.as_bytes());
            return Ok(());
        }
        self.nullable_classic_string(what, Some(value))
    }

    /// A string or null.
    ///
    /// # Errors
    /// `TooLong` above 32,767 bytes with classic lengths.
    pub fn nullable_string(&mut self, what: &'static str, value: Option<&Str>) -> Result<(), EncodeError> {
        match value {
            Some(value) => self.string(what, value),
            None if self.flexible => self.compact_length(what, None),
            None => self.nullable_classic_string(what, None),
        }
    }

    /// A string or null whose length stays classic in flexible versions: the client id of a request header.
    ///
    /// # Errors
    /// `TooLong` above 32,767 bytes.
    pub fn nullable_classic_string(&mut self, what: &'static str, value: Option<&Str>) -> Result<(), EncodeError> {
        let Some(value) = value else {
            self.i16(-1);
            return Ok(());
        };
        let length = i16::try_from(value.len()).map_err(|_| EncodeError { what, cause: EncodeCause::TooLong })?;
        self.i16(length);
        self.tail.put_slice(value.as_bytes());
        Ok(())
    }

    /// A byte field, copied.
    ///
    /// # Errors
    /// `TooLong` at 2 GiB.
    pub fn bytes(&mut self, what: &'static str, value: &Bytes) -> Result<(), EncodeError> {
        self.length(what, Some(value.len()))?;
        self.tail.put_slice(value);
        Ok(())
    }

    /// A byte field or null.
    ///
    /// # Errors
    /// `TooLong` at 2 GiB.
    pub fn nullable_bytes(&mut self, what: &'static str, value: Option<&Bytes>) -> Result<(), EncodeError> {
        match value {
            Some(value) => self.bytes(what, value),
            None => self.length(what, None),
        }
    }

    /// Record batches: shared, not copied, from 4 KiB on.
    ///
    /// # Errors
    /// `TooLong` at 2 GiB.
    pub fn records(&mut self, what: &'static str, value: &Bytes) -> Result<(), EncodeError> {
        if value.len() < OWN_CHUNK_BYTES {
            return self.bytes(what, value);
        }
        self.length(what, Some(value.len()))?;
        self.cut();
        self.chunks.push(value.clone());
        Ok(())
    }

    /// Record batches or null.
    ///
    /// # Errors
    /// `TooLong` at 2 GiB.
    pub fn nullable_records(&mut self, what: &'static str, value: Option<&Bytes>) -> Result<(), EncodeError> {
        match value {
            Some(value) => self.records(what, value),
            None => self.length(what, None),
        }
    }

    /// Elements in order.
    ///
    /// # Errors
    /// `TooLong` at 2^31 elements; whatever `element` fails with.
    pub fn array<T>(
        &mut self,
        what: &'static str,
        values: &[T],
        mut element: impl FnMut(&mut Self, &T) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.length(what, Some(values.len()))?;
        values.iter().try_for_each(|value| element(self, value))
    }

    /// Elements in order, or null.
    ///
    /// # Errors
    /// `TooLong` at 2^31 elements; whatever `element` fails with.
    pub fn nullable_array<T>(
        &mut self,
        what: &'static str,
        values: Option<&[T]>,
        element: impl FnMut(&mut Self, &T) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        match values {
            Some(values) => self.array(what, values, element),
            None => self.length(what, None),
        }
    }

    /// A struct or null: 1 in front of a struct, -1 for null (KIP-893).
    ///
    /// # Errors
    /// Whatever `inner` fails with.
    pub fn nullable_struct<T>(
        &mut self,
        value: Option<&T>,
        inner: impl FnOnce(&mut Self, &T) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.i8(if value.is_some() { 1 } else { -1 });
        value.map_or(Ok(()), |value| inner(self, value))
    }

    /// Starts the tagged fields at the end of a struct.
    #[must_use]
    pub fn tags(&self) -> Tags {
        Tags { count: 0, fields: Self { flexible: self.flexible, ..Self::default() } }
    }

    /// Ends a struct with the tagged fields collected; nothing unless flexible.
    pub fn put_tags(&mut self, tags: Tags) {
        if self.flexible {
            put_unsigned_varint(&mut self.tail, tags.count);
            self.append(tags.fields);
        }
    }

    /// Ends a struct that has no tagged fields set; nothing unless flexible.
    pub fn no_tags(&mut self) {
        if self.flexible {
            self.tail.put_u8(0);
        }
    }

    fn append(&mut self, other: Self) {
        if !other.chunks.is_empty() {
            self.cut();
            self.chunks.extend(other.chunks);
        }
        self.tail.put_slice(&other.tail);
    }

    fn cut(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push(Bytes::from(std::mem::take(&mut self.tail)));
        }
    }

    fn length(&mut self, what: &'static str, length: Option<usize>) -> Result<(), EncodeError> {
        if self.flexible {
            return self.compact_length(what, length);
        }
        let length = length.map_or(Ok(-1), i32::try_from);
        self.i32(length.map_err(|_| EncodeError { what, cause: EncodeCause::TooLong })?);
        Ok(())
    }

    /// Length + 1, 0 for null. Like Java, which has no lengths above 2^31 - 1.
    fn compact_length(&mut self, what: &'static str, length: Option<usize>) -> Result<(), EncodeError> {
        let length = length.map_or(Ok(0), |length| i32::try_from(length).map(|length| length.cast_unsigned() + 1));
        put_unsigned_varint(&mut self.tail, length.map_err(|_| EncodeError { what, cause: EncodeCause::TooLong })?);
        Ok(())
    }
}

/// Tagged fields of one struct, collected before they are written because their count comes first.
#[derive(Debug)]
pub struct Tags {
    count: u32,
    fields: Writer,
}

impl Tags {
    /// Adds the field `tag`; tags are added in ascending order.
    ///
    /// # Errors
    /// `TooLong` at 2 GiB; whatever `value` fails with.
    pub fn add(
        &mut self,
        tag: u32,
        value: impl FnOnce(&mut Writer) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let mut body = Writer { flexible: self.fields.flexible, ..Writer::default() };
        value(&mut body)?;
        let too_long = EncodeError { what: "tagged field", cause: EncodeCause::TooLong };
        let size = u32::try_from(body.size_bytes()).map_err(|_| too_long)?;
        put_unsigned_varint(&mut self.fields.tail, tag);
        put_unsigned_varint(&mut self.fields.tail, size);
        self.fields.append(body);
        self.count += 1;
        Ok(())
    }
}
