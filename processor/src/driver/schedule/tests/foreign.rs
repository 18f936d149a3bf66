//! A table joined with another one by a foreign key, while both change: whatever happens, the results end as the rows
//! say, and no result of a key is older than one before it.

use std::collections::BTreeMap;

use kafka_wire::record::RawHeaders;
use kafka_wire::rng::Rng;
use kafka_wire::types::TimestampMs;

use super::super::{Faults, TestDriver};
use super::{finish, seeds};
use crate::output::{OutRecord, Route, SinkId};
use crate::serde::{Nullable, Text, Utf8};
use crate::topology::Topology;
use crate::types::Partitions;

/// Orders point to customers: the value of an order is the key of a customer, or `-`, and a number.
fn topology(is_left: bool) -> Topology {
    let mut job = Topology::builder("job");
    let customers = job.table("customers", "customers", Utf8, Text);
    let orders = job.table("orders", "orders", Utf8, Text);
    let across = (Partitions(3), Text, Text);
    if is_left {
        orders
            .left_join_foreign("both", &customers, across, customer, |order, customer| {
                format!("{order} {}", customer.map_or("?", String::as_str))
            })
            .to("out", Utf8, Nullable(Text));
    } else {
        orders.join_foreign("both", &customers, across, customer, |order, customer| format!("{order} {customer}")).to(
            "out",
            Utf8,
            Nullable(Text),
        );
    }
    job.build().expect("a valid job")
}

/// The customer of an order.
#[expect(clippy::ptr_arg, reason = "it is called with the rows of a table, which are strings")]
fn customer(order: &String) -> Option<&str> {
    Some(&order[..2]).filter(|customer| *customer != "- ")
}

/// The rows of both tables, as they were written last.
#[derive(Default)]
struct Model {
    orders: BTreeMap<String, String>,
    customers: BTreeMap<String, String>,
}

impl Model {
    /// Writes a change of a row of either table.
    fn write(&mut self, driver: &mut TestDriver, rng: &mut Rng, number: u64) {
        let is_order = rng.below(3) > 0;
        let (topic, rows) = match is_order {
            true => ("orders", &mut self.orders),
            false => ("customers", &mut self.customers),
        };
        let key = format!("{}{}", &topic[..1], rng.below(5));
        let value = match (rng.below(5), is_order) {
            (0, _) => None,
            (1, true) => Some(format!("-  {number:05}")),
            (_, true) => Some(format!("c{} {number:05}", rng.below(5))),
            (_, false) => Some(format!("name{number}")),
        };
        let timestamp = TimestampMs(i64::try_from(number * 10 + rng.below(60)).expect("small"));
        let (sink, route, headers) = (SinkId(0), Route::ByKey, RawHeaders::EMPTY);
        let bytes = value.as_ref().map(String::as_bytes);
        driver.append(topic, &OutRecord { sink, route, timestamp, key: Some(key.as_bytes()), value: bytes, headers });
        match value {
            Some(value) => _ = rows.insert(key, value),
            None => _ = rows.remove(&key),
        }
    }

    /// The results that the rows make.
    fn results(&self, is_left: bool) -> BTreeMap<String, String> {
        let result = |(key, order): (&String, &String)| {
            let customer = self.customers.get(&order[..2]).map(String::as_str);
            let customer = if is_left { Some(customer.unwrap_or("?")) } else { customer };
            customer.map(|customer| (key.clone(), format!("{order} {customer}")))
        };
        self.orders.iter().filter_map(result).collect()
    }

    /// Number of orders that have no result and wait for none.
    fn nowhere(&self, is_left: bool) -> usize {
        self.orders.values().filter(|order| !is_left && order.starts_with('-')).count()
    }
}

fn check(seed: u64) {
    let mut rng = Rng::from_seed(seed);
    let is_left = rng.below(2) == 0;
    let mut driver = TestDriver::with_partitions(topology(is_left), &[("orders", 2), ("customers", 3), ("out", 2)]);
    driver.set_can_fence(rng.below(2) == 0);
    (0..rng.below(3)).for_each(|_| _ = driver.add_worker());
    let mut model = Model::default();
    for step in 0..100 + rng.below(500) {
        if rng.below(4) == 0 {
            model.write(&mut driver, &mut rng, step);
        }
        driver.step(&mut rng, Faults::All);
    }
    let replay = format!("replay with WATERWHEEL_SEED={seed} cargo test -p processor --lib foreign");
    finish(&mut driver, &replay);
    let (mut results, mut last) = (BTreeMap::new(), BTreeMap::new());
    for record in driver.read("out") {
        let key = record.key_str().to_owned();
        let Some(value) = record.value.as_ref().map(|_| record.value_str().to_owned()) else {
            assert!(results.remove(&key).is_some(), "{key} was there; {replay}");
            continue;
        };
        let number: u64 = value.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number");
        let before = last.insert(key.clone(), number);
        assert!(before.is_none_or(|before| before <= number), "{key}: {number} after {before:?}; {replay}");
        results.insert(key, value);
    }
    assert_eq!(results, model.results(is_left), "{replay}");
    // The numbers of orders that are gone are forgotten.
    assert_eq!(driver.store("both").len(), model.orders.len() - model.nowhere(is_left), "{replay}");
    assert_eq!(driver.store("both-ends"), [], "{replay}");
}

#[test]
fn under_random_schedules_foreign_rows_end_as_the_tables_say() {
    seeds(110_000, 300).for_each(check);
}
