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

/// Makes a row whose value is kept as it is, in a field of the configuration.
macro_rules! text {
    ($field:ident, $name:expr, [$($alias:literal),*], $takes:literal, $doc:literal) => {
        Row {
            name: $name,
            aliases: &[$($alias),*],
            default: "",
            takes: $takes,
            doc: $doc,
            is_secret: false,
            set: |config, value| {
                let is_given = !value.is_empty();
                config.$field = is_given.then(|| value.into());
                is_given
            },
        }
    };
    (secret $field:ident, $name:expr, [$($alias:literal),*], $takes:literal, $doc:literal) => {
        Row { is_secret: true, ..text!($field, $name, [$($alias),*], $takes, $doc) }
    };
}

pub(super) use text;

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

/// Reads KiB, 1 or more, as bytes.
pub(super) fn kib(value: &str) -> Option<usize> {
    number::<usize>(value, 1..)?.checked_mul(1_024)
}

/// Reads whole milliseconds in a range. The longest time that Kafka's clients take is 24 days, or less if a key
/// says so.
pub(super) fn millis(value: &str, range: impl RangeBounds<u64>) -> Option<Duration> {
    number::<u64>(value, range).filter(|ms| *ms <= MILLIS_MAX).map(Duration::from_millis)
}

/// As [`millis`], for the keys that have 64 bits in Java, where the greatest number means "for ever". More than ten
/// years count as ten years.
pub(super) fn long_millis(value: &str, range: impl RangeBounds<u64>) -> Option<Duration> {
    number::<u64>(value, range).map(|ms| Duration::from_millis(ms.min(TEN_YEARS_MS)))
}

/// Reads `true` or `false`, in any case.
pub(super) fn boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// Reads a duration of ISO 8601, such as `PT1H30M` or `P2DT0.5S`, as Java's `Duration.parse` does; none below zero.
pub(super) fn iso_duration(value: &str) -> Option<Duration> {
    let value = value.to_ascii_uppercase();
    let mut rest = value.strip_prefix('P')?;
    let mut total = Duration::ZERO;
    let mut parts = 0;
    for (unit, length) in [('D', 86_400), ('T', 0), ('H', 3_600), ('M', 60), ('S', 1)] {
        if unit == 'T' {
            match rest.strip_prefix('T') {
                Some(times) if !times.is_empty() => rest = times,
                Some(_) => return None,
                None => break,
            }
        } else if let Some((number, after)) = rest.split_once(unit) {
            total = total.checked_add(if unit == 'S' { fraction(number)? } else { seconds(number, length)? })?;
            (rest, parts) = (after, parts + 1);
        }
    }
    (rest.is_empty() && parts > 0).then_some(total)
}

/// Reads seconds with up to nine digits after a point.
fn fraction(number: &str) -> Option<Duration> {
    let (whole, digits) = number.split_once('.').unwrap_or((number, "0"));
    let is_number = (1..=9).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let nanos = format!("{digits:0<9}").parse().ok().filter(|_| is_number)?;
    seconds(whole, 1)?.checked_add(Duration::from_nanos(nanos))
}

/// Reads a whole number of units, each so many seconds long.
fn seconds(number: &str, length: u64) -> Option<Duration> {
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse::<u64>().ok().filter(|_| is_number)?.checked_mul(length).map(Duration::from_secs)
}

const TEN_YEARS_MS: u64 = 315_360_000_000;
/// 2^31 - 1, the greatest value of most of Java's keys in milliseconds.
const MILLIS_MAX: u64 = 2_147_483_647;
