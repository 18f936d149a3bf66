//! DeleteGroups: deletes groups without members, and their offsets.

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::delete_groups::{DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse};
use kafka_wire::wire::Str;

use super::{Client, Handled, Handler, code};
use crate::broker::state::State;

impl Handler for DeleteGroupsRequest {
    fn handle(self, state: &mut State, _client: &Client) -> Handled<DeleteGroupsResponse> {
        Handled::Now(respond(&self, |id| code(state.groups.delete(id))))
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> DeleteGroupsResponse {
        respond(self, |_| error.0)
    }
}

fn respond(request: &DeleteGroupsRequest, mut delete: impl FnMut(&Str) -> i16) -> DeleteGroupsResponse {
    let results = request.groups_names.iter();
    let results = results
        .map(|id| DeletableGroupResult { group_id: id.clone(), error_code: delete(id), ..Default::default() })
        .collect();
    DeleteGroupsResponse { results, ..DeleteGroupsResponse::default() }
}
