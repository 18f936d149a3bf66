//! The metadata that a worker commits with an offset.

use std::fmt;
use std::str::FromStr;

use kafka_wire::types::{Offset, TimestampMs};

/// The transaction that committed an offset, and what the next owner of the partition has to know, as text:
/// `ww1;txn=<transactional id>;seq=<n>`, then `;wm=<milliseconds>` if the watermark is known,
/// `;parts=<n>` for a topic whose number of partitions must not change, and `;end=<n>` for an input that ends where its
/// log ended when the job began.
///
/// It is read after a commit without an answer, and by the next owner of a partition, which learns from it whose open
/// transaction may block the offset, and which watermark the last owner may not have sent downstream yet.
/// Its size is far below `offset.metadata.max.bytes` (4096).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetMetadata {
    /// The transactional id.
    pub transactional_id: String,
    /// Sequence number of the transaction under that id.
    pub sequence: u64,
    /// The watermark of a source partition after everything below the offset.
    pub watermark: Option<TimestampMs>,
    /// Number of partitions of a topic that is its own changelog, when the job began to read it: `None` for other
    /// topics, and in offsets of versions that did not write it.
    pub partitions: Option<i32>,
    /// The end that was chosen for the partition when the job began to read it.
    pub end: Option<Offset>,
}

impl OffsetMetadata {
    /// Parses the text; `None` if another program wrote the offset, such as a tool that reset it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // The text is split from the right, because an id may contain anything.
        let (transactional_id, rest) = text.strip_prefix("ww1;txn=")?.rsplit_once(";seq=")?;
        let (rest, end) = number(rest, ";end=")?;
        let (rest, partitions) = number(rest, ";parts=")?;
        let (sequence, watermark) = number(rest, ";wm=")?;
        let (transactional_id, sequence) = (transactional_id.to_owned(), sequence.parse().ok()?);
        let (watermark, end) = (watermark.map(TimestampMs), end.map(Offset));
        Some(Self { transactional_id, sequence, watermark, partitions, end })
    }

    /// Whether the transaction wrote the offset with this metadata.
    #[must_use]
    pub fn is_of(text: &str, transactional_id: &str, sequence: u64) -> bool {
        let parsed = Self::parse(text);
        parsed.is_some_and(|parsed| parsed.transactional_id == transactional_id && parsed.sequence == sequence)
    }
}

impl fmt::Display for OffsetMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ww1;txn={};seq={}", self.transactional_id, self.sequence)?;
        self.watermark.map_or(Ok(()), |watermark| write!(f, ";wm={}", watermark.0))?;
        self.partitions.map_or(Ok(()), |partitions| write!(f, ";parts={partitions}"))?;
        self.end.map_or(Ok(()), |end| write!(f, ";end={}", end.0))
    }
}

/// Splits off the number behind `name` at the end of a text, if there is one; `None` if it is no number.
fn number<'t, N: FromStr>(text: &'t str, name: &str) -> Option<(&'t str, Option<N>)> {
    let Some((before, number)) = text.split_once(name) else { return Some((text, None)) };
    Some((before, Some(number.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_it_wrote() {
        let watermarks = [None, Some(TimestampMs(-5)), Some(TimestampMs(i64::MAX))];
        for transactional_id in ["app-0", "", ";seq=1;seq=x", ";seq=1;wm=2;parts=3"] {
            let others = [(None, None), (Some(6), None), (None, Some(Offset(9))), (Some(6), Some(Offset(0)))];
            for (watermark, (partitions, end)) in watermarks.into_iter().flat_map(|of| others.map(|other| (of, other)))
            {
                let transactional_id = transactional_id.to_owned();
                let metadata = OffsetMetadata { transactional_id, sequence: u64::MAX, watermark, partitions, end };
                assert!(OffsetMetadata::is_of(&metadata.to_string(), &metadata.transactional_id, u64::MAX));
                assert!(!OffsetMetadata::is_of(&metadata.to_string(), &metadata.transactional_id, 1));
                assert_eq!(OffsetMetadata::parse(&metadata.to_string()), Some(metadata));
            }
        }
        let known = OffsetMetadata {
            transactional_id: "app-0".to_owned(),
            sequence: 7,
            watermark: Some(TimestampMs(1_700_000_000_000)),
            partitions: None,
            end: None,
        };
        assert_eq!(known.to_string(), "ww1;txn=app-0;seq=7;wm=1700000000000");
        let counted = OffsetMetadata { watermark: None, partitions: Some(6), ..known };
        assert_eq!(counted.to_string(), "ww1;txn=app-0;seq=7;parts=6");
        let ending = OffsetMetadata { end: Some(Offset(9)), ..counted.clone() };
        assert_eq!(ending.to_string(), "ww1;txn=app-0;seq=7;parts=6;end=9");
        assert_eq!(OffsetMetadata { partitions: None, ..counted }.to_string(), "ww1;txn=app-0;seq=7");
    }

    #[test]
    fn what_others_wrote_is_nothing() {
        for text in ["", "ww1", "ww1;txn=a", "ww1;txn=a;seq=", "ww1;txn=a;seq=-1", "ww2;txn=a;seq=1"] {
            assert_eq!(OffsetMetadata::parse(text), None);
        }
        for text in
            ["ww1;txn=a;seq=1;wm=", "ww1;txn=a;seq=1;parts=", "ww1;txn=a;seq=1;parts=2;wm=3", "ww1;txn=a;seq=1;end="]
        {
            assert_eq!(OffsetMetadata::parse(text), None);
        }
    }
}
