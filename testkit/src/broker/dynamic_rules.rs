//! The rules of which broker settings can be altered while it runs, and to which values (KIP-226).

use std::collections::BTreeMap;

use kafka_wire::wire::Str;

use super::broker_configs::{self, Setting};
use super::dynamic_configs::Scope;
use super::topic_configs;

/// Checks the settings that a scope is to have as a whole. `present` returns the value that a setting has now.
///
/// # Errors
/// The reason for the refusal, in words.
pub(super) fn check(
    scope: Scope,
    settings: &BTreeMap<Str, Str>,
    present: impl Fn(&Setting) -> Option<Str>,
) -> Result<(), String> {
    if settings.len() > SETTINGS_MAX {
        return Err(format!("more than {SETTINGS_MAX} settings"));
    }
    for (name, value) in settings {
        if name.len() > NAME_LIMIT_BYTES || value.len() > topic_configs::VALUE_LIMIT_BYTES {
            return Err("a name or a value is too long".to_owned());
        }
        // Kafka accepts unknown settings, because a plugin may read them.
        let Some(setting) = broker_configs::all().find(|setting| name == setting.name) else { continue };
        if setting.is_read_only {
            return Err(format!("{name} cannot be altered while the broker runs"));
        }
        if name.starts_with("ssl.") {
            return Err(format!("{name} is altered for one listener, with its prefix"));
        }
        if scope == Scope::Cluster && OF_ONE_BROKER.iter().any(|prefix| name.starts_with(prefix)) {
            return Err(format!("{name} is altered for one broker, not for all"));
        }
        let is_legal = is_of_kind(&setting, value) && {
            let of_topics = topic_configs::of_broker(setting.name);
            of_topics.is_none_or(|of_topics| topic_configs::is_legal(of_topics, value))
        };
        if !is_legal || !is_within_reach(&setting, value, present(&setting)) {
            return Err(format!("{name} cannot have this value"));
        }
    }
    Ok(())
}

fn is_of_kind(setting: &Setting, value: &str) -> bool {
    let value = value.trim();
    match setting.kind {
        BOOLEAN => value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false"),
        INT => value.parse::<i32>().is_ok(),
        SHORT => value.parse::<i16>().is_ok(),
        LONG => value.parse::<i64>().is_ok(),
        DOUBLE => value.parse::<f64>().is_ok(),
        _ => true,
    }
}

/// Kafka lets the size of a thread pool at most double or halve in one change.
fn is_within_reach(setting: &Setting, value: &str, present: Option<Str>) -> bool {
    if !THREADS.contains(&setting.name) {
        return true;
    }
    let number = |value: &str| value.trim().parse::<i64>().ok();
    match (number(value), present.and_then(|present| number(&present))) {
        (Some(threads), Some(present)) => threads >= 1 && threads >= present / 2 && threads <= present * 2,
        _ => false,
    }
}

/// Most settings of a scope, unknown ones included.
const SETTINGS_MAX: usize = 1_000;
const NAME_LIMIT_BYTES: usize = 1_024;

/// Prefixes of the names of settings that can only be set for a single broker.
const OF_ONE_BROKER: &[&str] = &["listener", "principal.builder.class", "sasl."];

const THREADS: &[&str] = &[
    "background.threads",
    "log.cleaner.threads",
    "num.io.threads",
    "num.network.threads",
    "num.recovery.threads.per.data.dir",
    "num.replica.fetchers",
];

const BOOLEAN: i8 = 1;
const INT: i8 = 3;
const SHORT: i8 = 4;
const LONG: i8 = 5;
const DOUBLE: i8 = 6;
