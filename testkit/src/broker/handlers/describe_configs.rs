//! DescribeConfigs: of topics; a broker has none worth telling.

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
    DescribeConfigsResult,
};
use kafka_wire::wire::Str;

use super::{Answer, Client, Handler, code};
use crate::broker::state::State;
use crate::broker::topic_configs::{EffectiveConfig, effective};

impl Handler for DescribeConfigsRequest {
    fn handle(self, state: &mut State, client: &Client) -> Answer<DescribeConfigsResponse> {
        let describe =
            |resource: &DescribeConfigsResource| answer(resource, describe(state, resource, client.call.version));
        let results = self.resources.iter().map(describe).collect();
        Answer::Now(DescribeConfigsResponse { results, ..DescribeConfigsResponse::default() })
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> DescribeConfigsResponse {
        let results = self.resources.iter().map(|resource| answer(resource, Err(error))).collect();
        DescribeConfigsResponse { results, ..DescribeConfigsResponse::default() }
    }
}

fn describe(
    state: &State,
    resource: &DescribeConfigsResource,
    version: i16,
) -> Result<Vec<DescribeConfigsResourceResult>, ErrorCode> {
    match resource.resource_type {
        BROKER | BROKER_LOGGER => return Ok(Vec::new()),
        TOPIC => {}
        _ => return Err(ErrorCode::INVALID_REQUEST),
    }
    let topic = state.topics.by_name(&resource.resource_name).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let is_wanted = |config: &EffectiveConfig| {
        resource.configuration_keys.as_ref().is_none_or(|keys| keys.iter().any(|key| key.as_str() == config.name))
    };
    let result = |config: EffectiveConfig| DescribeConfigsResourceResult {
        name: Str::from_static(config.name),
        value: Some(config.value),
        config_source: config.source,
        config_type: if version >= FIRST_WITH_TYPES { config.kind } else { 0 },
        ..DescribeConfigsResourceResult::default()
    };
    Ok(effective(&topic.configs).filter(is_wanted).map(result).collect())
}

fn answer(
    resource: &DescribeConfigsResource,
    configs: Result<Vec<DescribeConfigsResourceResult>, ErrorCode>,
) -> DescribeConfigsResult {
    DescribeConfigsResult {
        error_code: code(configs.as_ref().map(|_| ()).map_err(|&error| error)),
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.clone(),
        configs: configs.unwrap_or_default(),
        ..DescribeConfigsResult::default()
    }
}

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const FIRST_WITH_TYPES: i16 = 3;
