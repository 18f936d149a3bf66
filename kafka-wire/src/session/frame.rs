//! Cuts the byte stream of a connection into frames: a big-endian `i32` length, then that many bytes.
//!
//! Small frames are cut from a shared block. A frame whose length does not fit into the rest of the block gets
//! a buffer of its own, which ends where the frame ends, as soon as its length is known: so few bytes are moved,
//! and the finished frame is one `Bytes` without a copy.
//!
//! A length is only a claim: at most [`TRUSTED_BYTES`] are reserved because of it alone, and after that [`GROWTH`]
//! times the bytes that have arrived. So a peer must send its share of the memory that it makes this side allocate,
//! which is never more than the frame, rounded up to [`LARGE_BYTES`].
//!
//! Fresh memory for a large frame costs more than filling it: the kernel clears and maps every page. So a connection
//! remembers the last large frames that it handed out, and uses the memory of one that nobody holds any more again.

use std::collections::VecDeque;
use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

/// Cuts frames from bytes that arrive in any pieces.
#[derive(Debug)]
pub struct FrameSplitter {
    buffer: BytesMut,
    limit_bytes: usize,
    /// Size of the memory behind a large buffer, which may be more than its capacity.
    memory_bytes: usize,
    lent: Lent,
}

/// The last large frames, oldest first. Their receivers may still hold slices of them.
#[derive(Debug, Default)]
struct Lent {
    frames: VecDeque<LentFrame>,
    memory_bytes: usize,
}

/// A frame with its length field.
#[derive(Debug)]
struct LentFrame {
    bytes: Bytes,
    memory_bytes: usize,
}

impl FrameSplitter {
    /// Makes a splitter that refuses frames of more than `limit_bytes` (without their length field).
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        Self { buffer: BytesMut::new(), limit_bytes, memory_bytes: 0, lent: Lent::default() }
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
        let size = LENGTH_BYTES + length;
        if self.buffer.len() < size {
            return Ok(None);
        }
        if size < LARGE_BYTES {
            self.lent.release();
            self.buffer.advance(LENGTH_BYTES);
            return Ok(Some(self.buffer.split_to(length).freeze()));
        }
        let frame = if self.buffer.capacity() == size {
            LentFrame { bytes: std::mem::take(&mut self.buffer).freeze(), memory_bytes: self.memory_bytes }
        } else {
            // Its memory is used again only after the rest of the buffer is used up.
            LentFrame { bytes: self.buffer.split_to(size).freeze(), memory_bytes: size }
        };
        let payload = frame.bytes.slice(LENGTH_BYTES..);
        self.lent.push(frame);
        Ok(Some(payload))
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

    /// Makes room for the missing part of the frame: in memory that is at hand, or as far as its length is trusted.
    fn make_room(&mut self, missing: usize) {
        let arrived = self.buffer.len();
        let wanted = arrived + missing;
        if wanted < LARGE_BYTES {
            return self.renew(wanted);
        }
        let (memory, capacity) = match self.lent.take(wanted) {
            Some(memory) => (memory, wanted),
            None => {
                let trusted = wanted.min(arrived.saturating_mul(GROWTH).max(TRUSTED_BYTES));
                (BytesMut::with_capacity(trusted.next_multiple_of(LARGE_BYTES)), trusted)
            }
        };
        self.memory_bytes = memory.capacity();
        self.move_to(memory);
        // The end of the frame is the end of the buffer, so that no other frame shares its memory.
        drop(self.buffer.split_off(capacity.min(self.memory_bytes)));
    }

    /// Moves the bytes so far to a new buffer of exactly this capacity.
    ///
    /// `BytesMut::reserve` would double the capacity, beyond the end of the frame and the limit, or reuse the buffer
    /// of an earlier large frame, which the slices of small ones would then keep alive.
    fn renew(&mut self, capacity: usize) {
        self.move_to(BytesMut::with_capacity(capacity));
    }

    fn move_to(&mut self, mut buffer: BytesMut) {
        buffer.extend_from_slice(&self.buffer);
        self.buffer = buffer;
    }
}

impl Lent {
    /// Remembers a frame; forgets the oldest ones if the limits are exceeded.
    fn push(&mut self, frame: LentFrame) {
        self.memory_bytes += frame.memory_bytes;
        self.frames.push_back(frame);
        while self.frames.len() > LENT_MAX || self.memory_bytes > LENT_BYTES_MAX {
            self.remove(0);
        }
    }

    /// The memory of a frame that nobody holds any more, with room for this many bytes.
    fn take(&mut self, size: usize) -> Option<BytesMut> {
        // Much more memory would be kept alive by a small frame.
        let fitting = size..=size.saturating_mul(EXCESS_MAX);
        let is_free = |frame: &LentFrame| fitting.contains(&frame.memory_bytes) && frame.bytes.is_unique();
        let place = self.frames.iter().position(is_free)?;
        let mut memory = self.remove(place)?.bytes.try_into_mut().ok()?;
        memory.clear();
        Some(memory)
    }

    /// Gives the memory of one frame back, if nobody holds it: the connection receives small frames now.
    fn release(&mut self) {
        if let Some(place) = self.frames.iter().position(|frame| frame.bytes.is_unique()) {
            self.remove(place);
        }
    }

    fn remove(&mut self, place: usize) -> Option<LentFrame> {
        let frame = self.frames.remove(place)?;
        self.memory_bytes -= frame.memory_bytes;
        Some(frame)
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
/// Size of a frame from which on its memory is used again, and the unit in which that memory is allocated: below it
/// the allocator has memory at hand.
const LARGE_BYTES: usize = 128 * 1024;
/// Most frames whose memory is remembered, and most bytes of them: enough for the fetches that wait for a reader, so
/// that those which it has read are among them.
const LENT_MAX: usize = 16;
const LENT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most times by which remembered memory may be larger than a frame.
const EXCESS_MAX: usize = 4;

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

    /// A splitter that has received `payloads`, and the frames.
    fn received(splitter: &mut FrameSplitter, payloads: &[&[u8]]) -> Vec<Bytes> {
        let mut frames = Vec::new();
        for payload in payloads {
            feed(splitter, &frame(payload), &mut frames);
        }
        frames
    }

    #[test]
    fn the_memory_of_a_large_frame_is_used_again_when_nobody_holds_it() {
        let (first, second) = (vec![1; 3 * TRUSTED_BYTES], vec![2; 3 * TRUSTED_BYTES + 40_000]);
        let mut splitter = FrameSplitter::new(10 * TRUSTED_BYTES);
        let frames = received(&mut splitter, &[&first]);
        let place = frames[0].as_ptr();
        drop(frames);
        let frames = received(&mut splitter, &[&second]);
        assert_eq!((frames[0].as_ptr(), &frames[0][..]), (place, &second[..]));
        // A slice is enough to keep it.
        let held = frames[0].slice(7..9);
        drop(frames);
        let others = received(&mut splitter, &[&first, &first]);
        assert!(others.iter().all(|frame| frame.as_ptr() != place && *frame == first));
        assert_eq!(&held[..], [2, 2]);
    }

    #[test]
    fn a_small_frame_keeps_no_large_memory_and_gives_it_back() {
        let large = vec![1; 4 * TRUSTED_BYTES];
        let small = vec![2; LARGE_BYTES];
        let mut splitter = FrameSplitter::new(10 * TRUSTED_BYTES);
        let frames = received(&mut splitter, &[&large, &small]);
        assert!(splitter.lent.frames.iter().all(|frame| frame.memory_bytes <= 4 * TRUSTED_BYTES + LARGE_BYTES));
        assert_eq!(splitter.lent.frames.len(), 2);
        received(&mut splitter, &[b"a", b"b", b"c"]);
        assert_eq!(splitter.lent.frames.len(), 2, "they are held");
        drop(frames);
        received(&mut splitter, &[b"a"]);
        assert_eq!(splitter.lent.frames.len(), 1);
        received(&mut splitter, &[b"a"]);
        assert_eq!((splitter.lent.frames.len(), splitter.lent.memory_bytes), (0, 0));
    }

    #[test]
    fn no_more_memory_is_remembered_than_the_limits_allow() {
        let large = vec![1; 5 * TRUSTED_BYTES];
        let mut splitter = FrameSplitter::new(10 * TRUSTED_BYTES);
        let frames = received(&mut splitter, &[&large[..]; 14]);
        assert!(splitter.lent.memory_bytes <= LENT_BYTES_MAX);
        assert!(frames.iter().all(|frame| *frame == large));
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
