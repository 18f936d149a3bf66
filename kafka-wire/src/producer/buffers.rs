//! Memory of settled batches, kept for later ones.
//!
//! A batch of 256 KiB that is returned to the allocator comes back as pages that the kernel has to clear and map again:
//! with values of 10 KB that took a quarter of the producer's time. So an acknowledged batch leaves its memory here.

use bytes::Bytes;

/// The kept memory of one producer.
#[derive(Debug)]
pub(super) struct Buffers {
    /// Empty buffers; the last one returned is at the end, because it may still be in a cache.
    spare: Vec<Vec<u8>>,
    spare_bytes: usize,
    limit_bytes: usize,
}

impl Buffers {
    /// Makes a store that keeps up to `limit_bytes`.
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self { spare: Vec::new(), spare_bytes: 0, limit_bytes }
    }

    /// An empty buffer with room for at least `wanted_bytes`.
    pub(super) fn take(&mut self, wanted_bytes: usize) -> Vec<u8> {
        // A much larger buffer is not used for a small batch, because the next large one would lack it.
        let fitting = wanted_bytes..=wanted_bytes.saturating_mul(EXCESS_MAX);
        let place = self.spare.iter().rev().take(LOOKS_MAX).position(|spare| fitting.contains(&spare.capacity()));
        match place {
            Some(from_the_end) => {
                let buffer = self.spare.swap_remove(self.spare.len() - 1 - from_the_end);
                self.spare_bytes -= buffer.capacity();
                buffer
            }
            None => Vec::with_capacity(wanted_bytes),
        }
    }

    /// Takes the memory of a batch back, if nobody else holds its bytes, and if all buffers here together take at most
    /// the limit minus `in_use_bytes`.
    pub(super) fn give(&mut self, batch: Bytes, in_use_bytes: usize) {
        let Ok(unique) = batch.try_into_mut() else { return };
        let mut buffer = Vec::from(unique);
        let kept_bytes = self.spare_bytes.saturating_add(buffer.capacity());
        if buffer.capacity() < WORTH_KEEPING || kept_bytes.saturating_add(in_use_bytes) > self.limit_bytes {
            return;
        }
        buffer.clear();
        self.spare_bytes = kept_bytes;
        self.spare.push(buffer);
    }
}

/// Most times by which a buffer may be larger than requested.
const EXCESS_MAX: usize = 4;
/// Number of buffers that are checked for one that fits.
const LOOKS_MAX: usize = 8;
/// Smaller buffers come from the allocator's own lists, without the kernel.
const WORTH_KEEPING: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(bytes: usize) -> Bytes {
        let mut buffer = Vec::with_capacity(bytes);
        buffer.resize(bytes - 1, 7);
        Bytes::from(buffer)
    }

    #[test]
    fn the_memory_of_a_batch_comes_back() {
        let mut buffers = Buffers::new(1 << 20);
        let done = batch(100_000);
        let place = done.as_ptr();
        buffers.give(done, 0);
        let again = buffers.take(60_000);
        assert_eq!((again.as_ptr(), again.len(), again.capacity()), (place, 0, 100_000));
        assert_eq!(buffers.spare_bytes, 0);
    }

    #[test]
    fn bytes_that_somebody_holds_stay_theirs() {
        let mut buffers = Buffers::new(1 << 20);
        let held = batch(100_000);
        buffers.give(held.clone(), 0);
        assert_eq!(buffers.spare_bytes, 0);
        assert_eq!(held.len(), 99_999);
    }

    #[test]
    fn no_more_is_kept_than_the_limit_leaves() {
        let mut buffers = Buffers::new(300_000);
        for _ in 0..4 {
            buffers.give(batch(100_000), 50_000);
        }
        assert_eq!(buffers.spare_bytes, 200_000);
    }

    #[test]
    fn a_small_batch_takes_no_large_buffer() {
        let mut buffers = Buffers::new(1 << 20);
        buffers.give(batch(100_000), 0);
        assert_eq!(buffers.take(1_000).capacity(), 1_000);
        assert_eq!(buffers.take(100_001).capacity(), 100_001);
    }
}
