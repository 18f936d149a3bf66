//! DescribeConfigs: of topics, of the broker and its loggers, of groups and of client metrics.

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
    DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_wire::wire::Str;

use super::{Answer, Client, Handler};
use crate::broker::broker_configs::{self, OF_CLIENT_METRICS, OF_GROUPS};
use crate::broker::state::{NODE, State};
use crate::broker::topic_configs::{self, FROM_DEFAULT};

impl Handler for DescribeConfigsRequest {
    fn handle(self, state: &mut State, client: &Client) -> Answer<DescribeConfigsResponse> {
        let results = self.resources.iter().map(|resource| {
            let mut described = describe(state, resource);
            if let Ok(configs) = &mut described {
                configs.retain(|config| is_wanted(resource, &config.name));
                configs.iter_mut().for_each(|config| self.strip(config, client.call.version));
            }
            answer(resource, described)
        });
        Answer::Now(DescribeConfigsResponse { results: results.collect(), ..DescribeConfigsResponse::default() })
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> DescribeConfigsResponse {
        let results = self.resources.iter().map(|resource| answer(resource, Err((error, String::new())))).collect();
        DescribeConfigsResponse { results, ..DescribeConfigsResponse::default() }
    }
}

/// Settings that nobody asked for, or that the version lacks, are taken out of what is told of one.
trait Strip {
    fn strip(&self, config: &mut DescribeConfigsResourceResult, version: i16);
}

impl Strip for DescribeConfigsRequest {
    fn strip(&self, config: &mut DescribeConfigsResourceResult, version: i16) {
        if !self.include_synonyms {
            config.synonyms.clear();
        }
        if version < FIRST_WITH_TYPES {
            config.config_type = 0;
        }
    }
}

/// No names, like null, ask for all of them.
fn is_wanted(resource: &DescribeConfigsResource, name: &Str) -> bool {
    resource.configuration_keys.as_ref().is_none_or(|keys| keys.is_empty() || keys.contains(name))
}

type Described = Result<Vec<DescribeConfigsResourceResult>, (ErrorCode, String)>;

fn describe(state: &State, resource: &DescribeConfigsResource) -> Described {
    let name = resource.resource_name.as_str();
    let invalid = |why: String| Err((ErrorCode::INVALID_REQUEST, why));
    match resource.resource_type {
        TOPIC => of_topic(state, name),
        BROKER if name.is_empty() => Ok(Vec::new()),
        BROKER | BROKER_LOGGER if name != NODE.0.to_string() => {
            invalid(format!("{name:?} is not the id of this broker, which is {}", NODE.0))
        }
        BROKER => Ok(of_broker(state)),
        BROKER_LOGGER => Ok(vec![of_logger("root")]),
        CLIENT_METRICS | GROUP if name.is_empty() => invalid("it has no name".to_owned()),
        CLIENT_METRICS => {
            Ok(OF_CLIENT_METRICS.iter().map(|&(name, kind, value)| default(name, kind, value, None)).collect())
        }
        GROUP => {
            let settings = OF_GROUPS.iter();
            Ok(settings.map(|&(name, kind, value, broker)| default(name, kind, value, Some(broker))).collect())
        }
        other => invalid(format!("{other} is no kind of resource that has settings")),
    }
}

fn of_topic(state: &State, name: &str) -> Described {
    let Some(topic) = state.topics.by_name(name) else {
        let error = match state.topics.check(name, 1) {
            Err(ErrorCode::INVALID_TOPIC_EXCEPTION) => ErrorCode::INVALID_TOPIC_EXCEPTION,
            _ => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        };
        return Err((error, String::new()));
    };
    let given = broker_configs::given(state);
    let result = |config: topic_configs::EffectiveConfig| {
        let mut synonyms = Vec::new();
        if config.source != FROM_DEFAULT {
            synonyms.push(synonym(config.name, &config.value, config.source));
        }
        let from_broker = config.broker_name.and_then(|name| given.get(name).map(|value| (name, value)));
        synonyms.extend(from_broker.map(|(name, value)| synonym(name, value, FROM_FILE)));
        synonyms.extend(config.broker_name.map(|name| synonym(name, config.default, FROM_DEFAULT)));
        let inherited = from_broker.filter(|_| config.source == FROM_DEFAULT);
        DescribeConfigsResourceResult {
            name: Str::from_static(config.name),
            value: Some(inherited.map_or(config.value, |(_, value)| value.clone())),
            config_source: if inherited.is_some() { FROM_FILE } else { config.source },
            config_type: config.kind,
            synonyms,
            ..DescribeConfigsResourceResult::default()
        }
    };
    Ok(topic_configs::effective(&topic.configs).map(result).collect())
}

fn of_broker(state: &State) -> Vec<DescribeConfigsResourceResult> {
    let given = broker_configs::given(state);
    let result = |setting: broker_configs::Setting| {
        let given = given.get(setting.name);
        let default = setting.default.map(Str::from_static);
        let synonyms = given.map(|value| synonym(setting.name, value, FROM_FILE)).into_iter();
        let synonyms = synonyms.chain(setting.default.map(|value| synonym(setting.name, value, FROM_DEFAULT)));
        DescribeConfigsResourceResult {
            name: Str::from_static(setting.name),
            read_only: setting.is_read_only,
            config_source: if given.is_some() { FROM_FILE } else { FROM_DEFAULT },
            is_sensitive: setting.is_sensitive,
            synonyms: synonyms.collect(),
            config_type: setting.kind,
            value: given.cloned().or(default),
            ..DescribeConfigsResourceResult::default()
        }
    };
    broker_configs::all().map(result).collect()
}

fn of_logger(name: &'static str) -> DescribeConfigsResourceResult {
    DescribeConfigsResourceResult {
        name: Str::from_static(name),
        value: Some(Str::from_static("INFO")),
        config_source: FROM_LOGGER,
        ..DescribeConfigsResourceResult::default()
    }
}

/// A setting that has its default, which it takes from that of the broker if there is one.
fn default(
    name: &'static str,
    kind: i8,
    value: &'static str,
    broker: Option<&'static str>,
) -> DescribeConfigsResourceResult {
    DescribeConfigsResourceResult {
        name: Str::from_static(name),
        value: Some(Str::from_static(value)),
        config_source: FROM_DEFAULT,
        config_type: kind,
        synonyms: broker.map(|broker| synonym(broker, value, FROM_DEFAULT)).into_iter().collect(),
        ..DescribeConfigsResourceResult::default()
    }
}

fn synonym(name: &'static str, value: &str, source: i8) -> DescribeConfigsSynonym {
    let (name, value) = (Str::from_static(name), Some(Str::from(value)));
    DescribeConfigsSynonym { name, value, source, ..DescribeConfigsSynonym::default() }
}

fn answer(resource: &DescribeConfigsResource, described: Described) -> DescribeConfigsResult {
    let ((error, message), configs) = match described {
        Ok(configs) => ((ErrorCode::NONE, String::new()), configs),
        Err((error, why)) if why.is_empty() => ((error, error.meaning().to_owned()), Vec::new()),
        Err(refused) => (refused, Vec::new()),
    };
    DescribeConfigsResult {
        error_code: error.0,
        error_message: Some(message.into()),
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.clone(),
        configs,
        ..DescribeConfigsResult::default()
    }
}

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

const FROM_FILE: i8 = 4;
const FROM_LOGGER: i8 = 6;

const FIRST_WITH_TYPES: i16 = 3;
