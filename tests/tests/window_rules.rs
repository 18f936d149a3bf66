//! Windows whose results a trigger of the user's puts out, windows of the last records, days of a time zone, and finals
//! beside updates, on a cluster while workers are killed: for each key and window, what a plain computation finds, in
//! its order.

use std::collections::BTreeMap;
use std::time::Duration;

use conformance::bench::{Bench, until};
use conformance::reader::{read_to_end, until_stable};
use conformance::{TestBroker, eventually, on_both_brokers};
use kafka_wire::cluster::TopicPartition;
use kafka_wire::consumer::IsolationLevel;
use kafka_wire::record::{BatchBuilder, RawHeaders, Seal};
use kafka_wire::types::PartitionId;
use processor::operator::Chain;
use processor::runtime::Deaths;
use processor::topology::WindowedStream;
use processor::types::InWindow;
use processor::{
    App, Count, Days, Emit, I64, Sliding, Text, Topology, Trigger, TriggerResult, TriggerScope, Tumbling, Utf8,
};
use tokio::time::sleep;

on_both_brokers!(rules_of_windows_hold_while_workers_die);

const PARTITIONS: i32 = 3;
const ROUNDS: i64 = 6;
const RECORDS: i64 = 100;
const STEP_MS: i64 = 7 * 60 * 1_000;
const HOURS_6: i64 = 6 * 60 * 60 * 1_000;
const HOURS_2: i64 = 2 * 60 * 60 * 1_000;
/// 2024-03-29T12:00:00Z: two days before a day of 23 hours in Berlin.
const START_MS: i64 = 1_711_713_600_000;
const PATIENCE: Duration = Duration::from_secs(120);

/// Puts a window out at every third record and at its end, and lets it begin anew.
struct Thrice;

impl Trigger for Thrice {
    type State = u32;

    fn record(&self, scope: &mut TriggerScope<'_, u32>) -> TriggerResult {
        *scope.state += 1;
        if *scope.state < 3 { TriggerResult::Continue } else { TriggerResult::FireAndPurge }
    }
}

fn job(application_id: &str, input: &str, output: &str) -> Topology {
    let mut job = Topology::builder(application_id);
    let numbers = job.keyed_stream(input, Utf8, I64);
    let thrice = numbers.clone().window(Tumbling::of(Duration::from_millis(HOURS_6.unsigned_abs())));
    put_out("thrice", thrice.sum("thrice", Thrice, |number| number.value), output);
    let [size, every] = [HOURS_6, HOURS_2].map(|millis| Duration::from_millis(millis.unsigned_abs()));
    let apart = numbers.clone().window(Sliding::of(size).every(every));
    put_out("apart", apart.sum("apart", Thrice, |number| number.value), output);
    let few = numbers.clone().window(Count::of(4).every(2)).sum("few", Emit::OnClose, |number| number.value);
    put_out("few", few, output);
    let days = Days::in_zone("Europe/Berlin").expect("it is in the database");
    let days = numbers.window(days).sum("days", Emit::OnUpdate, |number| number.value);
    put_out("day", days.finals(), output);
    put_out("update", days, output);
    job.build().expect("the topology is sound")
}

/// Writes the results of a step: under its name and the key, the sum with the start of the window.
fn put_out<C>(step: &'static str, sums: WindowedStream<Utf8, C>, output: &str)
where
    C: Chain<Key = Utf8, Value = InWindow<i64>>,
{
    sums.map(|sum| format!("{} {}", sum.window.start, sum.value))
        .select_key(Text, move |sum| format!("{step} {}", sum.key))
        .to(output, Text, Text);
}

/// The results of each step, key and window, in their order. The starts of windows of records do not matter.
type Results = BTreeMap<(String, i64), Vec<i64>>;

fn expected(input: &BTreeMap<String, Vec<(i64, i64)>>) -> Results {
    let mut results = Results::new();
    for (key, numbers) in input {
        let [mut windows, mut apart] = <[BTreeMap<i64, Vec<i64>>; 2]>::default();
        for (number, at) in numbers {
            windows.entry(at - at % HOURS_6).or_default().push(*number);
            let starts = (0..3).map(|back| at - at % HOURS_2 - back * HOURS_2);
            starts.for_each(|start| apart.entry(start).or_default().push(*number));
            *one(results.entry((format!("day {key}"), day_of_berlin(*at))).or_default()) += number;
        }
        for (step, windows) in [("thrice", windows), ("apart", apart)] {
            let sums = |numbers: &[i64]| numbers.chunks(3).map(|three| three.iter().sum()).collect();
            let windows = windows.into_iter().map(|(start, numbers)| (start, sums(&numbers)));
            results.extend(windows.map(|(start, sums)| ((format!("{step} {key}"), start), sums)));
        }
        let numbers: Vec<i64> = numbers.iter().map(|(number, _)| *number).collect();
        let sums = (1..=numbers.len() / 2).map(|pair| numbers[(2 * pair).saturating_sub(4)..2 * pair].iter().sum());
        results.insert((format!("few {key}"), 0), sums.collect());
    }
    results
}

fn one(sums: &mut Vec<i64>) -> &mut i64 {
    if sums.is_empty() {
        sums.push(0);
    }
    &mut sums[0]
}

/// The start of the day in Berlin, where summer begins on 2024-03-31 at 01:00 UTC.
fn day_of_berlin(at: i64) -> i64 {
    const HOUR: i64 = 60 * 60 * 1_000;
    const SUMMER: i64 = 1_711_843_200_000 + HOUR;
    let (offset, day) = (if at < SUMMER { HOUR } else { 2 * HOUR }, 24 * HOUR);
    let midnight = (at + offset).div_euclid(day) * day;
    // The day on which summer begins has begun in winter.
    if midnight - 2 * HOUR < SUMMER { midnight - HOUR } else { midnight - 2 * HOUR }
}

async fn rules_of_windows_hold_while_workers_die(broker: TestBroker) {
    let bench = Bench::new(&broker, "window-rules", [PARTITIONS, 2]).await;
    let Bench { client, input, output, .. } = &bench;
    let mut config = bench.config();
    config.set("num.workers", "2").expect("a known key");
    let deaths = Deaths::default();
    let app = App::new(job(&bench.application_id, input, output), config).with_deaths(&deaths);
    let mut running = app.start().await.expect("the job starts");
    let mut written = BTreeMap::<String, Vec<(i64, i64)>>::new();
    for round in 0..ROUNDS {
        for partition in 0..PARTITIONS {
            let mut builder = BatchBuilder::new(1_024);
            for number in round * RECORDS..(round + 1) * RECORDS {
                let (key, at) = (format!("{partition}-{}", number * number % 5), START_MS + number * STEP_MS);
                append(&mut builder, &key, number, at);
                written.entry(key).or_default().push((number, at));
            }
            if round == ROUNDS - 1 {
                // A record far ahead closes all windows before it.
                append(&mut builder, &format!("end-{partition}"), 0, START_MS + 1_000 * RECORDS * STEP_MS);
            }
            let to = TopicPartition::new(input.as_str(), PartitionId(partition));
            conformance::writer::write_batch(client, &to, builder.seal(Seal::default()).expect("it is small")).await;
        }
        let (kills, victim) = (running.status().kills, usize::try_from(round % 2).expect("0 or 1"));
        sleep(Duration::from_millis(150)).await;
        deaths.kill(victim);
        running = until(running, "the death of a worker", |running| running.status().kills > kills).await;
    }
    let expected = expected(&written);
    let count = |results: &Results| results.values().map(Vec::len).sum::<usize>();
    let all = async || {
        let read = results(&read_to_end(client, output, IsolationLevel::ReadCommitted).await);
        (count(&read.0) >= count(&expected)).then_some(())
    };
    eventually("all results", PATIENCE, all).await;
    let status = running.stop().await.expect("the job stops");
    until_stable(client, output).await;
    let (found, updates) = results(&read_to_end(client, output, IsolationLevel::ReadCommitted).await);
    assert_eq!(found, expected);
    let finals = |results: &Results| results.iter().filter(|((step, _), _)| step.starts_with("day ")).count();
    assert_eq!(updates.len(), finals(&expected), "each window that has a final has updates");
    for ((step, start), sum) in updates {
        assert_eq!(
            found[&(step.replace("update", "day"), start)],
            [sum],
            "the last update is the final: {step} {start}"
        );
    }
    eprintln!("{} results of {} windows, {} workers killed", count(&found), found.len(), status.kills);
}

fn append(builder: &mut BatchBuilder, key: &str, number: i64, at: i64) {
    let value = number.to_be_bytes();
    builder.append(at, Some(key.as_bytes()), Some(&value), RawHeaders::EMPTY).expect("it fits");
}

/// The results, and the last update of each day.
fn results(records: &[conformance::reader::KeptRecord]) -> (Results, BTreeMap<(String, i64), i64>) {
    let (mut results, mut updates) = (Results::new(), BTreeMap::new());
    for record in records {
        let (step, value) = record.text();
        let (start, sum) = value.split_once(' ').expect("two numbers");
        let (start, sum) = (start.parse().expect("a number"), sum.parse().expect("a number"));
        match step {
            _ if step.contains("end-") => {}
            _ if step.starts_with("update ") => _ = updates.insert((step.to_owned(), start), sum),
            _ => {
                let start = if step.starts_with("few ") { 0 } else { start };
                results.entry((step.to_owned(), start)).or_default().push(sum);
            }
        }
    }
    (results, updates)
}
