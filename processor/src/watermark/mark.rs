//! The record that carries watermarks across a repartition topic.

use kafka_wire::types::{Offset, PartitionId, TimestampMs};
use kafka_wire::wire::varint::{put_unsigned_varlong, put_varlong, unsigned_varlong, varlong};

use super::NO_WATERMARK;

/// The statement of one upstream task about everything that it wrote before: the progress of event time.
///
/// In the log it is a record with a null key, which data there never has, with the marks of any number of tasks in its
/// value, see [`encode_marks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Partition of the upstream task.
    pub upstream: PartitionId,
    /// Number of upstream tasks: until each has sent a mark, nothing is known.
    pub upstream_count: i32,
    /// Watermark: no record below it is expected from that task.
    pub watermark: TimestampMs,
    /// If the task is idle, the end offsets of its sources.
    pub idle: Option<IdleAt>,
    /// In a bounded run, the offset (exclusive) up to which the task has read its input and written all results.
    /// Further downstream it is the sum over the partitions of the source, so that it grows whenever one of them does.
    pub ended: Option<Offset>,
}

/// The end offsets of a task's sources when it became idle. The task holds no other back for as long as the
/// sources still end there.
///
/// Sums of offsets stand for all partitions: no end ever moves back, so a sum stays the same only while
/// each of its parts does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleAt {
    /// Sum of the next offsets of the user's topics that the task reads itself.
    pub own: i64,
    /// The same for all tasks upstream of it, through any number of shuffles.
    pub above: i64,
}

impl Mark {
    /// Whether `other` has the same idleness and end of the input. A change of these must not wait, because other tasks
    /// are held back by it, or pass the task by.
    #[must_use]
    pub fn has_state_of(&self, other: &Self) -> bool {
        self.idle == other.idle && self.ended == other.ended
    }
}

/// Encodes marks, replacing the content of `out`. There is at least one, and all are of tasks that write the same
/// topic.
///
/// The format: version (3), count of upstream tasks (i32, big endian), and a base watermark that all others are at
/// or above (i64, big endian). Then for each mark: its upstream partition minus that of the previous mark, flags (1
/// idle, 2 ended, 4 no watermark), its watermark minus the base unless flag 4 is set, the two offsets of [`IdleAt`] if
/// idle, the end offset if ended. The numbers of a mark are zig-zag varints of Kafka, but for the difference of
/// watermarks, which is unsigned.
pub fn encode_marks(marks: &[Mark], out: &mut Vec<u8>) {
    let known = marks.iter().map(|mark| mark.watermark.0).filter(|watermark| *watermark != NO_WATERMARK.0);
    let base = known.min().unwrap_or(0);
    out.clear();
    out.push(VERSION);
    // A topic may have grown between two of the marks.
    let upstream_count = marks.iter().map(|mark| mark.upstream_count).max().unwrap_or(0);
    out.extend_from_slice(&upstream_count.to_be_bytes());
    out.extend_from_slice(&base.to_be_bytes());
    let mut before = 0;
    for mark in marks {
        put_varlong(out, i64::from(mark.upstream.0) - before);
        before = i64::from(mark.upstream.0);
        let flag = |is_set: bool, flag| if is_set { flag } else { 0 };
        let is_unknown = mark.watermark == NO_WATERMARK;
        let flags = flag(mark.idle.is_some(), IDLE) | flag(mark.ended.is_some(), ENDED);
        out.push(flags | flag(is_unknown, UNKNOWN));
        if !is_unknown {
            // The difference is unsigned, because that of two watermarks may be larger than an i64.
            put_unsigned_varlong(out, mark.watermark.0.wrapping_sub(base).cast_unsigned());
        }
        if let Some(IdleAt { own, above }) = mark.idle {
            put_varlong(out, own);
            put_varlong(out, above);
        }
        if let Some(ended) = mark.ended {
            put_varlong(out, ended.0);
        }
    }
}

/// Decodes marks of [`encode_marks`], or the one mark of version 2; `None` for other bytes.
#[must_use]
pub fn decode_marks(bytes: &[u8]) -> Option<Vec<Mark>> {
    match bytes.split_first()? {
        (&VERSION, rest) => decode_all(rest),
        (&VERSION_OF_ONE, rest) => decode_one(rest).map(|mark| vec![mark]),
        _ => None,
    }
}

fn decode_all(bytes: &[u8]) -> Option<Vec<Mark>> {
    let (upstream_count, bytes) = bytes.split_first_chunk()?;
    let (base, mut rest) = bytes.split_first_chunk()?;
    let (upstream_count, base) = (i32::from_be_bytes(*upstream_count), i64::from_be_bytes(*base));
    // Each mark takes at least two bytes, so the received bytes bound the memory.
    let mut marks = Vec::new();
    let mut before = 0;
    while !rest.is_empty() {
        before = take_signed(&mut rest)?.checked_add(before)?;
        let (flags, after) = rest.split_first()?;
        rest = after;
        if flags & !(IDLE | ENDED | UNKNOWN) != 0 {
            return None;
        }
        let watermark = match flags & UNKNOWN {
            0 => TimestampMs(base.wrapping_add(take_unsigned(&mut rest)?.cast_signed())),
            _ => NO_WATERMARK,
        };
        let idle = match flags & IDLE {
            0 => None,
            _ => Some(IdleAt { own: take_signed(&mut rest)?, above: take_signed(&mut rest)? }),
        };
        let ended = match flags & ENDED {
            0 => None,
            _ => Some(Offset(take_signed(&mut rest)?)),
        };
        let upstream = PartitionId(i32::try_from(before).ok()?);
        marks.push(Mark { upstream, upstream_count, watermark, idle, ended });
    }
    (!marks.is_empty()).then_some(marks)
}

/// The rest of a mark of version 2, big endian: upstream partition (i32), count of upstream partitions (i32),
/// watermark (i64), flags (1 idle, 2 ended), end offset (i64), and the two offsets of [`IdleAt`] (i64 each).
fn decode_one(bytes: &[u8]) -> Option<Mark> {
    let (upstream, rest) = bytes.split_first_chunk()?;
    let (upstream_count, rest) = rest.split_first_chunk()?;
    let (watermark, rest) = rest.split_first_chunk()?;
    let (&[flags], rest) = rest.split_first_chunk()?;
    let (end_offset, rest) = rest.split_first_chunk()?;
    let (own, rest) = rest.split_first_chunk()?;
    let idle = IdleAt { own: i64::from_be_bytes(*own), above: i64::from_be_bytes(rest.try_into().ok()?) };
    Some(Mark {
        upstream: PartitionId(i32::from_be_bytes(*upstream)),
        upstream_count: i32::from_be_bytes(*upstream_count),
        watermark: TimestampMs(i64::from_be_bytes(*watermark)),
        idle: (flags & IDLE != 0).then_some(idle),
        ended: (flags & ENDED != 0).then(|| Offset(i64::from_be_bytes(*end_offset))),
    })
}

fn take_signed(bytes: &mut &[u8]) -> Option<i64> {
    let (rest, number) = varlong(bytes).ok()?;
    *bytes = rest;
    Some(number)
}

fn take_unsigned(bytes: &mut &[u8]) -> Option<u64> {
    let (rest, number) = unsigned_varlong(bytes).ok()?;
    *bytes = rest;
    Some(number)
}

const VERSION: u8 = 3;
const VERSION_OF_ONE: u8 = 2;
const IDLE: u8 = 1;
const ENDED: u8 = 2;
const UNKNOWN: u8 = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(marks: &[Mark]) -> Vec<u8> {
        let mut bytes = vec![9];
        encode_marks(marks, &mut bytes);
        bytes
    }

    #[test]
    fn the_bytes_are_as_documented() {
        let mark = |upstream, watermark| Mark {
            upstream: PartitionId(upstream),
            upstream_count: 6,
            watermark: TimestampMs(watermark),
            idle: None,
            ended: None,
        };
        let idle = Some(IdleAt { own: 3, above: 259 });
        let marks = [
            mark(2, 1_000),
            Mark { idle, ended: Some(Offset(258)), ..mark(5, 1_300) },
            Mark { watermark: NO_WATERMARK, idle: Some(IdleAt { own: 0, above: 0 }), ..mark(4, 0) },
        ];
        let mut expected = vec![3, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0x03, 0xe8];
        expected.extend([4, 0, 0]);
        expected.extend([6, 3, 0xac, 0x02, 6, 0x86, 0x04, 0x84, 0x04]);
        expected.extend([1, 5, 0, 0]);
        assert_eq!(encoded(&marks), expected);
        assert_eq!(decode_marks(&expected).as_deref(), Some(&marks[..]));
    }

    #[test]
    fn the_mark_of_an_earlier_version_is_read() {
        let mut bytes = vec![2, 0, 0, 0, 2, 0, 0, 0, 6];
        bytes.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 3, 0, 0, 0, 0, 0, 0, 1, 2]);
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 1, 3]);
        let mark = Mark {
            upstream: PartitionId(2),
            upstream_count: 6,
            watermark: TimestampMs(-2),
            idle: Some(IdleAt { own: 3, above: 259 }),
            ended: Some(Offset(258)),
        };
        assert_eq!(decode_marks(&bytes), Some(vec![mark]));
        for length in 0..bytes.len() {
            assert_eq!(decode_marks(&bytes[..length]), None);
        }
    }

    fn any_mark() -> impl Strategy<Value = Mark> {
        let watermark = prop_oneof![Just(i64::MIN), Just(i64::MAX), any::<i64>(), 0..100_i64];
        let idle = prop::option::of((any::<i64>(), any::<i64>()).prop_map(|(own, above)| IdleAt { own, above }));
        (any::<i32>(), watermark, idle, prop::option::of(any::<i64>())).prop_map(
            |(upstream, watermark, idle, ended)| {
                let (upstream, watermark) = (PartitionId(upstream), TimestampMs(watermark));
                Mark { upstream, upstream_count: 7, watermark, idle, ended: ended.map(Offset) }
            },
        )
    }

    proptest! {
        #[test]
        fn any_marks_come_back(marks in prop::collection::vec(any_mark(), 1..9)) {
            prop_assert_eq!(decode_marks(&encoded(&marks)), Some(marks));
        }

        #[test]
        fn any_bytes_are_marks_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..60), version in 0_u8..5) {
            if let Some(first) = bytes.first_mut() {
                *first = version;
            }
            let marks = decode_marks(&bytes);
            prop_assert!(marks.is_none() || [2, 3].contains(&version));
            // Marks that can be decoded can be encoded again.
            if let Some(marks) = marks {
                prop_assert_eq!(decode_marks(&encoded(&marks)), Some(marks));
            }
        }
    }
}
