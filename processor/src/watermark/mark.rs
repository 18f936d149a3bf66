//! The record that carries a watermark across a repartition topic.

use kafka_wire::types::{Offset, PartitionId, TimestampMs};

/// What one upstream task says: how far event time has come in everything that it wrote before this.
///
/// In the log: a record with a null key, which data never has there, and 26 bytes of value, big endian: version (1),
/// upstream partition (i32), count of upstream partitions (i32), watermark (i64), flags (1 idle, 2 ended), end offset (i64).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Partition of the task that says it.
    pub upstream: PartitionId,
    /// How many such tasks there are: until all have spoken, nothing is known.
    pub upstream_count: i32,
    /// No record below this is expected from that task.
    pub watermark: TimestampMs,
    /// The task holds nobody back.
    pub is_idle: bool,
    /// In a bounded run: the task has read its input up to this offset (exclusive), and wrote everything that follows
    /// from it. Further down it is the sum over the partitions of the source, so that it grows whenever one of them does.
    pub ended: Option<Offset>,
}

const VERSION: u8 = 1;
const IDLE: u8 = 1;
const ENDED: u8 = 2;

impl Mark {
    /// Size of every mark of this version.
    pub const BYTES: usize = 26;

    /// The value of the record.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let flags = if self.is_idle { IDLE } else { 0 } | if self.ended.is_some() { ENDED } else { 0 };
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
        let end_offset = Offset(i64::from_be_bytes(rest.try_into().ok()?));
        Some(Self {
            upstream: PartitionId(i32::from_be_bytes(*upstream)),
            upstream_count: i32::from_be_bytes(*upstream_count),
            watermark: TimestampMs(i64::from_be_bytes(*watermark)),
            is_idle: flags & IDLE != 0,
            ended: (flags & ENDED != 0).then_some(end_offset),
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
            is_idle: true,
            ended: Some(Offset(258)),
        };
        let mut expected = vec![1, 0, 0, 0, 2, 0, 0, 0, 6];
        expected.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 3, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(mark.encode().as_slice(), expected);
        assert_eq!(Mark::decode(&expected), Some(mark));
    }

    proptest! {
        #[test]
        fn bytes_of_any_other_length_or_version_are_no_mark(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let is_mark = Mark::decode(&bytes).is_some();
            prop_assert_eq!(is_mark, bytes.len() == Mark::BYTES && bytes[0] == VERSION);
        }
    }
}
