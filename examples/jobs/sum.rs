//! The sum of each account's payments in ten seconds of event time.

use std::time::Duration;

use processor::{Emit, I64, Topology, Tumbling, Utf8, Watermark};

pub(crate) fn job(application_id: &str, topics: &[String]) -> Topology {
    let mut job = Topology::builder(application_id);
    job.keyed_stream(&topics[0], Utf8, I64)
        .watermark(Watermark::bounded(Duration::from_secs(5)))
        .window(Tumbling::of(Duration::from_secs(10)))
        .sum("sums", Emit::OnClose, |payment| payment.value)
        .map(|account| *account.value)
        .to(&topics[1], Utf8, I64);
    job.build().expect("a sound job")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use processor::driver::TestDriver;
    use processor::output::Route;

    use super::*;

    #[test]
    fn payments_add_up_by_account_and_window() {
        let mut driver = TestDriver::new(job("test", &["in".to_owned(), "out".to_owned()]));
        let mut expected = BTreeMap::<(String, i64), i64>::new();
        for number in 0..200_i64 {
            let (account, at) = (format!("a{}", number % 7), 10_000 + number * 250 - number % 5 * 900);
            *expected.entry((account.clone(), at / 10_000)).or_default() += number;
            let value = number.to_be_bytes();
            driver.pipe_to("in", Route::ByKey, Some(account.as_bytes()), Some(&value), at);
        }
        driver.end_of_input();
        let mut found = BTreeMap::new();
        for record in driver.read("out") {
            let sum = i64::from_be_bytes(record.value.clone().expect("a sum").try_into().expect("eight bytes"));
            let window = (record.key_str().to_owned(), record.timestamp.0 / 10_000);
            assert_eq!(found.insert(window, sum), None, "one result a window");
        }
        assert_eq!(found, expected);
    }
}
