//! Steps over several streams with one state: `connect` and `cogroup`, under the test driver.

use std::time::Duration;

use processor::driver::{CommitPoint, TestDriver};
use processor::operator::{CoProcess, Scope, Update, ValueState};
use processor::{Clock, Emit, Json, Nullable, Rec, Text, TimestampMs, Topology, Tumbling, U64, Utf8, Watermark};

fn out(driver: &TestDriver, topic: &str) -> Vec<String> {
    driver.read(topic).iter().map(|record| record.value_str().to_owned()).collect()
}

/// Waits for the payment of an order for ten milliseconds of event time; either may come first.
#[derive(Clone)]
struct Payments {
    order: ValueState<String>,
    paid: ValueState<u64>,
}

impl CoProcess<Utf8, Utf8, processor::Owned<u64>> for Payments {
    type Out = String;

    fn left(&mut self, order: &Rec<'_, Utf8, Utf8>, scope: &mut Scope<'_, Utf8, String>) {
        match self.paid.get(scope).copied() {
            Some(amount) => {
                self.paid.clear(scope);
                scope.emit(format!("{} {amount}", order.value));
            }
            None => {
                self.order.put(scope, order.value.to_owned());
                scope.set_timer(Clock::Event, TimestampMs(order.timestamp.0 + 10));
            }
        }
    }

    fn right(&mut self, payment: &Rec<'_, Utf8, processor::Owned<u64>>, scope: &mut Scope<'_, Utf8, String>) {
        match self.order.get(scope).cloned() {
            Some(order) => {
                self.order.clear(scope);
                scope.emit(format!("{order} {}", payment.value));
            }
            None => self.paid.put(scope, payment.value),
        }
    }

    fn timer(&mut self, _: &&str, _: Clock, _: TimestampMs, scope: &mut Scope<'_, Utf8, String>) {
        if let Some(order) = self.order.get(scope).cloned() {
            self.order.clear(scope);
            scope.emit(format!("{order} unpaid"));
        }
    }
}

#[test]
fn two_streams_share_stores_and_timers() {
    let mut job = Topology::builder("app");
    let bound = Watermark::bounded(Duration::ZERO).never_idle();
    let orders = job.keyed_stream("orders", Utf8, Utf8).watermark(bound);
    let payments = job.keyed_stream("payments", Utf8, U64).watermark(bound);
    orders
        .connect(payments)
        .process("paid", |uses| Payments { order: uses.value("order", Text), paid: uses.value("amount", U64) })
        .to("out", Utf8, Utf8);
    let topology = job.build().expect("a valid job");
    assert!(topology.describe().contains("stores: [paid-timers, paid-order, paid-amount], process"));
    let mut driver = TestDriver::new(topology);
    let pay = |driver: &mut TestDriver, key: &str, amount: u64, at| {
        let route = processor::output::Route::ByKey;
        driver.pipe_to("payments", route, Some(key.as_bytes()), Some(&amount.to_be_bytes()), at);
    };
    driver.pipe("orders", Some("a"), "book", 100);
    pay(&mut driver, "a", 7, 101);
    driver.crash_at(CommitPoint::AfterFlush);
    driver.settle();
    pay(&mut driver, "b", 8, 102);
    driver.settle();
    driver.crash();
    driver.pipe("orders", Some("b"), "lamp", 103);
    driver.pipe("orders", Some("c"), "desk", 104);
    driver.settle();
    driver.crash();
    // Both streams have come to the time of the timer.
    driver.pipe("orders", Some("d"), "chair", 120);
    pay(&mut driver, "e", 9, 120);
    driver.settle();
    assert_eq!(out(&driver, "out"), ["book 7", "lamp 8", "desk unpaid"]);
    assert_eq!((driver.store("paid-order").len(), driver.store("paid-amount").len()), (1, 1));
}

#[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
struct Profile {
    clicks: u64,
    spent: u64,
    name: String,
}

#[test]
fn streams_of_different_types_are_gathered_into_one_value() {
    let mut job = Topology::builder("app");
    let clicks = job.keyed_stream("clicks", Utf8, Nullable(Utf8));
    let orders = job.keyed_stream("orders", Utf8, Json::<u64>::new());
    let names = job.keyed_stream("names", Utf8, Utf8);
    clicks
        .cogroup(|profile: &mut Profile, _| profile.clicks += 1)
        .and(orders, |profile, order| profile.spent += order.value)
        .and(names, |profile, name| name.value.clone_into(&mut profile.name))
        .aggregate("profiles", Json::new(), Emit::EveryUpdate, Profile::default)
        .map(|profile| format!("{} {} {}", profile.value.name, profile.value.clicks, profile.value.spent))
        .to("out", Utf8, Utf8);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    for (topic, value) in [("clicks", "/"), ("orders", "5"), ("names", "Ann"), ("orders", "6"), ("clicks", "/")] {
        driver.pipe(topic, Some("a"), value, 1);
        driver.crash_at(CommitPoint::AfterOffsets);
        driver.settle();
    }
    assert_eq!(out(&driver, "out"), [" 1 0", " 1 5", "Ann 1 5", "Ann 1 11", "Ann 2 11"]);
    assert_eq!(driver.store("profiles").len(), 1);
}

#[test]
fn streams_of_different_types_are_gathered_in_windows() {
    let mut job = Topology::builder("app");
    let clicks = job.keyed_stream("clicks", Utf8, Nullable(Utf8));
    let orders = job.keyed_stream("orders", Utf8, Json::<u64>::new());
    clicks
        .cogroup(|profile: &mut Profile, _| profile.clicks += 1)
        .and(orders, |profile, order| profile.spent += order.value)
        .window(Tumbling::of(Duration::from_millis(10)))
        .aggregate("profiles", Json::new(), Emit::OnClose, Profile::default, Update::apply)
        .map(|profile| format!("{} {} {}", profile.window.start, profile.value.clicks, profile.value.spent))
        .to("out", Utf8, Utf8);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    for (topic, value, at) in [("clicks", "/", 1), ("orders", "5", 9), ("orders", "6", 10), ("clicks", "/", 11)] {
        driver.pipe(topic, Some("a"), value, at);
    }
    driver.end_of_input();
    assert_eq!(out(&driver, "out"), ["0 1 5", "10 1 6"]);
}
