//! What a worker writes beside an offset that it commits.

use std::fmt;

/// Which transaction committed an offset: `ww1;txn=<transactional id>;seq=<n>`.
///
/// Read after a commit without an answer, and by the next owner of a partition, which learns whose open transaction may hold
/// it up. Far below `offset.metadata.max.bytes` (4096).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetMetadata {
    /// The transactional id.
    pub transactional_id: String,
    /// Counts the transactions under that id.
    pub sequence: u64,
}

impl OffsetMetadata {
    /// Reads it; `None` when somebody else wrote the offset, such as a tool that reset it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // From the right: an id may contain anything.
        let (transactional_id, sequence) = text.strip_prefix("ww1;txn=")?.rsplit_once(";seq=")?;
        Some(Self { transactional_id: transactional_id.to_owned(), sequence: sequence.parse().ok()? })
    }

    /// Whether that transaction wrote the offset with this metadata.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        Self::parse(text).as_ref() == Some(self)
    }
}

impl fmt::Display for OffsetMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ww1;txn={};seq={}", self.transactional_id, self.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_it_wrote() {
        for transactional_id in ["app-0", "", ";seq=1;seq=x"] {
            let metadata = OffsetMetadata { transactional_id: transactional_id.to_owned(), sequence: u64::MAX };
            assert_eq!(OffsetMetadata::parse(&metadata.to_string()), Some(metadata));
        }
        let text = OffsetMetadata { transactional_id: "app-0".to_owned(), sequence: 7 }.to_string();
        assert_eq!(text, "ww1;txn=app-0;seq=7");
    }

    #[test]
    fn what_others_wrote_is_nothing() {
        for text in ["", "ww1", "ww1;txn=a", "ww1;txn=a;seq=", "ww1;txn=a;seq=-1", "ww2;txn=a;seq=1"] {
            assert_eq!(OffsetMetadata::parse(text), None);
        }
    }
}
