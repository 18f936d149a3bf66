//! Orders joined with the customers that they name: two tables, and a foreign key.

use processor::{Json, Nullable, Partitions, Topology, Utf8};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct Order {
    customer: Option<String>,
    item: String,
}

#[derive(Clone, Serialize, Deserialize)]
struct Customer {
    name: String,
}

#[derive(Serialize, Deserialize)]
struct Bill {
    item: String,
    name: Option<String>,
}

/// Orders are keyed by their own ids, customers by theirs, in two partitions. A bill is written anew when its order or
/// its customer changes, and null when its order is deleted.
pub(crate) fn job(application_id: &str, topics: &[String]) -> Topology {
    let mut job = Topology::builder(application_id);
    let customers = job.table(&topics[1], "customers", Utf8, Json::<Customer>::new());
    let orders = job.table(&topics[0], "orders", Utf8, Json::<Order>::new());
    orders
        .left_join_foreign(
            "bills",
            &customers,
            (Partitions(2), Json::new(), Json::new()),
            |order| order.customer.as_deref(),
            |order, customer| Bill { item: order.item.clone(), name: customer.map(|customer| customer.name.clone()) },
        )
        .to(&topics[2], Utf8, Nullable(Json::new()));
    job.build().expect("a sound job")
}

#[cfg(test)]
mod tests {
    use processor::driver::TestDriver;

    use super::*;

    #[test]
    fn a_bill_follows_its_order_and_its_customer() {
        let job = job("test", &["orders", "customers", "out"].map(str::to_owned));
        let mut driver = TestDriver::with_partitions(job, &[("orders", 3), ("customers", 2)]);
        let mut write = |topic, key, value| {
            driver.pipe(topic, Some(key), value, 1);
            driver.settle();
            driver.crash();
        };
        write("orders", "1", r#"{"customer":"a","item":"tea"}"#);
        write("customers", "a", r#"{"name":"Ann"}"#);
        write("customers", "a", r#"{"name":"Anna"}"#);
        write("orders", "1", r#"{"customer":null,"item":"tea"}"#);
        driver.settle();
        let out: Vec<_> = driver.read("out").iter().map(|record| record.value_str().to_owned()).collect();
        let bill = |name: &str| format!(r#"{{"item":"tea","name":{name}}}"#);
        assert_eq!(out, ["null", r#""Ann""#, r#""Anna""#, "null"].map(bill));
    }
}
