//! The inputs of the jobs: made from a seed, written once, and counted on the way for the check.

use std::collections::HashMap;
use std::error::Error;

use kafka_wire::client::{Client, ExclusiveProducer};
use kafka_wire::producer::ProducerConfig;
use kafka_wire::rng::Rng;
use kafka_wire::types::PartitionId;

use crate::check::{Expected, SENTINEL_KEY, fingerprint};
use crate::kafka::{PARTITIONS, Record, append, now_ms};
use crate::nexmark::{self, Query};
use crate::operators::{self, Operator};

/// The jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    /// Upper-case of 100-byte values under 8-byte keys: no state.
    UpperCase,
    /// Count per key; the input has the keys.
    Count,
    /// The same with a result for each record, as the others write it.
    CountEach,
    /// Count per key; the key is in the value, so a shuffle goes before.
    CountBehindShuffle,
    /// Count per word, of lines of ten words.
    WordCount,
    /// Sum per key and 10 s of event time, put out when the window closes.
    WindowedSum,
    /// Sums as in job D, in windows that all stay open and have one key each. There is no comparison with other
    /// systems.
    OpenWindows(Open),
    /// A query of Nexmark, from the topic of its events. There is no comparison with other systems.
    Nexmark(Query),
    /// A job that shows one operator.
    Operator(Operator),
}

/// The number of windows that stay open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Open {
    Many,
    VeryMany,
}

impl Open {
    pub(crate) const fn count(self) -> u64 {
        match self {
            Self::Many => 216_000,
            Self::VeryMany => 2_160_000,
        }
    }
}

impl Job {
    pub(crate) const ALL: [Self; 5] =
        [Self::UpperCase, Self::Count, Self::CountBehindShuffle, Self::WordCount, Self::WindowedSum];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::UpperCase => "a",
            Self::Count => "b1",
            Self::CountEach => "b1-every",
            Self::CountBehindShuffle => "b2",
            Self::WordCount => "c",
            Self::WindowedSum => "d",
            Self::OpenWindows(Open::Many) => "open-216k",
            Self::OpenWindows(Open::VeryMany) => "open-2160k",
            Self::Nexmark(query) => query.name(),
            Self::Operator(operator) => operator.name(),
        }
    }

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::UpperCase => "A, upper-case of 100 B",
            Self::Count => "B1, count of 1 M keys, input keyed",
            Self::CountEach => "B1 with every update out",
            Self::CountBehindShuffle => "B2, the same behind a shuffle",
            Self::WordCount => "C, word count; a record is a line of ten words",
            Self::WindowedSum => "D, sum per 10 s of event time, out at close",
            Self::OpenWindows(Open::Many) => "sum with 216,000 open windows",
            Self::OpenWindows(Open::VeryMany) => "sum with 2,160,000 open windows",
            Self::Nexmark(query) => query.title(),
            Self::Operator(operator) => operator.title(),
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let others = [Self::CountEach, Self::OpenWindows(Open::Many), Self::OpenWindows(Open::VeryMany)];
        let mut all = Self::ALL.into_iter().chain(others).chain(Self::nexmark()).chain(Self::operators());
        all.find(|job| job.name() == name)
    }

    /// The jobs that show one operator each.
    pub(crate) fn operators() -> impl Iterator<Item = Self> {
        Operator::ALL.into_iter().map(Self::Operator)
    }

    /// The input topics of the job whose topic is `input`.
    pub(crate) fn topics(self, input: &str) -> Vec<String> {
        match self {
            Self::Operator(operator) => operator.topics(input),
            _ => vec![input.to_owned()],
        }
    }

    /// The queries of Nexmark.
    pub(crate) fn nexmark() -> impl Iterator<Item = Self> {
        Query::ALL.into_iter().map(Self::Nexmark)
    }

    /// Whether the job ends at the end of its input, because nothing else would close its last windows.
    pub(crate) fn is_bounded(self) -> bool {
        // The windows of Q12 close by the time of day.
        matches!(self, Self::Nexmark(query) if query != Query::Q12)
    }

    /// Number of input records of this job when the others have `records`.
    pub(crate) const fn records(self, records: u64) -> u64 {
        match self {
            Self::WordCount => records / 10,
            Self::Operator(operator) => operator.records(records),
            _ => records,
        }
    }
}

/// The windows of job D.
pub(crate) const WINDOW_MS: i64 = 10_000;
/// Size of the windows of the jobs whose windows stay open.
pub(crate) const OPEN_WINDOW_MS: i64 = 1_000;

/// Writes the input of `job`, and returns the expected output.
pub(crate) async fn load(client: &Client, topic: &str, job: Job, records: u64) -> Result<Expected, Box<dyn Error>> {
    if let Job::Nexmark(query) = job {
        return nexmark::load(client, topic, query, records).await;
    }
    if let Job::Operator(operator) = job {
        return operators::load(client, topic, operator, records).await;
    }
    let mut producer = ExclusiveProducer::open(client, ProducerConfig::default()).await?;
    let topic = producer.topic(topic).await?;
    let mut source = Source::new(job, records)?;
    for index in 0..records {
        let record = source.next(index);
        let partition = match record.key.is_empty() {
            true => PartitionId((index % PARTITIONS.unsigned_abs() as u64) as i32),
            // Any rule would do that puts all records of a key into one partition.
            false => PartitionId((fingerprint(&record.key, b"") % PARTITIONS.unsigned_abs() as u64) as i32),
        };
        append(&mut producer, topic, partition, &record).await?;
    }
    if job == Job::WindowedSum {
        let key = SENTINEL_KEY.to_be_bytes().to_vec();
        let record = Record { key, value: 0_u64.to_be_bytes().to_vec(), timestamp_ms: source.end_ms() + 3_600_000 };
        for partition in 0..PARTITIONS {
            append(&mut producer, topic, PartitionId(partition), &record).await?;
        }
    }
    producer.flush().await?;
    Ok(source.expected)
}

/// Makes the records of one job, and counts the expected output.
struct Source {
    job: Job,
    rng: Rng,
    words: Vec<Vec<u8>>,
    /// Upper bounds of the words' shares of 0..2^64.
    shares: Vec<u64>,
    start_ms: i64,
    records: u64,
    expected: Expected,
}

impl Source {
    fn new(job: Job, records: u64) -> Result<Self, Box<dyn Error>> {
        let now = now_ms()?;
        // All event times lie in the past, the sentinels' too: brokers refuse timestamps far ahead of their clock.
        let span = i64::try_from(records)? + 3 * 3_600_000;
        let (words, shares) = if job == Job::WordCount { zipf_words() } else { (Vec::new(), Vec::new()) };
        let expected = match job {
            Job::UpperCase => Expected::Each { records: 0, fingerprints: 0 },
            Job::Count | Job::CountEach | Job::CountBehindShuffle | Job::WordCount => Expected::Last(HashMap::new()),
            Job::WindowedSum | Job::OpenWindows(_) => Expected::Once(HashMap::new()),
            Job::Nexmark(_) | Job::Operator(_) => unreachable!("its input is made elsewhere"),
        };
        Ok(Self { job, rng: Rng::from_seed(1), words, shares, start_ms: now - span, records, expected })
    }

    /// Event time of record `index`: in order, at the pace of job D, 5 M records an hour.
    const fn timestamp_ms(&self, index: u64) -> i64 {
        self.start_ms + (index * 18 / 25) as i64
    }

    const fn end_ms(&self) -> i64 {
        self.timestamp_ms(self.records)
    }

    fn next(&mut self, index: u64) -> Record {
        if let Job::OpenWindows(open) = self.job {
            // The first records open the windows in order; the others go to random windows.
            let window = if index < open.count() { index } else { self.rng.below(open.count()) };
            let timestamp_ms = self.start_ms - (open.count() - window) as i64 * OPEN_WINDOW_MS;
            let (key, value) = (window.to_be_bytes().to_vec(), 1_u64.to_be_bytes().to_vec());
            return Record { key, value, timestamp_ms };
        }
        let timestamp_ms = self.timestamp_ms(index);
        let (key, value) = match self.job {
            Job::UpperCase => self.letters(),
            Job::Count | Job::CountEach => (self.key(KEYS), 1_u64.to_be_bytes().to_vec()),
            Job::CountBehindShuffle => (Vec::new(), self.key(KEYS)),
            Job::WordCount => (Vec::new(), self.line()),
            Job::WindowedSum | Job::OpenWindows(_) => {
                (self.key(WINDOWED_KEYS), self.rng.below(1_000).to_be_bytes().to_vec())
            }
            Job::Nexmark(_) | Job::Operator(_) => unreachable!("its input is made elsewhere"),
        };
        match &mut self.expected {
            Expected::Each { records, fingerprints } => {
                *records += 1;
                *fingerprints = fingerprints.wrapping_add(fingerprint(&key, &value.to_ascii_uppercase()));
            }
            Expected::Last(counts) => match self.job {
                Job::Count | Job::CountEach => *counts.entry(key.clone()).or_default() += 1,
                Job::CountBehindShuffle => *counts.entry(value.clone()).or_default() += 1,
                _ => value.split(|byte| *byte == b' ').for_each(|word| match counts.get_mut(word) {
                    Some(count) => *count += 1,
                    None => drop(counts.insert(word.to_vec(), 1)),
                }),
            },
            Expected::Once(sums) => {
                let start = timestamp_ms - timestamp_ms.rem_euclid(WINDOW_MS);
                let amount = value.iter().fold(0, |sum, byte| sum << 8 | i64::from(*byte));
                *sums.entry([key.as_slice(), &start.to_be_bytes()].concat()).or_default() += amount;
            }
            Expected::Latest(_) | Expected::Sums(_) => unreachable!("of other jobs"),
        }
        Record { key, value, timestamp_ms }
    }

    fn key(&mut self, keys: u64) -> Vec<u8> {
        self.rng.below(keys).to_be_bytes().to_vec()
    }

    fn letters(&mut self) -> (Vec<u8>, Vec<u8>) {
        let key = self.rng.next_u64().to_be_bytes().to_vec();
        let mut value = Vec::with_capacity(100);
        while value.len() < 100 {
            let letters = self.rng.next_u64().to_be_bytes();
            value.extend(letters.iter().map(|byte| b'a' + byte % 26));
        }
        value.truncate(100);
        (key, value)
    }

    fn line(&mut self) -> Vec<u8> {
        let mut line = Vec::with_capacity(80);
        for index in 0..10 {
            if index > 0 {
                line.push(b' ');
            }
            let point = self.rng.next_u64();
            let word = self.shares.partition_point(|share| *share < point).min(WORDS - 1);
            line.extend_from_slice(&self.words[word]);
        }
        line
    }
}

/// The words of job C, the most frequent first, and the upper bound of each one's share of 0..2^64:
/// Zipf with exponent 0.99.
fn zipf_words() -> (Vec<Vec<u8>>, Vec<u64>) {
    let weights: Vec<f64> = (1..=WORDS).map(|rank| (rank as f64).powf(-0.99)).collect();
    let total: f64 = weights.iter().sum();
    let mut reached = 0.0;
    let shares = weights.iter().map(|weight| {
        reached += weight / total;
        (reached * u64::MAX as f64) as u64
    });
    let words = (0..WORDS).map(|rank| format!("w{rank}").into_bytes()).collect();
    (words, shares.collect())
}

const KEYS: u64 = 1_000_000;
const WINDOWED_KEYS: u64 = 10_000;
const WORDS: usize = 50_000;
