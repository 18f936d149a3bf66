//! The messages between the workers of a group, in the opaque bytes of the classic group protocol.
//!
//! Each worker joins with its transactional id; the leader sends everybody the list of all of them. So a worker that
//! takes over a partition knows whether the worker that committed last for it is gone, and fences it only then:
//! without that, the open transaction of the other would block every `read_committed` reader until it times out.
//!
//! The bytes: version 1, then each id as its length (u16, big endian) and its text.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_wire::group::MemberInfo;

/// The bytes with which a worker joins.
#[must_use]
pub(super) fn joining(transactional_id: &str) -> Bytes {
    encode([transactional_id])
}

/// The bytes that the leader sends to every member: the transactional ids of all, sorted.
#[must_use]
pub(super) fn leader_user_data(members: &[MemberInfo]) -> Bytes {
    let mut ids: Vec<String> = members.iter().flat_map(|member| decode(&member.user_data)).collect();
    ids.sort_unstable();
    encode(ids.iter().map(String::as_str))
}

/// The transactional ids in a member's or a leader's bytes. Bytes of another version or program give none:
/// fencing only saves time, and nothing is fenced on a guess.
#[must_use]
pub(super) fn decode(user_data: &[u8]) -> Vec<String> {
    parse(user_data).unwrap_or_default()
}

fn encode<'a>(ids: impl IntoIterator<Item = &'a str>) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(VERSION);
    for id in ids {
        bytes.put_u16(
            u16::try_from(id.len()).expect("a transactional id is shorter than Kafka's limit of 32,767 bytes"),
        );
        bytes.put_slice(id.as_bytes());
    }
    bytes.freeze()
}

fn parse(user_data: &[u8]) -> Option<Vec<String>> {
    let (&version, mut rest) = user_data.split_first()?;
    if version != VERSION {
        return None;
    }
    let mut ids = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let (id, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        ids.push(std::str::from_utf8(id).ok()?.to_owned());
        rest = after;
    }
    rest.is_empty().then_some(ids)
}

const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_and_foreign_bytes_give_none() {
        assert_eq!(decode(&encode(["app-1-0", "app-2-0"])), ["app-1-0", "app-2-0"]);
        assert!(decode(&encode([])).is_empty());
        assert!(decode(&[]).is_empty());
        assert!(decode(&[9, 0, 1, b'a']).is_empty());
        let whole = encode(["app-1-0"]);
        for end in 2..whole.len() {
            assert!(decode(&whole[..end]).is_empty(), "cut at {end}");
        }
    }
}
