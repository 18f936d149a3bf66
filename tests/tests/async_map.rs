//! Calls to the outside on a cluster, while workers are killed: every result once, those of a key in order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use conformance::bench::{Bench, until};
use conformance::reader::{read_to_end, until_stable};
use conformance::{TestBroker, eventually, on_both_brokers};
use kafka_wire::cluster::TopicPartition;
use kafka_wire::consumer::IsolationLevel;
use kafka_wire::record::{BatchBuilder, RawHeaders, Seal};
use kafka_wire::types::PartitionId;
use processor::runtime::Deaths;
use processor::{App, CallOptions, Text, Topology, Utf8};
use tokio::time::sleep;

on_both_brokers!(results_of_calls_come_once_and_in_the_order_of_their_key);

async fn results_of_calls_come_once_and_in_the_order_of_their_key(broker: TestBroker) {
    let bench = Bench::new(&broker, "async-map", [PARTITIONS, 1]).await;
    let Bench { client, input, output, .. } = &bench;
    let calls = Arc::new(AtomicU64::new(0));
    let mut job = Topology::builder(&bench.application_id);
    let of_job = Arc::clone(&calls);
    let options = CallOptions::ordered_by_key(100).timeout(Duration::from_millis(200));
    job.keyed_stream(input, Utf8, Utf8)
        .map(|question| question.value.to_owned())
        .async_map("ask", options.attempts(10, Duration::from_millis(10)), move |question: String| {
            let call = of_job.fetch_add(1, Ordering::Relaxed);
            async move {
                match call % 200 {
                    // It takes too long, and has to be made again.
                    7 => sleep(Duration::from_secs(60)).await,
                    11 => return Err("refused"),
                    _ => sleep(Duration::from_millis(1 + call % 5)).await,
                }
                Ok(question)
            }
        })
        .to(output, Utf8, Text);
    let mut config = bench.config();
    config.set("num.workers", "2").expect("a known key");
    let deaths = Deaths::default();
    let app = App::new(job.build().expect("the topology is sound"), config).with_deaths(&deaths);
    let mut running = app.start().await.expect("the job starts");
    for round in 0..ROUNDS {
        for partition in 0..PARTITIONS {
            let mut builder = BatchBuilder::new(1_024);
            for number in 0..QUESTIONS {
                let (key, value) = (format!("{partition}-{}", number % 7), format!("{}", round * QUESTIONS + number));
                let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
                builder.append(1_700_000_000_000, key, value, RawHeaders::EMPTY).expect("it fits");
            }
            let batch = builder.seal(Seal::default()).expect("not compressed");
            let to = TopicPartition::new(input.as_str(), PartitionId(partition));
            conformance::writer::write_batch(client, &to, batch).await;
        }
        let (kills, victim) = (running.status().kills, usize::try_from(round % 2).expect("0 or 1"));
        deaths.kill(victim);
        running = until(running, "the death of a worker", |running| running.status().kills > kills).await;
    }
    let all = usize::try_from(i64::from(PARTITIONS) * ROUNDS * QUESTIONS).expect("few");
    let out = async || {
        let read = read_to_end(client, output, IsolationLevel::ReadCommitted).await;
        (read.len() >= all).then_some(())
    };
    eventually("all answers", PATIENCE, out).await;
    let status = running.stop().await.expect("the job stops");
    until_stable(client, output).await;
    let mut last = BTreeMap::new();
    let answers = read_to_end(client, output, IsolationLevel::ReadCommitted).await;
    for answer in &answers {
        let (key, number) = answer.text();
        let number: i64 = number.parse().expect("a number");
        let before = last.insert(key.to_owned(), number);
        assert!(before.is_none_or(|before| before < number), "{key}: {number} after {before:?}");
    }
    assert_eq!(answers.len(), all, "each question has one answer");
    eprintln!("{all} answers of {} calls, {} workers killed", calls.load(Ordering::Relaxed), status.kills);
}

const PARTITIONS: i32 = 4;
const ROUNDS: i64 = 8;
const QUESTIONS: i64 = 300;
const PATIENCE: Duration = Duration::from_secs(120);
