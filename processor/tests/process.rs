//! Steps of one's own: stores, timers, further outputs, and times to live, under the test driver.

use std::time::Duration;

use kafka_wire::types::TimestampMs;
use processor::driver::{CommitPoint, TestDriver};
use processor::operator::{ListState, MapState, Output, Process, Scope, TimelineState, ValueState};
use processor::{Clock, Emit, ErrorKind, ErrorPolicy, I64, Rec, Text, Topology, Ttl, U64, Utf8, View, Watermark};

/// Does what the value of a record says, and puts out what it finds.
#[derive(Clone)]
struct Shelf {
    last: ValueState<String>,
    all: ListState<String>,
    by_name: MapState<Utf8, u64>,
    times: TimelineState<u64>,
    alarms: Output<String>,
}

impl Process<Utf8, Utf8> for Shelf {
    type Out = String;

    fn record(&mut self, record: &Rec<'_, Utf8, Utf8>, scope: &mut Scope<'_, Utf8, String>) {
        let words: Vec<&str> = record.value.split(' ').collect();
        let number = |text: &str| text.parse::<u64>().expect("a number");
        match words[..] {
            ["last", value] => {
                let before = self.last.get(scope).cloned();
                self.last.put(scope, value.to_owned());
                scope.emit(format!("{before:?}"));
            }
            ["push", value] => self.all.push(scope, value.to_owned()),
            ["pop"] => {
                let first = self.all.pop_front(scope);
                let rest: Vec<_> = self.all.iter(scope).rev().cloned().collect();
                scope.emit(format!("{first:?} {rest:?}"));
            }
            ["drop", value] => {
                self.all.retain(scope, |known| known != value);
                let ends = [self.all.first(scope).cloned(), self.all.last(scope).cloned()];
                let (len, is_empty) = (self.all.len(scope), self.all.is_empty(scope));
                scope.emit(format!("{ends:?} {len} {is_empty}"));
            }
            ["put", name, value] => self.by_name.put(scope, &name, number(value)),
            ["remove", name] => _ = self.by_name.remove(scope, &name),
            ["range", from, to] => {
                let found: Vec<_> =
                    self.by_name.range(scope, &from..&to).map(|(name, at)| format!("{name}{at}")).collect();
                scope.emit(found.join(" "));
            }
            ["prefix", text] => {
                let found: Vec<_> =
                    self.by_name.prefix(scope, text.as_bytes()).map(|(name, _)| name.to_owned()).collect();
                scope.emit(found.join(" "));
            }
            ["at", time, value] => self.times.put(scope, TimestampMs(time.parse().expect("a time")), number(value)),
            ["as-of", time] => {
                let found = self.times.as_of(scope, TimestampMs(time.parse().expect("a time")));
                let found = found.map(|(at, value)| (at.0, *value));
                scope.emit(format!("{found:?}"));
            }
            ["forget", time] => {
                self.times.remove_before(scope, TimestampMs(number(time) as i64));
                let in_range: Vec<_> =
                    self.times.range(scope, TimestampMs(i64::MIN)..TimestampMs(i64::MAX)).map(|(at, _)| at.0).collect();
                let all: Vec<_> = self.times.iter(scope).map(|(at, _)| at.0).collect();
                assert_eq!(in_range, all);
                scope.emit(format!("{all:?}"));
            }
            ["alarm"] => self.alarms.emit(scope, format!("{} at {}", record.key, scope.place().offset)),
            ["clear"] => {
                self.last.clear(scope);
                self.all.clear(scope);
                self.by_name.clear(scope);
            }
            _ => scope.fail(format!("unknown: {}", record.value)),
        }
    }
}

fn shelf(setup: impl FnOnce(&mut processor::topology::Builder)) -> TestDriver {
    let mut job = Topology::builder("app");
    let never = Watermark::default().never_idle();
    let lines = job.keyed_stream("in", Utf8, Utf8).watermark(never);
    let (results, alarms) = lines.process_with("shelf", |uses| {
        let (alarms, stream) = uses.output("alarms");
        let (last, all) = (uses.value("last", Text), uses.list("all", Text));
        let (by_name, times) = (uses.map("by-name", Utf8, U64), uses.timeline("times", U64));
        (Shelf { last, all, by_name, times, alarms }, stream)
    });
    results.to("out", Utf8, Text);
    alarms.to("alarms", Utf8, Text);
    setup(&mut job);
    TestDriver::new(job.build().expect("a valid job"))
}

fn read(driver: &TestDriver, topic: &str) -> Vec<String> {
    driver.read(topic).iter().map(|record| record.value_str().to_owned()).collect()
}

fn say(driver: &mut TestDriver, lines: &[&str]) {
    lines.iter().for_each(|line| driver.pipe("in", Some("k"), line, 1));
}

const LINES: [&str; 24] = [
    "last a",
    "last b",
    "push x",
    "push y",
    "push z",
    "pop",
    "put aa 1",
    "put ab 2",
    "put b 3",
    "put c 4",
    "remove b",
    "range ab d",
    "prefix a",
    "at -5 1",
    "at 7 2",
    "as-of 6",
    "as-of 7",
    "as-of -6",
    "forget 0",
    "alarm",
    "push v",
    "push w",
    "drop z",
    "drop y",
];
const FOUND: [&str; 11] = [
    "None",
    "Some(\"a\")",
    "Some(\"x\") [\"z\", \"y\"]",
    "ab2 c4",
    "aa ab",
    "Some((-5, 1))",
    "Some((7, 2))",
    "None",
    "[7]",
    "[Some(\"y\"), Some(\"w\")] 3 false",
    "[Some(\"v\"), Some(\"w\")] 2 false",
];

#[test]
fn stores_hold_what_is_put_into_them_key_by_key() {
    let mut driver = shelf(|_| ());
    driver.pipe("in", Some("ka"), "put aa 9", 1);
    driver.pipe("in", Some(""), "push other", 1);
    say(&mut driver, &LINES);
    driver.settle();
    assert_eq!(driver.failure(), None);
    assert_eq!(
        (read(&driver, "out"), read(&driver, "alarms")),
        (FOUND.map(str::to_owned).to_vec(), vec!["k at 21".to_owned()])
    );
    say(&mut driver, &["clear", "prefix a", "pop", "last c"]);
    driver.settle();
    assert_eq!(read(&driver, "out")[11..], ["", "None []", "None"]);
    let entries = ["last", "all", "by-name", "times"].map(|name| driver.store(&format!("shelf-{name}")).len());
    assert_eq!(entries, [1, 1, 1, 1], "those of other keys, the last of this one, and a time");
}

#[test]
fn stores_survive_a_crash_after_each_record() {
    for point in CommitPoint::ALL {
        let mut driver = shelf(|_| ());
        for line in LINES {
            say(&mut driver, &[line]);
            driver.crash_at(point);
            driver.commit();
        }
        driver.settle();
        assert_eq!(
            (read(&driver, "out"), read(&driver, "alarms").len()),
            (FOUND.map(str::to_owned).to_vec(), 1),
            "{point:?}"
        );
    }
}

#[test]
fn a_step_may_refuse_a_record() {
    let mut driver = shelf(|_| ());
    say(&mut driver, &["nonsense"]);
    driver.settle();
    let failure = driver.failure().expect("it stops").to_string();
    assert_eq!(failure, "topic in, partition 0, offset 0: the job's code failed in step `shelf`: unknown: nonsense");
    let mut driver = shelf(|job| _ = job.on_error(ErrorKind::Process, ErrorPolicy::Skip));
    say(&mut driver, &["last a", "nonsense", "last b"]);
    driver.settle();
    assert_eq!(read(&driver, "out"), ["None", "Some(\"a\")"]);
}

#[test]
fn what_is_not_written_again_is_forgotten_by_event_time() {
    let hour = Duration::from_secs(3_600);
    let mut driver = shelf(|job| {
        job.ttl("shelf-last", Ttl::event(hour)).ttl("shelf-by-name", Ttl::event(hour));
    });
    let hours = |count: f64| (count * 3_600_000.0) as i64;
    let say = |driver: &mut TestDriver, line: &str, at: f64| {
        driver.pipe("in", Some("k"), line, hours(at));
        driver.commit();
    };
    say(&mut driver, "last a", 5.0);
    say(&mut driver, "put x 1", 5.0);
    say(&mut driver, "put y 2", 5.5);
    // The watermark is just before the hour.
    say(&mut driver, "range a z", 5.9);
    driver.crash();
    // The watermark has not come to the hour, but the record has.
    say(&mut driver, "range a z", 6.1);
    say(&mut driver, "range a z", 6.2);
    say(&mut driver, "last b", 6.2);
    say(&mut driver, "range a z", 6.6);
    say(&mut driver, "range a z", 6.6);
    driver.settle();
    assert_eq!(read(&driver, "out"), ["None", "x1 y2", "y2", "y2", "None", "", ""]);
    assert_eq!(driver.store("shelf-by-name").len(), 0);
}

/// Says what it has found when a timer is due, some time after each record.
#[derive(Clone)]
struct Alert {
    last: ValueState<String>,
}

impl Process<Utf8, Utf8> for Alert {
    type Out = String;

    fn record(&mut self, record: &Rec<'_, Utf8, Utf8>, scope: &mut Scope<'_, Utf8, String>) {
        self.last.put(scope, record.value.to_owned());
        scope.set_timer(Clock::Event, TimestampMs(record.timestamp.0 + 20));
    }

    fn timer(&mut self, key: &&str, _: Clock, _: TimestampMs, scope: &mut Scope<'_, Utf8, String>) {
        let last = self.last.get(scope).cloned();
        scope.emit(format!("{key} {last:?}"));
    }
}

#[test]
fn a_timer_finds_what_was_there_at_its_time_though_the_watermark_is_past_it() {
    let mut job = Topology::builder("app");
    job.keyed_stream("in", Utf8, Utf8)
        .watermark(Watermark::default().never_idle())
        .process("alert", |uses| Alert { last: uses.value("last", Text) })
        .to("out", Utf8, Text);
    job.ttl("alert-last", Ttl::event(Duration::from_millis(50)));
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.pipe("in", Some("a"), "x", 100);
    driver.commit();
    driver.pipe("in", Some("b"), "y", 1_000);
    driver.settle();
    assert_eq!(read(&driver, "out"), ["a Some(\"x\")"]);
    assert_eq!(driver.store("alert-last").len(), 1, "it goes with the commit");
}

#[test]
fn the_last_result_comes_out_though_its_entry_is_forgotten_in_the_same_transaction() {
    let mut job = Topology::builder("app");
    job.keyed_stream("in", Utf8, Utf8)
        .watermark(Watermark::default().never_idle())
        .count("counts", Emit::OnUpdate)
        .map(|count| count.value.to_string())
        .to("out", Utf8, Text);
    job.ttl("counts", Ttl::event(Duration::from_secs(20)));
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.pipe("in", Some("a"), "", 0);
    driver.commit();
    driver.pipe("in", Some("a"), "", 1_000);
    driver.pipe("in", Some("b"), "", 60_000);
    driver.settle();
    let results: Vec<_> = driver.read("out").iter().map(|r| format!("{} {}", r.key_str(), r.value_str())).collect();
    assert_eq!(results, ["a 1", "a 2", "b 1"]);
    assert_eq!(driver.store("counts").len(), 1);
}

#[test]
fn lists_that_forget_keep_their_order_for_records_out_of_order() {
    let found = |lines: &[(&str, i64)]| {
        let mut job = Topology::builder("app");
        job.keyed_stream("in", Utf8, Utf8)
            .watermark(Watermark::bounded(Duration::from_secs(1)).never_idle())
            .process("shelf", |uses| Pile { all: uses.list("all", Text) })
            .to("out", Utf8, Text);
        job.ttl("shelf-all", Ttl::event(Duration::from_millis(10)));
        let mut driver = TestDriver::new(job.build().expect("a valid job"));
        lines.iter().for_each(|(line, at)| driver.pipe("in", Some("k"), line, *at));
        driver.settle();
        assert_eq!(driver.failure(), None);
        read(&driver, "out")
    };
    // At 111, what was written at 100 is over; at 105 it is not.
    assert_eq!(found(&[("a", 100), ("b", 111), ("show", 105), ("show", 112)]), ["a b", "b"]);
    assert_eq!(found(&[("a", 100), ("c", 100), ("b", 111), ("show", 105)]), ["a c b"]);
    assert_eq!(found(&[("a", 100), ("clear", 111), ("show", 105)]), [""]);
}

/// A list that is added to, shown and cleared.
#[derive(Clone)]
struct Pile {
    all: ListState<String>,
}

impl Process<Utf8, Utf8> for Pile {
    type Out = String;

    fn record(&mut self, record: &Rec<'_, Utf8, Utf8>, scope: &mut Scope<'_, Utf8, String>) {
        match record.value {
            "show" => {
                let all: Vec<_> = self.all.iter(scope).cloned().collect();
                scope.emit(all.join(" "));
            }
            "clear" => self.all.clear(scope),
            value => self.all.push(scope, value.to_owned()),
        }
    }
}

#[test]
fn what_a_record_finds_does_not_depend_on_how_records_are_batched() {
    let times = [0, 500, 60_000, 70_000, 10_000, 60_500, 60_500 + 999, 90_000];
    let counts = |commit_each: bool| {
        let mut job = Topology::builder("app");
        job.keyed_stream("in", Utf8, Utf8)
            .count("counts", Emit::EveryUpdate)
            .map(|count| count.value.to_string())
            .to("out", Utf8, Text);
        job.ttl("counts", Ttl::event(Duration::from_secs(20)));
        let mut driver = TestDriver::new(job.build().expect("a valid job"));
        for at in times {
            driver.pipe("in", Some("k"), "", at);
            if commit_each {
                driver.commit();
            }
        }
        driver.settle();
        read(&driver, "out")
    };
    // The record at 10,000 does not shorten the life of what the one at 70,000 has written.
    assert_eq!(counts(false), ["1", "2", "1", "2", "3", "4", "5", "1"]);
    assert_eq!(counts(true), counts(false));
}

#[test]
fn counts_are_forgotten_by_the_time_of_day_without_records() {
    let mut job = Topology::builder("app");
    job.keyed_stream("in", Utf8, Utf8)
        .count("counts", Emit::EveryUpdate)
        .map(|count| count.value as i64)
        .to("out", Utf8, I64);
    job.ttl("counts", Ttl::wall(Duration::from_secs(10)));
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.pipe("in", Some("a"), "", 1);
    driver.settle();
    driver.advance_wall(Duration::from_secs(6));
    driver.pipe("in", Some("b"), "", 1);
    driver.settle();
    driver.crash();
    assert_eq!(driver.store("counts").len(), 2);
    driver.advance_wall(Duration::from_secs(5));
    driver.settle();
    assert_eq!(driver.store("counts").len(), 1);
    driver.crash();
    driver.pipe("in", Some("a"), "", 1);
    driver.pipe("in", Some("b"), "", 1);
    driver.settle();
    let last: Vec<_> = driver.read("out")[2..].iter().map(|record| record.value.clone().expect("a count")[7]).collect();
    assert_eq!(last, [1, 2]);
}

#[test]
fn a_time_to_live_needs_a_store_that_has_entries_of_its_own() {
    let mut job = Topology::builder("app");
    job.keyed_stream("in", Utf8, Utf8).count("counts", Emit::EveryUpdate).to("out", Utf8, U64);
    job.ttl("counts", Ttl::event(Duration::ZERO)).ttl("cuonts", Ttl::event(Duration::from_secs(1)));
    let errors = job.build().expect_err("two errors").to_string();
    assert!(errors.contains("`counts`") && errors.contains("`cuonts`"), "{errors}");
}

/// Sets a timer by each clock, and says when it fires.
#[derive(Clone)]
struct Remind;

impl Process<Utf8, Utf8> for Remind {
    type Out = String;

    fn record(&mut self, record: &Rec<'_, Utf8, Utf8>, scope: &mut Scope<'_, Utf8, String>) {
        scope.set_timer(Clock::Event, TimestampMs(record.timestamp.0 + 100));
        scope.emit_at("set".to_owned(), TimestampMs(record.timestamp.0 - 1));
    }

    fn timer(&mut self, key: &&str, _: Clock, at: TimestampMs, scope: &mut Scope<'_, Utf8, String>) {
        if *key == "bad" {
            scope.fail("a bad key");
        }
        scope.emit(format!("due {}", at.0));
    }
}

#[test]
fn a_timer_that_fails_is_left_out_alone() {
    let mut job = Topology::builder("app");
    job.dead_letters("dead");
    job.keyed_stream("in", Utf8, Utf8).process("remind", |_| Remind).to("out", Utf8, Text);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    for key in ["a", "bad", "c"] {
        driver.pipe("in", Some(key), "", 10);
    }
    driver.end_of_input();
    assert_eq!(driver.failure(), None);
    assert_eq!(read(&driver, "out"), ["set", "set", "set", "due 110", "due 110"]);
    assert_eq!(driver.read("out")[0].timestamp.0, 9);
    let dead = driver.read("dead");
    assert_eq!((dead.len(), dead[0].key_str()), (1, "bad"));
    assert_eq!(driver.store("remind-timers").len(), 0);
}

/// Sets a timer for the time of the record, and says when it fires.
#[derive(Clone)]
struct AtOnce;

impl Process<Utf8, Utf8> for AtOnce {
    type Out = String;

    fn record(&mut self, record: &Rec<'_, Utf8, Utf8>, scope: &mut Scope<'_, Utf8, String>) {
        scope.set_timer(Clock::Event, record.timestamp);
        if record.value == "wall" {
            scope.set_timer(Clock::Wall, TimestampMs(scope.wall().0 + 1_000));
        }
    }

    fn timer(&mut self, key: &&str, clock: Clock, at: TimestampMs, scope: &mut Scope<'_, Utf8, String>) {
        match clock {
            Clock::Event => scope.emit(format!("{key} due {}", at.0)),
            Clock::Wall => scope.set_timer(Clock::Event, TimestampMs(2)),
        }
    }
}

#[test]
fn a_timer_whose_time_has_come_waits_for_no_watermark() {
    let mut job = Topology::builder("app");
    job.keyed_stream("in", Utf8, Utf8).process("at-once", |_| AtOnce).to("out", Utf8, Text);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    for (key, at) in [("a", 10), ("b", 10), ("c", 5)] {
        driver.pipe("in", Some(key), if key == "c" { "wall" } else { "" }, at);
        driver.settle();
    }
    assert_eq!(read(&driver, "out"), ["a due 10", "b due 10", "c due 5"]);
    driver.crash();
    driver.advance_wall(Duration::from_secs(2));
    driver.end_of_input();
    assert_eq!(read(&driver, "out")[3..], ["c due 2"], "it was set at the time of day");
    assert_eq!(driver.store("at-once-timers"), []);
}

/// Sets a timer for the time of each record, and says when it fires.
#[derive(Clone)]
struct Ring;

impl<V: View> Process<Utf8, V> for Ring {
    type Out = String;

    fn record(&mut self, record: &Rec<'_, Utf8, V>, scope: &mut Scope<'_, Utf8, String>) {
        scope.set_timer(Clock::Event, record.timestamp);
    }

    fn timer(&mut self, key: &&str, _: Clock, at: TimestampMs, scope: &mut Scope<'_, Utf8, String>) {
        scope.emit(format!("{key} due {}", at.0));
    }
}

#[test]
fn a_timer_that_a_result_of_a_commit_sets_is_due_at_once_and_once() {
    for point in CommitPoint::ALL {
        let mut job = Topology::builder("app");
        let counts = job.keyed_stream("in", Utf8, Utf8).count("counts", Emit::OnUpdate);
        counts.process("ring", |_| Ring).to("out", Utf8, Text);
        let mut driver = TestDriver::new(job.build().expect("a valid job"));
        driver.pipe("in", Some("a"), "", 10);
        driver.crash_at(point);
        driver.commit();
        for _ in 0..2 {
            driver.advance_wall(Duration::from_millis(200));
            driver.settle();
            driver.crash();
        }
        assert_eq!(read(&driver, "out"), ["a due 10"], "{point:?}");
        driver.pipe("in", Some("b"), "", 20);
        driver.end_of_input();
        assert_eq!(read(&driver, "out"), ["a due 10", "b due 20"], "{point:?}");
        assert!(driver.is_finished() && driver.store("ring-timers").is_empty());
    }
}

/// Counts the records of a key, and puts the count out every minute of event time.
#[derive(Clone)]
struct EveryMinute {
    count: ValueState<u64>,
}

impl Process<Utf8, Utf8> for EveryMinute {
    type Out = u64;

    fn record(&mut self, record: &Rec<'_, Utf8, Utf8>, scope: &mut Scope<'_, Utf8, u64>) {
        let count = self.count.get(scope).copied().unwrap_or_default();
        self.count.put(scope, count + 1);
        if count == 0 {
            scope.set_timer(Clock::Event, TimestampMs((record.timestamp.0 / 60_000 + 1) * 60_000));
        }
    }

    fn timer(&mut self, _: &&str, clock: Clock, at: TimestampMs, scope: &mut Scope<'_, Utf8, u64>) {
        let count = self.count.get(scope).copied().unwrap_or_default();
        scope.emit(count);
        scope.set_timer(clock, TimestampMs(at.0 + 60_000));
    }
}

#[test]
fn a_timer_that_sets_itself_again_lets_a_bounded_run_end() {
    // Event time stands at the last record when the input ends, or far behind it.
    let cases = [(0, vec![1, 2, 3, 4]), (3_600, vec![1, 2, 3])];
    for ((disorder, minutes), crashes) in cases.iter().flat_map(|case| [(case, false), (case, true)]) {
        let mut job = Topology::builder("app");
        job.keyed_stream("in", Utf8, Utf8)
            .watermark(Watermark::bounded(Duration::from_secs(*disorder)))
            .process("minutes", |uses| EveryMinute { count: uses.value("count", U64) })
            .to("out", Utf8, U64);
        let mut driver = TestDriver::new(job.build().expect("a valid job"));
        driver.pipe("in", Some("k"), "", 0);
        driver.pipe("in", Some("k"), "", 150_000);
        driver.settle();
        if crashes {
            driver.crash();
        }
        driver.end_of_input();
        assert!(driver.is_finished());
        let out = driver.read("out");
        let last = out.last().and_then(|record| record.value.clone());
        assert_eq!(&out.iter().map(|record| record.timestamp.0 / 60_000).collect::<Vec<_>>(), minutes, "{crashes}");
        assert_eq!(last, Some(2_u64.to_be_bytes().to_vec()), "every record is counted");
        assert_eq!(driver.store("minutes-timers").len(), 1, "it goes on in a later run");
    }
}

/// Says whether it knows the key, after a note at a time that is so much later.
#[derive(Clone)]
struct Recall {
    known: ValueState<u64>,
}

impl Process<Utf8, Utf8> for Recall {
    type Out = String;

    fn record(&mut self, record: &Rec<'_, Utf8, Utf8>, scope: &mut Scope<'_, Utf8, String>) {
        let later: i64 = record.value.parse().expect("a number");
        scope.emit_at("note".to_owned(), TimestampMs(record.timestamp.0 + later));
        let is_known = self.known.get(scope).is_some();
        self.known.put(scope, 1);
        scope.emit(format!("{is_known}"));
    }
}

#[test]
fn a_result_at_another_time_moves_no_time_to_live() {
    let mut job = Topology::builder("app");
    job.keyed_stream("in", Utf8, Utf8)
        .process("recall", |uses| Recall { known: uses.value("known", U64) })
        .filter(|said| said.value != "note")
        .to("out", Utf8, Text);
    job.ttl("recall-known", Ttl::event(Duration::from_millis(50)));
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    for (later, at) in [("0", 100), ("1000", 120), ("0", 1_000), ("-500", 1_010), ("0", 1_020)] {
        driver.pipe("in", Some("k"), later, at);
    }
    driver.settle();
    assert_eq!(read(&driver, "out"), ["false", "true", "false", "true", "true"]);
}

/// Says a second after each record whether it still knows the key.
#[derive(Clone)]
struct LookBack {
    known: ValueState<u64>,
}

impl Process<Utf8, Utf8> for LookBack {
    type Out = String;

    fn record(&mut self, _: &Rec<'_, Utf8, Utf8>, scope: &mut Scope<'_, Utf8, String>) {
        self.known.put(scope, 1);
        scope.set_timer(Clock::Wall, TimestampMs(scope.wall().0 + 1_000));
    }

    fn timer(&mut self, key: &&str, _: Clock, _: TimestampMs, scope: &mut Scope<'_, Utf8, String>) {
        let is_known = self.known.get(scope).is_some();
        scope.emit(format!("{key} {is_known}"));
    }
}

#[test]
fn a_timer_of_the_day_finds_the_same_after_a_restart_before_event_time_is_known() {
    for crashes in [false, true] {
        let mut job = Topology::builder("app");
        job.keyed_stream("in", Utf8, Utf8)
            .merge(job.keyed_stream("silent", Utf8, Utf8))
            .process("back", |uses| LookBack { known: uses.value("known", U64) })
            .to("out", Utf8, Text);
        job.ttl("back-known", Ttl::event(Duration::from_millis(50)));
        let mut driver = TestDriver::new(job.build().expect("a valid job"));
        driver.pipe("in", Some("a"), "", 100);
        driver.pipe("in", Some("b"), "", 1_000);
        driver.commit();
        if crashes {
            driver.crash();
        }
        driver.advance_wall(Duration::from_secs(2));
        driver.settle();
        assert_eq!(read(&driver, "out"), ["a false", "b true"], "{crashes}");
    }
}
