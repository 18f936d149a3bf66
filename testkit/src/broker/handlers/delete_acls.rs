//! DeleteAcls: removes the access control entries that match any of some filters.

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::delete_acls::{
    DeleteAclsFilter, DeleteAclsFilterResult, DeleteAclsMatchingAcl, DeleteAclsRequest, DeleteAclsResponse,
};

use super::{Client, Handled, Handler, code_and_words};
use crate::broker::acls::{Acl, AclFilter, Acls};
use crate::broker::state::State;

impl Handler for DeleteAclsRequest {
    fn handle(self, state: &mut State, _client: &Client) -> Handled<DeleteAclsResponse> {
        let is_unknown = |one: &DeleteAclsFilter| {
            [one.resource_type_filter, one.pattern_type_filter, one.operation, one.permission_type].contains(&0)
        };
        if self.filters.iter().any(is_unknown) {
            return Handled::Close;
        }
        // Every filter is applied to the entries before the request, so an entry that matches two filters is in
        // both results.
        let mut matched = 0;
        let found: Vec<_> = self.filters.iter().map(|one| find(&state.acls, one, &mut matched)).collect();
        found.iter().flatten().flatten().for_each(|acl| state.acls.delete(acl));
        let filter_results = found.into_iter().map(result).collect();
        Handled::Now(DeleteAclsResponse { filter_results, ..DeleteAclsResponse::default() })
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> DeleteAclsResponse {
        let filter_results = self.filters.iter().map(|_| result(Err(error))).collect();
        DeleteAclsResponse { filter_results, ..DeleteAclsResponse::default() }
    }
}

/// The entries that match one filter. `matched` counts the matches of the whole request.
fn find(acls: &Acls, wanted: &DeleteAclsFilter, matched: &mut usize) -> Result<Vec<Acl>, ErrorCode> {
    let filter = AclFilter {
        resource_type: wanted.resource_type_filter,
        name: wanted.resource_name_filter.as_deref(),
        pattern_type: wanted.pattern_type_filter,
        principal: wanted.principal_filter.as_deref(),
        host: wanted.host_filter.as_deref(),
        operation: wanted.operation,
        permission_type: wanted.permission_type,
    };
    if !filter.is_known() {
        return Err(ErrorCode::INVALID_REQUEST);
    }
    if *matched > MATCHES_MAX {
        return Err(ErrorCode::POLICY_VIOLATION);
    }
    let found: Vec<Acl> = acls.find(&filter).cloned().collect();
    *matched += found.len();
    Ok(found)
}

fn result(found: Result<Vec<Acl>, ErrorCode>) -> DeleteAclsFilterResult {
    let (error_code, error_message) = code_and_words(found.as_ref().map(|_| ()).map_err(|&error| error));
    let deleted = found.unwrap_or_default().into_iter().map(|acl| DeleteAclsMatchingAcl {
        resource_type: acl.pattern.resource_type,
        resource_name: acl.pattern.name,
        pattern_type: acl.pattern.pattern_type,
        principal: acl.principal,
        host: acl.host,
        operation: acl.operation,
        permission_type: acl.permission_type,
        ..Default::default()
    });
    DeleteAclsFilterResult { error_code, error_message, matching_acls: deleted.collect(), ..Default::default() }
}

/// Most entries that the filters of a request may match in sum; filters beyond that are refused.
const MATCHES_MAX: usize = 10_000;
