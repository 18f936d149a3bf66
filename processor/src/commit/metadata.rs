//! The metadata that a worker commits with an offset.

use std::fmt;

use kafka_wire::types::TimestampMs;

/// The transaction that committed an offset, and the watermark there, as text: `ww1;txn=<transactional id>;seq=<n>`,
/// and `;wm=<milliseconds>` if the watermark is known.
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
}

impl OffsetMetadata {
    /// Parses the text; `None` if another program wrote the offset, such as a tool that reset it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // The text is split from the right, because an id may contain anything.
        let (transactional_id, rest) = text.strip_prefix("ww1;txn=")?.rsplit_once(";seq=")?;
        let (sequence, watermark) = match rest.split_once(";wm=") {
            Some((sequence, watermark)) => (sequence, Some(TimestampMs(watermark.parse().ok()?))),
            None => (rest, None),
        };
        Some(Self { transactional_id: transactional_id.to_owned(), sequence: sequence.parse().ok()?, watermark })
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
        self.watermark.map_or(Ok(()), |watermark| write!(f, ";wm={}", watermark.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_it_wrote() {
        for transactional_id in ["app-0", "", ";seq=1;seq=x", ";seq=1;wm=2"] {
            for watermark in [None, Some(TimestampMs(-5)), Some(TimestampMs(i64::MAX))] {
                let transactional_id = transactional_id.to_owned();
                let metadata = OffsetMetadata { transactional_id, sequence: u64::MAX, watermark };
                assert!(OffsetMetadata::is_of(&metadata.to_string(), &metadata.transactional_id, u64::MAX));
                assert!(!OffsetMetadata::is_of(&metadata.to_string(), &metadata.transactional_id, 1));
                assert_eq!(OffsetMetadata::parse(&metadata.to_string()), Some(metadata));
            }
        }
        let known = OffsetMetadata {
            transactional_id: "app-0".to_owned(),
            sequence: 7,
            watermark: Some(TimestampMs(1_700_000_000_000)),
        };
        assert_eq!(known.to_string(), "ww1;txn=app-0;seq=7;wm=1700000000000");
        assert_eq!(OffsetMetadata { watermark: None, ..known }.to_string(), "ww1;txn=app-0;seq=7");
    }

    #[test]
    fn what_others_wrote_is_nothing() {
        for text in
            ["", "ww1", "ww1;txn=a", "ww1;txn=a;seq=", "ww1;txn=a;seq=-1", "ww2;txn=a;seq=1", "ww1;txn=a;seq=1;wm="]
        {
            assert_eq!(OffsetMetadata::parse(text), None);
        }
    }
}
