//! Rules that every task gets, while records of many keys come: whatever happens, each rule is taken once by each
//! task, and visits each key that the task has once.

use std::collections::{BTreeMap, BTreeSet};

use kafka_wire::record::RawHeaders;
use kafka_wire::rng::Rng;
use kafka_wire::types::TimestampMs;

use super::super::{Faults, TestDriver};
use super::{finish, seeds};
use crate::operator::{BroadcastProcess, BroadcastState, RuleScope, Scope, ValueState};
use crate::output::{OutRecord, Route, SinkId};
use crate::serde::{Nullable, Raw, Text, U64, Utf8};
use crate::topology::Topology;
use crate::types::{Partitions, Rec};

/// Puts out for each key how many rules there were before its first record, and each visit after it.
#[derive(Clone)]
struct Visits {
    rules: BroadcastState<Utf8, String>,
    visits: ValueState<u64>,
}

impl BroadcastProcess<Utf8, Utf8, Utf8, Utf8> for Visits {
    type Out = String;

    fn record(&mut self, _: &Rec<'_, Utf8, Utf8>, scope: &mut Scope<'_, Utf8, String>) {
        if self.visits.get(scope).is_none() {
            self.visits.put(scope, 0);
            let before = self.rules.iter(scope).count();
            scope.emit(format!("born {before}"));
        }
    }

    fn rule(&mut self, rule: &Rec<'_, Utf8, Utf8>, scope: &mut RuleScope<'_, Utf8, String>) {
        assert_eq!(self.rules.get(scope, &rule.key), None, "a rule comes once");
        self.rules.put(scope, &rule.key, rule.value.to_owned());
        scope.each_key(&self.visits, |_, scope| {
            let visit = self.visits.get(scope).copied().unwrap_or_default() + 1;
            self.visits.put(scope, visit);
            scope.emit(format!("visit {visit}"));
        });
    }
}

/// Puts out for each record of a stream without keys how many rules there were before it.
#[derive(Clone)]
struct Known {
    rules: BroadcastState<Utf8, String>,
}

impl BroadcastProcess<Nullable<Raw>, Utf8, Utf8, Utf8> for Known {
    type Out = u64;

    fn record(&mut self, _: &Rec<'_, Nullable<Raw>, Utf8>, scope: &mut Scope<'_, Nullable<Raw>, u64>) {
        let count = self.rules.iter(scope).count();
        scope.emit(count.try_into().expect("few"));
    }

    fn rule(&mut self, rule: &Rec<'_, Utf8, Utf8>, scope: &mut RuleScope<'_, Nullable<Raw>, u64>) {
        assert_eq!(self.rules.get(scope, &rule.key), None, "a rule comes once");
        self.rules.put(scope, &rule.key, rule.value.to_owned());
    }
}

fn topology() -> Topology {
    let mut job = Topology::builder("job");
    let rules = job
        .keyed_stream("rules", Utf8, Utf8)
        .broadcast("to-keyless", Partitions(3), (Utf8, Utf8), |rule| (rule.key, rule.value));
    job.stream("words", Utf8)
        .with_rules(rules)
        .process("known", |uses| Known { rules: uses.broadcast("rules", Utf8, Text) })
        .to("known", Raw, U64);
    let rules = job
        .keyed_stream("rules", Utf8, Utf8)
        .broadcast("to-all", Partitions(3), (Utf8, Utf8), |rule| (rule.key, rule.value));
    job.keyed_stream("words", Utf8, Utf8)
        .with_rules(rules)
        .process("visits", |uses| Visits {
            rules: uses.broadcast("rules", Utf8, Text),
            visits: uses.value("visits", U64),
        })
        .to("out", Utf8, Utf8);
    job.build().expect("a valid job")
}

fn write(driver: &mut TestDriver, topic: &str, key: &str, at: u64) {
    let (sink, route, headers) = (SinkId(0), Route::ByKey, RawHeaders::EMPTY);
    let timestamp = TimestampMs(i64::try_from(at).expect("small"));
    let (key, value) = (Some(key.as_bytes()), Some(&b"v"[..]));
    driver.append(topic, &OutRecord { sink, route, timestamp, key, value, headers });
}

fn check(seed: u64) {
    let mut rng = Rng::from_seed(seed);
    let mut driver = TestDriver::with_partitions(topology(), &[("rules", 2), ("words", 3), ("known", 1), ("out", 2)]);
    driver.set_can_fence(rng.below(2) == 0);
    (0..rng.below(3)).for_each(|_| _ = driver.add_worker());
    let (mut rules, mut words, mut keys) = (0, 0, BTreeSet::new());
    for step in 0..100 + rng.below(400) {
        match rng.below(16) {
            0 => {
                write(&mut driver, "rules", &format!("r{rules}"), step * 10);
                rules += 1;
            }
            1 | 2 => {
                let key = format!("k{}", rng.below(9));
                write(&mut driver, "words", &key, step * 10);
                words += 1;
                keys.insert(key);
            }
            _ => {}
        }
        driver.step(&mut rng, Faults::All);
    }
    let replay = format!("replay with WATERWHEEL_SEED={seed} cargo test -p processor --lib broadcast");
    finish(&mut driver, &replay);
    let known = driver.read("known").into_iter().map(|record| record.value.expect("a count"));
    let known: Vec<u64> = known.map(|count| u64::from_be_bytes(count.try_into().expect("8 bytes"))).collect();
    assert_eq!(known.len(), words, "each record without a key once; {replay}");
    assert!(known.iter().all(|count| *count <= rules), "{known:?} of {rules}; {replay}");
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in driver.read("out") {
        found.entry(record.key_str().to_owned()).or_default().push(record.value_str().to_owned());
    }
    assert_eq!(found.keys().cloned().collect::<BTreeSet<_>>(), keys, "{replay}");
    for (key, lines) in found {
        let before: u64 = lines[0].strip_prefix("born ").and_then(|count| count.parse().ok()).expect("born first");
        let visits = (1..=rules - before).map(|visit| format!("visit {visit}"));
        assert_eq!(lines[1..], visits.collect::<Vec<_>>(), "{key}, {rules} rules, {before} before; {replay}");
    }
}

#[test]
fn under_random_schedules_a_broadcast_rule_visits_every_key_once() {
    seeds(130_000, 300).for_each(check);
}
