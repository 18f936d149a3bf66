//! The topics in which Apache Kafka's coordinators store their state.
//!
//! As in Kafka, they exist from the first FindCoordinator of their kind on, so that clients that list or describe
//! topics see the same here. The coordinators of this broker keep their state outside of them: these topics stay empty.

use std::collections::BTreeMap;

use kafka_wire::wire::Str;

/// The topic of the group coordinator: groups and their offsets.
pub const CONSUMER_OFFSETS: &str = "__consumer_offsets";
/// The topic of the transaction coordinator: transactional ids.
pub const TRANSACTION_STATE: &str = "__transaction_state";
const SHARE_GROUP_STATE: &str = "__share_group_state";

/// Whether Kafka calls a topic of this name internal: clients neither produce to it nor subscribe to it by a pattern.
#[must_use]
pub fn is_internal(name: &str) -> bool {
    matches!(name, CONSUMER_OFFSETS | TRANSACTION_STATE | SHARE_GROUP_STATE)
}

/// The partition, of `partition_count`, in which Kafka stores a group or a transactional id.
#[must_use]
pub fn partition_of(id: &str, partition_count: i32) -> i32 {
    let hash = id.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    hash.checked_abs().unwrap_or(0) % partition_count.max(1)
}

/// The settings that such a topic is created with; empty for any other topic.
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
