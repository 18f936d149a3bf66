//! ElectLeaders: there is nothing to elect, because this broker leads every partition.

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::elect_leaders::{
    ElectLeadersRequest, ElectLeadersResponse, PartitionResult, ReplicaElectionResult,
};
use kafka_wire::wire::Str;

use super::{Client, Handled, Handler, code_and_words};
use crate::broker::state::State;

impl Handler for ElectLeadersRequest {
    fn handle(self, state: &mut State, client: &Client) -> Handled<ElectLeadersResponse> {
        if !matches!(self.election_type, PREFERRED | UNCLEAN) {
            return Handled::Now(self.refuse(ErrorCode::INVALID_REQUEST, client.context.version));
        }
        if self.topic_partitions.is_some() {
            return Handled::Now(respond(&self, |topic, index| match state.topics.partition(topic, index) {
                Some(_) => ErrorCode::ELECTION_NOT_NEEDED,
                None => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            }));
        }
        // A request for all partitions names only those that had an election, so here their lists are empty;
        // the topics are named all the same.
        let topics = state.topics.iter();
        let results = topics.map(|topic| ReplicaElectionResult { topic: topic.name.clone(), ..Default::default() });
        Handled::Now(ElectLeadersResponse {
            replica_election_results: results.collect(),
            ..ElectLeadersResponse::default()
        })
    }

    fn refuse(&self, error: ErrorCode, version: i16) -> ElectLeadersResponse {
        let error_code = if version >= FIRST_WITH_ERROR { error.0 } else { ErrorCode::NONE.0 };
        ElectLeadersResponse { error_code, ..respond(self, |_, _| error) }
    }
}

fn respond(request: &ElectLeadersRequest, elect: impl Fn(&Str, i32) -> ErrorCode) -> ElectLeadersResponse {
    let topics = request.topic_partitions.as_deref().unwrap_or_default();
    let mut results = Vec::with_capacity(topics.len());
    for topic in topics {
        let partitions = topic.partitions.iter().map(|&partition_id| {
            let (error_code, error_message) = code_and_words(elect(&topic.topic, partition_id).ok());
            PartitionResult { partition_id, error_code, error_message, ..Default::default() }
        });
        results.push(ReplicaElectionResult {
            topic: topic.topic.clone(),
            partition_result: partitions.collect(),
            ..Default::default()
        });
    }
    ElectLeadersResponse { replica_election_results: results, ..ElectLeadersResponse::default() }
}

const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;
const FIRST_WITH_ERROR: i16 = 1;
