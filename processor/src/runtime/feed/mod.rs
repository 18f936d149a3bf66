//! Feeds a topic from outside of Kafka: files, a generator, the lines of a TCP connection.
//!
//! # Why a topic
//! A job reads topics, and the input of one goes through a topic first. That costs a write and a read of each record,
//! and brings what a job needs of an input: partitions that spread over workers and move between them, replay after a
//! crash, watermarks, and one order that everybody sees. A file gives none of that by itself, and a bounded read of
//! files is rarely what a job waits for. So the feed is a program, or a task, beside the job: one at a time.
//!
//! # What a crash repeats
//! Records and the position behind them are one transaction: the position of each file goes into the topic
//! `<name>-feed-positions`, which is compacted. A feed that starts again under the same name fences the earlier one,
//! and goes on from the committed positions: a `read_committed` reader gets each record once. It does not matter
//! which machine it runs on, as long as that sees the same files.
//!
//! A transaction that is open for longer than `transaction.timeout.ms`, because the input or a broker does not answer,
//! is aborted by its coordinator, and for the feed that looks as if another one had taken over. The feed then starts
//! over, unless the committed positions show that another one goes on in its place.
//!
//! Lines of a TCP connection cannot be read again: those that a crash takes away are lost, none comes twice.
//!
//! # Order
//! Files are read one after the other, in the order of their paths. Records of one key, or of one partition, keep the
//! order of their lines; records without a key are spread over the partitions.

mod files;
mod format;
mod input;
mod item;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::future::Future;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kafka_wire::admin::NewTopic;
use kafka_wire::client::{Client, Producer, SendError, read_to_end};
use kafka_wire::cluster::TopicPartition;
use kafka_wire::consumer::ConsumerConfig;
use kafka_wire::producer::{CommitError, FlushError, ProducerConfig, ProducerRecord, TransactionCause};
use kafka_wire::protocol::ErrorCode;
use kafka_wire::types::{IsolationLevel, PartitionId, TimestampMs};
use kafka_wire::wire::Str;
use tracing::{info, warn};

use self::files::Files;
pub use self::format::{FileFormat, FileRecords};
use self::input::{Generator, Input, TcpLines};
use self::item::Item;
use super::config::Config;
use super::error::RunError;
use super::obstacle::Obstacle;
use super::start::reach;

/// An input outside of Kafka, on its way into a topic, which must exist.
///
/// ```no_run
/// use processor::{Config, Feed};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// // Each line of each file below the folder becomes a record of the topic, once.
/// let fed = Feed::files("/var/orders").run("orders-in", "orders", &Config::new("127.0.0.1:9092")).await?;
/// println!("{fed} records");
/// # Ok(())
/// # }
/// ```
pub struct Feed {
    input: Input,
    key: Option<Extract<Vec<u8>>>,
    timestamp: Option<Extract<TimestampMs>>,
    watch: Option<Duration>,
    rate: Option<u32>,
    /// Whether it is to end after the present transaction.
    is_over: Arc<AtomicBool>,
}

/// Makes something of the bytes of a record.
type Extract<T> = Box<dyn FnMut(&[u8]) -> T + Send>;

impl Feed {
    /// The lines of a file, or of each file of a folder and the folders below it, without the line ends.
    ///
    /// A file is read to its end; lines that are appended to it later are read by the next look at it, so a file that
    /// grows should grow by whole lines. Files and folders whose names begin with a dot are left out, as a
    /// [`FileSink`](crate::FileSink) hides what is not complete. A line has 1 MiB at most.
    #[must_use]
    pub fn files(path: impl Into<PathBuf>) -> Self {
        Self::of(Input::Files(Files::new(path.into())))
    }

    /// `count` records; `make` makes the value of each from its number.
    #[must_use]
    pub fn generate(count: u64, make: impl FnMut(u64) -> Vec<u8> + Send + 'static) -> Self {
        Self::of(Input::Generator(Generator::new(count, Box::new(make))))
    }

    /// The lines that a server at `address` (`host:port`) sends, until it closes the connection; the last one may have
    /// no end, so of a server that dies within a line the feed takes what has come. A line has 1 MiB at most. For first
    /// steps: lines that are under way when either side dies are lost.
    #[must_use]
    pub fn tcp(address: &str) -> Self {
        Self::of(Input::Tcp(TcpLines::new(address.to_owned())))
    }

    fn of(input: Input) -> Self {
        Self { input, key: None, timestamp: None, watch: None, rate: None, is_over: Arc::default() }
    }

    /// The records of files are CSV: line ends in quotes belong to a record, empty lines to none.
    /// With `has_header`, the first record of each file is left out. A record whose quotes are open at the end of a
    /// file is read once it is whole, by a feed that [watches](Feed::watch); for any other it is an error.
    #[must_use]
    pub fn csv(mut self, has_header: bool) -> Self {
        if let Input::Files(files) = &mut self.input {
            files.is_csv = true;
            files.has_header = has_header;
        }
        self
    }

    /// The records of files are not lines, but those of a format, such as `Parquet` of `processor-formats`. A file must
    /// be complete when it shows under its name, and never change: write it under a name with a dot at its beginning
    /// first.
    #[must_use]
    pub fn rows(mut self, format: impl FileFormat) -> Self {
        if let Input::Files(files) = &mut self.input {
            files.format = Some(Box::new(format));
        }
        self
    }

    /// Gives each record a key, made of its value: records of a key go to one partition. By default there is none.
    #[must_use]
    pub fn key(self, key: impl FnMut(&[u8]) -> Vec<u8> + Send + 'static) -> Self {
        Self { key: Some(Box::new(key)), ..self }
    }

    /// Gives each record a timestamp, made of its value. By default it is the time at which it is read.
    #[must_use]
    pub fn timestamp(self, timestamp: impl FnMut(&[u8]) -> TimestampMs + Send + 'static) -> Self {
        Self { timestamp: Some(Box::new(timestamp)), ..self }
    }

    /// Looks for new files, and new lines of files, at this interval, instead of ending after the first look.
    #[must_use]
    pub fn watch(mut self, interval: Duration) -> Self {
        self.watch = Some(interval);
        if let Input::Files(files) = &mut self.input {
            files.is_watched = true;
        }
        self
    }

    /// Feeds at most this many records a second, in ten portions.
    #[must_use]
    pub const fn per_second(mut self, records: u32) -> Self {
        self.rate = Some(records);
        self
    }

    /// Feeds the topic until the input has ended. Returns the number of records that this call has fed.
    ///
    /// `name` names the positions and the transactional id; a feed with the same name ends the earlier one.
    ///
    /// # Errors
    /// As [`Feed::run_until`].
    pub async fn run(self, name: &str, topic: &str, config: &Config) -> Result<u64, RunError> {
        self.run_until(name, topic, config, std::future::pending()).await
    }

    /// As [`Feed::run`]; ends earlier, between two transactions, when `shutdown` completes.
    ///
    /// # Errors
    /// If the topic does not exist, the brokers refuse a record, the input cannot be read, or another feed has taken
    /// over the name. What passes, such as a broker that restarts, is waited for.
    pub async fn run_until(
        mut self,
        name: &str,
        topic: &str,
        config: &Config,
        shutdown: impl Future<Output = ()>,
    ) -> Result<u64, RunError> {
        config.client_config()?;
        let mut fed = 0;
        let is_over = Arc::clone(&self.is_over);
        {
            let feeding = pin!(async {
                loop {
                    match self.attempt((name, topic), config, &mut fed).await {
                        Ok(()) => return Ok(()),
                        Err(Obstacle::Stays(error)) => return Err(error),
                        Err(Obstacle::Passes(error)) => {
                            warn!(name, waits_for = %error, "the feed starts over");
                            tokio::time::sleep(PAUSE).await;
                        }
                    }
                }
            });
            select(feeding, shutdown, &is_over).await?;
        }
        info!(name, fed, "the feed has ended");
        Ok(fed)
    }

    /// Feeds from the committed positions on.
    async fn attempt(&mut self, (name, topic): (&str, &str), config: &Config, fed: &mut u64) -> Result<(), Obstacle> {
        let client = reach(config).await?;
        super::topics::existing(&client, topic, config).await?;
        let log = format!("{name}-feed-positions");
        create_log(&client, &log, config).await?;
        // It waits until the transaction that an earlier feed has left open is aborted.
        let settings = ProducerConfig {
            transaction_timeout: config.transaction_timeout,
            compression: config.compression,
            ..ProducerConfig::transactional(format!("{name}-feed"))
        };
        let producer = Producer::open(&client, settings).await;
        let producer = producer.map_err(|error| Obstacle::of(&error, RunError::Refused))?;
        let positions = read_positions(&client, &log).await?;
        let (pace, begun, timeout) = (Pace::new(self.rate), tokio::time::Instant::now(), config.transaction_timeout);
        let mut transactions = Transactions { client, producer, topic, log, positions, pace, begun, timeout };
        loop {
            for split in self.input.splits().map_err(stays)? {
                self.feed_split(&split, &mut transactions, fed).await?;
            }
            let Some(interval) = self.watch.filter(|_| !self.is_over()) else { break };
            tokio::time::sleep(interval).await;
        }
        // Every transaction is committed.
        transactions.producer.close_now().await;
        Ok(())
    }

    /// Feeds a split from its position to its present end.
    async fn feed_split(
        &mut self,
        split: &str,
        transactions: &mut Transactions<'_>,
        fed: &mut u64,
    ) -> Result<(), Obstacle> {
        let start = transactions.positions.get(split).copied().unwrap_or(0);
        self.input.open(split, start).await.map_err(stays)?;
        let mut value = Vec::new();
        while !self.is_over() {
            let records_max = transactions.pace.wait().await;
            let (mut position, mut records, mut bytes) = (None, 0, 0);
            let mut begun = tokio::time::Instant::now();
            let has_ended = loop {
                if records >= records_max || bytes >= BYTES_MAX || (records > 0 && begun.elapsed() >= AGE_MAX) {
                    break false;
                }
                let behind = match self.input.next(&mut value).await.map_err(stays)? {
                    Item::Record { behind } => behind,
                    Item::NoneYet if records == 0 && !self.is_over() => continue,
                    Item::NoneYet => break false,
                    Item::End => break true,
                };
                if position.replace(behind).is_none() {
                    transactions.begin()?;
                    begun = tokio::time::Instant::now();
                }
                let key = self.key.as_mut().map(|key| key(&value));
                let timestamp = self.timestamp.as_mut().map(|timestamp| timestamp(&value));
                transactions.send(key.as_deref(), &value, timestamp).await?;
                records += 1;
                bytes += value.len();
            };
            if let Some(position) = position {
                transactions.commit(split, position).await?;
                *fed += u64::from(records);
                transactions.pace.note(records);
            }
            if has_ended {
                break;
            }
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

/// Lets the feed end when `shutdown` completes. A transaction that takes too long then is cut off, and aborted by the
/// next feed of the name, or by its timeout.
async fn select(
    mut feeding: Pin<&mut impl Future<Output = Result<(), RunError>>>,
    shutdown: impl Future<Output = ()>,
    is_over: &AtomicBool,
) -> Result<(), RunError> {
    tokio::select! {
        biased;
        () = shutdown => {
            is_over.store(true, Ordering::Relaxed);
            tokio::time::timeout(STOP_TIMEOUT, feeding).await.unwrap_or(Ok(()))
        }
        result = &mut feeding => result,
    }
}

/// Writes records and positions in transactions.
struct Transactions<'a> {
    client: Client,
    producer: Producer,
    topic: &'a str,
    /// The topic of the positions.
    log: String,
    /// The committed positions.
    positions: BTreeMap<String, u64>,
    pace: Pace,
    /// The begin of the last transaction.
    begun: tokio::time::Instant,
    /// Time after which the coordinator aborts a transaction.
    timeout: Duration,
}

impl Transactions<'_> {
    fn begin(&mut self) -> Result<(), Obstacle> {
        self.begun = tokio::time::Instant::now();
        self.producer.begin_transaction().map_err(|error| Obstacle::of(&error, RunError::Refused))
    }

    async fn send(&self, key: Option<&[u8]>, value: &[u8], timestamp: Option<TimestampMs>) -> Result<(), Obstacle> {
        let mut record = ProducerRecord::to(self.topic).value(value);
        if let Some(key) = key {
            record = record.key(key);
        }
        if let Some(timestamp) = timestamp {
            record = record.timestamp(timestamp);
        }
        match self.producer.send(record).await {
            Ok(delivery) => {
                // The commit tells of all of them.
                delivery.forget();
                Ok(())
            }
            Err(error) => Err(self.not_sent(&error).await),
        }
    }

    async fn not_sent(&self, error: &SendError) -> Obstacle {
        if error.requires_abort()
            && let Err(cause) = self.producer.flush().await
        {
            return match &cause {
                FlushError::Transaction(TransactionCause::Refused {
                    code: ErrorCode::INVALID_PRODUCER_EPOCH | ErrorCode::PRODUCER_FENCED,
                    ..
                }) => self.fenced(&cause).await,
                _ => Obstacle::of(&cause, RunError::Refused),
            };
        }
        let refused = RunError::Refused(error.to_string());
        if error.is_retriable() { Obstacle::Passes(refused) } else { Obstacle::Stays(refused) }
    }

    async fn commit(&mut self, split: &str, position: u64) -> Result<(), Obstacle> {
        let text = position.to_string();
        let record = ProducerRecord::to(&self.log).partition(PartitionId(0)).key(split).value(&text);
        match self.producer.send(record).await {
            Ok(delivery) => delivery.forget(),
            Err(error) => return Err(self.not_sent(&error).await),
        }
        match self.producer.commit_transaction().await {
            Ok(()) => {
                self.positions.insert(split.to_owned(), position);
                Ok(())
            }
            Err(error @ CommitError::Fenced(_)) => Err(self.fenced(&error).await),
            // Whether it is committed or not, the positions tell.
            Err(error) => Err(Obstacle::of(&error, RunError::Refused)),
        }
    }

    /// Tells whether another feed has taken over the name. A coordinator that has aborted a transaction at its timeout
    /// answers in the same way; then nobody has gone on from the committed positions.
    async fn fenced(&self, error: &impl Display) -> Obstacle {
        let other = || Obstacle::Stays(RunError::Refused(format!("another feed has this name: {error}")));
        if self.begun.elapsed() < self.timeout {
            return other();
        }
        match read_positions(&self.client, &self.log).await {
            Ok(positions) if positions == self.positions => {
                Obstacle::Passes(RunError::Refused(format!("a transaction was open for too long: {error}")))
            }
            Ok(_) => other(),
            Err(obstacle) => obstacle,
        }
    }
}

/// The pace of the records.
struct Pace {
    rate: Option<u32>,
    next: tokio::time::Instant,
}

impl Pace {
    fn new(rate: Option<u32>) -> Self {
        Self { rate: rate.map(|rate| rate.max(1)), next: tokio::time::Instant::now() }
    }

    /// Waits until records may be fed. Returns how many.
    async fn wait(&self) -> u32 {
        let Some(rate) = self.rate else { return RECORDS_MAX };
        tokio::time::sleep_until(self.next).await;
        (rate / 10).clamp(1, RECORDS_MAX)
    }

    fn note(&mut self, records: u32) {
        if let Some(rate) = self.rate {
            // A feed that could not keep up does not make up for it.
            self.next = self.next.max(tokio::time::Instant::now()) + Duration::from_secs(1) * records / rate;
        }
    }
}

/// Creates the topic of the positions, if it is not there.
async fn create_log(client: &Client, log: &str, config: &Config) -> Result<(), Obstacle> {
    let mut topic = NewTopic::new(log, 1);
    topic.replication_factor = config.replication_factor;
    topic.configs = vec![(Str::from("cleanup.policy"), Str::from("compact"))];
    let created = client.create_topics(&[topic]).await;
    for (topic, outcome) in created.map_err(|error| Obstacle::of(&error, RunError::Connect))? {
        match outcome {
            Err(error) if error.code != ErrorCode::TOPIC_ALREADY_EXISTS => {
                let tell = |cause| RunError::CreateTopic { topic: topic.to_string(), cause };
                return Err(Obstacle::of(&error, tell));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// The committed positions, by split.
async fn read_positions(client: &Client, log: &str) -> Result<BTreeMap<String, u64>, Obstacle> {
    let mut positions = BTreeMap::new();
    let mut foreign = false;
    let settings = ConsumerConfig { isolation: IsolationLevel::ReadCommitted, ..ConsumerConfig::default() };
    let partitions = [TopicPartition::new(log, PartitionId(0))];
    let read = read_to_end(client, &partitions, settings, |_, record| {
        let text = |bytes: Option<&[u8]>| str::from_utf8(bytes?).ok().map(str::to_owned);
        match (text(record.key), text(record.value).and_then(|text| text.parse().ok())) {
            (Some(split), Some(position)) => drop(positions.insert(split, position)),
            (..) => foreign = true,
        }
    });
    // A partition of a new topic may have no leader yet, and anything else has another try as well.
    read.await.map_err(|error| Obstacle::Passes(RunError::Connect(error.to_string())))?;
    if foreign {
        return Err(Obstacle::Stays(RunError::Refused(format!("topic {log} has records that no feed has written"))));
    }
    Ok(positions)
}

fn stays(error: std::io::Error) -> Obstacle {
    Obstacle::Stays(RunError::Refused(format!("the input cannot be read: {error}")))
}

/// Most records of a transaction.
const RECORDS_MAX: u32 = 10_000;
/// Bytes of values after which a transaction is committed.
const BYTES_MAX: usize = 1 << 20;
/// Time after which a transaction is committed.
const AGE_MAX: Duration = Duration::from_millis(100);
/// Time for the last transaction of a feed that is to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause before the feed starts over.
const PAUSE: Duration = Duration::from_millis(500);
