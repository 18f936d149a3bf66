//! Steps of one's own with each kind of store and both clocks, stores that forget, patterns of events, and calls to the
//! outside.

use std::collections::BTreeMap;
use std::time::Duration;

use processor::cep::{Pattern, Skip};
use processor::operator::{ListState, MapState, Process, Scope, TimelineState, ValueState};
use processor::{CallOptions, Clock, Emit, I64, Owned, Rec, Text, TimestampMs, Topology, Ttl, U64, Utf8};
use tokio::time::sleep;

use super::{Expected, FORGOTTEN, FORGOTTEN_AFTER, Input, JUMP_MS, Job, Results, Topics, disordered, put_out};

pub(super) const JOB: Job = Job { name: "steps", declare, expected };

const SIZE_MS: i64 = 10_000;
const WITHIN_MS: i64 = 10_000;
/// Interval of the timers by the time of day.
const CLOCK_MS: i64 = 200;
const LAST: usize = 3;
/// A store forgets its entries at the step of event time in the middle of the input, and at no other time.
const TTL_MS: i64 = JUMP_MS / 2;

/// Uses each kind of store, and both clocks. The results have the name of their row beside them.
#[derive(Clone)]
struct Shelf {
    previous: ValueState<i64>,
    last: ListState<i64>,
    remainders: MapState<Utf8, u64>,
    sums: TimelineState<i64>,
    waiting: ValueState<i64>,
}

impl Process<Utf8, Owned<i64>> for Shelf {
    type Out = (&'static str, String);

    fn record(&mut self, number: &Rec<'_, Utf8, Owned<i64>>, scope: &mut Scope<'_, Utf8, Self::Out>) {
        let (value, at) = (number.value, number.timestamp.0);
        let previous = self.previous.get(scope).copied();
        self.previous.put(scope, value);
        self.last.push(scope, value);
        if self.last.iter(scope).count() > LAST {
            self.last.pop_front(scope);
        }
        let last: Vec<i64> = self.last.iter(scope).copied().collect();
        let remainder = remainder(value);
        let count = self.remainders.get(scope, &&*remainder).copied().unwrap_or_default() + 1;
        self.remainders.put(scope, &&*remainder, count);
        let counts: Vec<String> = self.remainders.iter(scope).map(|(name, count)| format!("{name}:{count}")).collect();
        scope.emit(("stores", format!("{previous:?} {last:?} {}", counts.join(" "))));

        let start = TimestampMs(at - at % SIZE_MS);
        let sum = self.sums.get(scope, start).copied().unwrap_or_default() + value;
        self.sums.put(scope, start, sum);
        scope.set_timer(Clock::Event, TimestampMs(start.0 + SIZE_MS));

        let waiting = self.waiting.get(scope).copied().unwrap_or_default() + value;
        self.waiting.put(scope, waiting);
        let next = (scope.wall().0 / CLOCK_MS + 1) * CLOCK_MS;
        scope.set_timer(Clock::Wall, TimestampMs(next));
    }

    fn timer(&mut self, _: &&str, clock: Clock, at: TimestampMs, scope: &mut Scope<'_, Utf8, Self::Out>) {
        match clock {
            Clock::Event => {
                let start = TimestampMs(at.0 - SIZE_MS);
                let sum = self.sums.remove(scope, start).expect("its timer is set with it");
                scope.emit(("event-timers", format!("{} {sum}", start.0)));
            }
            Clock::Wall => {
                let waiting = self.waiting.get(scope).copied();
                if let Some(waiting) = waiting {
                    self.waiting.clear(scope);
                    scope.emit(("wall-timers", waiting.to_string()));
                }
            }
        }
    }
}

fn remainder(value: i64) -> String {
    format!("r{}", value % 5)
}

fn declare(application_id: &str, topics: &Topics) -> Topology {
    let (mut job, output) = (Topology::builder(application_id), &topics.output);
    let numbers = disordered(&mut job, topics);
    let shelf = numbers.clone().process("shelf", |uses| Shelf {
        previous: uses.value("previous", I64),
        last: uses.list("last", I64),
        remainders: uses.map("remainders", Utf8, U64),
        sums: uses.timeline("sums", I64),
        waiting: uses.value("waiting", I64),
    });
    shelf
        .select_key(Text, |result| format!("{} {}", result.value.0, result.key))
        .map(|result| result.value.1.clone())
        .to(output, Text, Text);

    let forgotten = numbers.clone().count("forgotten", Emit::EveryUpdate).map(|count| count.value.to_string());
    put_out("forgotten", forgotten, output);
    job.ttl("forgotten", Ttl::event(Duration::from_millis(TTL_MS.unsigned_abs())));

    let forgotten = numbers.clone().count(FORGOTTEN.0, Emit::EveryUpdate).map(|count| count.value.to_string());
    put_out(FORGOTTEN.0, forgotten, output);
    job.ttl(FORGOTTEN.0, Ttl::wall(FORGOTTEN_AFTER));

    let pattern = Pattern::begin("first", |number: &i64| number % 3 == 0).next("second", |number| number % 3 == 1);
    let found = numbers
        .clone()
        .pattern(pattern.within(Duration::from_millis(WITHIN_MS.unsigned_abs())).skip(Skip::PastLastEvent))
        .detect("pattern", I64, |found| format!("{:?} {:?}", found.first("first"), found.first("second")));
    put_out("pattern", found, output);

    let slowly = |number: i64| async move {
        sleep(Duration::from_millis(number.unsigned_abs() % 4)).await;
        Ok::<_, String>(number.to_string())
    };
    put_out("calls", numbers.clone().async_map("calls", CallOptions::ordered_by_key(20), slowly), output);
    put_out("calls-unordered", numbers.async_map("calls-unordered", CallOptions::unordered(20), slowly), output);
    job.build().expect("the topology is sound")
}

fn expected(input: &Input) -> Expected {
    let mut expected = Expected::new();
    for (key, numbers) in input.disordered_by_key() {
        let (mut stores, mut remainders) = (Vec::new(), BTreeMap::<String, u64>::new());
        let (mut windows, mut patterns) = (BTreeMap::<i64, i64>::new(), Vec::new());
        let (mut count, mut counts_kept) = (0, Vec::new());
        for (index, (value, at)) in numbers.iter().enumerate() {
            let before = index.checked_sub(1).map(|index| numbers[index]);
            let last: Vec<i64> =
                numbers[(index + 1).saturating_sub(LAST)..=index].iter().map(|(value, _)| *value).collect();
            *remainders.entry(remainder(*value)).or_default() += 1;
            let counts: Vec<String> = remainders.iter().map(|(name, count)| format!("{name}:{count}")).collect();
            stores.push(format!("{:?} {last:?} {}", before.map(|(value, _)| value), counts.join(" ")));
            *windows.entry(at - at % SIZE_MS).or_default() += value;
            count = if before.is_some_and(|(_, before)| at - before > TTL_MS) { 1 } else { count + 1 };
            counts_kept.push(count.to_string());
        }
        // Patterns see the events in the order of their times.
        let mut in_order = numbers.clone();
        in_order.sort_by_key(|(_, at)| *at);
        for pair in in_order.windows(2) {
            let ((first, begun), (second, at)) = (pair[0], pair[1]);
            if (first % 3, second % 3) == (0, 1) && at - begun < WITHIN_MS {
                patterns.push(format!("{:?} {:?}", Some(first), Some(second)));
            }
        }
        let sum = numbers.iter().map(|(value, _)| value).sum();
        expected.insert(format!("wall-timers {key}"), Results::SumsUpTo(sum));
        expected.insert(format!("{} {key}", FORGOTTEN.0), Results::CountsUp(numbers.len()));
        let mut calls: Vec<_> = numbers.iter().map(|(value, _)| value.to_string()).collect();
        expected.insert(format!("calls {key}"), Results::InOrder(calls.clone()));
        calls.sort();
        expected.insert(format!("calls-unordered {key}"), Results::InAnyOrder(calls));
        let windows = windows.into_iter().map(|(start, sum)| format!("{start} {sum}")).collect();
        let rows = [("stores", stores), ("event-timers", windows), ("pattern", patterns), ("forgotten", counts_kept)];
        for (row, results) in rows {
            if !results.is_empty() {
                expected.insert(format!("{row} {key}"), Results::InOrder(results));
            }
        }
    }
    expected
}
