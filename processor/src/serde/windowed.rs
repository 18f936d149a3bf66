//! Keys that have a window, in the two formats of Kafka Streams: what its `WindowedSerdes` write and read.
//!
//! | serde | bytes behind those of the key | Kafka Streams |
//! |---|---|---|
//! | [`TimeWindowed`] | start of the window | `WindowedSerdes.timeWindowedSerdeFrom` |
//! | [`SessionWindowed`] | time of the last record, time of the first | `WindowedSerdes.sessionWindowedSerdeFrom` |
//!
//! Each time takes 8 bytes, most significant first. Records are partitioned by the bytes of the key alone, as Kafka
//! Streams does, so that all windows of a key are in one partition.

use std::marker::PhantomData;
use std::time::Duration;

use super::{Serde, SerdeError};
use crate::types::{Reborrow, View, Window};

/// The view of a key with a window: the key as `K` shows it, then the window.
pub struct WithWindow<K>(PhantomData<fn() -> K>);

impl<K: View> View for WithWindow<K> {
    type Ref<'a> = (K::Ref<'a>, Window);
}

impl<K: Reborrow> Reborrow for WithWindow<K> {
    fn reborrow<'short, 'long: 'short>(key: &'short (K::Ref<'long>, Window)) -> (K::Ref<'short>, Window) {
        (K::reborrow(&key.0), key.1)
    }
}

/// A key with a window of a fixed size.
///
/// ```
/// use std::time::Duration;
///
/// use processor::{Serde, TimeWindowed, Utf8, Window};
///
/// let keys = TimeWindowed::new(Utf8, Duration::from_secs(1));
/// let mut bytes = Vec::new();
/// keys.encode(&("a", Window { start: 2_000, end: 3_000 }), &mut bytes)?;
/// assert_eq!(bytes, [b'a', 0, 0, 0, 0, 0, 0, 0x07, 0xd0]);
/// assert_eq!(keys.decode(&bytes)?, ("a", Window { start: 2_000, end: 3_000 }));
/// # Ok::<(), processor::SerdeError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TimeWindowed<S> {
    key: S,
    size_ms: i64,
}

impl<S> TimeWindowed<S> {
    /// Keys of the serde `key`, with windows of `size`. The size is not among the bytes; a reader must know it.
    #[must_use]
    pub fn new(key: S, size: Duration) -> Self {
        Self { key, size_ms: millis(size) }
    }
}

impl<S: Serde> Serde for TimeWindowed<S> {
    type View = WithWindow<S::View>;

    fn decode<'a>(&self, bytes: &'a [u8]) -> Result<(<S::View as View>::Ref<'a>, Window), SerdeError> {
        let (key, start) = split_time(bytes)?;
        Ok((self.key.decode(key)?, Window { start, end: start.saturating_add(self.size_ms) }))
    }

    fn encode(&self, value: &(<S::View as View>::Ref<'_>, Window), out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.key.encode(&value.0, out)?;
        out.extend_from_slice(&value.1.start.to_be_bytes());
        Ok(())
    }

    fn name(&self) -> String {
        format!("{} in windows of {} ms", self.key.name(), self.size_ms)
    }

    fn partitioned_by<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        &key[..key.len().saturating_sub(TIME_BYTES)]
    }
}

/// A key with a session.
///
/// Kafka Streams has the times of the first and of the last record in a key. A session of this library ends the gap
/// behind its last record, so the gap is subtracted when a key is written, and added when it is read.
#[derive(Clone, Copy, Debug)]
pub struct SessionWindowed<S> {
    key: S,
    gap_ms: i64,
}

impl<S> SessionWindowed<S> {
    /// Keys of the serde `key`, with sessions of this gap.
    #[must_use]
    pub fn new(key: S, gap: Duration) -> Self {
        Self { key, gap_ms: millis(gap) }
    }
}

impl<S: Serde> Serde for SessionWindowed<S> {
    type View = WithWindow<S::View>;

    fn decode<'a>(&self, bytes: &'a [u8]) -> Result<(<S::View as View>::Ref<'a>, Window), SerdeError> {
        let (rest, start) = split_time(bytes)?;
        let (key, last) = split_time(rest)?;
        Ok((self.key.decode(key)?, Window { start, end: last.saturating_add(self.gap_ms) }))
    }

    fn encode(&self, value: &(<S::View as View>::Ref<'_>, Window), out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.key.encode(&value.0, out)?;
        out.extend_from_slice(&value.1.end.saturating_sub(self.gap_ms).to_be_bytes());
        out.extend_from_slice(&value.1.start.to_be_bytes());
        Ok(())
    }

    fn name(&self) -> String {
        format!("{} in sessions with a gap of {} ms", self.key.name(), self.gap_ms)
    }

    fn partitioned_by<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        &key[..key.len().saturating_sub(2 * TIME_BYTES)]
    }
}

/// Splits the time at the end of a key off.
fn split_time(bytes: &[u8]) -> Result<(&[u8], i64), SerdeError> {
    let short = SerdeError::Length { expected: TIME_BYTES, actual: bytes.len() };
    let (rest, time) = bytes.split_last_chunk().ok_or(short)?;
    Ok((rest, i64::from_be_bytes(*time)))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

const TIME_BYTES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serde::{I32, Utf8};

    #[test]
    fn a_session_is_written_with_the_time_of_its_last_record() {
        let keys = SessionWindowed::new(Utf8, Duration::from_millis(10));
        let (mut bytes, session) = (Vec::new(), Window { start: 1, end: 15 });
        keys.encode(&("ab", session), &mut bytes).expect("text");
        assert_eq!(bytes, *b"ab\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x01");
        assert_eq!(keys.decode(&bytes), Ok(("ab", session)));
        assert_eq!(keys.partitioned_by(&bytes), b"ab");
        assert_eq!(keys.decode(&bytes[..9]), Err(SerdeError::Length { expected: 8, actual: 1 }));
    }

    #[test]
    fn bytes_that_are_no_such_key_are_errors() {
        let keys = TimeWindowed::new(I32, Duration::from_millis(10));
        assert_eq!(keys.decode(&[0; 7]), Err(SerdeError::Length { expected: 8, actual: 7 }));
        assert_eq!(keys.decode(&[0; 11]), Err(SerdeError::Length { expected: 4, actual: 3 }));
        assert_eq!(
            keys.decode(&[0, 0, 0, 9, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe]),
            Ok((9, Window { start: -2, end: 8 }))
        );
        assert_eq!(keys.partitioned_by(&[0; 7]), b"");
    }
}
