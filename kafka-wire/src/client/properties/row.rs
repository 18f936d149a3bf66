//! A row of a table of keys, and the functions that read values.

use std::ops::RangeBounds;
use std::str::FromStr;
use std::time::Duration;

/// A key: its names, its values, and its place in a configuration `C`.
pub(super) struct Row<C: 'static> {
    /// Java's name, or our own if Java has none.
    pub(super) name: &'static str,
    /// Names in librdkafka, and older ones.
    pub(super) aliases: &'static [&'static str],
    /// The default, as text for the reference; empty for none.
    pub(super) default: &'static str,
    /// The values that the key takes, as in "takes {}".
    pub(super) takes: &'static str,
    /// Description for the reference, one or two sentences.
    pub(super) doc: &'static str,
    /// Whether the value must not be shown.
    pub(super) is_secret: bool,
    /// Stores a value in the configuration. Returns `false` if the key does not take it.
    pub(super) set: fn(&mut C, &str) -> bool,
}

impl<C> Row<C> {
    /// Returns whether this is one of its names.
    pub(super) fn is_named(&self, key: &str) -> bool {
        self.name == key || self.aliases.contains(&key)
    }
}

/// Stores a value that was read.
pub(super) fn put<T>(place: &mut T, value: Option<T>) -> bool {
    match value {
        Some(value) => {
            *place = value;
            true
        }
        None => false,
    }
}

/// Reads a whole number in a range.
pub(super) fn number<T: FromStr + PartialOrd>(value: &str, range: impl RangeBounds<T>) -> Option<T> {
    value.parse().ok().filter(|number| range.contains(number))
}

/// Reads whole milliseconds in a range. The longest time that Kafka's clients take is 24 days, or less if a key
/// says so.
pub(super) fn millis(value: &str, range: impl RangeBounds<u64>) -> Option<Duration> {
    number::<u64>(value, range).filter(|ms| *ms <= MILLIS_MAX).map(Duration::from_millis)
}

/// Reads `true` or `false`, in any case.
pub(super) fn boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// 2^31 - 1, the greatest value of Java's keys in milliseconds.
const MILLIS_MAX: u64 = 2_147_483_647;
