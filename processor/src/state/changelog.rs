//! Records of a changelog topic. The first byte of a key states the kind of the record, and the format of the rest.
//!
//! | byte | rest of the key | value |
//! |---|---|---|
//! | 2 | an entry, in the store's own format | in the store's own format; null for a deletion |
//! | 3 | the first of some upstream partitions (i32), then the source topic | [marks](crate::watermark::encode_marks) |
//! | 4 | the name of a store, or of a source topic of the job's own | its version: a text, compared as a whole |
//!
//! A key of kind 3 has a big-endian number; with the partition -1 and no topic it is for the progress of the task
//! itself.
//!
//! 0 and 1 were entries and progress before records of kind 4 existed: the windows of such entries are unknown.

use kafka_wire::types::PartitionId;

/// The key of a record of a changelog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangelogKey<'a> {
    /// An entry of the store.
    Entry(&'a [u8]),
    /// The progress of event time.
    Progress {
        /// The source topic that the upstream task writes; empty for the task itself.
        topic: &'a [u8],
        /// The first of the upstream partitions; -1 for the task itself.
        upstream: PartitionId,
    },
    /// The version in which a store or a source is written.
    Version {
        /// Its name.
        of: &'a [u8],
    },
    /// A record of a changelog from before versions.
    Unversioned,
}

const UNVERSIONED: [u8; 2] = [0, 1];
const ENTRY: u8 = 2;
const PROGRESS: u8 = 3;
const VERSION: u8 = 4;

impl<'a> ChangelogKey<'a> {
    /// The byte before the key of an entry.
    pub const ENTRY: u8 = ENTRY;

    /// The progress of the task itself.
    pub const OWN: ChangelogKey<'static> = ChangelogKey::Progress { topic: &[], upstream: PartitionId(-1) };

    /// Encodes the key, replacing the content of `out`.
    pub fn encode_into(self, out: &mut Vec<u8>) {
        out.clear();
        match self {
            Self::Entry(key) => {
                out.push(ENTRY);
                out.extend_from_slice(key);
            }
            Self::Progress { topic, upstream } => {
                out.push(PROGRESS);
                out.extend_from_slice(&upstream.0.to_be_bytes());
                out.extend_from_slice(topic);
            }
            Self::Version { of } => {
                out.push(VERSION);
                out.extend_from_slice(of);
            }
            Self::Unversioned => unreachable!("written by earlier versions only"),
        }
    }

    /// Decodes a key; `None` for a kind of record that this version does not know.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        match *kind {
            ENTRY => Some(Self::Entry(rest)),
            PROGRESS => {
                let (upstream, topic) = rest.split_first_chunk()?;
                Some(Self::Progress { topic, upstream: PartitionId(i32::from_be_bytes(*upstream)) })
            }
            VERSION => Some(Self::Version { of: rest }),
            kind if UNVERSIONED.contains(&kind) => Some(Self::Unversioned),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_as_documented() {
        let keys = [
            (ChangelogKey::Entry(b"ab"), &b"\x02ab"[..]),
            (ChangelogKey::OWN, b"\x03\xff\xff\xff\xff"),
            (ChangelogKey::Progress { topic: b"t", upstream: PartitionId(1) }, b"\x03\0\0\0\x01t"),
            (ChangelogKey::Version { of: b"counts" }, b"\x04counts"),
        ];
        for (key, expected) in keys {
            let mut bytes = vec![9];
            key.encode_into(&mut bytes);
            assert_eq!((bytes.as_slice(), ChangelogKey::decode(&bytes)), (expected, Some(key)));
        }
        assert_eq!(ChangelogKey::decode(b"\0\0\0\0\0\0\0\0\0a"), Some(ChangelogKey::Unversioned));
        assert_eq!(ChangelogKey::decode(b"\x01\0\0\0\0"), Some(ChangelogKey::Unversioned));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for bytes in [&[][..], &[3, 0, 0, 0], &[5, 0, 0, 0, 0]] {
            assert_eq!(ChangelogKey::decode(bytes), None);
        }
    }
}
