//! DescribeAcls: lists the access control entries that match a filter, grouped by the resources that they apply to.

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::describe_acls::{
    AclDescription, DescribeAclsRequest, DescribeAclsResource, DescribeAclsResponse,
};

use super::{Client, Handled, Handler, code_and_words};
use crate::broker::acls::{Acl, AclFilter};
use crate::broker::state::State;

impl Handler for DescribeAclsRequest {
    fn handle(self, state: &mut State, _client: &Client) -> Handled<DescribeAclsResponse> {
        let numbers = [self.resource_type_filter, self.pattern_type_filter, self.operation, self.permission_type];
        if numbers.contains(&0) {
            return Handled::Close;
        }
        let filter = AclFilter {
            resource_type: self.resource_type_filter,
            name: self.resource_name_filter.as_deref(),
            pattern_type: self.pattern_type_filter,
            principal: self.principal_filter.as_deref(),
            host: self.host_filter.as_deref(),
            operation: self.operation,
            permission_type: self.permission_type,
        };
        let mut resources: Vec<DescribeAclsResource> = Vec::new();
        for acl in state.acls.find(&filter) {
            match resources.last_mut().filter(|last| is_about(acl, last)) {
                Some(last) => last.acls.push(describe(acl)),
                None => resources.push(DescribeAclsResource {
                    resource_type: acl.pattern.resource_type,
                    resource_name: acl.pattern.name.clone(),
                    pattern_type: acl.pattern.pattern_type,
                    acls: vec![describe(acl)],
                    ..Default::default()
                }),
            }
        }
        Handled::Now(DescribeAclsResponse { resources, ..DescribeAclsResponse::default() })
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> DescribeAclsResponse {
        let (error_code, error_message) = code_and_words(Err(error));
        DescribeAclsResponse { error_code, error_message, ..DescribeAclsResponse::default() }
    }
}

fn is_about(acl: &Acl, resource: &DescribeAclsResource) -> bool {
    let pattern = &acl.pattern;
    (pattern.resource_type, &pattern.name, pattern.pattern_type)
        == (resource.resource_type, &resource.resource_name, resource.pattern_type)
}

fn describe(acl: &Acl) -> AclDescription {
    AclDescription {
        principal: acl.principal.clone(),
        host: acl.host.clone(),
        operation: acl.operation,
        permission_type: acl.permission_type,
        ..Default::default()
    }
}
