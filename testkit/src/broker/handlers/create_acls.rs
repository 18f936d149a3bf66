//! CreateAcls: adds access control entries, which are not enforced here.

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::create_acls::{AclCreation, AclCreationResult, CreateAclsRequest, CreateAclsResponse};

use super::{Client, Handled, Handler, code_and_words};
use crate::broker::acls::{ANY, Acl, MATCH, Pattern};
use crate::broker::state::State;

impl Handler for CreateAclsRequest {
    fn handle(self, state: &mut State, client: &Client) -> Handled<CreateAclsResponse> {
        // For Kafka, an entry with the number 0, "unknown", makes the whole request invalid.
        let is_unknown = |one: &AclCreation| {
            [one.resource_type, one.resource_pattern_type, one.operation, one.permission_type].contains(&0)
        };
        if self.creations.iter().any(is_unknown) {
            return Handled::Close;
        }
        // Kafka cannot make an entry from numbers that only a filter may have; the whole request fails then.
        let is_filter = |one: &AclCreation| {
            one.resource_pattern_type == MATCH
                || [one.resource_type, one.resource_pattern_type, one.operation, one.permission_type].contains(&ANY)
        };
        if self.creations.iter().any(is_filter) {
            return Handled::Now(self.refuse(ErrorCode::UNKNOWN_SERVER_ERROR, client.context.version));
        }
        Handled::Now(respond(&self, |one| state.acls.create(acl(one))))
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> CreateAclsResponse {
        respond(self, |_| Err(error))
    }
}

/// The entry as a copy, so that the request's frame is not kept.
fn acl(creation: &AclCreation) -> Acl {
    Acl {
        pattern: Pattern {
            resource_type: creation.resource_type,
            name: creation.resource_name.detached(),
            pattern_type: creation.resource_pattern_type,
        },
        principal: creation.principal.detached(),
        host: creation.host.detached(),
        operation: creation.operation,
        permission_type: creation.permission_type,
    }
}

fn respond(
    request: &CreateAclsRequest,
    mut create: impl FnMut(&AclCreation) -> Result<(), ErrorCode>,
) -> CreateAclsResponse {
    let results = request.creations.iter().map(|one| {
        let (error_code, error_message) = code_and_words(create(one));
        AclCreationResult { error_code, error_message, ..Default::default() }
    });
    CreateAclsResponse { results: results.collect(), ..CreateAclsResponse::default() }
}
