//! Jobs that show one operator each: their input, their expected output, and how Waterwheel does them.
//!
//! Records have a key and a value of 8 bytes each. The left side of a join is in the topic of the job, and the right
//! side in one of the same name with `-right`.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use kafka_wire::client::{Client, ExclusiveProducer};
use kafka_wire::producer::ProducerConfig;
use kafka_wire::rng::Rng;
use kafka_wire::types::PartitionId;
use processor::cep::Pattern;
use processor::operator::{RecordTime, Source};
use processor::topology::{Builder, Stream};
use processor::{Emit, I64, JoinWindow, Raw, SessionWindow, Sliding, Tumbling, Watermark};

use crate::check::{Expected, SENTINEL_KEY, fingerprint};
use crate::kafka::{PARTITIONS, Record, append, now_ms};
use crate::rows::{Columns, bytes_of};

/// A job of one operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    /// The number of records in each session of a key, with a gap of 30 s.
    Sessions,
    /// The mean of 10 minutes, every 10 s, of each key.
    Sliding,
    /// Pairs of records of a key that are at most a minute apart, from two topics.
    Join,
    /// Records with the row of their key, of a million rows.
    Table,
    /// The ten greatest values of each key in 10 s.
    Top,
    /// An `a`, then one or more `b`, then a `c`, one right after the other, within a minute, of each key.
    Pattern,
}

impl Operator {
    pub(crate) const ALL: [Self; 6] =
        [Self::Sessions, Self::Sliding, Self::Join, Self::Table, Self::Top, Self::Pattern];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Sliding => "sliding",
            Self::Join => "join",
            Self::Table => "table",
            Self::Top => "top",
            Self::Pattern => "pattern",
        }
    }

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Sessions => "sessions of 100 K keys, gap 30 s, out at close",
            Self::Sliding => "mean of 10 min by 10 s of 100 K keys, out at close; 60 results a record",
            Self::Join => "join of two streams within 1 min, 100 K keys",
            Self::Table => "join of a stream with a table of 1 M rows",
            Self::Top => "ten greatest values in 10 s of 1 K keys, out at close",
            Self::Pattern => "pattern `a b+ c` within 1 min, 10 K keys",
        }
    }

    /// Number of records when other jobs have `records`.
    pub(crate) const fn records(self, records: u64) -> u64 {
        match self {
            Self::Sliding => records / 10,
            _ => records,
        }
    }

    const fn keys(self) -> u64 {
        match self {
            Self::Sessions | Self::Sliding | Self::Join => 100_000,
            Self::Table => 1_000_000,
            Self::Top => 1_000,
            Self::Pattern => 10_000,
        }
    }

    const fn has_right(self) -> bool {
        matches!(self, Self::Join | Self::Table)
    }

    /// The input topics of the job whose topic is `input`.
    pub(crate) fn topics(self, input: &str) -> Vec<String> {
        let right = self.has_right().then(|| format!("{input}-right"));
        std::iter::once(input.to_owned()).chain(right).collect()
    }
}

/// A record of the input.
#[derive(Clone, Copy)]
struct Row {
    is_right: bool,
    at: i64,
    key: u64,
    value: u64,
}

/// Makes the records, in the order of their times: 5 M an hour.
fn rows(operator: Operator, count: u64, start_ms: i64) -> Vec<Row> {
    let mut rng = Rng::from_seed(1);
    let mut rows = Vec::new();
    if operator == Operator::Table {
        rows.extend((0..operator.keys()).map(|key| Row { is_right: true, at: start_ms - 1, key, value: key * 7 }));
    }
    rows.extend((0..count).map(|index| {
        let (key, value) = (rng.below(operator.keys()), rng.below(1_000_000));
        let is_right = operator == Operator::Join && value % 2 == 1;
        Row { is_right, at: start_ms + (index * 18 / 25) as i64, key, value }
    }));
    rows
}

/// Writes the input of a job into its topics, and returns the expected output.
pub(crate) async fn load(
    client: &Client,
    input: &str,
    operator: Operator,
    count: u64,
) -> Result<Expected, Box<dyn Error>> {
    // All event times lie in the past, the last ones too: brokers refuse timestamps far ahead of their clock.
    let start_ms = now_ms()? - i64::try_from(count)? - 3 * 3_600_000;
    let rows = rows(operator, count, start_ms);
    let mut producer = ExclusiveProducer::open(client, ProducerConfig::default()).await?;
    let mut topics = Vec::new();
    for topic in operator.topics(input) {
        topics.push(producer.topic(&topic).await?);
    }
    for row in &rows {
        let (key, value) = (row.key.to_be_bytes().to_vec(), row.value.to_be_bytes().to_vec());
        let partition = (fingerprint(&key, b"") % PARTITIONS.unsigned_abs() as u64) as i32;
        let record = Record { key, value, timestamp_ms: row.at };
        append(&mut producer, topics[usize::from(row.is_right)], PartitionId(partition), &record).await?;
    }
    // The last records close all windows; they are in none that closes.
    for partition in 0..PARTITIONS {
        let key = SENTINEL_KEY.to_be_bytes().to_vec();
        let record = Record { key, value: OTHER.to_be_bytes().to_vec(), timestamp_ms: now_ms()? - 3_600_000 };
        if !operator.has_right() {
            append(&mut producer, topics[0], PartitionId(partition), &record).await?;
        }
    }
    producer.flush().await?;
    Ok(expected(operator, &rows))
}

fn expected(operator: Operator, rows: &[Row]) -> Expected {
    let mut of_key: BTreeMap<u64, Vec<Row>> = BTreeMap::new();
    rows.iter().for_each(|row| of_key.entry(row.key).or_default().push(*row));
    let once = |results: Vec<(u64, i64, i64)>| {
        Expected::Once(results.into_iter().map(|(key, start, number)| (bytes_of(&(key, start)), number)).collect())
    };
    match operator {
        Operator::Sessions => once(of_key.values().flat_map(|rows| sessions(rows)).collect()),
        Operator::Sliding => once(of_key.values().flat_map(|rows| means(rows)).collect()),
        Operator::Join => each(of_key.values().flat_map(|rows| pairs(rows))),
        Operator::Table => {
            let left = rows.iter().filter(|row| !row.is_right);
            each(left.map(|row| (row.key, bytes_of(&(row.value, row.key * 7)))))
        }
        Operator::Top => each(of_key.values().flat_map(|rows| greatest(rows))),
        Operator::Pattern => each(of_key.values().flat_map(|rows| matches(rows))),
    }
}

fn each(results: impl Iterator<Item = (u64, Vec<u8>)>) -> Expected {
    let (mut records, mut fingerprints) = (0, 0_u64);
    for (key, value) in results {
        records += 1;
        fingerprints = fingerprints.wrapping_add(fingerprint(&key.to_be_bytes(), &value));
    }
    Expected::Each { records, fingerprints }
}

fn sessions(rows: &[Row]) -> Vec<(u64, i64, i64)> {
    let sessions = rows.chunk_by(|one, next| next.at - one.at <= GAP_MS);
    sessions.map(|session| (session[0].key, session[0].at, session.len() as i64)).collect()
}

fn means(rows: &[Row]) -> Vec<(u64, i64, i64)> {
    let mut windows: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    for row in rows {
        let last = row.at.div_euclid(SLIDE_MS) * SLIDE_MS;
        for start in (last - SIZE_MS + SLIDE_MS..=last).step_by(SLIDE_MS as usize) {
            let (sum, count) = windows.entry(start).or_default();
            (*sum, *count) = (*sum + row.value as i64, *count + 1);
        }
    }
    windows.into_iter().map(|(start, (sum, count))| (rows[0].key, start, sum / count)).collect()
}

fn pairs(rows: &[Row]) -> Vec<(u64, Vec<u8>)> {
    let mut pairs = Vec::new();
    for left in rows.iter().filter(|row| !row.is_right) {
        let near = rows.iter().filter(|row| row.is_right && row.at.abs_diff(left.at) <= 60_000);
        pairs.extend(near.map(|right| (left.key, bytes_of(&(left.value, right.value)))));
    }
    pairs
}

fn greatest(rows: &[Row]) -> Vec<(u64, Vec<u8>)> {
    let mut windows: BTreeMap<i64, Vec<u64>> = BTreeMap::new();
    rows.iter().for_each(|row| windows.entry(row.at.div_euclid(10_000) * 10_000).or_default().push(row.value));
    let top = |(start, mut values): (i64, Vec<u64>)| {
        values.sort_unstable_by(|one, other| other.cmp(one));
        let mut result = bytes_of(&start);
        values.iter().take(TOP).for_each(|value| result.extend_from_slice(&value.to_be_bytes()));
        (rows[0].key, result)
    };
    windows.into_iter().map(top).collect()
}

/// The value of the `a`, and the number of the `b`, of each match.
fn matches(rows: &[Row]) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    for (index, first) in rows.iter().enumerate().filter(|(_, row)| is_a(row.value)) {
        let middle = rows[index + 1..].iter().take_while(|row| is_b(row.value)).count();
        let last = rows.get(index + 1 + middle).filter(|row| is_c(row.value) && row.at - first.at < 60_000);
        if middle > 0 && last.is_some() {
            found.push((first.key, bytes_of(&(first.value, middle as i64))));
        }
    }
    found
}

fn is_a(value: u64) -> bool {
    value.is_multiple_of(8)
}

fn is_b(value: u64) -> bool {
    (1..=5).contains(&(value % 8))
}

fn is_c(value: u64) -> bool {
    value % 8 == 6
}

/// A value that is in no match.
const OTHER: u64 = 7;
const GAP_MS: i64 = 30_000;
const SIZE_MS: i64 = 600_000;
const SLIDE_MS: i64 = 10_000;
const TOP: usize = 10;

/// The records of a topic.
fn records(builder: &mut Builder, topic: &str) -> Stream<Raw, Source<Raw, I64, RecordTime>> {
    builder.keyed_stream(topic, Raw, I64).watermark(Watermark::bounded(Duration::ZERO))
}

/// Declares the job on Waterwheel.
pub(crate) fn declare(operator: Operator, builder: &mut Builder, (input, output): (&str, &str)) {
    let right = format!("{input}-right");
    let input = records(builder, input);
    match operator {
        Operator::Sessions => input
            .window(SessionWindow::gap(Duration::from_secs(30)))
            .count("sessions", Emit::OnClose)
            .map(|session| (session.window.start, *session.value as i64))
            .to(output, Raw, Columns::new()),
        Operator::Sliding => input
            .window(Sliding::of(Duration::from_secs(600)).every(Duration::from_secs(10)))
            .aggregate_merged(
                "means",
                Columns::<(i64, i64)>::new(),
                Emit::OnClose,
                || (0, 0),
                |mean, record| *mean = (mean.0 + record.value, mean.1 + 1),
                |mean, later| *mean = (mean.0 + later.0, mean.1 + later.1),
            )
            .map(|mean| (mean.window.start, mean.value.0 / mean.value.1))
            .to(output, Raw, Columns::new()),
        Operator::Join => {
            let right = records(builder, &right);
            let window = JoinWindow::within(Duration::from_secs(60));
            input.join("pairs", right, window, (I64, I64), |left, right| (*left, *right)).to(
                output,
                Raw,
                Columns::new(),
            );
        }
        Operator::Table => {
            let rows = builder.table(&right, "rows", Raw, I64);
            input.join_table(&rows, |record, row| (record.value, *row)).to(output, Raw, Columns::new());
        }
        Operator::Top => input
            .window(Tumbling::of(Duration::from_secs(10)))
            .top_n("top", Emit::OnClose, TOP, |record| record.value)
            .map(|top| {
                top.value.iter().fold(bytes_of(&top.window.start), |mut bytes, value| {
                    bytes.extend_from_slice(&value.to_be_bytes());
                    bytes
                })
            })
            .to(output, Raw, Raw),
        Operator::Pattern => {
            let kind = |is: fn(u64) -> bool| move |value: &i64| is(value.cast_unsigned());
            let pattern = Pattern::begin("a", kind(is_a)).next("b", kind(is_b)).one_or_more().consecutive();
            let pattern = pattern.next("c", kind(is_c)).within(Duration::from_secs(60));
            let matched = input.pattern(pattern).detect("matches", I64, |matched| {
                (matched.first("a").copied().unwrap_or_default(), matched.events("b").count() as i64)
            });
            matched.to(output, Raw, Columns::new());
        }
    }
}
