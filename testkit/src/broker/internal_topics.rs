//! The topics in which Apache Kafka's coordinators keep what they know.
//!
//! They exist from the first FindCoordinator of their kind on, as in Kafka, so that clients that list or describe topics find
//! what they know from elsewhere. The coordinators of this broker keep their state beside them: they stay empty.

use std::collections::BTreeMap;

use kafka_wire::wire::Str;

/// Where the group coordinator keeps groups and their offsets.
pub const CONSUMER_OFFSETS: &str = "__consumer_offsets";
/// Where the transaction coordinator keeps transactional ids.
pub const TRANSACTION_STATE: &str = "__transaction_state";
const SHARE_GROUP_STATE: &str = "__share_group_state";

/// Whether Kafka calls a topic of this name internal: clients neither produce to it nor subscribe to it by a pattern.
#[must_use]
pub fn is_internal(name: &str) -> bool {
    matches!(name, CONSUMER_OFFSETS | TRANSACTION_STATE | SHARE_GROUP_STATE)
}

/// The partition of such a topic that Kafka keeps a group or a transactional id in, of `partition_count` partitions.
#[must_use]
pub fn partition_of(id: &str, partition_count: i32) -> i32 {
    let hash = id.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    hash.checked_abs().unwrap_or(0) % partition_count.max(1)
}

/// What such a topic is created with; nothing for any other.
#[must_use]
pub fn configs(name: &str) -> BTreeMap<Str, Str> {
    let configs: &[(&'static str, &'static str)] = match name {
        CONSUMER_OFFSETS => {
            &[("cleanup.policy", "compact"), ("compression.type", "producer"), ("segment.bytes", "104857600")]
        }
        TRANSACTION_STATE => &[
            ("cleanup.policy", "compact"),
            ("compression.type", "uncompressed"),
            ("min.insync.replicas", "1"),
            ("segment.bytes", "104857600"),
            ("unclean.leader.election.enable", "false"),
        ],
        _ => &[],
    };
    configs.iter().map(|&(name, value)| (Str::from_static(name), Str::from_static(value))).collect()
}
