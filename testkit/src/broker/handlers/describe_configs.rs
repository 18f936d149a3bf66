//! DescribeConfigs: lists the settings of topics, of the broker and its loggers, of groups and of client metrics.

use std::collections::BTreeSet;

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
    DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_wire::wire::Str;

use super::{Client, Handled, Handler};
use crate::broker::broker_configs::{self, OF_CLIENT_METRICS, OF_GROUPS};
use crate::broker::dynamic_configs::Scope;
use crate::broker::state::{NODE, State};
use crate::broker::topic_configs::{self, FROM_DEFAULT};
use crate::broker::topics::is_legal_name;

impl Handler for DescribeConfigsRequest {
    fn handle(self, state: &mut State, client: &Client) -> Handled<DescribeConfigsResponse> {
        // Each is told once, however often the request names it: a broker has hundreds of settings.
        let mut told = BTreeSet::new();
        let wanted = self.resources.iter().filter(|resource| {
            told.insert((resource.resource_type, &resource.resource_name, &resource.configuration_keys))
        });
        let results = wanted.map(|resource| {
            let mut described = describe(state, resource);
            if let Ok(configs) = &mut described {
                configs.retain(|config| is_wanted(resource, &config.name));
                configs.iter_mut().for_each(|config| self.strip(config, client.context.version));
            }
            answer(resource, described)
        });
        Handled::Now(DescribeConfigsResponse { results: results.collect(), ..DescribeConfigsResponse::default() })
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> DescribeConfigsResponse {
        let results = self.resources.iter().map(|resource| answer(resource, Err((error, String::new())))).collect();
        DescribeConfigsResponse { results, ..DescribeConfigsResponse::default() }
    }
}

/// Removes parts of a result that the request did not ask for or its version cannot carry.
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

/// Whether the request wants a setting. An empty list of names, like null, asks for all settings.
fn is_wanted(resource: &DescribeConfigsResource, name: &Str) -> bool {
    resource.configuration_keys.as_ref().is_none_or(|keys| keys.is_empty() || keys.contains(name))
}

type Described = Result<Vec<DescribeConfigsResourceResult>, (ErrorCode, String)>;

fn describe(state: &State, resource: &DescribeConfigsResource) -> Described {
    let name = resource.resource_name.as_str();
    let invalid = |why: String| Err((ErrorCode::INVALID_REQUEST, why));
    match resource.resource_type {
        TOPIC => of_topic(state, name),
        BROKER if name.is_empty() => Ok(of_cluster(state)),
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
        let is_legal = is_legal_name(name);
        let error = if is_legal { ErrorCode::UNKNOWN_TOPIC_OR_PARTITION } else { ErrorCode::INVALID_TOPIC_EXCEPTION };
        return Err((error, String::new()));
    };
    let given = broker_configs::given(state);
    let result = |config: topic_configs::EffectiveConfig| {
        let mut synonyms = Vec::new();
        if config.source != FROM_DEFAULT {
            synonyms.push(synonym(config.name, &config.value, config.source));
        }
        let mut inherited = None;
        if let Some(name) = config.broker_name {
            let values = broker_configs::values(state, &given, name);
            synonyms.extend(values.iter().map(|(value, source)| synonym(name, value, *source)));
            synonyms.push(synonym(name, config.default, FROM_DEFAULT));
            inherited = values.into_iter().next().filter(|_| config.source == FROM_DEFAULT);
        }
        let (value, source) = inherited.unwrap_or((config.value, config.source));
        DescribeConfigsResourceResult {
            name: Str::from_static(config.name),
            value: Some(value),
            config_source: source,
            config_type: config.kind,
            synonyms,
            ..DescribeConfigsResourceResult::default()
        }
    };
    Ok(topic_configs::effective(topic.configs()).map(result).collect())
}

fn of_broker(state: &State) -> Vec<DescribeConfigsResourceResult> {
    let given = broker_configs::given(state);
    let result = |setting: broker_configs::Setting| {
        let values = broker_configs::values(state, &given, setting.name);
        let values = values.into_iter().chain(setting.default.map(|value| (Str::from_static(value), FROM_DEFAULT)));
        let values: Vec<_> = values.collect();
        let (value, source) = values.first().cloned().unzip();
        DescribeConfigsResourceResult {
            name: Str::from_static(setting.name),
            read_only: setting.is_read_only,
            config_source: source.unwrap_or(FROM_DEFAULT),
            is_sensitive: setting.is_sensitive,
            synonyms: values.iter().map(|(value, source)| synonym(setting.name, value, *source)).collect(),
            config_type: setting.kind,
            value,
            ..DescribeConfigsResourceResult::default()
        }
    };
    broker_configs::all().map(result).collect()
}

/// The settings that were altered for all brokers. The value of a setting that the broker does not know is not shown,
/// because it might be a secret.
fn of_cluster(state: &State) -> Vec<DescribeConfigsResourceResult> {
    let result = |(name, value): (&Str, &Str)| {
        let known = broker_configs::all().find(|setting| name == setting.name);
        let value = known.filter(|setting| !setting.is_sensitive).map(|_| value.clone());
        let synonym = DescribeConfigsSynonym {
            name: name.clone(),
            value: value.clone(),
            source: FROM_CLUSTER,
            ..DescribeConfigsSynonym::default()
        };
        DescribeConfigsResourceResult {
            name: name.clone(),
            read_only: known.is_none(),
            config_source: FROM_CLUSTER,
            is_sensitive: value.is_none(),
            synonyms: vec![synonym],
            config_type: known.map_or(0, |setting| setting.kind),
            value,
            ..DescribeConfigsResourceResult::default()
        }
    };
    state.dynamic_configs.of(Scope::Cluster).iter().map(result).collect()
}

fn of_logger(name: &'static str) -> DescribeConfigsResourceResult {
    DescribeConfigsResourceResult {
        name: Str::from_static(name),
        value: Some(Str::from_static("INFO")),
        config_source: FROM_LOGGER,
        ..DescribeConfigsResourceResult::default()
    }
}

/// A setting with its default, which comes from the broker's setting behind it, if there is one.
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

const FROM_CLUSTER: i8 = 3;
const FROM_LOGGER: i8 = 6;

const FIRST_WITH_TYPES: i16 = 3;
