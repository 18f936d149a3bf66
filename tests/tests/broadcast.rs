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
use processor::operator::{BroadcastProcess, BroadcastState, RuleScope, Scope, ValueState};
use processor::runtime::Deaths;
use processor::{App, Partitions, Rec, Text, Topology, U64, Utf8};
use tokio::time::sleep;

on_both_brokers!(rules_reach_every_key_once_while_workers_die);

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
