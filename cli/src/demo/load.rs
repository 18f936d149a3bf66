//! Writes the demo's input to its topic, and counts it on the way for the audit.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Instant;

use kafka_wire::client::{Client, ExclusiveProducer};
use kafka_wire::compression::Compression;
use kafka_wire::producer::{AppendError, NewRecord, ProducerConfig, TopicHandle};
use kafka_wire::types::{PartitionId, TimestampMs};
use tokio::sync::mpsc;

use super::audit::Expected;
use super::input::{Input, Line};
use crate::signal::{Signal, Stop};

/// The lines that were written, and the speed.
#[derive(Debug, Default)]
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

/// The end of loading.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// All lines are written and counted.
    Whole(Loaded, Expected),
    /// The signal came before the end of the input.
    Interrupted(Loaded, Signal),
}

/// Writes every line as a record without a key, to the partitions in turn, with its event time as the timestamp.
///
/// The input is read once, by a thread that counts the lines and hands them over. A line that gets lost after
/// that shows in the audit.
pub(crate) async fn load(
    client: &Client,
    topic: &str,
    input: Input,
    expected: Expected,
    stop: &mut Stop,
) -> Result<Outcome, Box<dyn Error>> {
    let started = super::now();
    let mut writer = Writer::open(client, topic).await?;
    let (sender, mut chunks) = mpsc::channel(CHUNKS_AHEAD);
    let reader = std::thread::spawn(move || read(input, expected, &sender));
    loop {
        tokio::select! {
            biased;
            signal = stop.wait() => {
                writer.loaded.seconds = seconds_since(started);
                return Ok(Outcome::Interrupted(writer.loaded, signal));
            }
            chunk = chunks.recv() => match chunk {
                Some(chunk) => writer.append(chunk).await?,
                None => break,
            },
        }
    }
    let expected = reader.join().map_err(|_| "reading the input panicked")??;
    writer.producer.flush().await?;
    writer.loaded.seconds = seconds_since(started);
    Ok(Outcome::Whole(writer.loaded, expected))
}

/// Reads the input, on a thread of its own because reading files blocks.
fn read(input: Input, mut expected: Expected, sender: &mpsc::Sender<Vec<Line>>) -> io::Result<Expected> {
    let mut chunk = Vec::with_capacity(CHUNK_LINES);
    let mut chunk_bytes = 0;
    input.lines(|line| {
        expected.count(&line);
        chunk_bytes += line.text.len();
        chunk.push(line);
        if chunk.len() < CHUNK_LINES && chunk_bytes < CHUNK_BYTES {
            return Ok(true);
        }
        chunk_bytes = 0;
        let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK_LINES));
        // The receiver is dropped only after the writer has failed, and the writer reports the reason.
        Ok(sender.blocking_send(full).is_ok())
    })?;
    let _ = sender.blocking_send(chunk);
    Ok(expected)
}

struct Writer {
    producer: ExclusiveProducer,
    topic: TopicHandle,
    partitions: i32,
    loaded: Loaded,
}

impl Writer {
    async fn open(client: &Client, topic: &str) -> Result<Self, Box<dyn Error>> {
        let config = ProducerConfig {
            compression: Compression::Lz4,
            // Enough for the longest line of the input.
            buffer_limit_bytes: 64 << 20,
            ..ProducerConfig::default()
        };
        let mut producer = ExclusiveProducer::open(client, config).await?;
        let topic = producer.topic(topic).await?;
        let partitions = producer.partition_count(topic);
        Ok(Self { producer, topic, partitions, loaded: Loaded::default() })
    }

    async fn append(&mut self, chunk: Vec<Line>) -> Result<(), Box<dyn Error>> {
        for line in chunk {
            let partition = PartitionId(i32::try_from(self.loaded.lines % u64::from(self.partitions.unsigned_abs()))?);
            let timestamp = TimestampMs(line.timestamp_ms);
            let append = |producer: &mut ExclusiveProducer| {
                producer.append(
                    self.topic,
                    partition,
                    NewRecord { timestamp, value: Some(&line.text), ..NewRecord::default() },
                )
            };
            loop {
                match append(&mut self.producer) {
                    Ok(()) => break,
                    Err(AppendError::Full { .. }) => self.producer.ready().await?,
                    Err(error) => return Err(error.into()),
                }
            }
            self.loaded.lines += 1;
            self.loaded.bytes += line.text.len() as u64;
        }
        // Lets the connection's task send while the next lines are read.
        tokio::task::yield_now().await;
        Ok(())
    }
}

fn seconds_since(started: Instant) -> f64 {
    (super::now() - started).as_secs_f64()
}

const CHUNK_LINES: usize = 1_000;
const CHUNK_BYTES: usize = 1 << 20;
const CHUNKS_AHEAD: usize = 4;
