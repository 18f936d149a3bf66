//! Rules that every task gets, with code of the user's for each, under the test driver.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use processor::driver::{CommitPoint, TestDriver};
use processor::operator::{
    BroadcastProcess, BroadcastState, ListState, MapState, RuleScope, Scope, TimelineState, ValueState,
};
use processor::output::Route;
use processor::topology::BuildError;
use processor::{
    Clock, ErrorKind, ErrorPolicy, Nullable, Partitions, Raw, Rec, Serde, SerdeError, Text, TimestampMs, Topology, U64,
    Utf8, Watermark,
};

/// Keeps the words of each key in stores of all kinds, and puts out those that a rule names: words that come, and with
/// the rule those that are there.
#[derive(Clone)]
struct Filter {
    rules: BroadcastState<Utf8, String>,
    last: ValueState<String>,
    all: ListState<String>,
    counts: MapState<Utf8, u64>,
    times: TimelineState<u64>,
}

impl BroadcastProcess<Utf8, Utf8, Utf8, Nullable<Utf8>> for Filter {
    type Out = String;

    fn record(&mut self, word: &Rec<'_, Utf8, Utf8>, scope: &mut Scope<'_, Utf8, String>) {
        self.last.put(scope, word.value.to_owned());
        self.all.push(scope, word.value.to_owned());
        let count = self.counts.get(scope, &word.value).copied().unwrap_or(0) + 1;
        self.counts.put(scope, &word.value, count);
        self.times.put(scope, word.timestamp, count);
        if let Some(rule) = self.rules.get(scope, &word.value).cloned() {
            scope.emit(format!("{} by {rule}", word.value));
        }
    }

    fn rule(&mut self, rule: &Rec<'_, Utf8, Nullable<Utf8>>, scope: &mut RuleScope<'_, Utf8, String>) {
        let Some(name) = rule.value else {
            self.rules.remove(scope, &rule.key);
            return scope.each_key(&self.last, |_, scope| {
                let at = scope.timestamp().0 + 10;
                scope.set_timer(Clock::Event, TimestampMs(at));
            });
        };
        assert!(name != "bad", "a rule that its code does not like");
        self.rules.put(scope, &rule.key, name.to_owned());
        let rules = self.rules.iter(scope).count();
        scope.each_key(&self.all, |key, scope| {
            let known = self.counts.get(scope, &rule.key).copied();
            if let Some(count) = known {
                scope.emit(format!("{count} {} of {key} by {name}, rule {rules}", rule.key));
                self.counts.remove(scope, &rule.key);
            }
        });
    }

    fn timer(&mut self, key: &&str, _: Clock, _: TimestampMs, scope: &mut Scope<'_, Utf8, String>) {
        let rules = self.rules.iter(scope).map(|(word, _)| word.to_owned()).collect::<Vec<_>>();
        scope.emit(format!("{key}: {}", rules.join(" ")));
    }
}

fn job(rules: Partitions) -> Result<Topology, Vec<BuildError>> {
    let mut job = Topology::builder("app");
    job.on_error(ErrorKind::Process, ErrorPolicy::Skip);
    let bound = Watermark::bounded(Duration::ZERO).never_idle();
    let rules = job.keyed_stream("rules", Utf8, Nullable(Utf8)).watermark(bound).broadcast(
        "to-all",
        rules,
        (Utf8, Nullable(Utf8)),
        |rule| (rule.key, rule.value),
    );
    job.keyed_stream("words", Utf8, Utf8)
        .watermark(bound)
        .with_rules(rules)
        .process("filter", |uses| Filter {
            rules: uses.broadcast("rules", Utf8, Text),
            last: uses.value("last", Text),
            all: uses.list("all", Text),
            counts: uses.map("counts", Utf8, U64),
            times: uses.timeline("times", U64),
        })
        .to("out", Utf8, Utf8);
    job.build().map_err(|errors| errors.0)
}

fn driver() -> TestDriver {
    TestDriver::with_partitions(job(Partitions(2)).expect("a valid job"), &[("words", 2), ("rules", 2)])
}

fn rule(driver: &mut TestDriver, word: &str, name: Option<&str>, at: i64) {
    driver.pipe_to("rules", Route::ByKey, Some(word.as_bytes()), name.map(str::as_bytes), at);
}

/// The results, sorted by key: the tasks have no order.
fn out(driver: &TestDriver) -> Vec<String> {
    let mut out: Vec<String> =
        driver.read("out").iter().map(|record| format!("{} {}", record.key_str(), record.value_str())).collect();
    out.sort();
    out
}

#[test]
fn a_rule_changes_what_every_task_knows_and_the_state_of_every_key_once() {
    let mut driver = driver();
    // The two keys are in different tasks.
    for key in ["a", "d"] {
        driver.pipe("words", Some(key), "red", 1);
        driver.pipe("words", Some(key), "blue", 2);
        driver.pipe("words", Some(key), "red", 3);
    }
    driver.settle();
    assert_eq!(driver.store("filter-last").iter().map(|entry| entry.partition.0).collect::<Vec<_>>(), [0, 1]);
    // Wherever a commit ends, a rule has its effects once in each task.
    let points = [CommitPoint::AfterFlush, CommitPoint::AfterOffsets, CommitPoint::AfterEndTxnSent];
    let mut expected = Vec::new();
    for (number, (point, word)) in points.into_iter().zip(["red", "blue", "green"]).enumerate() {
        rule(&mut driver, word, Some("r"), 4);
        driver.crash_at(point);
        driver.settle();
        driver.crash_at(point);
        driver.settle();
        for key in ["a", "d"] {
            let count = [2, 1, 0][number];
            if count > 0 {
                expected.push(format!("{key} {count} {word} of {key} by r, rule {}", number + 1));
            }
        }
        expected.sort();
        assert_eq!(out(&driver), expected, "{point:?}");
    }
    driver.crash();
    assert_eq!(driver.store("filter-rules").len(), 6, "three rules in each of two tasks");
    driver.pipe("words", Some("a"), "green", 5);
    driver.pipe("words", Some("c"), "yellow", 5);
    driver.settle();
    expected.insert(2, "a green by r".to_owned());
    assert_eq!(out(&driver).len(), expected.len());
    assert!(out(&driver).contains(&expected[2]));
}

#[test]
fn keys_visited_for_a_rule_may_set_timers_and_a_rule_can_go() {
    let mut driver = driver();
    driver.pipe("words", Some("a"), "red", 1);
    driver.pipe("words", Some("d"), "red", 1);
    rule(&mut driver, "blue", Some("r"), 2);
    rule(&mut driver, "red", Some("r"), 2);
    driver.settle();
    rule(&mut driver, "red", None, 3);
    driver.settle();
    driver.crash();
    for (key, at) in [("a", 20), ("d", 20)] {
        driver.pipe("words", Some(key), "blue", at);
    }
    // Rules in both partitions, so that time goes on.
    rule(&mut driver, "x", Some("s"), 30);
    rule(&mut driver, "g", Some("s"), 30);
    driver.settle();
    let out = out(&driver);
    assert_eq!(out.iter().filter(|line| line.ends_with(": blue g x")).count(), 2, "{out:?}");
    assert_eq!(out.iter().filter(|line| line.ends_with("blue by r")).count(), 2, "{out:?}");
}

#[test]
fn rules_and_records_come_in_the_order_of_event_time() {
    let mut driver = driver();
    driver.pause_worker(0);
    driver.write_partition("words", 0, Some("a"), "red", 10);
    driver.resume_worker(0);
    driver.settle();
    // Both wait in the topics when the job looks at them: the rule is of an earlier time.
    driver.pause_worker(0);
    driver.write_partition("words", 0, Some("a"), "blue", 30);
    driver.resume_worker(0);
    rule(&mut driver, "blue", Some("r"), 20);
    driver.settle();
    assert!(out(&driver).iter().any(|line| line.contains("blue")), "{:?}", out(&driver));
}

#[test]
fn a_rule_that_fails_is_left_out_in_each_task() {
    let mut driver = driver();
    driver.pipe("words", Some("a"), "red", 1);
    driver.pipe("words", Some("d"), "red", 1);
    rule(&mut driver, "red", Some("bad"), 2);
    rule(&mut driver, "red", Some("good"), 3);
    driver.settle();
    assert_eq!(out(&driver), ["a 1 red of a by good, rule 1", "d 1 red of d by good, rule 1"]);
    let failed: u64 = driver.status().iter().map(|(_, status)| status.counters.failed).sum();
    assert_eq!(failed, 2);
}

#[test]
#[should_panic(expected = "numbers of partitions")]
fn rules_need_as_many_partitions_as_the_records() {
    let job = job(Partitions(3)).expect("it shows when the partitions are counted");
    let _ = TestDriver::with_partitions(job, &[("words", 2)]);
}

#[test]
fn rules_with_keys_that_can_be_null_and_rules_of_another_job_are_refused() {
    let (mut one, mut other) = (Topology::builder("one"), Topology::builder("other"));
    let rules =
        one.stream("rules", Utf8)
            .broadcast("to-all", Partitions(1), (Nullable(Utf8), Nullable(Utf8)), |rule| (None, Some(rule.value)));
    let _ = rules;
    let rules = other
        .stream("rules", Utf8)
        .broadcast("to-all", Partitions(1), (Utf8, Nullable(Utf8)), |rule| (rule.value, Some(rule.value)));
    one.keyed_stream("words", Utf8, Utf8)
        .with_rules(rules)
        .process("filter", |uses| Filter {
            rules: uses.broadcast("rules", Utf8, Text),
            last: uses.value("last", Text),
            all: uses.list("all", Text),
            counts: uses.map("counts", Utf8, U64),
            times: uses.timeline("times", U64),
        })
        .to("out", Utf8, Utf8);
    let errors = one.build().expect_err("it cannot work").0;
    assert!(errors.contains(&BuildError::NullableKey { name: "to-all".to_owned() }), "{errors:?}");
    assert!(errors.contains(&BuildError::ForeignStream), "{errors:?}");
}

/// Puts out the lines without keys that have a word of a rule.
#[derive(Clone)]
struct Search {
    words: BroadcastState<Utf8, String>,
}

impl BroadcastProcess<Nullable<Raw>, Utf8, Utf8, Nullable<Utf8>> for Search {
    type Out = String;

    fn record(&mut self, line: &Rec<'_, Nullable<Raw>, Utf8>, scope: &mut Scope<'_, Nullable<Raw>, String>) {
        if line.value == "later" {
            return scope.set_timer(Clock::Event, TimestampMs(1));
        }
        let found = self.words.iter(scope).find(|(word, _)| line.value.contains(word)).map(|(_, name)| name.clone());
        if let Some(name) = found {
            scope.emit(format!("{} by {name}", line.value));
        }
    }

    fn rule(&mut self, rule: &Rec<'_, Utf8, Nullable<Utf8>>, scope: &mut RuleScope<'_, Nullable<Raw>, String>) {
        self.words.put(scope, &rule.key, rule.value.unwrap_or("nobody").to_owned());
    }
}

#[test]
fn rules_reach_a_stream_without_keys() {
    let mut job = Topology::builder("app");
    job.on_error(ErrorKind::Process, ErrorPolicy::Skip);
    let bound = Watermark::bounded(Duration::ZERO).never_idle();
    let rules = job.keyed_stream("rules", Utf8, Nullable(Utf8)).watermark(bound);
    let rules = rules.broadcast("to-all", Partitions(2), (Utf8, Nullable(Utf8)), |rule| (rule.key, rule.value));
    job.stream("lines", Utf8)
        .watermark(bound)
        .with_rules(rules)
        .process("search", |uses| Search { words: uses.broadcast("words", Utf8, Text) })
        .to("out", Raw, Utf8);
    let topology = job.build().expect("a valid job");
    assert!(topology.describe().contains("stores: [search-words], process"), "{}", topology.describe());
    let mut driver = TestDriver::with_partitions(topology, &[("lines", 2), ("rules", 1)]);
    let read = |driver: &TestDriver| {
        let mut lines: Vec<_> = driver.read("out").iter().map(|line| line.value_str().to_owned()).collect();
        lines.sort();
        lines
    };
    let mut expected = Vec::new();
    for (number, point) in CommitPoint::ALL.into_iter().enumerate() {
        let at = i64::try_from(number).expect("few") * 10;
        rule(&mut driver, &format!("w{number}."), Some("r"), at);
        driver.crash_at(point);
        driver.settle();
        for partition in 0..2 {
            driver.write_partition("lines", partition, None, &format!("w{number}. {partition}"), at + 1);
            expected.push(format!("w{number}. {partition} by r"));
        }
        driver.crash_at(point);
        driver.settle();
        assert_eq!(read(&driver), expected, "{point:?}");
    }
    assert!(driver.read("out").iter().all(|line| line.key.is_none()), "as the lines");
    driver.write_partition("lines", 0, None, "later", 1_000);
    driver.settle();
    let failed: u64 = driver.status().iter().map(|(_, status)| status.counters.failed).sum();
    assert_eq!(failed, 1, "a timer needs a key");
}

#[test]
fn a_stream_without_keys_has_no_stores_of_keys() {
    #[derive(Clone)]
    struct Keeps(#[expect(dead_code, reason = "it is never used")] ValueState<u64>);

    impl BroadcastProcess<Nullable<Raw>, Utf8, Utf8, Utf8> for Keeps {
        type Out = String;

        fn record(&mut self, _: &Rec<'_, Nullable<Raw>, Utf8>, _: &mut Scope<'_, Nullable<Raw>, String>) {}

        fn rule(&mut self, _: &Rec<'_, Utf8, Utf8>, _: &mut RuleScope<'_, Nullable<Raw>, String>) {}
    }

    let mut job = Topology::builder("app");
    let rules = job.keyed_stream("rules", Utf8, Utf8);
    let rules = rules.broadcast("to-all", Partitions(1), (Utf8, Utf8), |rule| (rule.key, rule.value));
    let keeps = job.stream("lines", Utf8).with_rules(rules).process("keeps", |uses| Keeps(uses.value("last", U64)));
    keeps.to("out", Raw, Utf8);
    let errors = job.build().expect_err("it cannot work").0;
    assert_eq!(errors, [BuildError::NullableKey { name: "keeps".to_owned() }]);
}

/// Text whose format cannot be had for the question of this number from now on; never, if it is 0.
#[derive(Clone, Default)]
struct Away(Arc<AtomicU32>);

impl Away {
    fn ask(&self) -> Result<(), SerdeError> {
        let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if left == Ok(1) { Err(SerdeError::Unavailable("nobody answers".to_owned())) } else { Ok(()) }
    }
}

impl Serde for Away {
    type View = Utf8;

    fn decode<'a>(&self, bytes: &'a [u8]) -> Result<&'a str, SerdeError> {
        self.ask().and_then(|()| Utf8.decode(bytes))
    }

    fn encode(&self, value: &&str, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.ask().and_then(|()| Utf8.encode(value, out))
    }
}

/// Numbers the rules, and puts out all of them with all words so far.
#[derive(Clone)]
struct Listing {
    rules: BroadcastState<Away, u64>,
    words: MapState<Away, u64>,
}

impl BroadcastProcess<Utf8, Utf8, Utf8, Utf8> for Listing {
    type Out = String;

    fn record(&mut self, word: &Rec<'_, Utf8, Utf8>, scope: &mut Scope<'_, Utf8, String>) {
        let rules: Vec<_> = self.rules.iter(scope).map(|(rule, number)| format!("{rule}{number}")).collect();
        let words: Vec<_> = self.words.iter(scope).map(|(word, _)| word.to_owned()).collect();
        scope.emit([rules, words].concat().join(" "));
        self.words.put(scope, &word.value, 0);
    }

    fn rule(&mut self, rule: &Rec<'_, Utf8, Utf8>, scope: &mut RuleScope<'_, Utf8, String>) {
        let number = self.rules.iter(scope).count();
        self.rules.put(scope, &rule.key, u64::try_from(number).expect("few"));
    }
}

#[test]
fn a_stored_key_that_cannot_be_had_for_now_is_not_left_out() {
    let keys = Away::default();
    let mut job = Topology::builder("app");
    // Not even a job that leaves out what fails leaves such a key out.
    job.on_error(ErrorKind::Process, ErrorPolicy::Skip);
    let rules = job.keyed_stream("rules", Utf8, Utf8);
    let rules = rules.broadcast("to-all", Partitions(1), (Utf8, Utf8), |rule| (rule.key, rule.value));
    job.keyed_stream("words", Utf8, Utf8)
        .with_rules(rules)
        .process("list", |uses| Listing {
            rules: uses.broadcast("rules", keys.clone(), U64),
            words: uses.map("words", keys.clone(), U64),
        })
        .to("out", Utf8, Utf8);
    let topology = job.build().expect("a valid job");
    let mut driver = TestDriver::with_partitions(topology, &[("words", 1), ("rules", 1)]);
    // The first key that is asked for is that of the first rule; the third one is that of the first word.
    for (number, (topic, key, value)) in
        [(0, ("rules", "a", "")), (1, ("rules", "b", "")), (1, ("words", "k", "x")), (3, ("words", "k", "y"))]
    {
        keys.0.store(number, Ordering::Relaxed);
        driver.pipe(topic, Some(key), value, 1);
        (0..5).for_each(|_| driver.settle());
        assert_eq!(keys.0.load(Ordering::Relaxed), 0, "it was asked");
    }
    assert_eq!((driver.failure(), driver.fatal().map(ToString::to_string)), (None, None));
    let out: Vec<_> = driver.read("out").iter().map(|record| record.value_str().to_owned()).collect();
    assert_eq!(out, ["a0 b1", "a0 b1 x"]);
}
