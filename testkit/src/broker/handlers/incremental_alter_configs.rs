//! IncrementalAlterConfigs: changes single settings of a resource: set, delete, append to or subtract from a list.

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};
use kafka_wire::wire::Str;

use super::config_resource::{Overrides, Refusal, Repeated, Resource, code_and_words};
use super::{Client, Handled, Handler};
use crate::broker::state::State;
use crate::broker::topic_configs::VALUE_LIMIT_BYTES;

impl Handler for IncrementalAlterConfigsRequest {
    fn handle(self, state: &mut State, _client: &Client) -> Handled<IncrementalAlterConfigsResponse> {
        let repeated = Repeated::new(self.resources.iter().map(key));
        let alter = |resource: &AlterConfigsResource| {
            repeated.check(key(resource), resource.configs.iter().map(|config| &config.name))?;
            alter(state, resource, self.validate_only)
        };
        Handled::Now(respond(&self, alter))
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> IncrementalAlterConfigsResponse {
        respond(self, |_| Err(error.into()))
    }
}

fn key(resource: &AlterConfigsResource) -> (i8, &str) {
    (resource.resource_type, &resource.resource_name)
}

fn alter(state: &mut State, resource: &AlterConfigsResource, is_trial: bool) -> Result<(), Refusal> {
    if let Some(config) = resource.configs.iter().find(|one| one.config_operation != DELETE && one.value.is_none()) {
        return Err(Refusal::new(ErrorCode::INVALID_REQUEST, format!("{} has no value", config.name)));
    }
    let target = Resource::new(resource.resource_type, &resource.resource_name)?;
    let mut changed = target.overrides(state);
    for config in &resource.configs {
        change(&mut changed, config, target)?;
    }
    target.replace(state, changed, is_trial)
}

fn change(overrides: &mut Overrides, config: &AlterableConfig, target: Resource<'_>) -> Result<(), Refusal> {
    let (name, value) = (&config.name, config.value.clone().unwrap_or_default());
    match config.config_operation {
        SET => {
            overrides.insert(name.detached(), value.detached());
        }
        DELETE => {
            overrides.remove(name);
        }
        APPEND | SUBTRACT if value.len() > VALUE_LIMIT_BYTES => {
            return Err(Refusal::new(ErrorCode::INVALID_CONFIG, format!("too much for {name}")));
        }
        operation @ (APPEND | SUBTRACT) => {
            let default = target.default_list(name);
            let default =
                default.ok_or_else(|| Refusal::new(ErrorCode::INVALID_CONFIG, format!("{name} is no list")))?;
            let list = overrides.get(name).map_or(default, Str::as_str);
            let mut elements: Vec<&str> = list.split(',').filter(|element| !element.is_empty()).collect();
            for element in value.split(',') {
                let place = elements.iter().position(|present| *present == element);
                match (operation, place) {
                    (APPEND, None) => elements.push(element),
                    (SUBTRACT, Some(place)) => {
                        elements.remove(place);
                    }
                    _ => {}
                }
            }
            let changed = Str::from(elements.join(","));
            overrides.insert(name.detached(), changed);
        }
        operation => {
            // Kafka lets the controller alter topics, and the controller has no better error code for this.
            let code = match target {
                Resource::Topic(_) => ErrorCode::UNKNOWN_SERVER_ERROR,
                Resource::Broker(_) => ErrorCode::INVALID_REQUEST,
            };
            return Err(Refusal::new(code, format!("there is no operation {operation}")));
        }
    }
    Ok(())
}

fn respond(
    request: &IncrementalAlterConfigsRequest,
    mut alter: impl FnMut(&AlterConfigsResource) -> Result<(), Refusal>,
) -> IncrementalAlterConfigsResponse {
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
    IncrementalAlterConfigsResponse { responses: responses.collect(), ..IncrementalAlterConfigsResponse::default() }
}

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;
