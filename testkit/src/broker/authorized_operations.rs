//! The operations that a client may do on a resource, for responses that list them: every operation that exists for
//! such a resource, because no client is refused.
//!
//! Bit `n` stands for the operation with the number `n`. Source: KIP-430, `AclEntry.supportedOperations` of Kafka.

const READ: i32 = 1 << 3;
const WRITE: i32 = 1 << 4;
const CREATE: i32 = 1 << 5;
const DELETE: i32 = 1 << 6;
const ALTER: i32 = 1 << 7;
const DESCRIBE: i32 = 1 << 8;
const CLUSTER_ACTION: i32 = 1 << 9;
const DESCRIBE_CONFIGS: i32 = 1 << 10;
const ALTER_CONFIGS: i32 = 1 << 11;
const IDEMPOTENT_WRITE: i32 = 1 << 12;

/// Operations on a topic.
pub(super) const TOPIC: i32 = READ | WRITE | CREATE | DELETE | ALTER | DESCRIBE | DESCRIBE_CONFIGS | ALTER_CONFIGS;
/// Operations on a group.
pub(super) const GROUP: i32 = READ | DELETE | DESCRIBE | DESCRIBE_CONFIGS | ALTER_CONFIGS;
/// Operations on the cluster.
pub(super) const CLUSTER: i32 =
    CREATE | ALTER | DESCRIBE | CLUSTER_ACTION | DESCRIBE_CONFIGS | ALTER_CONFIGS | IDEMPOTENT_WRITE;

/// The value when the request did not ask for operations.
pub(super) const NOT_ASKED: i32 = i32::MIN;

/// `all` if the request asked for operations, else [`NOT_ASKED`].
pub(super) const fn if_asked(is_asked: bool, all: i32) -> i32 {
    if is_asked { all } else { NOT_ASKED }
}
