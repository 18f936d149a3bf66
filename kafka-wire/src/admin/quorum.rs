//! The KRaft quorum: its description, and changes of its voters (KIP-595, KIP-853).

use super::ItemError;
use crate::protocol::ErrorCode;
use crate::protocol::add_raft_voter::{self, AddRaftVoterRequest};
use crate::protocol::describe_quorum::{self, DescribeQuorumRequest, DescribeQuorumResponse, PartitionData, TopicData};
use crate::protocol::remove_raft_voter::RemoveRaftVoterRequest;
use crate::types::{BrokerId, LeaderEpoch, Offset, TimestampMs};
use crate::wire::{Str, Uuid};

/// The quorum that keeps the metadata of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumDescription {
    /// The controller that leads it; `None` while there is none.
    pub leader: Option<BrokerId>,
    /// Epoch of the leader.
    pub leader_epoch: LeaderEpoch,
    /// End of the committed part of the metadata log (exclusive); -1 for unknown.
    pub high_watermark: Offset,
    /// The replicas that vote.
    pub voters: Vec<QuorumReplica>,
    /// The replicas that only read: brokers, and controllers without a vote.
    pub observers: Vec<QuorumReplica>,
    /// Endpoints of the voters; empty before Kafka 3.9.
    pub endpoints: Vec<(BrokerId, Vec<VoterEndpoint>)>,
}

/// A replica of the metadata log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumReplica {
    /// Node id of the broker or controller.
    pub id: BrokerId,
    /// Id of its log directory; all zero if unknown.
    pub directory: Uuid,
    /// End of its log (exclusive); -1 for unknown.
    pub log_end_offset: Offset,
    /// Time of its last fetch; -1 for unknown.
    pub last_fetch: TimestampMs,
    /// Time at which it last had all records of the leader; -1 for unknown.
    pub last_caught_up: TimestampMs,
}

/// An endpoint of a voter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoterEndpoint {
    /// Name of the listener, such as `CONTROLLER`.
    pub listener: Str,
    /// Host name or address.
    pub host: Str,
    /// Port.
    pub port: u16,
}

/// A voter of the quorum, by its node and its log directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voter {
    /// Node id of the controller.
    pub id: BrokerId,
    /// Id of the log directory in which it keeps the metadata log, as in `meta.properties`.
    pub directory: Uuid,
}

/// Makes a request for the description of the quorum.
#[must_use]
pub fn describe_request() -> DescribeQuorumRequest {
    let partitions = vec![PartitionData { partition_index: 0, ..Default::default() }];
    let topic_name = Str::from_static("__cluster_metadata");
    DescribeQuorumRequest {
        topics: vec![TopicData { topic_name, partitions, ..Default::default() }],
        ..Default::default()
    }
}

/// Returns the description of the quorum.
///
/// # Errors
/// The controller's error.
pub fn read_described(response: DescribeQuorumResponse) -> Result<QuorumDescription, ItemError> {
    ItemError::check(response.error_code, response.error_message)?;
    let topic = response.topics.into_iter().next().ok_or_else(ItemError::missing)?;
    let log = topic.partitions.into_iter().next().ok_or_else(ItemError::missing)?;
    ItemError::check(log.error_code, log.error_message)?;
    let endpoints = response.nodes.into_iter().map(|node| {
        let listeners = node.listeners.into_iter();
        let listeners = listeners.map(|one| VoterEndpoint { listener: one.name, host: one.host, port: one.port });
        (BrokerId(node.node_id), listeners.collect())
    });
    Ok(QuorumDescription {
        leader: (log.leader_id >= 0).then_some(BrokerId(log.leader_id)),
        leader_epoch: LeaderEpoch(log.leader_epoch),
        high_watermark: Offset(log.high_watermark),
        voters: log.current_voters.into_iter().map(replica).collect(),
        observers: log.observers.into_iter().map(replica).collect(),
        endpoints: endpoints.collect(),
    })
}

/// The code for the whole answer, or for the log in it: there a controller says that it does not lead.
pub(crate) fn code(response: &DescribeQuorumResponse) -> ErrorCode {
    let log = response.topics.first().and_then(|topic| topic.partitions.first());
    match ErrorCode(response.error_code) {
        ErrorCode::NONE => log.map_or(ErrorCode::NONE, |log| ErrorCode(log.error_code)),
        code => code,
    }
}

fn replica(state: describe_quorum::ReplicaState) -> QuorumReplica {
    QuorumReplica {
        id: BrokerId(state.replica_id),
        directory: state.replica_directory_id,
        log_end_offset: Offset(state.log_end_offset),
        last_fetch: TimestampMs(state.last_fetch_timestamp),
        last_caught_up: TimestampMs(state.last_caught_up_timestamp),
    }
}

/// Makes a request to add a voter with these endpoints; answered when the new set of voters is committed.
#[must_use]
pub fn add_request(
    cluster_id: Option<&Str>,
    voter: Voter,
    endpoints: &[VoterEndpoint],
    timeout_ms: i32,
) -> AddRaftVoterRequest {
    let listeners = endpoints.iter().map(|endpoint| add_raft_voter::Listener {
        name: endpoint.listener.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port,
        ..Default::default()
    });
    AddRaftVoterRequest {
        cluster_id: cluster_id.cloned(),
        timeout_ms,
        voter_id: voter.id.0,
        voter_directory_id: voter.directory,
        listeners: listeners.collect(),
        ..Default::default()
    }
}

/// Makes a request to remove a voter.
#[must_use]
pub fn remove_request(cluster_id: Option<&Str>, voter: Voter) -> RemoveRaftVoterRequest {
    RemoveRaftVoterRequest {
        cluster_id: cluster_id.cloned(),
        voter_id: voter.id.0,
        voter_directory_id: voter.directory,
        ..Default::default()
    }
}
