//! Days of a time zone.

use std::fmt;
use std::iter::{Once, once};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use kafka_wire::types::TimestampMs;

use super::Windows;
use crate::types::Window;

/// The days of a time zone: each window is a day there, from its first moment to that of the next day. Where clocks
/// change, a day has 23 or 25 hours, as `Europe/Berlin` has twice a year; where they change at midnight, it begins with
/// the first moment after the change.
///
/// The rules of all zones are in the program, from the IANA database as of its build: no file of the system is read, so
/// that every process of a job divides time in the same way. A job that is built again with newer rules closes the
/// windows that are open as they were; records from then on are in the new ones. Years beyond 9999, and before -9999,
/// have days of UTC.
#[derive(Clone, Debug)]
pub struct Days {
    zone: TimeZone,
    name: String,
    /// The day of the last timestamp, since most timestamps are in one day: 0, or start and length in seconds.
    last: Arc<AtomicU64>,
}

impl Days {
    /// The days of a zone of the IANA database, such as `Europe/Berlin`.
    ///
    /// # Errors
    /// [`UnknownTimeZone`] if the database has none of this name.
    pub fn in_zone(name: &str) -> Result<Self, UnknownTimeZone> {
        let zone = TimeZoneDatabase::bundled().get(name).map_err(|_| UnknownTimeZone { name: name.to_owned() })?;
        // The database takes names in any case; state knows the zone by one name.
        let name = zone.iana_name().unwrap_or(name).to_owned();
        Ok(Self { zone, name, last: Arc::default() })
    }

    fn day(&self, timestamp: TimestampMs) -> Option<Window> {
        let at = Timestamp::from_millisecond(timestamp.0).ok()?.to_zoned(self.zone.clone());
        let start = at.start_of_day().ok()?;
        let end = start.tomorrow().and_then(|next| next.start_of_day()).ok()?;
        Some(Window { start: start.timestamp().as_millisecond(), end: end.timestamp().as_millisecond() })
    }
}

impl Windows for Days {
    type Assigned = Once<Window>;

    #[inline]
    fn assign(&self, timestamp: TimestampMs) -> Once<Window> {
        let last = unpack(self.last.load(Ordering::Relaxed));
        if last.contains(timestamp) {
            return once(last);
        }
        let day = self.day(timestamp).unwrap_or_else(|| day_of_utc(timestamp));
        self.last.store(pack(day), Ordering::Relaxed);
        once(day)
    }

    fn is_valid(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        format!("days of {}", self.name)
    }
}

/// The name of a time zone that is not in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownTimeZone {
    /// The name.
    pub name: String,
}

impl fmt::Display for UnknownTimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no time zone `{}` in the IANA database; one is `Europe/Berlin`", self.name)
    }
}

impl std::error::Error for UnknownTimeZone {}

fn day_of_utc(timestamp: TimestampMs) -> Window {
    let start = timestamp.0.saturating_sub(timestamp.0.rem_euclid(DAY_MS));
    Window { start, end: start.saturating_add(DAY_MS) }
}

/// Packs a day into one number, so that threads that share it see all of it or nothing; 0 if it does not fit.
fn pack(day: Window) -> u64 {
    let (start, length) = (day.start.div_euclid(1_000), day.end.saturating_sub(day.start) / 1_000);
    let is_whole = day.start % 1_000 == 0 && day.end % 1_000 == 0;
    if is_whole && (0..1 << 40).contains(&start) && (1..1 << 20).contains(&length) {
        start.unsigned_abs() << 20 | length.unsigned_abs()
    } else {
        0
    }
}

/// The day in a number that [`pack`] has made; an empty window for 0.
fn unpack(packed: u64) -> Window {
    let (start, length) = ((packed >> 20).cast_signed() * 1_000, (packed & ((1 << 20) - 1)).cast_signed() * 1_000);
    Window { start, end: start + length }
}

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 60 * 60 * 1_000;

    fn day(days: &Days, at: i64) -> Window {
        let windows: Vec<_> = days.assign(TimestampMs(at)).collect();
        assert_eq!(windows.len(), 1);
        windows[0]
    }

    fn millis(text: &str) -> i64 {
        text.parse::<Timestamp>().expect("a time").as_millisecond()
    }

    #[test]
    fn days_have_23_and_25_hours_when_clocks_change() {
        let days = Days::in_zone("europe/berlin").expect("it is there");
        assert_eq!(Windows::describe(&days), "days of Europe/Berlin");
        let hours = |at: &str| {
            let day = day(&days, millis(at));
            assert!(day.contains(TimestampMs(millis(at))));
            (day.start, (day.end - day.start) / HOUR)
        };
        assert_eq!(hours("2026-03-28T12:00:00Z"), (millis("2026-03-27T23:00:00Z"), 24));
        assert_eq!(hours("2026-03-29T12:00:00Z"), (millis("2026-03-28T23:00:00Z"), 23));
        assert_eq!(hours("2026-03-30T12:00:00Z"), (millis("2026-03-29T22:00:00Z"), 24));
        assert_eq!(hours("2026-10-25T22:59:59.999Z"), (millis("2026-10-24T22:00:00Z"), 25));
    }

    #[test]
    fn a_day_without_midnight_begins_after_it() {
        let days = Days::in_zone("America/Sao_Paulo").expect("it is there");
        // On 2018-11-04 the clock went from 00:00 to 01:00.
        let short = day(&days, millis("2018-11-04T12:00:00Z"));
        assert_eq!((short.start, short.end), (millis("2018-11-04T03:00:00Z"), millis("2018-11-05T02:00:00Z")));
    }

    #[test]
    fn a_zone_that_does_not_exist_is_an_error() {
        let unknown = Days::in_zone("Europe/Atlantis").expect_err("it is lost");
        assert_eq!(unknown, UnknownTimeZone { name: "Europe/Atlantis".to_owned() });
    }

    #[test]
    fn times_out_of_the_calendar_have_days_of_utc() {
        let days = Days::in_zone("Asia/Tokyo").expect("it is there");
        assert_eq!(day(&days, i64::MAX).end, i64::MAX);
        assert_eq!(day(&days, i64::MIN).start, i64::MIN);
        assert_eq!(day(&days, 0).start, -9 * HOUR);
    }

    proptest! {
        #[test]
        fn days_follow_each_other(at in -(1_i64 << 42)..(1 << 43), zone in 0_usize..4) {
            let zone = ["Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "Pacific/Apia"][zone];
            let days = Days::in_zone(zone).expect("it is there");
            let window = day(&days, at);
            prop_assert!(window.contains(TimestampMs(at)));
            // The last day is remembered, and gives the same answer.
            for inside in [at, window.start, window.end - 1] {
                prop_assert_eq!(day(&days, inside), window);
            }
            prop_assert_eq!(day(&days, window.end).start, window.end);
            prop_assert_eq!(unpack(pack(window)), if pack(window) == 0 { Window { start: 0, end: 0 } } else { window });
        }
    }
}
