//! Counts the clicks of each user in windows of two seconds, by a step of one's own: a count for each window, and a
//! timer at the window's end.

use std::time::Duration;

use processor::operator::{Process, Scope, TimelineState};
use processor::{Clock, Json, Rec, TimestampMs, Topology, U64, Utf8, Watermark};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Tally {
    from: i64,
    to: i64,
    clicks: u64,
}

/// The size of the windows.
const SIZE_MS: i64 = 2_000;

/// The counts of a user, by the start of the window.
#[derive(Clone)]
struct Count {
    windows: TimelineState<u64>,
}

impl Process<Utf8, Utf8> for Count {
    type Out = Tally;

    fn record(&mut self, click: &Rec<'_, Utf8, Utf8>, scope: &mut Scope<'_, Utf8, Tally>) {
        let start = TimestampMs(click.timestamp.0.div_euclid(SIZE_MS) * SIZE_MS);
        let end = TimestampMs(start.0 + SIZE_MS);
        if end <= scope.watermark() {
            return; // The click is late.
        }
        let clicks = self.windows.get(scope, start).copied().unwrap_or(0) + 1;
        self.windows.put(scope, start, clicks);
        scope.set_timer(Clock::Event, end);
    }

    fn timer(&mut self, _user: &&str, _clock: Clock, end: TimestampMs, scope: &mut Scope<'_, Utf8, Tally>) {
        let start = TimestampMs(end.0 - SIZE_MS);
        if let Some(clicks) = self.windows.remove(scope, start) {
            scope.emit_at(Tally { from: start.0, to: end.0, clicks }, TimestampMs(end.0 - 1));
        }
    }
}

pub(crate) fn job(application_id: &str, topics: &[String]) -> Topology {
    let mut job = Topology::builder(application_id);
    job.keyed_stream(&topics[0], Utf8, Utf8)
        .watermark(Watermark::bounded(Duration::from_secs(1)))
        .process("tally", |uses| Count { windows: uses.timeline("windows", U64) })
        .to(&topics[1], Utf8, Json::new());
    job.build().expect("a sound job")
}

#[cfg(test)]
mod tests {
    use processor::driver::TestDriver;

    use super::*;

    #[test]
    fn each_window_of_a_user_comes_out_once_with_all_of_its_clicks() {
        let mut driver = TestDriver::new(job("test", &["in".to_owned(), "out".to_owned()]));
        for (user, at) in [("a", 100), ("b", 1_900), ("a", 1_100), ("a", 2_000), ("b", 1_950), ("a", 8_000)] {
            driver.pipe("in", Some(user), "/", at);
            driver.commit();
        }
        driver.end_of_input();
        let out: Vec<(String, Tally)> = driver
            .read("out")
            .iter()
            .map(|record| (record.key_str().to_owned(), serde_json::from_str(record.value_str()).expect("JSON")))
            .collect();
        let found: Vec<_> = out.iter().map(|(user, tally)| (user.as_str(), tally.from, tally.clicks)).collect();
        assert_eq!(found, [("a", 0, 2), ("b", 0, 2), ("a", 2_000, 1), ("a", 8_000, 1)]);
    }
}
