//! The sessions of each user: clicks at most two seconds apart.

use std::time::Duration;

use processor::{Emit, Json, SessionWindow, Topology, Utf8, Watermark};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Clicks {
    from: i64,
    to: i64,
    clicks: u64,
}

pub(crate) fn job(application_id: &str, topics: &[String]) -> Topology {
    let mut job = Topology::builder(application_id);
    job.keyed_stream(&topics[0], Utf8, Utf8)
        .watermark(Watermark::bounded(Duration::from_secs(1)))
        .window(SessionWindow::gap(Duration::from_secs(2)))
        .count("sessions", Emit::OnClose)
        .map(|user| Clicks { from: user.window.start, to: user.window.end, clicks: *user.value })
        .to(&topics[1], Utf8, Json::new());
    job.build().expect("a sound job")
}

#[cfg(test)]
mod tests {
    use processor::driver::TestDriver;

    use super::*;

    #[test]
    fn clicks_close_to_each_other_are_one_session() {
        let mut driver = TestDriver::new(job("test", &["in".to_owned(), "out".to_owned()]));
        for at in [0, 1_900, 1_000, 3_901, 7_000] {
            driver.pipe("in", Some("ann"), "/", at);
        }
        driver.end_of_input();
        let out: Vec<_> = driver.read("out").iter().map(|record| record.value_str().to_owned()).collect();
        assert_eq!(
            out,
            [
                r#"{"from":0,"to":3900,"clicks":3}"#,
                r#"{"from":3901,"to":5901,"clicks":1}"#,
                r#"{"from":7000,"to":9000,"clicks":1}"#
            ]
        );
    }
}
