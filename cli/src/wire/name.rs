//! Names of messages, as people type them.

use kafka_wire::protocol::ApiKey;
use kafka_wire::protocol::any::{Direction, MessageKind};

/// The API that `name` stands for: Kafka's name in upper or lower case, or its key.
///
/// # Errors
/// The error names the nearest API, if one is near.
pub(super) fn api(name: &str) -> Result<ApiKey, String> {
    if let Ok(key) = name.parse() {
        return ApiKey::from_i16(key).ok_or_else(|| format!("no API has the key {key}"));
    }
    let known = ApiKey::ALL.iter().copied().find(|key| key.name().eq_ignore_ascii_case(name));
    known.ok_or_else(|| unknown("API", name, ApiKey::ALL.iter().map(|key| key.name())))
}

/// A message that is neither a request nor a response, by Kafka's name in upper or lower case.
///
/// # Errors
/// The error names the nearest message, if one is near.
pub(super) fn data(name: &str) -> Result<MessageKind, String> {
    let all = || MessageKind::all().iter().filter(|kind| kind.api().is_none());
    let known = all().find(|kind| kind.name().eq_ignore_ascii_case(name));
    known.copied().ok_or_else(|| unknown("message", name, all().map(|kind| kind.name())))
}

/// The request or response of `key`.
///
/// # Errors
/// A few keys have no messages any more.
pub(super) fn body(key: ApiKey, direction: Direction) -> Result<MessageKind, String> {
    MessageKind::of_api(key, direction).ok_or_else(|| format!("{key} has no messages any more: Kafka 4 dropped them"))
}

/// Checks that the message has this `version`.
///
/// # Errors
/// The error lists the versions of the message.
pub(super) fn check_version(kind: MessageKind, version: i16) -> Result<(), String> {
    let layout = kind.layout();
    if layout.versions().contains(&version) {
        return Ok(());
    }
    let name = kind.api().map_or(layout.name, |(key, _)| key.name());
    Err(format!("{name} has no version {version}; it has {} to {}", layout.first, layout.last))
}

/// Suggests the nearest name if at most a third of its characters differ: beyond that it would be noise.
fn unknown(kind: &str, name: &str, known: impl Iterator<Item = &'static str>) -> String {
    /// Longer than any name; the bound is for the time and memory of the comparison.
    const CHARACTERS_MAX: usize = 64;
    if let Some((end, _)) = name.char_indices().nth(CHARACTERS_MAX) {
        let start = name.get(..end).unwrap_or_default();
        return format!("there is no {kind} {start:?}... of {} bytes", name.len());
    }
    let lower = name.to_ascii_lowercase();
    let distance = |known: &&str| strsim::damerau_levenshtein(&known.to_ascii_lowercase(), &lower);
    let nearest = known.min_by_key(distance).filter(|nearest| distance(nearest) * 3 <= lower.chars().count());
    match nearest {
        Some(nearest) => format!("there is no {kind} {name:?}; the nearest is {nearest}"),
        None => {
            format!("there is no {kind} {name:?}: names are those of Kafka's schemas, as in Fetch and EndTxnMarker")
        }
    }
}

#[cfg(test)]
mod tests {
    use kafka_wire::protocol::any::Direction;

    use super::{api, body, check_version, data};

    #[test]
    fn unknown_names_are_answered_with_the_nearest() {
        assert_eq!(api("Fecth").unwrap_err(), "there is no API \"Fecth\"; the nearest is Fetch");
        let error = data("ConsumerProtocolSubscriptions").unwrap_err();
        assert!(error.ends_with("the nearest is ConsumerProtocolSubscription"), "{error}");
        let error = api("Acks").unwrap_err();
        assert!(error.starts_with("there is no API \"Acks\": names are"), "{error}");
        let error = api(&"x".repeat(10_000_000)).unwrap_err();
        assert_eq!(error, format!("there is no API \"{}\"... of 10000000 bytes", "x".repeat(64)));
    }

    #[test]
    fn case_does_not_matter_and_keys_are_names() {
        assert_eq!(api("fetch"), api("1"));
        assert_eq!(api("1000").unwrap_err(), "no API has the key 1000");
        assert_eq!(data("endtxnmarker").map(|kind| kind.name()), Ok("EndTxnMarker"));
    }

    #[test]
    fn versions_out_of_range_are_answered_with_the_range() {
        let fetch = body(api("Fetch").unwrap(), Direction::Request).unwrap();
        let error = check_version(fetch, 3).unwrap_err();
        assert_eq!(error, "Fetch has no version 3; it has 4 to 18");
        assert!(body(api("LeaderAndIsr").unwrap(), Direction::Request).is_err());
    }
}
