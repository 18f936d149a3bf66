//! Kafka's error codes, each with its name, its meaning, and whether a retry can help.

use std::fmt;

/// An error code as a number; a code that this build does not know keeps its number.
///
/// 0 means no error. The table is that of Apache Kafka 4.4, and "retriable" is every code that its Java client retries.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode(pub i16);

impl ErrorCode {
    /// Whether there is no error.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// `Ok` for no error, otherwise the error.
    ///
    /// # Errors
    /// The code itself, unless it is no error.
    pub const fn ok(self) -> Result<(), Self> {
        if self.is_none() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.name(), self.0, self.meaning())
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name(), self.0)
    }
}

impl std::error::Error for ErrorCode {}

impl From<i16> for ErrorCode {
    fn from(code: i16) -> Self {
        Self(code)
    }
}

macro_rules! codes {
    ($($code:literal $name:ident $retry:ident $meaning:literal)*) => {
        impl ErrorCode {
            $(
                #[doc = concat!("Code ", $code, ": ", $meaning, ".")]
                pub const $name: Self = Self($code);
            )*

            /// Kafka's name, like `NOT_COORDINATOR`; `UNKNOWN_CODE` for a code that the table lacks.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $($code => stringify!($name),)*
                    _ => "UNKNOWN_CODE",
                }
            }

            /// The meaning, as a clause.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self.0 {
                    $($code => $meaning,)*
                    _ => "the broker is newer than this client's table of errors",
                }
            }

            /// Whether the same request may succeed later, perhaps after new metadata or a new coordinator.
            #[must_use]
            pub const fn is_retriable(self) -> bool {
                match self.0 {
                    $($code => codes!(@ $retry),)*
                    _ => false,
                }
            }
        }
    };
    (@ retry) => { true };
    (@ give_up) => { false };
}

codes! {
     -1 UNKNOWN_SERVER_ERROR give_up "the broker failed in a way it has no code for"
      0 NONE give_up "no error"
      1 OFFSET_OUT_OF_RANGE give_up "the offset is outside of what the log holds"
      2 CORRUPT_MESSAGE retry "a record batch is corrupt, or a record without key went to a compacted topic"
      3 UNKNOWN_TOPIC_OR_PARTITION retry "the broker does not have this topic or partition"
      4 INVALID_FETCH_SIZE give_up "the fetch size is invalid"
      5 LEADER_NOT_AVAILABLE retry "the partition has no leader at the moment"
      6 NOT_LEADER_OR_FOLLOWER retry "the broker does not lead this partition, or holds no replica of it"
      7 REQUEST_TIMED_OUT retry "the broker did not finish within the request's timeout"
      8 BROKER_NOT_AVAILABLE give_up "the broker is not available"
      9 REPLICA_NOT_AVAILABLE retry "the replica is not available"
     10 MESSAGE_TOO_LARGE give_up "a record batch is larger than the broker or topic allows"
     11 STALE_CONTROLLER_EPOCH give_up "the controller has moved"
     12 OFFSET_METADATA_TOO_LARGE give_up "the metadata beside a committed offset is too long"
     13 NETWORK_EXCEPTION retry "the connection broke before the answer came"
     14 COORDINATOR_LOAD_IN_PROGRESS retry "the coordinator is still loading its state"
     15 COORDINATOR_NOT_AVAILABLE retry "there is no coordinator at the moment"
     16 NOT_COORDINATOR retry "the broker is not the coordinator"
     17 INVALID_TOPIC_EXCEPTION give_up "the topic's name is not allowed, or the topic may not be used so"
     18 RECORD_LIST_TOO_LARGE give_up "the batch is larger than a log segment"
     19 NOT_ENOUGH_REPLICAS retry "fewer replicas are in sync than the topic requires; nothing was written"
     20 NOT_ENOUGH_REPLICAS_AFTER_APPEND retry "written, but fewer replicas are in sync than the topic requires"
     21 INVALID_REQUIRED_ACKS give_up "acks is neither 0, 1 nor -1"
     22 ILLEGAL_GENERATION give_up "the generation of the group is not this one"
     23 INCONSISTENT_GROUP_PROTOCOL give_up "the member shares no protocol with the group"
     24 INVALID_GROUP_ID give_up "the group id is not allowed"
     25 UNKNOWN_MEMBER_ID give_up "the coordinator does not know this member"
     26 INVALID_SESSION_TIMEOUT give_up "the session timeout is outside of what the broker allows"
     27 REBALANCE_IN_PROGRESS give_up "the group is rebalancing and the member has to rejoin"
     28 INVALID_COMMIT_OFFSET_SIZE give_up "the offset commit is too large"
     29 TOPIC_AUTHORIZATION_FAILED give_up "not authorized for the topic"
     30 GROUP_AUTHORIZATION_FAILED give_up "not authorized for the group"
     31 CLUSTER_AUTHORIZATION_FAILED give_up "not authorized for the cluster"
     32 INVALID_TIMESTAMP give_up "a record's timestamp is outside of what the topic allows"
     33 UNSUPPORTED_SASL_MECHANISM give_up "the broker does not offer this SASL mechanism"
     34 ILLEGAL_SASL_STATE give_up "the request is not allowed at this point of the SASL exchange"
     35 UNSUPPORTED_VERSION give_up "the broker does not have this version of the request"
     36 TOPIC_ALREADY_EXISTS give_up "a topic with this name exists"
     37 INVALID_PARTITIONS give_up "the partition count is not allowed"
     38 INVALID_REPLICATION_FACTOR give_up "the replication factor is below 1 or above the number of brokers"
     39 INVALID_REPLICA_ASSIGNMENT give_up "the replica assignment is not allowed"
     40 INVALID_CONFIG give_up "a configuration is not allowed"
     41 NOT_CONTROLLER retry "the broker is not the controller"
     42 INVALID_REQUEST give_up "the request makes no sense to the broker"
     43 UNSUPPORTED_FOR_MESSAGE_FORMAT give_up "the log's message format does not support the request"
     44 POLICY_VIOLATION give_up "the request violates a policy of the cluster"
     45 OUT_OF_ORDER_SEQUENCE_NUMBER give_up "a batch's sequence number leaves a gap to the one before"
     46 DUPLICATE_SEQUENCE_NUMBER give_up "the batch was written before"
     47 INVALID_PRODUCER_EPOCH give_up "the producer's epoch is not the current one"
     48 INVALID_TXN_STATE give_up "the transaction is in no state that allows this"
     49 INVALID_PRODUCER_ID_MAPPING give_up "the transactional id belongs to another producer id"
     50 INVALID_TRANSACTION_TIMEOUT give_up "the transaction timeout is above what the broker allows"
     51 CONCURRENT_TRANSACTIONS retry "another change to this transaction has not finished"
     52 TRANSACTION_COORDINATOR_FENCED give_up "the transaction coordinator has been replaced"
     53 TRANSACTIONAL_ID_AUTHORIZATION_FAILED give_up "not authorized for the transactional id"
     54 SECURITY_DISABLED give_up "security is not enabled"
     55 OPERATION_NOT_ATTEMPTED give_up "not tried, because another part of the request failed"
     56 KAFKA_STORAGE_ERROR retry "the broker failed to use its disk"
     57 LOG_DIR_NOT_FOUND give_up "the broker has no such log directory"
     58 SASL_AUTHENTICATION_FAILED give_up "authentication failed"
     59 UNKNOWN_PRODUCER_ID give_up "the log no longer knows this producer id"
     60 REASSIGNMENT_IN_PROGRESS give_up "the partition is being reassigned"
     61 DELEGATION_TOKEN_AUTH_DISABLED give_up "delegation tokens are not enabled"
     62 DELEGATION_TOKEN_NOT_FOUND give_up "the broker has no such delegation token"
     63 DELEGATION_TOKEN_OWNER_MISMATCH give_up "the principal neither owns nor may renew the token"
     64 DELEGATION_TOKEN_REQUEST_NOT_ALLOWED give_up "a delegation token cannot be asked for on this connection"
     65 DELEGATION_TOKEN_AUTHORIZATION_FAILED give_up "not authorized for the delegation token"
     66 DELEGATION_TOKEN_EXPIRED give_up "the delegation token has expired"
     67 INVALID_PRINCIPAL_TYPE give_up "this type of principal is not supported"
     68 NON_EMPTY_GROUP give_up "the group still has members"
     69 GROUP_ID_NOT_FOUND give_up "there is no such group"
     70 FETCH_SESSION_ID_NOT_FOUND retry "the broker does not have this fetch session"
     71 INVALID_FETCH_SESSION_EPOCH retry "the fetch session is at another epoch"
     72 LISTENER_NOT_FOUND retry "the leader has no listener of this name"
     73 TOPIC_DELETION_DISABLED give_up "topics may not be deleted on this cluster"
     74 FENCED_LEADER_EPOCH retry "the leader epoch is older than the broker's"
     75 UNKNOWN_LEADER_EPOCH retry "the leader epoch is newer than the broker's"
     76 UNSUPPORTED_COMPRESSION_TYPE give_up "the client's version does not support the compression of the partition"
     77 STALE_BROKER_EPOCH give_up "the broker has registered again since"
     78 OFFSET_NOT_AVAILABLE retry "the new leader does not know the high watermark yet"
     79 MEMBER_ID_REQUIRED give_up "the member has to join again with the id it was given"
     80 PREFERRED_LEADER_NOT_AVAILABLE retry "the preferred leader is not available"
     81 GROUP_MAX_SIZE_REACHED give_up "the group is full"
     82 FENCED_INSTANCE_ID give_up "another member uses this instance id"
     83 ELIGIBLE_LEADERS_NOT_AVAILABLE retry "no eligible leader is available"
     84 ELECTION_NOT_NEEDED retry "the partition needs no election"
     85 NO_REASSIGNMENT_IN_PROGRESS give_up "no reassignment is in progress"
     86 GROUP_SUBSCRIBED_TO_TOPIC give_up "the group is subscribed to the topic"
     87 INVALID_RECORD give_up "the broker refused a record"
     88 UNSTABLE_OFFSET_COMMIT retry "an offset of an unfinished transaction is pending"
     89 THROTTLING_QUOTA_EXCEEDED retry "the quota is used up"
     90 PRODUCER_FENCED give_up "a newer producer took over the transactional id"
     91 RESOURCE_NOT_FOUND give_up "there is no such resource"
     92 DUPLICATE_RESOURCE give_up "a resource is named twice"
     93 UNACCEPTABLE_CREDENTIAL give_up "the credential is not acceptable"
     94 INCONSISTENT_VOTER_SET give_up "sender or receiver is not one of the voters"
     95 INVALID_UPDATE_VERSION give_up "the version is not allowed as an update"
     96 FEATURE_UPDATE_FAILED give_up "the features could not be updated"
     97 PRINCIPAL_DESERIALIZATION_FAILURE give_up "the forwarded principal could not be read"
     98 SNAPSHOT_NOT_FOUND give_up "there is no such snapshot"
     99 POSITION_OUT_OF_RANGE give_up "the position is outside of the snapshot"
    100 UNKNOWN_TOPIC_ID retry "the broker does not have a topic with this id"
    101 DUPLICATE_BROKER_REGISTRATION give_up "the broker id is in use"
    102 BROKER_ID_NOT_REGISTERED give_up "the broker id is not registered"
    103 INCONSISTENT_TOPIC_ID retry "the topic id is not the one of the log"
    104 INCONSISTENT_CLUSTER_ID give_up "the cluster id is another one"
    105 TRANSACTIONAL_ID_NOT_FOUND give_up "there is no such transactional id"
    106 FETCH_SESSION_TOPIC_ID_ERROR retry "the fetch session mixes topic ids and names"
    107 INELIGIBLE_REPLICA give_up "a replica may not become part of the in-sync set"
    108 NEW_LEADER_ELECTED give_up "the leader changed with this update"
    109 OFFSET_MOVED_TO_TIERED_STORAGE give_up "the offset has moved to tiered storage"
    110 FENCED_MEMBER_EPOCH give_up "the member's epoch is fenced: it gives up its partitions and rejoins"
    111 UNRELEASED_INSTANCE_ID give_up "another member still holds the instance id"
    112 UNSUPPORTED_ASSIGNOR give_up "the group does not support the assignor"
    113 STALE_MEMBER_EPOCH give_up "the member's epoch is out of date"
    114 MISMATCHED_ENDPOINT_TYPE give_up "the endpoint is of another type"
    115 UNSUPPORTED_ENDPOINT_TYPE give_up "this type of endpoint is not supported"
    116 UNKNOWN_CONTROLLER_ID give_up "the controller id is not known"
    117 UNKNOWN_SUBSCRIPTION_ID give_up "the telemetry subscription is not known or out of date"
    118 TELEMETRY_TOO_LARGE give_up "the telemetry is larger than the broker accepts"
    119 INVALID_REGISTRATION give_up "the controller refused the broker's registration"
    120 TRANSACTION_ABORTABLE give_up "the transaction failed; abort it to go on with the same transactional id"
    121 INVALID_RECORD_STATE give_up "the record is in no state that can be acknowledged so"
    122 SHARE_SESSION_NOT_FOUND retry "the broker does not have this share session"
    123 INVALID_SHARE_SESSION_EPOCH retry "the share session is at another epoch"
    124 FENCED_STATE_EPOCH give_up "the state epoch of the share group is another one"
    125 INVALID_VOTER_KEY give_up "the voter key is not the replica's"
    126 DUPLICATE_VOTER give_up "the voter is in the set already"
    127 VOTER_NOT_FOUND give_up "the voter is not in the set"
    128 INVALID_REGULAR_EXPRESSION give_up "the regular expression is not valid"
    129 REBOOTSTRAP_REQUIRED give_up "the client's metadata is too old: it starts again from its bootstrap servers"
    130 STREAMS_INVALID_TOPOLOGY give_up "the topology is not valid"
    131 STREAMS_INVALID_TOPOLOGY_EPOCH give_up "the epoch of the topology is not valid"
    132 STREAMS_TOPOLOGY_FENCED give_up "the epoch of the topology is out of date"
    133 SHARE_SESSION_LIMIT_REACHED retry "the broker has no room for another share session"
    134 GROUP_DELETION_FAILED give_up "the group could not be deleted whole; the answer says why"
    135 STREAMS_TOPOLOGY_DESCRIPTION_UPDATE_FAILED give_up "the description of the topology could not be stored; the answer says why"
    136 CONTROLLER_ID_NOT_REGISTERED give_up "the controller id is not registered"
}

#[cfg(test)]
mod tests {
    use super::ErrorCode;

    #[test]
    fn a_code_knows_its_row() {
        let code = ErrorCode(6);
        assert_eq!(code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
        assert_eq!(code.name(), "NOT_LEADER_OR_FOLLOWER");
        assert!(code.is_retriable());
        assert!(!ErrorCode::PRODUCER_FENCED.is_retriable());
        assert_eq!(ErrorCode::NONE.ok(), Ok(()));
        assert_eq!(ErrorCode::UNKNOWN_SERVER_ERROR, ErrorCode(-1));
    }

    #[test]
    fn codes_of_newer_brokers_stay_numbers() {
        let code = ErrorCode(9999);
        assert_eq!(code.ok(), Err(code));
        assert_eq!(format!("{code:?}"), "UNKNOWN_CODE(9999)");
        assert!(!code.is_retriable());
    }
}
