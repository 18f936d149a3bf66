//! Stateful operators in processes that are killed. Two processes of the example `jobs` share a group,
//! are killed with SIGKILL and started again while records keep coming. The committed output must equal a plain
//! computation over the input.
//!
//! Every run prints its seed; `WATERWHEEL_SEED` repeats it, as far as the machine's timing allows.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::time::Duration;

use conformance::reader::{Tail, create_topic, read_to_end, until_stable};
use conformance::wordcount::WordCount;
use conformance::{TestBroker, connect, eventually, on_both_brokers};
use kafka_wire::client::{Client, ExclusiveProducer};
use kafka_wire::consumer::IsolationLevel;
use kafka_wire::producer::{NewRecord, ProducerConfig, partition_for_key};
use kafka_wire::rng::Rng;
use kafka_wire::types::{PartitionId, TimestampMs};
use tokio::time::sleep;

on_both_brokers!(
    sessions_survive_kills,
    timers_survive_kills,
    rows_of_a_table_survive_kills,
    foreign_rows_survive_kills,
    dead_letters_survive_kills,
    patterns_survive_kills,
);

const KILLS: u32 = 6;
const PARTITIONS: i32 = 2;
/// Longest wait for output: a rebalance takes a session timeout at worst, and processes start slowly beside other
/// suites.
const OUTPUT_WAIT_MAX: Duration = Duration::from_secs(120);

/// Two processes of one job.
struct Processes {
    processes: Vec<WordCount>,
    rng: Rng,
    /// Temporary directory, removed at the end.
    temporary: PathBuf,
}

impl Processes {
    fn start(broker: &TestBroker, job: &str, topics: &[&str], seed: u64) -> Self {
        let application = broker.unique(job);
        let temporary = std::env::temp_dir().join(&application);
        std::fs::create_dir_all(&temporary).expect("the directory for temporary files can be written");
        let arguments = [&[job, broker.bootstrap(), &application], topics].concat();
        let processes = (0..2).map(|_| WordCount::start_program("jobs", &arguments, &temporary)).collect();
        Self { processes, rng: Rng::from_seed(seed), temporary }
    }

    /// Kills a process after a moment, and starts it again after another one.
    async fn kill_one(&mut self) {
        sleep(Duration::from_millis(self.rng.below(1_000))).await;
        let victim = usize::try_from(self.rng.below(2)).expect("0 or 1");
        self.processes[victim].kill();
        sleep(Duration::from_millis(self.rng.below(500))).await;
        self.processes[victim].restart();
    }

    async fn stop(self) {
        for process in self.processes {
            let log = process.log();
            let (status, _) = process.stop().await;
            assert!(status.success(), "SIGTERM: {status}\n{log}");
        }
        let _ = std::fs::remove_dir_all(&self.temporary);
    }
}

/// The gap of the example's sessions.
const GAP_MS: i64 = 2_000;

async fn sessions_survive_kills(broker: TestBroker) {
    clicks_survive_kills(broker, "sessions", sessions).await;
}

async fn timers_survive_kills(broker: TestBroker) {
    clicks_survive_kills(broker, "tally", tallies).await;
}

/// User and start, end and clicks of each result.
type Results = Vec<((String, i64), (i64, i64))>;

/// A job that counts clicks in spans of time; `model` computes its results for the sorted times of a user.
async fn clicks_survive_kills(broker: TestBroker, job: &str, model: fn(&str, &BTreeSet<i64>) -> Results) {
    let seed = seed();
    let client = connect(broker.bootstrap()).await;
    let (input, output) = (broker.unique("clicks"), broker.unique(job));
    for topic in [&input, &output] {
        create_topic(&client, topic, PARTITIONS).await;
    }
    let mut processes = Processes::start(&broker, job, &[&input, &output], seed);
    let tail = Tail::start(&client, &output, IsolationLevel::ReadCommitted).await;
    let mut rng = Rng::from_seed(seed + 1);
    let mut writer = Writer::open(&client, &input).await;
    let (mut clicks, mut now) = (BTreeMap::<String, BTreeSet<i64>>::new(), 1_700_000_000_000);
    for _ in 0..KILLS {
        for _ in 0..20 {
            for _ in 0..10 {
                // Times are out of order by less than the second that the example allows for, and no two clicks
                // of a user have the same time.
                now += i64::try_from(rng.below(60)).expect("small");
                let (user, at) = (rng.below(60), now - i64::try_from(rng.below(900)).expect("small"));
                if clicks.entry(format!("user{user}")).or_default().insert(at) {
                    writer.append(user, &format!("user{user}"), "/", at);
                }
            }
            writer.flush().await;
            sleep(Duration::from_millis(30)).await;
        }
        processes.kill_one().await;
    }
    // A click far in the future in every partition ends all sessions before it.
    (0..2).for_each(|partition| writer.append(partition, &format!("end{partition}"), "/", now + 3_600_000));
    writer.flush().await;

    let expected: BTreeMap<_, _> = clicks.iter().flat_map(|(user, times)| model(user, times)).collect();
    let all = || std::future::ready(tail.look(|arrivals| (arrivals.len() >= expected.len()).then_some(())));
    eventually("all results", OUTPUT_WAIT_MAX, all).await;
    processes.stop().await;
    until_stable(&client, &output).await;
    let mut found = BTreeMap::new();
    for record in read_to_end(&client, &output, IsolationLevel::ReadCommitted).await {
        let (user, value) = record.text();
        let session: serde_json::Value = serde_json::from_str(value).expect("JSON");
        let number = |name: &str| session[name].as_i64().expect("a number");
        let earlier = found.insert((user.to_owned(), number("from")), (number("to"), number("clicks")));
        assert_eq!(earlier, None, "twice: {user} {value}, seed {seed}");
    }
    assert_eq!(found, expected, "seed {seed}");
    eprintln!("{} results of {job} right after {KILLS} kills, seed {seed}", found.len());
}

/// Computes the sessions of sorted times: user and start, end and clicks.
fn sessions(user: &str, times: &BTreeSet<i64>) -> Results {
    let mut sessions = Results::new();
    for time in times {
        match sessions.last_mut() {
            Some((_, (end, clicks))) if time <= end => (*end, *clicks) = (time + GAP_MS, *clicks + 1),
            _ => sessions.push(((user.to_owned(), *time), (time + GAP_MS, 1))),
        }
    }
    sessions
}

/// Counts sorted times in windows of two seconds.
fn tallies(user: &str, times: &BTreeSet<i64>) -> Results {
    let mut tallies = Results::new();
    for time in times {
        let start = time.div_euclid(2_000) * 2_000;
        match tallies.last_mut() {
            Some(((_, last), (_, clicks))) if *last == start => *clicks += 1,
            _ => tallies.push(((user.to_owned(), start), (start + 2_000, 1))),
        }
    }
    tallies
}

async fn rows_of_a_table_survive_kills(broker: TestBroker) {
    let seed = seed();
    let client = connect(broker.bootstrap()).await;
    let names = ["orders", "customers", "enriched"].map(|name| broker.unique(name));
    for topic in &names {
        create_topic(&client, topic, PARTITIONS).await;
    }
    let topics = [names[0].as_str(), &names[1], &names[2]];
    let mut processes = Processes::start(&broker, "enrich", &topics, seed);
    let tail = Tail::start(&client, topics[2], IsolationLevel::ReadCommitted).await;
    let mut customers = Writer::open(&client, topics[1]).await;
    (0..50).for_each(|id| customers.append(id, &format!("c{id}"), &format!("name{id}"), 1_700_000_000_000));
    customers.flush().await;

    // Writes orders until each customer has been found once: from then on the rows are known to be there.
    let mut orders = Writer::open(&client, topics[0]).await;
    let mut count = 0;
    let mut order = |orders: &mut Writer| {
        let id = count % 50;
        orders.append(
            id,
            &format!("c{id}"),
            &format!("order{count}"),
            1_700_000_000_000 + i64::try_from(count).expect("few"),
        );
        count += 1;
        count
    };
    let mut is_there = BTreeSet::new();
    let started = tokio::time::Instant::now();
    while is_there.len() < 50 {
        assert!(started.elapsed() < OUTPUT_WAIT_MAX, "customers found: {}, seed {seed}", is_there.len());
        (0..50).for_each(|_| _ = order(&mut orders));
        orders.flush().await;
        sleep(Duration::from_millis(300)).await;
        tail.look(|arrivals| {
            let found = arrivals.iter().map(|arrival| arrival.record.text());
            is_there.extend(found.filter(|(_, value)| !value.contains("null")).map(|(key, _)| key.to_owned()));
        });
    }
    let before = order(&mut orders) - 1;
    let mut written = 0;
    for _ in 0..KILLS {
        for _ in 0..20 {
            (0..10).for_each(|_| written = order(&mut orders));
            orders.flush().await;
            sleep(Duration::from_millis(30)).await;
        }
        processes.kill_one().await;
    }
    let all = usize::try_from(written).expect("few");
    let arrived = || std::future::ready(tail.look(|arrivals| (arrivals.len() >= all).then_some(())));
    eventually("all orders", OUTPUT_WAIT_MAX, arrived).await;
    processes.stop().await;
    until_stable(&client, topics[2]).await;
    let mut found = BTreeSet::new();
    for record in read_to_end(&client, topics[2], IsolationLevel::ReadCommitted).await {
        let (key, value) = record.text();
        let enriched: serde_json::Value = serde_json::from_str(value).expect("JSON");
        let order = enriched["order"].as_str().and_then(|order| order.strip_prefix("order"));
        let order: u64 = order.and_then(|order| order.parse().ok()).expect("the number of an order");
        assert!(found.insert(order), "twice: {value}, seed {seed}");
        if order >= before {
            let name = format!("name{}", key.strip_prefix('c').expect("an id"));
            assert_eq!(enriched["customer"].as_str(), Some(name.as_str()), "order {order}, seed {seed}");
        }
    }
    assert_eq!(found.len(), all, "seed {seed}");
    eprintln!("{all} orders right after {KILLS} kills, seed {seed}");
}

/// Bills end as orders and customers say, and no bill is of an older order than one before it.
async fn foreign_rows_survive_kills(broker: TestBroker) {
    let seed = seed();
    let client = connect(broker.bootstrap()).await;
    let names = ["orders", "customers", "bills"].map(|name| broker.unique(name));
    for topic in &names {
        create_topic(&client, topic, PARTITIONS).await;
    }
    let topics = [names[0].as_str(), &names[1], &names[2]];
    let mut processes = Processes::start(&broker, "bills", &topics, seed);
    let mut rng = Rng::from_seed(seed + 1);
    let (mut orders, mut customers) = (BTreeMap::new(), BTreeMap::new());
    let mut of_orders = Writer::open(&client, topics[0]).await;
    let mut of_customers = Writer::open(&client, topics[1]).await;
    let mut number = 0;
    for _ in 0..KILLS {
        for _ in 0..20 {
            for _ in 0..10 {
                number += 1;
                let (id, to) = (rng.below(20), rng.below(6));
                if rng.below(4) == 0 {
                    let row = (rng.below(4) > 0).then(|| format!(r#"{{"name":"name{number}"}}"#));
                    let key = format!("c{to}");
                    of_customers.append_keyed(&key, row.as_deref(), 1_700_000_000_000 + number);
                    customers.insert(key, row.map(|_| format!("name{number}")));
                } else {
                    let customer = if to < 5 { format!(r#""c{to}""#) } else { "null".to_owned() };
                    let row = (rng.below(4) > 0).then(|| format!(r#"{{"customer":{customer},"item":"{number:06}"}}"#));
                    let key = format!("o{id}");
                    of_orders.append_keyed(&key, row.as_deref(), 1_700_000_000_000 + number);
                    let customer = if to < 5 { format!("c{to}") } else { String::new() };
                    orders.insert(key, row.map(|_| (format!("{number:06}"), customer)));
                }
            }
            of_customers.flush().await;
            of_orders.flush().await;
            sleep(Duration::from_millis(30)).await;
        }
        processes.kill_one().await;
    }
    let bill = |(key, order): (&String, &Option<(String, String)>)| {
        let (item, customer) = order.as_ref()?;
        Some((key.clone(), (item.clone(), customers.get(customer).cloned().flatten())))
    };
    let expected: BTreeMap<_, _> = orders.iter().filter_map(bill).collect();
    let arrived = async || (bills(&client, topics[2], seed).await == expected).then_some(());
    eventually("all bills", OUTPUT_WAIT_MAX, arrived).await;
    processes.stop().await;
    until_stable(&client, topics[2]).await;
    assert_eq!(bills(&client, topics[2], seed).await, expected, "seed {seed}");
    eprintln!("{} bills right after {KILLS} kills, seed {seed}", expected.len());
}

/// Reads the last bill of each order: its item and the name of its customer.
async fn bills(client: &Client, topic: &str, seed: u64) -> BTreeMap<String, (String, Option<String>)> {
    let (mut bills, mut last) = (BTreeMap::new(), BTreeMap::<String, String>::new());
    for record in read_to_end(client, topic, IsolationLevel::ReadCommitted).await {
        let key = String::from_utf8(record.key.clone().expect("a key")).expect("UTF-8");
        let Some(value) = &record.value else {
            assert!(bills.remove(&key).is_some(), "{key} was there, seed {seed}");
            continue;
        };
        let bill: serde_json::Value = serde_json::from_slice(value).expect("JSON");
        let item = bill["item"].as_str().expect("an item").to_owned();
        let before = last.insert(key.clone(), item.clone());
        assert!(before.as_ref().is_none_or(|before| *before <= item), "{key}: {item} after {before:?}, seed {seed}");
        bills.insert(key, (item, bill["name"].as_str().map(str::to_owned)));
    }
    bills
}

/// The payments that fail are put aside once, and the balances are those of the others.
async fn dead_letters_survive_kills(broker: TestBroker) {
    let seed = seed();
    let client = connect(broker.bootstrap()).await;
    let names = ["payments", "balances", "dead"].map(|name| broker.unique(name));
    for topic in &names {
        create_topic(&client, topic, PARTITIONS).await;
    }
    let topics = [names[0].as_str(), &names[1], &names[2]];
    let mut processes = Processes::start(&broker, "guarded", &topics, seed);
    let tail = Tail::start(&client, topics[1], IsolationLevel::ReadCommitted).await;
    let dead_tail = Tail::start(&client, topics[2], IsolationLevel::ReadCommitted).await;
    let mut rng = Rng::from_seed(seed + 1);
    let mut writer = Writer::open(&client, topics[0]).await;
    let mut expected = BTreeMap::<String, Vec<i64>>::new();
    let (mut balances, mut failed) = (BTreeMap::<String, i64>::new(), Vec::new());
    for _ in 0..KILLS {
        for _ in 0..20 {
            for _ in 0..10 {
                let (account, amount) = (rng.below(20), i64::try_from(rng.below(100)).expect("small") - 40);
                let key = format!("a{account}");
                let text = if rng.below(30) == 0 { "ten".to_owned() } else { amount.to_string() };
                writer.append(account, &key, &text, 1_700_000_000_000);
                let balance = balances.entry(key.clone()).or_default();
                match text.parse::<i64>().ok().map(|amount| *balance + amount).filter(|balance| *balance >= 0) {
                    Some(new) => {
                        *balance = new;
                        expected.entry(key).or_default().push(new);
                    }
                    None => failed.push((key, text)),
                }
            }
            writer.flush().await;
            sleep(Duration::from_millis(30)).await;
        }
        processes.kill_one().await;
    }
    let count = expected.values().map(Vec::len).sum::<usize>();
    let all = || std::future::ready(tail.look(|arrivals| (arrivals.len() >= count).then_some(())));
    eventually("all balances", OUTPUT_WAIT_MAX, all).await;
    let all = || std::future::ready(dead_tail.look(|arrivals| (arrivals.len() >= failed.len()).then_some(())));
    eventually("all dead letters", OUTPUT_WAIT_MAX, all).await;
    processes.stop().await;
    let mut found = BTreeMap::<String, Vec<i64>>::new();
    for topic in &topics[1..] {
        until_stable(&client, topic).await;
    }
    for record in read_to_end(&client, topics[1], IsolationLevel::ReadCommitted).await {
        let key = String::from_utf8(record.key.clone().expect("a key")).expect("UTF-8");
        let balance = record.value.as_deref().unwrap_or_default().try_into().expect("eight bytes");
        found.entry(key).or_default().push(i64::from_be_bytes(balance));
    }
    assert_eq!(found, expected, "seed {seed}");
    let dead = read_to_end(&client, topics[2], IsolationLevel::ReadCommitted).await;
    let mut dead: Vec<_> =
        dead.iter().map(|record| record.text()).map(|(key, text)| (key.to_owned(), text.to_owned())).collect();
    dead.sort();
    failed.sort();
    assert_eq!(dead, failed, "seed {seed}");
    eprintln!("{count} balances and {} dead letters right after {KILLS} kills, seed {seed}", dead.len());
}

/// The time within which the example looks for its pattern.
const WITHIN_MS: i64 = 60_000;

async fn patterns_survive_kills(broker: TestBroker) {
    let seed = seed();
    let client = connect(broker.bootstrap()).await;
    let (input, output) = (broker.unique("payments"), broker.unique("alerts"));
    for topic in [&input, &output] {
        create_topic(&client, topic, PARTITIONS).await;
    }
    let mut processes = Processes::start(&broker, "probes", &[&input, &output], seed);
    let tail = Tail::start(&client, &output, IsolationLevel::ReadCommitted).await;
    let mut rng = Rng::from_seed(seed + 1);
    let mut writer = Writer::open(&client, &input).await;
    let (mut payments, mut now) = (BTreeMap::<String, BTreeMap<i64, u64>>::new(), 1_700_000_000_000);
    for _ in 0..KILLS {
        for _ in 0..20 {
            for _ in 0..10 {
                // Times are out of order by less than the second that the example allows for, and no two payments of
                // a card have the same time. A card pays every 7 seconds, so that some alerts come too late.
                now += i64::try_from(rng.below(700)).expect("small");
                let (card, at) = (rng.below(20), now - i64::try_from(rng.below(900)).expect("small"));
                let amount = [1 + rng.below(9), 1 + rng.below(9), 10 + rng.below(400), 501 + rng.below(400)]
                    [usize::try_from(rng.below(4)).expect("0 to 3")];
                if let Entry::Vacant(vacant) = payments.entry(format!("card{card}")).or_default().entry(at) {
                    vacant.insert(amount);
                    writer.append(card, &format!("card{card}"), &amount.to_string(), at);
                }
            }
            writer.flush().await;
            sleep(Duration::from_millis(30)).await;
        }
        processes.kill_one().await;
    }
    // A payment far in the future in every partition lets all payments before it be looked at.
    (0..2).for_each(|partition| writer.append(partition, &format!("end{partition}"), "100", now + 3_600_000));
    writer.flush().await;

    let expected: BTreeMap<_, _> = payments.iter().flat_map(|(card, payments)| alerts(card, payments)).collect();
    let all = || std::future::ready(tail.look(|arrivals| (arrivals.len() >= expected.len()).then_some(())));
    eventually("all alerts", OUTPUT_WAIT_MAX, all).await;
    processes.stop().await;
    until_stable(&client, &output).await;
    let mut found = BTreeMap::new();
    for record in read_to_end(&client, &output, IsolationLevel::ReadCommitted).await {
        let (card, value) = record.text();
        let alert: serde_json::Value = serde_json::from_str(value).expect("JSON");
        let number = |name: &str| alert[name].as_i64().expect("a number");
        let what = (number("from"), number("probes"), number("amount"));
        let earlier = found.insert((card.to_owned(), number("to")), what);
        assert_eq!(earlier, None, "twice: {card} {value}, seed {seed}");
    }
    assert_eq!(found, expected, "seed {seed}");
    assert!(found.len() > 20, "only {} alerts, seed {seed}", found.len());
    eprintln!("{} alerts right after {KILLS} kills, seed {seed}", found.len());
}

/// Computes the alerts for the payments of a card by time: card and end; start, number of probes, and amount.
fn alerts(card: &str, payments: &BTreeMap<i64, u64>) -> Vec<((String, i64), (i64, i64, i64))> {
    let mut alerts = Vec::new();
    let mut probes = Vec::new();
    for (at, amount) in payments {
        if *amount < 10 {
            probes.push(*at);
            continue;
        }
        probes.retain(|probe| at - probe < WITHIN_MS);
        if *amount > 500 && probes.len() >= 2 {
            let (count, amount) = (i64::try_from(probes.len()).expect("few"), i64::try_from(*amount).expect("small"));
            alerts.push(((card.to_owned(), *at), (probes[0], count, amount)));
        }
        probes.clear();
    }
    alerts
}

/// A writer of records with keys; all records of one number go to one partition.
struct Writer {
    producer: ExclusiveProducer,
    topic: kafka_wire::producer::TopicHandle,
}

impl Writer {
    async fn open(client: &Client, topic: &str) -> Self {
        let mut producer = ExclusiveProducer::open(client, ProducerConfig::default()).await.expect("a producer opens");
        let topic = producer.topic(topic).await.expect("the topic is there");
        Self { producer, topic }
    }

    fn append(&mut self, number: u64, key: &str, value: &str, at: i64) {
        let partition = PartitionId(i32::try_from(number % 2).expect("0 or 1"));
        let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
        let record = NewRecord { timestamp: TimestampMs(at), key, value, ..NewRecord::default() };
        self.producer.append(self.topic, partition, record).expect("the buffer has room");
    }

    /// Appends a record to the partition of its key; null deletes a row.
    fn append_keyed(&mut self, key: &str, value: Option<&str>, at: i64) {
        let partition = partition_for_key(key.as_bytes(), PARTITIONS);
        let (key, value) = (Some(key.as_bytes()), value.map(str::as_bytes));
        let record = NewRecord { timestamp: TimestampMs(at), key, value, ..NewRecord::default() };
        self.producer.append(self.topic, partition, record).expect("the buffer has room");
    }

    async fn flush(&mut self) {
        self.producer.flush().await.expect("every record is acknowledged");
    }
}

fn seed() -> u64 {
    let given = std::env::var("WATERWHEEL_SEED").ok().map(|seed| seed.parse().expect("WATERWHEEL_SEED is a number"));
    given.unwrap_or_else(|| RandomState::new().hash_one("operators") % 1_000_000)
}
