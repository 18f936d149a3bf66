//! Keys in a changelog topic. The first byte says the kind, and stands for the format of key and value.
//!
//! | byte | rest of the key | value |
//! |---|---|---|
//! | 0 | window start (i64, big endian), the record's key | the aggregate, by its serde; null once the window is closed |
//! | 1 | upstream partition (i32, big endian), -1 for the task itself | a [`Mark`](crate::watermark::Mark) |

use kafka_wire::types::PartitionId;

/// What a record of a changelog is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangelogKey<'a> {
    /// One key in one window.
    Entry {
        /// Start of the window.
        start: i64,
        /// The key.
        key: &'a [u8],
    },
    /// How far event time has come in an upstream partition; in the task itself, when that is -1.
    Progress {
        /// The upstream partition.
        upstream: PartitionId,
    },
}

const ENTRY: u8 = 0;
const PROGRESS: u8 = 1;

impl<'a> ChangelogKey<'a> {
    /// The upstream partition that stands for the task itself.
    pub const OWN: PartitionId = PartitionId(-1);

    /// Writes the key over what `out` had.
    pub fn encode_into(self, out: &mut Vec<u8>) {
        out.clear();
        match self {
            Self::Entry { start, key } => {
                out.push(ENTRY);
                out.extend_from_slice(&start.to_be_bytes());
                out.extend_from_slice(key);
            }
            Self::Progress { upstream } => {
                out.push(PROGRESS);
                out.extend_from_slice(&upstream.0.to_be_bytes());
            }
        }
    }

    /// Reads a key; `None` when it is none that this version knows.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        match bytes.split_first()? {
            (&ENTRY, rest) => {
                let (start, key) = rest.split_first_chunk()?;
                Some(Self::Entry { start: i64::from_be_bytes(*start), key })
            }
            (&PROGRESS, rest) => {
                Some(Self::Progress { upstream: PartitionId(i32::from_be_bytes(rest.try_into().ok()?)) })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_as_documented() {
        let mut bytes = vec![9];
        let entry = ChangelogKey::Entry { start: -2, key: b"ab" };
        entry.encode_into(&mut bytes);
        assert_eq!(bytes, [0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, b'a', b'b']);
        assert_eq!(ChangelogKey::decode(&bytes), Some(entry));

        let own = ChangelogKey::Progress { upstream: ChangelogKey::OWN };
        own.encode_into(&mut bytes);
        assert_eq!(bytes, [1, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(ChangelogKey::decode(&bytes), Some(own));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for bytes in [&[][..], &[0, 1, 2], &[1, 0, 0, 0], &[1, 0, 0, 0, 0, 0], &[2, 0, 0, 0, 0]] {
            assert_eq!(ChangelogKey::decode(bytes), None);
        }
    }
}
