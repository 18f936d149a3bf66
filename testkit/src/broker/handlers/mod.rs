//! The APIs that the broker serves, one file per API.
//!
//! To add an API, add a file here with an `impl Handler for ...Request`, and a line in [`HANDLERS`].
//! ApiVersions then lists it, at the versions that its messages have.

mod add_offsets_to_txn;
mod add_partitions_to_txn;
mod alter_client_quotas;
mod alter_configs;
mod alter_partition_reassignments;
mod alter_replica_log_dirs;
mod alter_user_scram_credentials;
mod api_versions;
mod config_resource;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod create_acls;
mod create_partitions;
mod create_topics;
mod delete_acls;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_acls;
mod describe_client_quotas;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_topic_partitions;
mod describe_transactions;
mod describe_user_scram_credentials;
mod elect_leaders;
mod end_txn;
mod fetch;
mod find_coordinator;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod list_transactions;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod sasl_authenticate;
mod sasl_handshake;
mod sync_group;
mod txn_offset_commit;
mod write_txn_markers;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use bytes::Bytes;
use kafka_wire::protocol::{self as api, ApiKey, ErrorCode, Request};
use kafka_wire::wire::{DecodeError, Reader, Str};
use tracing::{debug, trace};

use super::connection::{Peer, RequestContext};
use super::groups::MemberResult;
use super::state::{Answered, NODE, State};

pub(super) use self::api_versions::refuse_version;
use self::fetch::resume_fetch;

/// The table of every API that the broker serves.
const HANDLERS: &[Entry] = &[
    Entry::of::<api::produce::ProduceRequest>(),
    Entry::of::<api::fetch::FetchRequest>(),
    Entry::of::<api::list_offsets::ListOffsetsRequest>(),
    Entry::of::<api::metadata::MetadataRequest>(),
    Entry::of::<api::offset_commit::OffsetCommitRequest>(),
    Entry::of::<api::offset_fetch::OffsetFetchRequest>(),
    Entry::of::<api::find_coordinator::FindCoordinatorRequest>(),
    Entry::of::<api::join_group::JoinGroupRequest>(),
    Entry::of::<api::heartbeat::HeartbeatRequest>(),
    Entry::of::<api::leave_group::LeaveGroupRequest>(),
    Entry::of::<api::sync_group::SyncGroupRequest>(),
    Entry::of::<api::describe_groups::DescribeGroupsRequest>(),
    Entry::of::<api::list_groups::ListGroupsRequest>(),
    Entry::of::<api::sasl_handshake::SaslHandshakeRequest>(),
    Entry::of::<api::api_versions::ApiVersionsRequest>(),
    Entry::of::<api::create_topics::CreateTopicsRequest>(),
    Entry::of::<api::delete_topics::DeleteTopicsRequest>(),
    Entry::of::<api::delete_records::DeleteRecordsRequest>(),
    Entry::of::<api::init_producer_id::InitProducerIdRequest>(),
    Entry::of::<api::add_partitions_to_txn::AddPartitionsToTxnRequest>(),
    Entry::of::<api::add_offsets_to_txn::AddOffsetsToTxnRequest>(),
    Entry::of::<api::end_txn::EndTxnRequest>(),
    Entry::of::<api::txn_offset_commit::TxnOffsetCommitRequest>(),
    Entry::of::<api::describe_configs::DescribeConfigsRequest>(),
    Entry::of::<api::sasl_authenticate::SaslAuthenticateRequest>(),
    Entry::of::<api::delete_groups::DeleteGroupsRequest>(),
    Entry::of::<api::describe_cluster::DescribeClusterRequest>(),
    Entry::of::<api::create_partitions::CreatePartitionsRequest>(),
    Entry::of::<api::incremental_alter_configs::IncrementalAlterConfigsRequest>(),
    Entry::of::<api::alter_configs::AlterConfigsRequest>(),
    Entry::of::<api::describe_producers::DescribeProducersRequest>(),
    Entry::of::<api::describe_transactions::DescribeTransactionsRequest>(),
    Entry::of::<api::list_transactions::ListTransactionsRequest>(),
    Entry::of::<api::write_txn_markers::WriteTxnMarkersRequest>(),
    Entry::of::<api::offset_delete::OffsetDeleteRequest>(),
    Entry::of::<api::offset_for_leader_epoch::OffsetForLeaderEpochRequest>(),
    Entry::of::<api::describe_log_dirs::DescribeLogDirsRequest>(),
    Entry::of::<api::alter_replica_log_dirs::AlterReplicaLogDirsRequest>(),
    Entry::of::<api::describe_quorum::DescribeQuorumRequest>(),
    Entry::of::<api::elect_leaders::ElectLeadersRequest>(),
    Entry::of::<api::alter_partition_reassignments::AlterPartitionReassignmentsRequest>(),
    Entry::of::<api::list_partition_reassignments::ListPartitionReassignmentsRequest>(),
    Entry::of::<api::describe_topic_partitions::DescribeTopicPartitionsRequest>(),
    Entry::of::<api::list_config_resources::ListConfigResourcesRequest>(),
    Entry::of::<api::describe_acls::DescribeAclsRequest>(),
    Entry::of::<api::create_acls::CreateAclsRequest>(),
    Entry::of::<api::delete_acls::DeleteAclsRequest>(),
    Entry::of::<api::describe_client_quotas::DescribeClientQuotasRequest>(),
    Entry::of::<api::alter_client_quotas::AlterClientQuotasRequest>(),
    Entry::of::<api::describe_user_scram_credentials::DescribeUserScramCredentialsRequest>(),
    Entry::of::<api::alter_user_scram_credentials::AlterUserScramCredentialsRequest>(),
    Entry::of::<api::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest>(),
    Entry::of::<api::consumer_group_describe::ConsumerGroupDescribeRequest>(),
];

/// A request that the broker serves.
trait Handler: Request {
    /// Executes the request and says how it is answered.
    fn handle(self, state: &mut State, caller: &Client) -> Handled<Self::Response>;

    /// The response with `error` in every place that this version has for an error.
    fn refuse(&self, error: ErrorCode, version: i16) -> Self::Response;
}

/// The way in which a request is answered.
enum Handled<R> {
    /// With this response, at once.
    Now(R),
    /// Later, through [`State::answer`].
    Later,
    /// With no response, because the client asked for none.
    Never,
    /// By closing the connection.
    Close,
}

/// The client that sent a request, and the request's header.
#[derive(Clone, Debug)]
pub(super) struct Client {
    /// The request being served.
    pub(super) context: RequestContext,
    /// Client id.
    pub(super) id: Str,
    /// Address of the client, and the address of the broker that it has reached.
    pub(super) peer: Peer,
}

impl Client {
    /// Host and port of the broker, as this client is told them.
    fn way_to(&self, state: &State) -> (Str, i32) {
        (self.peer.reached.as_ref().unwrap_or(&state.host).clone(), i32::from(state.port))
    }
}

/// The treatment of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Treatment {
    /// Serve it.
    Serve,
    /// Answer it with an error and do nothing else.
    Refuse(ErrorCode),
}

type Serve = fn(&mut State, &Client, &Bytes, Treatment) -> Result<(), DecodeError>;

/// A row of the table of APIs.
struct Entry {
    key: ApiKey,
    serve: Serve,
}

impl Entry {
    const fn of<H: Handler>() -> Self {
        Self { key: H::KEY, serve: serve::<H> }
    }
}

/// The APIs that are served, with their versions.
fn served() -> impl Iterator<Item = (ApiKey, RangeInclusive<i16>)> {
    HANDLERS.iter().map(|entry| (entry.key, entry.key.versions()))
}

/// Whether this version of an API is served.
pub(super) fn is_served(key: ApiKey, version: i16) -> bool {
    served().any(|(served, versions)| served == key && versions.contains(&version))
}

/// Serves the request with this body. The answer comes through [`State::next_answer`].
///
/// # Errors
/// If the bytes are not such a request.
pub(super) fn dispatch(
    state: &mut State,
    client: &Client,
    body: &Bytes,
    treatment: Treatment,
) -> Result<(), DecodeError> {
    let entry = HANDLERS.iter().find(|entry| entry.key == client.context.api).expect("the caller has asked is_served");
    (entry.serve)(state, client, body, treatment)
}

fn serve<H: Handler>(
    state: &mut State,
    client: &Client,
    body: &Bytes,
    treatment: Treatment,
) -> Result<(), DecodeError> {
    let context = client.context;
    let mut reader = Reader::new(body);
    let request = H::decode(&mut reader, context.version)?;
    state.ignore_trailing(context, reader.left());
    *state.requests.entry(context.api).or_default() += 1;
    debug!(api = %context.api, version = context.version, connection = context.connection.0, client = %client.id.as_str(), "request");
    trace!(?request);
    let answer = match treatment {
        Treatment::Serve => request.handle(state, client),
        Treatment::Refuse(error) => Handled::Now(request.refuse(error, context.version)),
    };
    match answer {
        Handled::Now(response) => state.answer(context, &response),
        Handled::Later => {}
        Handled::Never => state.end_request(context, Answered::Silently),
        Handled::Close => state.end_request(context, Answered::Closed),
    }
    Ok(())
}

/// Carries changes of the state on to everything that depends on them: markers go into logs and groups, results
/// of groups and records go to clients.
pub(super) fn settle(state: &mut State) {
    state.write_due_markers();
    while let Some((context, result)) = state.groups.poll() {
        answer_member(state, context, result);
    }
    while let Some(fetch) = state.next_woken_fetch() {
        resume_fetch(state, fetch);
    }
}

/// Answers a JoinGroup or SyncGroup that had to wait.
fn answer_member(state: &mut State, context: RequestContext, result: MemberResult) {
    match result {
        MemberResult::Join(joined) => state.answer(context, &join_group::response(joined, context.version)),
        MemberResult::Sync(synced) => state.answer(context, &sync_group::response(synced)),
    }
}

/// The error code of a result, as responses carry it.
fn code(result: Result<(), ErrorCode>) -> i16 {
    result.err().unwrap_or(ErrorCode::NONE).0
}

/// The error code of a result and its meaning in words, for responses that have both.
fn code_and_words(result: Result<(), ErrorCode>) -> (i16, Option<Str>) {
    let words = result.err().map(|error| Str::from_static(error.meaning()));
    (code(result), words)
}

/// The elements that occur more than once.
fn repeated<T: Ord + Copy>(elements: impl Iterator<Item = T>) -> BTreeSet<T> {
    let mut seen = BTreeSet::new();
    elements.filter(|&element| !seen.insert(element)).collect()
}

/// Whether a partition can have these replicas, which can only be this broker.
fn is_legal_assignment(broker_ids: &[i32]) -> bool {
    broker_ids == [NODE.0]
}
