//! The average of each sensor over ten minutes, every minute.

use std::time::Duration;

use processor::{Emit, F64, Json, Sliding, Topology, Utf8, Watermark};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Average {
    from: i64,
    to: i64,
    average: f64,
}

pub(crate) fn job(application_id: &str, topics: &[String]) -> Topology {
    let mut job = Topology::builder(application_id);
    job.keyed_stream(&topics[0], Utf8, F64)
        .watermark(Watermark::bounded(Duration::from_secs(10)))
        .window(Sliding::of(Duration::from_secs(600)).every(Duration::from_secs(60)))
        .avg("averages", Emit::OnClose, |reading| reading.value)
        .map(|sensor| Average { from: sensor.window.start, to: sensor.window.end, average: *sensor.value })
        .to(&topics[1], Utf8, Json::new());
    job.build().expect("a sound job")
}

#[cfg(test)]
mod tests {
    use processor::driver::TestDriver;
    use processor::output::Route;

    use super::*;

    #[test]
    fn each_minute_has_the_average_of_ten() {
        let mut driver = TestDriver::new(job("test", &["in".to_owned(), "out".to_owned()]));
        // The reading of each minute is its number.
        for minute in 0..30_i32 {
            let value = f64::from(minute).to_be_bytes();
            driver.pipe_to("in", Route::ByKey, Some(b"s"), Some(&value), i64::from(minute) * 60_000);
        }
        driver.end_of_input();
        let read = driver.read("out");
        let averages: Vec<Average> =
            read.iter().map(|record| serde_json::from_str(record.value_str()).expect("JSON")).collect();
        assert_eq!(averages.len(), 39);
        for Average { from, to, average } in averages {
            assert_eq!(to - from, 600_000);
            let (first, last) = ((from / 60_000).max(0), (to / 60_000 - 1).min(29));
            let expected = (first..=last).sum::<i64>() as f64 / (last - first + 1) as f64;
            assert!((average - expected).abs() < 1e-9, "{from}: {average} is not {expected}");
        }
    }
}
