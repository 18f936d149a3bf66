//! Orders joined with the customer who gave them, from a table.

use processor::{Json, Text, Topology, Utf8};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Enriched {
    order: String,
    customer: Option<String>,
}

/// Both topics are keyed by the customer's id and have the same number of partitions. A null value deletes a customer.
pub(crate) fn job(application_id: &str, topics: &[String]) -> Topology {
    let mut job = Topology::builder(application_id);
    let customers = job.table(&topics[1], "customers", Utf8, Text);
    job.keyed_stream(&topics[0], Utf8, Utf8)
        .left_join_table(&customers, |order, customer| Enriched {
            order: order.value.to_owned(),
            customer: customer.cloned(),
        })
        .to(&topics[2], Utf8, Json::new());
    job.build().expect("a sound job")
}

#[cfg(test)]
mod tests {
    use processor::driver::TestDriver;

    use super::*;

    #[test]
    fn an_order_finds_its_customer_after_a_crash_too() {
        let mut driver = TestDriver::new(job("test", &["orders", "customers", "out"].map(str::to_owned)));
        driver.pipe("customers", Some("1"), "Ann", 1);
        driver.commit();
        driver.crash();
        driver.pipe("orders", Some("1"), "tea", 2);
        driver.pipe("orders", Some("2"), "rum", 3);
        driver.settle();
        let out: Vec<_> = driver.read("out").iter().map(|record| record.value_str().to_owned()).collect();
        assert_eq!(out, [r#"{"order":"tea","customer":"Ann"}"#, r#"{"order":"rum","customer":null}"#]);
    }
}
