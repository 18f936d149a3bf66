//! The balance of each account; payments that are no number, and those that would overdraw an account, are put aside.

use processor::{Emit, I64, Topology, Utf8};

/// A payment that fails, for its text or for the balance that it would leave, has no effect: it goes to the topic of
/// dead letters, in the transaction in which it would have counted.
pub(crate) fn job(application_id: &str, topics: &[String]) -> Topology {
    let mut job = Topology::builder(application_id);
    job.dead_letters(&topics[2]);
    job.keyed_stream(&topics[0], Utf8, Utf8)
        .map_or_fail(|payment| payment.value.parse::<i64>())
        .sum("balances", Emit::EveryUpdate, |payment| payment.value)
        .map_or_fail(|account| if account.value < 0 { Err("overdrawn") } else { Ok(account.value) })
        .to(&topics[1], Utf8, I64);
    job.build().expect("a sound job")
}

#[cfg(test)]
mod tests {
    use processor::driver::TestDriver;

    use super::*;

    #[test]
    fn a_payment_that_would_overdraw_an_account_is_put_aside() {
        let mut driver = TestDriver::new(job("test", &["in".to_owned(), "out".to_owned(), "dead".to_owned()]));
        for payment in ["5", "-9", "ten", "-2", "1"] {
            driver.pipe("in", Some("a"), payment, 1);
        }
        driver.settle();
        let balances: Vec<_> = driver.read("out").into_iter().map(|record| record.value.expect("a number")).collect();
        assert_eq!(balances, [5_i64, 3, 4].map(|balance| balance.to_be_bytes().to_vec()));
        let dead: Vec<_> = driver.read("dead").iter().map(|record| record.value_str().to_owned()).collect();
        assert_eq!(dead, ["-9", "ten"]);
    }
}
