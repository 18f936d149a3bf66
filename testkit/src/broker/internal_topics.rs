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
