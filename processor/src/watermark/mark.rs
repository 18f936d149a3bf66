//! The record that carries a watermark across a repartition topic.

use kafka_wire::types::{Offset, PartitionId, TimestampMs};

/// What one upstream task says: how far event time has come in everything that it wrote before this.
///
/// In the log: a record with a null key, which data never has there, and 42 bytes of value, big endian: version (2),
/// upstream partition (i32), count of upstream partitions (i32), watermark (i64), flags (1 idle, 2 ended), end offset (i64),
/// and the two offsets of [`IdleAt`] (i64 each).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Partition of the task that says it.
    pub upstream: PartitionId,
    /// How many such tasks there are: until all have spoken, nothing is known.
    pub upstream_count: i32,
    /// No record below this is expected from that task.
    pub watermark: TimestampMs,
    /// The task has had no input for a while; where its sources ended then.
    pub idle: Option<IdleAt>,
    /// In a bounded run: the task has read its input up to this offset (exclusive), and wrote everything that follows
    /// from it. Further down it is the sum over the partitions of the source, so that it grows whenever one of them does.
    pub ended: Option<Offset>,
}

/// Where the sources of a task ended when it fell idle. The task holds nobody back for as long as they still end there.
///
/// Sums of offsets stand for all of them: no end ever moves back, so a sum is the same only while each of its parts is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleAt {
    /// The next offsets of the user's topics that the task reads itself, added up.
    pub own: i64,
    /// The same of all tasks above it, through however many shuffles.
    pub above: i64,
}

const VERSION: u8 = 2;
const IDLE: u8 = 1;
const ENDED: u8 = 2;

impl Mark {
    /// Size of every mark of this version.
    pub const BYTES: usize = 42;

    /// The value of the record.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let flags = if self.idle.is_some() { IDLE } else { 0 } | if self.ended.is_some() { ENDED } else { 0 };
        let mut bytes = [0; Self::BYTES];
        let mut rest = &mut bytes[..];
        let mut put =
            |field: &[u8]| rest.split_off_mut(..field.len()).expect("BYTES is the sum").copy_from_slice(field);
        put(&[VERSION]);
        put(&self.upstream.0.to_be_bytes());
        put(&self.upstream_count.to_be_bytes());
        put(&self.watermark.0.to_be_bytes());
        put(&[flags]);
        put(&self.ended.unwrap_or(Offset(0)).0.to_be_bytes());
        let IdleAt { own, above } = self.idle.unwrap_or(IdleAt { own: 0, above: 0 });
        put(&own.to_be_bytes());
        put(&above.to_be_bytes());
        bytes
    }

    /// Reads a mark; `None` when it is none, or of a version that this one does not know.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&[VERSION], rest) = bytes.split_first_chunk()? else { return None };
        let (upstream, rest) = rest.split_first_chunk()?;
        let (upstream_count, rest) = rest.split_first_chunk()?;
        let (watermark, rest) = rest.split_first_chunk()?;
        let (&[flags], rest) = rest.split_first_chunk()?;
        let (end_offset, rest) = rest.split_first_chunk()?;
        let (own, rest) = rest.split_first_chunk()?;
        let idle = IdleAt { own: i64::from_be_bytes(*own), above: i64::from_be_bytes(rest.try_into().ok()?) };
        Some(Self {
            upstream: PartitionId(i32::from_be_bytes(*upstream)),
            upstream_count: i32::from_be_bytes(*upstream_count),
            watermark: TimestampMs(i64::from_be_bytes(*watermark)),
            idle: (flags & IDLE != 0).then_some(idle),
            ended: (flags & ENDED != 0).then(|| Offset(i64::from_be_bytes(*end_offset))),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bytes_are_as_documented() {
        let mark = Mark {
            upstream: PartitionId(2),
            upstream_count: 6,
            watermark: TimestampMs(-2),
            idle: Some(IdleAt { own: 3, above: 259 }),
            ended: Some(Offset(258)),
        };
        let mut expected = vec![2, 0, 0, 0, 2, 0, 0, 0, 6];
        expected.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 3, 0, 0, 0, 0, 0, 0, 1, 2]);
        expected.extend([0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 1, 3]);
        assert_eq!(mark.encode().as_slice(), expected);
        assert_eq!(Mark::decode(&expected), Some(mark));
    }

    proptest! {
        #[test]
        fn bytes_of_any_other_length_or_version_are_no_mark(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let is_mark = Mark::decode(&bytes).is_some();
            prop_assert_eq!(is_mark, bytes.len() == Mark::BYTES && bytes[0] == VERSION);
        }
    }
}
