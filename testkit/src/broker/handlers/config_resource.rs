//! What AlterConfigs and IncrementalAlterConfigs share: which resources there are, and which settings they may have.

use std::collections::BTreeMap;

use kafka_wire::protocol::ErrorCode;
use kafka_wire::wire::Str;

use crate::broker::state::State;
use crate::broker::topic_configs;
use crate::broker::topics::is_legal_name;

/// The settings of a resource that differ from the defaults.
pub(super) type Overrides = BTreeMap<Str, Str>;

/// Why a resource is left as it is.
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

/// The number of a result and its words.
pub(super) fn code_and_words(result: Result<(), Refusal>) -> (i16, Option<Str>) {
    match result {
        Ok(()) => (ErrorCode::NONE.0, None),
        Err(refusal) => (refusal.code.0, Some(Str::from(refusal.words))),
    }
}

/// Checks that this is a kind of resource that has settings here.
pub(super) fn check_kind(kind: i8) -> Result<(), Refusal> {
    match kind {
        TOPIC => Ok(()),
        _ => Err(Refusal::new(ErrorCode::INVALID_REQUEST, format!("resources of type {kind} cannot be configured"))),
    }
}

/// The overrides of a resource; none for a resource that does not exist.
pub(super) fn overrides(state: &State, name: &Str) -> Overrides {
    state.topics.by_name(name).map(|topic| topic.configs().clone()).unwrap_or_default()
}

/// Gives a resource these overrides instead of those it has. In Kafka's order: first they are checked, then the topic
/// is looked for.
pub(super) fn replace(state: &mut State, name: &Str, overrides: Overrides, is_trial: bool) -> Result<(), Refusal> {
    if name.is_empty() {
        return Err(Refusal::new(ErrorCode::INVALID_REQUEST, "there are no settings for all topics together"));
    }
    if !is_legal_name(name) {
        return Err(ErrorCode::INVALID_TOPIC_EXCEPTION.into());
    }
    check(&overrides)?;
    if state.topics.by_name(name).is_none() {
        return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.into());
    }
    if !is_trial {
        state.topics.alter(name, |present| *present = overrides);
    }
    Ok(())
}

fn check(overrides: &Overrides) -> Result<(), Refusal> {
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
    Ok(())
}

pub(super) const TOPIC: i8 = 2;
