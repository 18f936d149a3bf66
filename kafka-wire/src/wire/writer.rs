//! Encoding of one message.

use bytes::{BufMut, Bytes};

use super::reader::STRING_MAX_BYTES;
use super::unknown_tags::Keeper;
use super::varint::put_unsigned_varint;
use super::{EncodeCause, EncodeError, Str, UnknownTags, Uuid};

/// A records field of at least this many bytes becomes a chunk of its own; a smaller one is cheaper to copy.
const OWN_CHUNK_BYTES: usize = 4096;

/// Bytes of the size that precedes every frame.
const FRAME_HEAD_BYTES: usize = 4;

/// Builds the bytes of a message as a list of chunks, for one vectored write.
///
/// Scalars and short fields are appended to one buffer; a large records field is kept as it is, so record bytes
/// are never copied between the sealed batch and the socket.
#[derive(Debug, Default)]
pub struct Writer {
    /// Everything but the large records fields.
    own: Vec<u8>,
    /// The large records fields in order, each with its place in `own`.
    records: Vec<(usize, Bytes)>,
    flexible: bool,
    keeper: Option<Box<Keeper>>,
}

/// A type that can be encoded: a message, a struct of one, or a number, string or byte field in a list.
pub trait Encode {
    /// Appends the value, as `version` of its message has it.
    ///
    /// # Errors
    /// A field that is set and that the version lacks; null where the version does not allow it; too long a string
    /// or list.
    fn write(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError>;
}

impl Writer {
    /// An empty message with classic lengths.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty message with classic lengths, and memory for this many bytes besides large records fields.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { own: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Chooses compact lengths and tagged fields (`true`, KIP-482), or classic lengths and no tags.
    pub const fn set_flexible(&mut self, flexible: bool) {
        self.flexible = flexible;
    }

    /// Makes the next message be written with the tagged fields that were kept when it was decoded.
    pub fn put_back(&mut self, tags: UnknownTags) {
        self.keeper = (!tags.is_empty()).then(|| Box::new(Keeper::of(tags)));
    }

    /// Bytes written so far.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.records.iter().map(|(_, records)| records.len()).sum::<usize>() + self.own.len()
    }

    /// The message as chunks to be concatenated. No chunk is empty.
    #[must_use]
    pub fn finish(self) -> Vec<Bytes> {
        let mut chunks = Vec::with_capacity(2 * self.records.len() + 1);
        let mut own = Bytes::from(self.own);
        let mut start = 0;
        for (place, records) in self.records {
            if place > start {
                chunks.push(own.split_to(place - start));
                start = place;
            }
            chunks.push(records);
        }
        if !own.is_empty() {
            chunks.push(own);
        }
        chunks
    }

    /// The message preceded by its size in four bytes, as it goes to a connection.
    ///
    /// # Errors
    /// `TooLong` for a message of 2 GiB or more.
    pub fn finish_frame(mut self) -> Result<Vec<Bytes>, EncodeError> {
        let too_long = EncodeError { what: "frame", cause: EncodeCause::TooLong };
        let size = i32::try_from(self.size_bytes()).map_err(|_| too_long)?;
        self.own.splice(..0, size.to_be_bytes());
        for (place, _) in &mut self.records {
            *place += FRAME_HEAD_BYTES;
        }
        Ok(self.finish())
    }

    /// The message in one piece: copies unless it has one chunk. For tests and for small embedded messages.
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
        self.own.put_u8(u8::from(value));
    }

    /// A signed byte.
    pub fn i8(&mut self, value: i8) {
        self.own.put_i8(value);
    }

    /// A big-endian integer of 16 bits.
    pub fn i16(&mut self, value: i16) {
        self.own.put_i16(value);
    }

    /// A big-endian integer of 16 bits without a sign.
    pub fn u16(&mut self, value: u16) {
        self.own.put_u16(value);
    }

    /// A big-endian integer of 32 bits.
    pub fn i32(&mut self, value: i32) {
        self.own.put_i32(value);
    }

    /// A big-endian integer of 64 bits.
    pub fn i64(&mut self, value: i64) {
        self.own.put_i64(value);
    }

    /// A big-endian number of 64 bits in IEEE 754.
    pub fn f64(&mut self, value: f64) {
        self.own.put_f64(value);
    }

    /// Sixteen bytes.
    pub fn uuid(&mut self, value: Uuid) {
        self.own.put_slice(&value.0);
    }

    /// A string.
    ///
    /// # Errors
    /// `TooLong` above 32,767 bytes.
    pub fn string(&mut self, what: &'static str, value: &Str) -> Result<(), EncodeError> {
        if self.flexible {
            if value.len() > STRING_MAX_BYTES {
                return Err(EncodeError { what, cause: EncodeCause::TooLong });
            }
            self.compact_length(what, Some(value.len()))?;
            self.own.put_slice(value.as_bytes());
            return Ok(());
        }
        self.nullable_classic_string(what, Some(value))
    }

    /// A string or null.
    ///
    /// # Errors
    /// `TooLong` above 32,767 bytes.
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
        self.own.put_slice(value.as_bytes());
        Ok(())
    }

    /// A byte field, copied.
    ///
    /// # Errors
    /// `TooLong` at 2 GiB.
    pub fn bytes(&mut self, what: &'static str, value: &Bytes) -> Result<(), EncodeError> {
        self.length(what, Some(value.len()))?;
        self.own.put_slice(value);
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
        self.records.push((self.own.len(), value.clone()));
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

    /// Elements in order, as `version` of their message has them.
    ///
    /// # Errors
    /// `TooLong` at 2^31 elements; whatever an element fails with.
    pub fn array<T: Encode>(&mut self, what: &'static str, values: &[T], version: i16) -> Result<(), EncodeError> {
        self.length(what, Some(values.len()))?;
        for value in values {
            value.write(self, version)?;
        }
        Ok(())
    }

    /// Elements in order, or null.
    ///
    /// # Errors
    /// `TooLong` at 2^31 elements; whatever an element fails with.
    pub fn nullable_array<T: Encode>(
        &mut self,
        what: &'static str,
        values: Option<&[T]>,
        version: i16,
    ) -> Result<(), EncodeError> {
        match values {
            Some(values) => self.array(what, values, version),
            None => self.length(what, None),
        }
    }

    /// A struct or null: 1 before a struct, -1 for null (KIP-893).
    ///
    /// # Errors
    /// Whatever the struct fails with.
    pub fn nullable_struct<T: Encode>(&mut self, value: Option<&T>, version: i16) -> Result<(), EncodeError> {
        self.i8(if value.is_some() { 1 } else { -1 });
        value.map_or(Ok(()), |value| value.write(self, version))
    }

    /// A struct or null in a tagged field: 1 before a struct, 0 for null, as varints.
    ///
    /// # Errors
    /// Whatever the struct fails with.
    pub fn nullable_tagged_struct<T: Encode>(&mut self, value: Option<&T>, version: i16) -> Result<(), EncodeError> {
        self.own.put_u8(u8::from(value.is_some()));
        value.map_or(Ok(()), |value| value.write(self, version))
    }

    /// Starts the tagged fields at the end of a struct.
    #[must_use]
    pub fn tags(&mut self) -> Tags {
        Tags { count: 0, fields: Self { flexible: self.flexible, keeper: self.keeper.take(), ..Self::default() } }
    }

    /// Ends a struct with the collected tagged fields; does nothing unless flexible.
    ///
    /// # Errors
    /// `TooLong` at 2 GiB.
    pub fn put_tags(&mut self, mut tags: Tags) -> Result<(), EncodeError> {
        tags.put_unknown(None)?;
        self.keeper = tags.fields.keeper.take();
        if self.flexible {
            if let Some(keeper) = &mut self.keeper {
                keeper.next_struct();
            }
            put_unsigned_varint(&mut self.own, tags.count);
            self.append(tags.fields);
        }
        Ok(())
    }

    /// Ends a struct that has no tagged fields set; does nothing unless flexible.
    ///
    /// # Errors
    /// `TooLong` at 2 GiB.
    pub fn no_tags(&mut self) -> Result<(), EncodeError> {
        if self.keeper.is_some() {
            let tags = self.tags();
            return self.put_tags(tags);
        }
        if self.flexible {
            self.own.put_u8(0);
        }
        Ok(())
    }

    fn append(&mut self, other: Self) {
        let start = self.own.len();
        self.records.extend(other.records.into_iter().map(|(place, records)| (start + place, records)));
        self.own.put_slice(&other.own);
    }

    fn length(&mut self, what: &'static str, length: Option<usize>) -> Result<(), EncodeError> {
        if self.flexible {
            return self.compact_length(what, length);
        }
        let length = length.map_or(Ok(-1), i32::try_from);
        self.i32(length.map_err(|_| EncodeError { what, cause: EncodeCause::TooLong })?);
        Ok(())
    }

    /// Length + 1, 0 for null. As in Java, there are no lengths above 2^31 - 1.
    fn compact_length(&mut self, what: &'static str, length: Option<usize>) -> Result<(), EncodeError> {
        let length = length.map_or(Ok(0), |length| i32::try_from(length).map(|length| length.cast_unsigned() + 1));
        put_unsigned_varint(&mut self.own, length.map_err(|_| EncodeError { what, cause: EncodeCause::TooLong })?);
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
    /// Whether the field `tag` has to be written: it is set, or an unknown field was kept inside it.
    #[must_use]
    pub fn needs(&self, tag: u32, is_set: bool) -> bool {
        is_set || self.fields.keeper.as_ref().is_some_and(|keeper| keeper.is_needed(tag))
    }

    /// Adds the field `tag`; tags are added in ascending order.
    ///
    /// # Errors
    /// `TooLong` at 2 GiB; whatever `value` fails with.
    pub fn add(
        &mut self,
        tag: u32,
        value: impl FnOnce(&mut Writer) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.put_unknown(Some(tag))?;
        let keeper = self.fields.keeper.take();
        let mut body = Writer { flexible: self.fields.flexible, keeper, ..Writer::default() };
        if let Some(keeper) = &mut body.keeper {
            keeper.enter(tag);
        }
        value(&mut body)?;
        if let Some(keeper) = &mut body.keeper {
            keeper.leave();
        }
        self.fields.keeper = body.keeper.take();
        self.put(tag, body)
    }

    /// Adds the kept unknown fields with tags below `below`.
    fn put_unknown(&mut self, below: Option<u32>) -> Result<(), EncodeError> {
        while let Some((tag, value)) = self.fields.keeper.as_mut().and_then(|keeper| keeper.next_field(below)) {
            let mut body = Writer::default();
            body.own.put_slice(&value);
            self.put(tag, body)?;
        }
        Ok(())
    }

    fn put(&mut self, tag: u32, body: Writer) -> Result<(), EncodeError> {
        let too_long = EncodeError { what: "tagged field", cause: EncodeCause::TooLong };
        let size = i32::try_from(body.size_bytes()).map_err(|_| too_long)?;
        put_unsigned_varint(&mut self.fields.own, tag);
        put_unsigned_varint(&mut self.fields.own, size.cast_unsigned());
        self.fields.append(body);
        self.count += 1;
        Ok(())
    }
}
