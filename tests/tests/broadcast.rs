//! Rules that every task gets, on a cluster while workers are killed: each task takes each rule once, and each key that
//! it has is visited once for each rule.

use std::collections::BTreeMap;
use std::time::Duration;

use conformance::bench::{Bench, until};
use conformance::reader::{create_topic, read_to_end, until_stable};
use conformance::writer::write_batch;
use conformance::{TestBroker, eventually, on_both_brokers};
use kafka_wire::cluster::TopicPartition;
use kafka_wire::consumer::IsolationLevel;
use kafka_wire::producer::partition_for_key;
use kafka_wire::record::{BatchBuilder, RawHeaders, Seal};
use kafka_wire::types::PartitionId;
use processor::operator::{BroadcastProcess, BroadcastState, RuleScope, Scope, ValueState};
use processor::runtime::Deaths;
use processor::{App, Nullable, Partitions, Raw, Rec, Text, Topology, U64, Utf8};
use tokio::time::{Instant, sleep};

on_both_brokers!(rules_reach_every_key_once_while_workers_die, rules_reach_lines_without_keys_once_while_workers_die,);

const PARTITIONS: i32 = 3;
const ROUNDS: usize = 6;
const RULES: usize = 5;
const KEYS: usize = 40;
const PATIENCE: Duration = Duration::from_secs(120);

/// Adds up the numbers of rules: those before the first record of a key, and with each visit one more.
#[derive(Clone)]
struct Sums {
    rules: BroadcastState<Utf8, String>,
    sum: ValueState<u64>,
}

impl BroadcastProcess<Utf8, Utf8, Utf8, Utf8> for Sums {
    type Out = String;

    fn record(&mut self, _: &Rec<'_, Utf8, Utf8>, scope: &mut Scope<'_, Utf8, String>) {
        if self.sum.get(scope).is_none() {
            let before = self.rules.iter(scope).count();
            self.sum.put(scope, before.try_into().expect("few"));
            scope.emit(format!("begins {before}"));
        }
    }

    fn rule(&mut self, rule: &Rec<'_, Utf8, Utf8>, scope: &mut RuleScope<'_, Utf8, String>) {
        self.rules.put(scope, &rule.key, rule.value.to_owned());
        scope.each_key(&self.sum, |_, scope| {
            let sum = self.sum.get(scope).copied().unwrap_or_default() + 1;
            self.sum.put(scope, sum);
            scope.emit(format!("{sum} {}", rule.key));
        });
    }
}

fn job(bench: &Bench, rules: &str) -> Topology {
    let mut job = Topology::builder(&bench.application_id);
    let rules = job.keyed_stream(rules, Utf8, Utf8);
    let rules = rules.broadcast("to-all", Partitions(PARTITIONS), (Utf8, Utf8), |rule| (rule.key, rule.value));
    job.keyed_stream(&bench.input, Utf8, Utf8)
        .with_rules(rules)
        .process("sums", |uses| Sums { rules: uses.broadcast("rules", Utf8, Text), sum: uses.value("sum", U64) })
        .to(&bench.output, Utf8, Utf8);
    job.build().expect("the topology is sound")
}

async fn rules_reach_every_key_once_while_workers_die(broker: TestBroker) {
    let bench = Bench::new(&broker, "broadcast", [PARTITIONS, 2]).await;
    let rules = broker.unique("rules");
    create_topic(&bench.client, &rules, 2).await;
    let mut config = bench.config();
    config.set("num.workers", "2").expect("a known key");
    let deaths = Deaths::default();
    let app = App::new(job(&bench, &rules), config).with_deaths(&deaths);
    let mut running = app.start().await.expect("the job starts");
    for round in 0..ROUNDS {
        // New keys in each round, and rules that come between them.
        let keys = (0..KEYS).map(|key| format!("k{}", round * KEYS / 2 + key));
        write(&bench, &bench.input, PARTITIONS, keys).await;
        write(&bench, &rules, 2, (0..RULES).map(|rule| format!("r{}", round * RULES + rule))).await;
        let (kills, victim) = (running.status().kills, round % 2);
        sleep(Duration::from_millis(150)).await;
        deaths.kill(victim);
        running = until(running, "the death of a worker", |running| running.status().kills > kills).await;
    }
    let keys = (ROUNDS - 1) * KEYS / 2 + KEYS;
    let all = async || {
        let found = results(&bench).await;
        let is_done = |lines: &Vec<String>| lines.last().is_some_and(|line| sum(line) == ROUNDS * RULES);
        (found.len() == keys && found.values().all(is_done)).then_some(())
    };
    eventually("the last rule at every key", PATIENCE, all).await;
    let status = running.stop().await.expect("the job stops");
    until_stable(&bench.client, &bench.output).await;
    for (key, lines) in results(&bench).await {
        let sums: Vec<usize> = lines.iter().map(|line| sum(line)).collect();
        assert_eq!(sums, (sums[0]..=ROUNDS * RULES).collect::<Vec<_>>(), "{key}: {lines:?}");
        let mut rules: Vec<_> = lines[1..].iter().map(|line| line.split(' ').next_back()).collect();
        rules.sort_unstable();
        rules.dedup();
        assert_eq!(rules.len(), lines.len() - 1, "a rule visits a key once: {key}: {lines:?}");
    }
    eprintln!("{keys} keys, {} rules, {} workers killed", ROUNDS * RULES, status.kills);
}

/// Puts out each line with the number of rules that its task has taken.
#[derive(Clone)]
struct Known {
    rules: BroadcastState<Utf8, u64>,
}

impl BroadcastProcess<Nullable<Raw>, Utf8, Utf8, Utf8> for Known {
    type Out = String;

    fn record(&mut self, line: &Rec<'_, Nullable<Raw>, Utf8>, scope: &mut Scope<'_, Nullable<Raw>, String>) {
        let known = self.rules.get(scope, &"all").copied().unwrap_or_default();
        scope.emit(format!("{} {known}", line.value));
    }

    fn rule(&mut self, _: &Rec<'_, Utf8, Utf8>, scope: &mut RuleScope<'_, Nullable<Raw>, String>) {
        let known = self.rules.get(scope, &"all").copied().unwrap_or_default();
        self.rules.put(scope, &"all", known + 1);
    }
}

/// Each line comes out once, with a number of rules that never falls within a partition and ends at that of all rules.
async fn rules_reach_lines_without_keys_once_while_workers_die(broker: TestBroker) {
    let bench = Bench::new(&broker, "broadcast-lines", [PARTITIONS, 2]).await;
    let rules = broker.unique("rules");
    create_topic(&bench.client, &rules, 2).await;
    let mut job = Topology::builder(&bench.application_id);
    let to_all = job.keyed_stream(&rules, Utf8, Utf8);
    let to_all = to_all.broadcast("to-all", Partitions(PARTITIONS), (Utf8, Utf8), |rule| (rule.key, rule.value));
    job.stream(&bench.input, Utf8)
        .with_rules(to_all)
        .process("known", |uses| Known { rules: uses.broadcast("rules", Utf8, U64) })
        .to(&bench.output, Raw, Utf8);
    let mut config = bench.config();
    config.set("num.workers", "2").expect("a known key");
    let deaths = Deaths::default();
    let app = App::new(job.build().expect("the topology is sound"), config).with_deaths(&deaths);
    let mut running = app.start().await.expect("the job starts");
    let mut written = 0;
    for round in 0..ROUNDS {
        written = write_lines(&bench, written).await;
        write(&bench, &rules, 2, (0..RULES).map(|rule| format!("r{}", round * RULES + rule))).await;
        let (kills, victim) = (running.status().kills, round % 2);
        sleep(Duration::from_millis(150)).await;
        deaths.kill(victim);
        running = until(running, "the death of a worker", |running| running.status().kills > kills).await;
    }
    // A line does not wait for a rule that comes later, so more lines are written until all rules are known.
    let deadline = Instant::now() + PATIENCE;
    loop {
        written = write_lines(&bench, written).await;
        let all = async || {
            let known = known(&bench).await;
            let has_all = known.len() == usize::try_from(PARTITIONS).expect("a few");
            (has_all && known.values().all(|lines| lines.len() >= written)).then_some(known)
        };
        let known = eventually("every line", PATIENCE, all).await;
        if known.values().all(|lines| lines.last().is_some_and(|(_, known)| *known == ROUNDS * RULES)) {
            break;
        }
        assert!(Instant::now() < deadline, "some task does not get all rules: {known:?}");
    }
    let status = running.stop().await.expect("the job stops");
    until_stable(&bench.client, &bench.output).await;
    let found = known(&bench).await;
    assert_eq!(found.len(), usize::try_from(PARTITIONS).expect("a few"));
    for (partition, lines) in found {
        let numbers: Vec<usize> = lines.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, (0..written).collect::<Vec<_>>(), "partition {partition}: each line once");
        assert!(lines.is_sorted_by_key(|(_, known)| *known), "partition {partition}: a rule is forgotten: {lines:?}");
        assert_eq!(lines.last().map(|(_, known)| *known), Some(ROUNDS * RULES), "partition {partition}: a rule twice");
    }
    eprintln!("{written} lines in each partition, {} rules, {} workers killed", ROUNDS * RULES, status.kills);
}

/// Writes some more lines into each partition, which `written` have been written to. Returns how many there are then.
async fn write_lines(bench: &Bench, written: usize) -> usize {
    let numbers = written..written + KEYS;
    for partition in 0..PARTITIONS {
        let mut builder = BatchBuilder::new(4_096);
        for (number, at) in numbers.clone().zip(1..) {
            let line = format!("{partition} {number}");
            builder.append(at, None, Some(line.as_bytes()), RawHeaders::EMPTY).expect("it fits");
        }
        let batch = builder.seal(Seal::default()).expect("it is small");
        write_batch(&bench.client, &TopicPartition::new(bench.input.as_str(), PartitionId(partition)), batch).await;
    }
    numbers.end
}

/// The lines that have come out by partition, sorted: their numbers, and those of the rules that were known.
async fn known(bench: &Bench) -> BTreeMap<usize, Vec<(usize, usize)>> {
    let mut known = BTreeMap::<usize, Vec<_>>::new();
    for record in read_to_end(&bench.client, &bench.output, IsolationLevel::ReadCommitted).await {
        let value = String::from_utf8(record.value.unwrap_or_default()).expect("text");
        let parts: Vec<usize> = value.split(' ').map(|part| part.parse().expect("a number")).collect();
        let [partition, number, rules] = parts[..] else { panic!("three numbers: {value}") };
        known.entry(partition).or_default().push((number, rules));
    }
    known.values_mut().for_each(|lines| lines.sort_unstable());
    known
}

fn sum(line: &str) -> usize {
    let mut parts = line.split(' ');
    let number = if line.starts_with("begins") { parts.nth(1) } else { parts.next() };
    number.and_then(|number| number.parse().ok()).expect("a number")
}

/// The results of each key, in their order.
async fn results(bench: &Bench) -> BTreeMap<String, Vec<String>> {
    let mut results: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in read_to_end(&bench.client, &bench.output, IsolationLevel::ReadCommitted).await {
        let (key, line) = record.text();
        results.entry(key.to_owned()).or_default().push(line.to_owned());
    }
    results
}

/// Writes a record of each key, in the partition that its key chooses.
async fn write(bench: &Bench, topic: &str, partitions: i32, keys: impl Iterator<Item = String>) {
    let mut batches = BTreeMap::new();
    for (key, at) in keys.zip(1..) {
        let builder =
            batches.entry(partition_for_key(key.as_bytes(), partitions)).or_insert_with(|| BatchBuilder::new(4_096));
        builder.append(at, Some(key.as_bytes()), Some(b"v"), RawHeaders::EMPTY).expect("it fits");
    }
    for (partition, builder) in batches {
        let batch = builder.seal(Seal::default()).expect("it is small");
        write_batch(&bench.client, &TopicPartition::new(topic, partition), batch).await;
    }
}
