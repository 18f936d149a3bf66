//! Records that name their topics, on a cluster while workers die: each is in its topic once and in order, also where
//! the topic came while the job ran; one for a topic that does not exist stops the job, or is a dead letter.

use std::collections::BTreeMap;
use std::time::Duration;

use conformance::bench::{Bench, until};
use conformance::reader::{create_topic, read_to_end, until_stable};
use conformance::{TestBroker, eventually, on_both_brokers, within};
use kafka_wire::client::Producer;
use kafka_wire::consumer::IsolationLevel;
use kafka_wire::producer::{ProducerConfig, ProducerRecord};
use processor::runtime::Deaths;
use processor::{App, Topology, Utf8};
use tokio::time::sleep;

on_both_brokers!(
    records_are_in_the_topics_that_they_name_while_workers_die,
    a_topic_that_does_not_exist_stops_the_job_with_its_name,
);

const ROUNDS: usize = 4;
const LINES: usize = 60;
const PATIENCE: Duration = Duration::from_secs(120);

/// A job whose lines name their topics, as `topic text`.
fn job(bench: &Bench, dead_letters: Option<&str>) -> Topology {
    let mut job = Topology::builder(&bench.application_id);
    dead_letters.into_iter().for_each(|topic| _ = job.dead_letters(topic));
    let lines = job.keyed_stream(&bench.input, Utf8, Utf8);
    lines.to_named(Utf8, Utf8, |line| line.value.split(' ').next().unwrap_or_default().into());
    job.build().expect("the topology is sound")
}

async fn records_are_in_the_topics_that_they_name_while_workers_die(broker: TestBroker) {
    let bench = Bench::new(&broker, "named-topics", [2, 1]).await;
    let names: Vec<String> = (0..=ROUNDS).map(|number| broker.unique(&format!("named{number}"))).collect();
    let missing = broker.unique("missing");
    let producer = Producer::open(&bench.client, ProducerConfig::default()).await.expect("a producer");
    let mut config = bench.config();
    config.set("num.workers", "2").expect("a known key");
    let deaths = Deaths::default();
    let app = App::new(job(&bench, Some(&bench.output)), config).with_deaths(&deaths);
    let mut running = app.start().await.expect("the job starts");
    create_topic(&bench.client, &names[0], 2).await;
    let mut expected = BTreeMap::<&str, Vec<String>>::new();
    for round in 0..ROUNDS {
        // One more topic in each round, which the job has not seen.
        create_topic(&bench.client, &names[round + 1], 2).await;
        for number in 0..LINES {
            let topic = match number % 10 {
                0 => missing.as_str(),
                choice => names[choice % (round + 2)].as_str(),
            };
            let line = format!("{topic} {}", round * LINES + number);
            let key = format!("k{}", number % 3);
            let record = ProducerRecord::to(bench.input.as_str()).key(&key).value(&line);
            producer.send(record).await.expect("room").forget();
            expected.entry(topic).or_default().push(line);
        }
        producer.flush().await.expect("all are written");
        let (kills, victim) = (running.status().kills, round % 2);
        sleep(Duration::from_millis(100)).await;
        deaths.kill(victim);
        running = until(running, "the death of a worker", |running| running.status().kills > kills).await;
    }
    let topic = |name: &str| if *name == *missing { bench.output.clone() } else { name.to_owned() };
    let found = async || {
        let mut found = BTreeMap::new();
        for name in expected.keys() {
            let records = read_to_end(&bench.client, &topic(name), IsolationLevel::ReadCommitted).await;
            let mut lines: Vec<_> = records.iter().map(|record| record.text().1.to_owned()).collect();
            // Of each key they are in order; topics have two partitions.
            lines.sort_by_key(|line| number(line));
            found.insert(*name, lines);
        }
        found
    };
    let count = |lines: &BTreeMap<&str, Vec<String>>| lines.values().map(Vec::len).sum::<usize>();
    let all = async || (count(&found().await) >= count(&expected)).then_some(());
    eventually("all lines", PATIENCE, all).await;
    let status = running.stop().await.expect("the job stops");
    for name in expected.keys() {
        until_stable(&bench.client, &topic(name)).await;
    }
    assert_eq!(found().await, expected);
    for name in &names {
        let records = read_to_end(&bench.client, name, IsolationLevel::ReadCommitted).await;
        let mut last = BTreeMap::new();
        for record in &records {
            let (key, line) = record.text();
            let before = last.insert(key, number(line));
            assert!(before.is_none_or(|before| before < number(line)), "{line} of {key} after {before:?}");
        }
    }
    eprintln!("{} lines in {} topics, {} workers killed", count(&expected), expected.len(), status.kills);
}

async fn a_topic_that_does_not_exist_stops_the_job_with_its_name(broker: TestBroker) {
    let bench = Bench::new(&broker, "named-topics", [1, 1]).await;
    let producer = Producer::open(&bench.client, ProducerConfig::default()).await.expect("a producer");
    let missing = broker.unique("missing");
    for topic in [&bench.output, &missing] {
        let line = format!("{topic} 1");
        let record = ProducerRecord::to(bench.input.as_str()).key("k").value(&line);
        producer.send(record).await.expect("room").forget();
    }
    producer.close().await.expect("all are written");
    let mut running = App::new(job(&bench, None), bench.config()).start().await.expect("the job starts");
    let error =
        within("the end", PATIENCE, running.finished()).await.expect_err("the topic does not exist").to_string();
    assert!(error.contains(&format!("topic {}, partition 0, offset 1", bench.input)), "{error}");
    assert!(error.contains(&format!("topic {missing} cannot be written: it does not exist; create it")), "{error}");
    let _ = running.stop().await;
    until_stable(&bench.client, &bench.output).await;
    let written = read_to_end(&bench.client, &bench.output, IsolationLevel::ReadCommitted).await;
    assert!(written.is_empty(), "nothing of the transaction is committed: {written:?}");

    // Once the topic is there, the job goes on where it stopped.
    create_topic(&bench.client, &missing, 1).await;
    let running = App::new(job(&bench, None), bench.config()).start().await.expect("the job starts");
    for topic in [&bench.output, &missing] {
        let one = async || {
            let lines = read_to_end(&bench.client, topic, IsolationLevel::ReadCommitted).await;
            (lines.len() == 1).then_some(())
        };
        eventually("the line", PATIENCE, one).await;
    }
    running.stop().await.expect("the job stops");
}

fn number(line: &str) -> usize {
    line.split(' ').next_back().and_then(|number| number.parse().ok()).expect("a number")
}
