//! AlterConfigs: replaces all settings of a resource.

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::alter_configs::{
    AlterConfigsRequest, AlterConfigsResource, AlterConfigsResourceResponse, AlterConfigsResponse,
};

use super::config_resource::{Overrides, Refusal, Repeated, Resource, code_and_words};
use super::{Client, Handled, Handler};
use crate::broker::state::State;

impl Handler for AlterConfigsRequest {
    fn handle(self, state: &mut State, _client: &Client) -> Handled<AlterConfigsResponse> {
        let repeated = Repeated::new(self.resources.iter().map(key));
        let alter = |resource: &AlterConfigsResource| {
            repeated.check(key(resource), resource.configs.iter().map(|config| &config.name))?;
            alter(state, resource, self.validate_only)
        };
        Handled::Now(respond(&self, alter))
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> AlterConfigsResponse {
        respond(self, |_| Err(error.into()))
    }
}

fn key(resource: &AlterConfigsResource) -> (i8, &str) {
    (resource.resource_type, &resource.resource_name)
}

fn alter(state: &mut State, resource: &AlterConfigsResource, is_trial: bool) -> Result<(), Refusal> {
    let mut overrides = Overrides::new();
    for config in &resource.configs {
        let Some(value) = &config.value else {
            return Err(Refusal::new(ErrorCode::INVALID_REQUEST, format!("{} has no value", config.name)));
        };
        overrides.insert(config.name.detached(), value.detached());
    }
    Resource::new(resource.resource_type, &resource.resource_name)?.replace(state, overrides, is_trial)
}

fn respond(
    request: &AlterConfigsRequest,
    mut alter: impl FnMut(&AlterConfigsResource) -> Result<(), Refusal>,
) -> AlterConfigsResponse {
    let responses = request.resources.iter().map(|resource| {
        let (error_code, error_message) = code_and_words(alter(resource));
        AlterConfigsResourceResponse {
            error_code,
            error_message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            ..Default::default()
        }
    });
    AlterConfigsResponse { responses: responses.collect(), ..AlterConfigsResponse::default() }
}
