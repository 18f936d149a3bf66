//! ListPartitionReassignments: the list is always empty, because a partition can only move to where it is,
//! which ends at once (KIP-455).

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};

use super::{Client, Handled, Handler, code_and_words};
use crate::broker::state::State;

impl Handler for ListPartitionReassignmentsRequest {
    fn handle(self, _state: &mut State, _client: &Client) -> Handled<ListPartitionReassignmentsResponse> {
        Handled::Now(ListPartitionReassignmentsResponse::default())
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> ListPartitionReassignmentsResponse {
        let (error_code, error_message) = code_and_words(Err(error));
        ListPartitionReassignmentsResponse { error_code, error_message, ..Default::default() }
    }
}
