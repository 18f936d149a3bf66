//! Cuts the byte stream of a connection into frames: a big-endian `i32` length, then that many bytes.
//!
//! Small frames are cut from a shared block. A frame whose length does not fit into the rest of the block gets
//! a buffer of its own, which ends where the frame ends, as soon as its length is known: so few bytes are moved,
//! and the finished frame is one `Bytes` without a copy.
//!
//! A length is only a claim: at most [`TRUSTED_BYTES`] are reserved because of it alone, and after that [`GROWTH`]
//! times the bytes that have arrived. So a peer must send its share of the memory that it makes this side allocate,
//! which is never more than the frame.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

/// Cuts frames from bytes that arrive in any pieces.
#[derive(Debug)]
pub struct FrameSplitter {
    buffer: BytesMut,
    limit_bytes: usize,
}

impl FrameSplitter {
    /// Makes a splitter that refuses frames of more than `limit_bytes` (without their length field).
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        Self { buffer: BytesMut::new(), limit_bytes }
    }

    /// Changes the limit for the frames that are cut from now on.
    pub fn set_limit(&mut self, limit_bytes: usize) {
        self.limit_bytes = limit_bytes;
    }

    /// The buffer to append received bytes to; it has room for at least one byte.
    ///
    /// A reader of a socket should fill no more than its spare capacity: for a large frame, that is exactly the missing
    /// part of it (or of the part that is trusted so far).
    pub fn buffer(&mut self) -> &mut BytesMut {
        let room = self.buffer.capacity() - self.buffer.len();
        match self.missing_bytes() {
            Some(missing) if missing > room => self.make_room(missing),
            None if room == 0 || self.buffer.is_empty() && room < BLOCK_BYTES / 8 => self.renew(BLOCK_BYTES),
            _ => {}
        }
        &mut self.buffer
    }

    /// The next complete frame without its length field; `None` if more bytes are needed.
    ///
    /// # Errors
    /// A negative length, or one above the limit. Nothing can be read from the stream after that.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(length) = self.declared_length()? else { return Ok(None) };
        if self.buffer.len() < LENGTH_BYTES + length {
            return Ok(None);
        }
        self.buffer.advance(LENGTH_BYTES);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    /// Checked length of the frame at the front; `None` before its four bytes have arrived.
    fn declared_length(&self) -> Result<Option<usize>, FrameError> {
        let Some(&head) = self.buffer.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = i32::from_be_bytes(head);
        match usize::try_from(length) {
            Ok(length) if length <= self.limit_bytes => Ok(Some(length)),
            Ok(_) => Err(FrameError::Oversized { length, limit_bytes: self.limit_bytes, head }),
            Err(_) => Err(FrameError::Negative { length, head }),
        }
    }

    /// Bytes of the frame at the front that have not arrived; `None` if its length is unknown or invalid,
    /// or it is complete.
    fn missing_bytes(&self) -> Option<usize> {
        let length = self.declared_length().ok().flatten()?;
        (LENGTH_BYTES + length).checked_sub(self.buffer.len()).filter(|missing| *missing > 0)
    }

    /// Makes room for the missing part of the frame, as far as its length is trusted.
    fn make_room(&mut self, missing: usize) {
        let arrived = self.buffer.len();
        let trusted = arrived.saturating_mul(GROWTH).max(TRUSTED_BYTES);
        self.renew((arrived + missing).min(trusted));
    }

    /// Moves the bytes so far to a new buffer of exactly this capacity.
    ///
    /// `BytesMut::reserve` would double the capacity, beyond the end of the frame and the limit, or reuse the buffer
    /// of an earlier large frame, which the slices of small ones would then keep alive.
    fn renew(&mut self, capacity: usize) {
        let mut buffer = BytesMut::with_capacity(capacity);
        buffer.extend_from_slice(&self.buffer);
        self.buffer = buffer;
    }
}

/// A length field that no frame of Kafka's protocol can have; nothing can be read from the stream after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// The frame would be larger than the limit.
    Oversized {
        /// Bytes that the length field claims.
        length: i32,
        /// Bytes that the limit allows.
        limit_bytes: usize,
        /// The bytes of the length field: text or the start of a TLS record tells the kind of peer.
        head: [u8; LENGTH_BYTES],
    },
    /// The length field is below zero.
    Negative {
        /// The claimed length.
        length: i32,
        /// The bytes of the length field.
        head: [u8; LENGTH_BYTES],
    },
}

impl FrameError {
    /// The bytes of the length field.
    #[must_use]
    pub const fn head(&self) -> [u8; LENGTH_BYTES] {
        match self {
            Self::Oversized { head, .. } | Self::Negative { head, .. } => *head,
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Oversized { length, limit_bytes, .. } => {
                write!(
                    f,
                    "a frame of {length} bytes, above the limit of {limit_bytes} bytes (receive.message.max.bytes)"
                )
            }
            Self::Negative { length, .. } => write!(f, "a frame of {length} bytes"),
        }
    }
}

impl std::error::Error for FrameError {}

/// Bytes of the length field.
const LENGTH_BYTES: usize = 4;
/// Size of the blocks that small frames share: enough for a few dozen acknowledgements, or one read.
const BLOCK_BYTES: usize = 32 * 1024;
/// Bytes that are reserved because of a length field alone, before any of them has arrived.
const TRUSTED_BYTES: usize = 1024 * 1024;
/// Factor between the bytes of a frame that have arrived and those that may be reserved for it: frames of 1 to 8 MiB
/// are moved once, after 1 MiB.
const GROWTH: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payload: &[u8]) -> Vec<u8> {
        let length = i32::try_from(payload.len()).unwrap();
        [&length.to_be_bytes(), payload].concat()
    }

    /// Feeds `bytes` as a socket would: never more than the spare capacity at once.
    fn feed(splitter: &mut FrameSplitter, mut bytes: &[u8], frames: &mut Vec<Bytes>) {
        while !bytes.is_empty() {
            let buffer = splitter.buffer();
            let count = (buffer.capacity() - buffer.len()).min(bytes.len());
            assert!(count > 0, "the buffer has room");
            buffer.extend_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            while let Some(frame) = splitter.next_frame().unwrap() {
                frames.push(frame);
            }
        }
    }

    #[test]
    fn frames_survive_a_split_at_every_position() {
        let stream = [frame(b"first"), frame(b""), frame(b"the third one"), frame(&[7; 300])].concat();
        for cut in 0..=stream.len() {
            let (mut splitter, mut frames) = (FrameSplitter::new(1_000), Vec::new());
            feed(&mut splitter, &stream[..cut], &mut frames);
            feed(&mut splitter, &stream[cut..], &mut frames);
            assert_eq!(frames, [&b"first"[..], b"", b"the third one", &[7; 300]], "cut at {cut}");
        }
    }

    #[test]
    fn a_big_frame_ends_where_its_buffer_ends() {
        let payload = vec![3; 5 * TRUSTED_BYTES + 17];
        let (mut splitter, mut frames) = (FrameSplitter::new(10 * TRUSTED_BYTES), Vec::new());
        feed(&mut splitter, &[frame(b"small"), frame(&payload)].concat(), &mut frames);
        assert_eq!(frames.len(), 2);
        assert_eq!(frames[1], payload);
        assert!(splitter.buffer.is_empty());
    }

    #[test]
    fn a_claimed_length_reserves_a_multiple_of_what_arrived() {
        let claim = 100 * TRUSTED_BYTES;
        let mut splitter = FrameSplitter::new(claim);
        splitter.buffer().extend_from_slice(&i32::try_from(claim).unwrap().to_be_bytes());
        assert_eq!(splitter.next_frame(), Ok(None));
        assert_eq!(splitter.buffer().capacity(), TRUSTED_BYTES);
        let mut arrived = LENGTH_BYTES;
        while arrived < claim + LENGTH_BYTES {
            let buffer = splitter.buffer();
            assert!(buffer.capacity() <= (arrived * GROWTH).max(TRUSTED_BYTES).min(claim + LENGTH_BYTES));
            buffer.resize(buffer.capacity(), 1);
            arrived = buffer.len();
        }
        assert_eq!(splitter.next_frame().unwrap().map(|frame| frame.len()), Some(claim));
    }

    #[test]
    fn lengths_out_of_range_are_errors() {
        let mut splitter = FrameSplitter::new(10);
        splitter.buffer().extend_from_slice(&11_i32.to_be_bytes());
        let head = [0, 0, 0, 11];
        assert_eq!(splitter.next_frame(), Err(FrameError::Oversized { length: 11, limit_bytes: 10, head }));
        let mut splitter = FrameSplitter::new(10);
        splitter.buffer().extend_from_slice(&(-1_i32).to_be_bytes());
        assert_eq!(splitter.next_frame(), Err(FrameError::Negative { length: -1, head: [0xFF; 4] }));
    }
}
