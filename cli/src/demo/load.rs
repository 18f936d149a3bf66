//! Writing the demo's input to its topic.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Instant;

use kafka_wire::client::{Client, Producer};
use kafka_wire::compression::Compression;
use kafka_wire::producer::{AppendError, ProducerConfig};
use kafka_wire::record::RawHeaders;
use kafka_wire::types::{PartitionId, TimestampMs};

use super::input::{Input, Line};

/// What was written, and how fast.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) lines: u64,
    bytes: u64,
    seconds: f64,
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lines, bytes, seconds } = self;
        let rate = *lines as f64 / seconds.max(0.001) / 1_000.0;
        write!(f, "{lines} lines, {:.1} MB, in {seconds:.1} s ({rate:.1}k/s)", *bytes as f64 / 1e6)
    }
}

/// Writes every line as a record without a key, over the partitions in turn, its event time as the timestamp.
pub(crate) async fn load(client: &Client, topic: &str, input: &Input) -> Result<Loaded, Box<dyn Error>> {
    let started = super::now();
    let config = ProducerConfig { compression: Compression::Lz4, ..ProducerConfig::default() };
    let mut producer = Producer::open(client, config).await?;
    let topic = producer.topic(topic).await?;
    let partitions = producer.partition_count(topic);
    let mut loaded = Loaded { lines: 0, bytes: 0, seconds: 0.0 };
    let mut chunk = Vec::with_capacity(CHUNK_LINES);
    for line in Lines::spawn(input.clone()) {
        chunk.push(line?);
        if chunk.len() == CHUNK_LINES {
            append(&mut producer, topic, partitions, &mut chunk, &mut loaded).await?;
        }
    }
    append(&mut producer, topic, partitions, &mut chunk, &mut loaded).await?;
    producer.flush().await?;
    loaded.seconds = seconds_since(started);
    Ok(loaded)
}

async fn append(
    producer: &mut Producer,
    topic: kafka_wire::producer::TopicHandle,
    partitions: i32,
    chunk: &mut Vec<Line>,
    loaded: &mut Loaded,
) -> Result<(), Box<dyn Error>> {
    for line in chunk.drain(..) {
        let partition = PartitionId(i32::try_from(loaded.lines % u64::from(partitions.unsigned_abs()))?);
        let timestamp = TimestampMs(line.timestamp_ms);
        loop {
            match producer.append(topic, partition, timestamp, None, Some(&line.text), RawHeaders::EMPTY) {
                Ok(()) => break,
                Err(AppendError::Full { .. }) => producer.ready().await?,
                Err(error) => return Err(error.into()),
            }
        }
        loaded.lines += 1;
        loaded.bytes += line.text.len() as u64;
    }
    // Lets the connection's task send while the next lines are read.
    tokio::task::yield_now().await;
    Ok(())
}

/// The lines of an input from a thread that reads ahead: files are read by blocking calls.
struct Lines(std::sync::mpsc::IntoIter<io::Result<Line>>);

impl Lines {
    fn spawn(input: Input) -> Self {
        let (sender, receiver) = std::sync::mpsc::sync_channel(CHUNK_LINES);
        std::thread::spawn(move || {
            let gone = || io::Error::new(io::ErrorKind::BrokenPipe, "nobody reads the lines any more");
            let end = input.lines(|line| sender.send(Ok(line)).map_err(|_| gone()));
            if let Err(error) = end {
                let _ = sender.send(Err(error));
            }
        });
        Self(receiver.into_iter())
    }
}

impl Iterator for Lines {
    type Item = io::Result<Line>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

fn seconds_since(started: Instant) -> f64 {
    (super::now() - started).as_secs_f64()
}

const CHUNK_LINES: usize = 1_000;
