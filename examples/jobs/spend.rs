//! The money that each customer has spent, and on how many orders. Orders are JSON that is never copied: their text
//! borrows from the record, up to the bytes that cross the shuffle.

use std::borrow::Cow;

use processor::{Emit, Json, JsonView, Owned, Pack, Packed, Partitions, Topology, Utf8, View};
use serde::{Deserialize, Serialize};

/// An order, as it lies in its record.
#[derive(Clone, View, Serialize, Deserialize)]
struct Order<'a> {
    customer: &'a str,
    /// Text of people may have escapes in JSON: then it is the one thing that is copied.
    #[serde(borrow)]
    note: Cow<'a, str>,
    cents: u64,
}

/// The part of an order that crosses the shuffle, and what is kept of a customer: fields one after the other, no JSON.
#[derive(Clone, Default, Pack, Serialize, Deserialize)]
struct Spent {
    orders: u64,
    cents: u64,
}

pub(crate) fn job(application_id: &str, topics: &[String]) -> Topology {
    let mut job = Topology::builder(application_id);
    job.stream(&topics[0], JsonView::<Order<'_>>::new())
        .filter(|order| order.value.note != "test")
        .key_by("by-customer", Partitions(2), (Utf8, Packed::<Owned<Spent>>::new()), |order| {
            (order.value.customer, Spent { orders: 1, cents: order.value.cents })
        })
        .aggregate("spent", Packed::<Owned<Spent>>::new(), Emit::OnUpdate, Spent::default, |spent, order| {
            spent.orders += order.value.orders;
            spent.cents += order.value.cents;
        })
        .to(&topics[1], Utf8, Json::new());
    job.build().expect("a sound job")
}

#[cfg(test)]
mod tests {
    use processor::driver::TestDriver;

    use super::*;

    #[test]
    fn orders_of_a_customer_are_added_up_without_those_for_a_test() {
        let mut driver = TestDriver::new(job("test", &["in".to_owned(), "out".to_owned()]));
        for order in [
            r#"{"customer":"ann","note":"","cents":500}"#,
            r#"{"customer":"ann","note":"te\u0073t","cents":1}"#,
            r#"{"customer":"ann","note":"a \"gift\"","cents":250}"#,
        ] {
            driver.pipe("in", None, order, 1);
            driver.settle();
            driver.crash();
        }
        driver.settle();
        let last = driver.read("out").pop().expect("a result");
        assert_eq!((last.key_str(), last.value_str()), ("ann", r#"{"orders":2,"cents":750}"#));
    }
}
