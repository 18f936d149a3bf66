//! The resources that AlterConfigs and IncrementalAlterConfigs work on, and the settings that each may have.

use std::collections::{BTreeMap, BTreeSet};

use kafka_wire::protocol::ErrorCode;
use kafka_wire::wire::Str;

use super::repeated;
use crate::broker::broker_configs;
use crate::broker::dynamic_configs::Scope;
use crate::broker::dynamic_rules;
use crate::broker::state::{NODE, State};
use crate::broker::topic_configs;
use crate::broker::topics::is_legal_name;

/// The settings of a resource that differ from the defaults.
pub(super) type Overrides = BTreeMap<Str, Str>;

/// The reason why a resource is not changed.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) code: ErrorCode,
    pub(super) words: String,
}

impl Refusal {
    pub(super) fn new(code: ErrorCode, words: impl Into<String>) -> Self {
        Self { code, words: words.into() }
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self::new(code, code.meaning())
    }
}

/// The error code and the message of a result.
pub(super) fn code_and_words(result: Result<(), Refusal>) -> (i16, Option<Str>) {
    match result {
        Ok(()) => (ErrorCode::NONE.0, None),
        Err(refusal) => (refusal.code.0, Some(Str::from(refusal.words))),
    }
}

/// The resources and settings of a request that are named twice, which Kafka refuses.
pub(super) struct Repeated<'a> {
    resources: BTreeSet<(i8, &'a str)>,
}

impl<'a> Repeated<'a> {
    /// Looks through the resources of a request, each by its kind and name.
    pub(super) fn new(resources: impl Iterator<Item = (i8, &'a str)>) -> Self {
        Self { resources: repeated(resources) }
    }

    /// Refuses a resource that is named twice, or one of whose settings is.
    pub(super) fn check<'b>(
        &self,
        resource: (i8, &str),
        settings: impl Iterator<Item = &'b Str>,
    ) -> Result<(), Refusal> {
        if self.resources.contains(&resource) {
            return Err(Refusal::new(ErrorCode::INVALID_REQUEST, "a resource is named twice"));
        }
        if !repeated(settings).is_empty() {
            return Err(Refusal::new(ErrorCode::INVALID_REQUEST, "a setting is named twice"));
        }
        Ok(())
    }
}

/// A resource whose settings can be altered.
#[derive(Clone, Copy, Debug)]
pub(super) enum Resource<'a> {
    /// A topic by its name; it need not exist.
    Topic(&'a Str),
    /// This broker, or all brokers.
    Broker(Scope),
}

impl<'a> Resource<'a> {
    /// The resource of this kind and name.
    pub(super) fn new(kind: i8, name: &'a Str) -> Result<Self, Refusal> {
        let invalid = |words| Err(Refusal::new(ErrorCode::INVALID_REQUEST, words));
        match kind {
            TOPIC => Ok(Self::Topic(name)),
            BROKER if name.is_empty() => Ok(Self::Broker(Scope::Cluster)),
            BROKER if *name == NODE.0.to_string() => Ok(Self::Broker(Scope::Broker)),
            BROKER => invalid(format!("{name:?} is not the id of this broker, which is {}", NODE.0)),
            _ => invalid(format!("resources of type {kind} cannot be configured")),
        }
    }

    /// The overrides of the resource; empty if it does not exist.
    pub(super) fn overrides(self, state: &State) -> Overrides {
        match self {
            Self::Topic(name) => state.topics.by_name(name).map(|topic| topic.configs().clone()).unwrap_or_default(),
            Self::Broker(scope) => state.dynamic_configs.of(scope).clone(),
        }
    }

    /// The default of a setting that is a list. `None` for a setting that is no list.
    pub(super) fn default_list(self, name: &str) -> Option<&'static str> {
        match self {
            Self::Topic(_) => topic_configs::default_of(name).filter(|_| topic_configs::is_list(name)),
            Self::Broker(_) => {
                let mut lists = broker_configs::all().filter(|setting| setting.kind == LIST);
                lists.find(|setting| setting.name == name).map(|setting| setting.default.unwrap_or_default())
            }
        }
    }

    /// Replaces the overrides of the resource, unless it is a trial.
    pub(super) fn replace(self, state: &mut State, overrides: Overrides, is_trial: bool) -> Result<(), Refusal> {
        match self {
            Self::Topic(name) => {
                check_topic(state, name, &overrides)?;
                if !is_trial {
                    state.topics.alter(name, |present| *present = overrides);
                }
            }
            Self::Broker(scope) => {
                let present = |setting: &broker_configs::Setting| broker_configs::value(state, setting);
                dynamic_rules::check(scope, &overrides, present)
                    .map_err(|words| Refusal::new(ErrorCode::INVALID_REQUEST, words))?;
                if !is_trial {
                    state.dynamic_configs.replace(scope, overrides);
                    state.topics.inherit(state.dynamic_configs.of_topics());
                }
            }
        }
        Ok(())
    }
}

/// As in Kafka, the settings are checked first and the topic is looked up after that.
fn check_topic(state: &State, name: &Str, overrides: &Overrides) -> Result<(), Refusal> {
    if name.is_empty() {
        return Err(Refusal::new(ErrorCode::INVALID_REQUEST, "there are no settings for all topics together"));
    }
    if !is_legal_name(name) {
        return Err(ErrorCode::INVALID_TOPIC_EXCEPTION.into());
    }
    for (name, value) in overrides {
        let name = name.as_str();
        if topic_configs::default_of(name).is_none() {
            return Err(Refusal::new(ErrorCode::INVALID_CONFIG, format!("topics have no setting {name}")));
        }
        if !topic_configs::is_legal(name, value) {
            return Err(Refusal::new(ErrorCode::INVALID_CONFIG, format!("{name} cannot have this value")));
        }
    }
    if !topic_configs::is_consistent(overrides) {
        let words = "min.compaction.lag.ms is above max.compaction.lag.ms";
        return Err(Refusal::new(ErrorCode::INVALID_CONFIG, words));
    }
    match state.topics.by_name(name) {
        Some(_) => Ok(()),
        None => Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.into()),
    }
}

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const LIST: i8 = 7;
