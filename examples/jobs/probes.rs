//! Stolen cards: at least two small payments, and right after them a large one, within a minute. Payments are amounts
//! as text, by card.

use std::time::Duration;

use processor::cep::{Pattern, Skip};
use processor::{Json, Topology, U64, Utf8, Watermark};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Alert {
    from: i64,
    to: i64,
    probes: usize,
    amount: u64,
}

pub(crate) fn job(application_id: &str, topics: &[String]) -> Topology {
    let probes = Pattern::begin("probes", |amount: &u64| *amount < 10).times(2..).greedy().consecutive();
    let theft = probes.next("theft", |amount| *amount > 500).within(Duration::from_secs(60));
    let mut job = Topology::builder(application_id);
    job.keyed_stream(&topics[0], Utf8, Utf8)
        .watermark(Watermark::bounded(Duration::from_secs(1)))
        .filter_map(|payment| payment.value.parse::<u64>().ok())
        .pattern(theft.skip(Skip::PastLastEvent))
        .detect("probes", U64, |payments| Alert {
            from: payments.start_time(),
            to: payments.end_time(),
            probes: payments.events("probes").count(),
            amount: payments.first("theft").copied().unwrap_or_default(),
        })
        .to(&topics[1], Utf8, Json::new());
    job.build().expect("a sound job")
}

#[cfg(test)]
mod tests {
    use processor::driver::TestDriver;

    use super::*;

    #[test]
    fn small_payments_before_a_large_one_raise_an_alert() {
        let mut driver = TestDriver::new(job("test", &["in".to_owned(), "out".to_owned()]));
        let payments = [("ann", "2", 0), ("bob", "9", 10), ("ann", "900", 300), ("ann", "1", 200), ("bob", "700", 400)];
        for (card, amount, at) in payments {
            driver.pipe("in", Some(card), amount, at);
        }
        for (amount, second) in
            [("3", 100), ("4", 150), ("50", 151), ("5", 152), ("6", 153), ("501", 154), ("502", 155)]
        {
            driver.pipe("in", Some("ann"), amount, second * 1_000);
        }
        driver.end_of_input();
        let out: Vec<_> = driver.read("out").iter().map(|record| record.value_str().to_owned()).collect();
        assert_eq!(
            out,
            [
                r#"{"from":0,"to":300,"probes":2,"amount":900}"#,
                r#"{"from":152000,"to":154000,"probes":2,"amount":501}"#
            ]
        );
    }
}
