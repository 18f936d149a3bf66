//! The open transaction as the tasks see it: a destination of records.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kafka_wire::client::{Client, ExclusiveProducer};
use kafka_wire::cluster::TopicPartition;
use kafka_wire::compression::Compression as CompressionType;
use kafka_wire::producer::{AppendError, FlushError, NewRecord, TopicHandle, partition_for_key};
use kafka_wire::record::Batch;
use kafka_wire::time::Moment;
use kafka_wire::types::{PartitionId, TimestampMs};
use kafka_wire::wire::Str;
use tracing::debug;

use super::config::Config;
use super::limits::{self, time_of_day};
use super::named::{NamedTopics, Sink};
use super::remedy::Failure;
use crate::error::{ErrorKind, ErrorPolicy};
use crate::output::{OutRecord, Output, Refused, Route, SinkId, numbered};
use crate::topology::{SinkKind, Topology};
use crate::worker::{End, Fatal, Outbox};

/// A worker's producer, with the topics that the topology writes to.
pub(super) struct Transaction {
    pub(super) producer: ExclusiveProducer,
    sinks: Vec<Sink>,
    /// The repartition topics among them.
    shuffles: Vec<TopicHandle>,
    /// The topics that records name.
    named: NamedTopics,
    /// Whether a named topic has not taken a record; the transaction must be aborted then.
    is_refused_by_named: bool,
    /// Whether the job leaves out records that a topic does not take.
    leaves_out: bool,
    /// The first record that could not be taken; the transaction must not be committed then.
    refused: Option<AppendError>,
    /// Number of records and their bytes since the last call.
    written: (u64, u64),
    /// Next partition for records without a key, which go to the partitions in turn.
    next_partition: i32,
    /// The time of day at the begin of the transaction.
    wall: TimestampMs,
    compression: CompressionType,
    /// Time between two looks for partitions that topics of the user's have gained, and the time of the next one.
    look_interval: Duration,
    next_look: Moment,
}

impl Transaction {
    /// Finds the topics that the topology writes to. If the job leaves out records that a topic does not take, also
    /// looks up which ones it takes.
    pub(super) async fn open(
        mut producer: ExclusiveProducer,
        topology: &Arc<Topology>,
        client: &Client,
        config: &Config,
    ) -> Result<Self, End> {
        let policy = topology.policies().of(ErrorKind::Produce, topology.dead_letters().is_some());
        let mut limits = match policy {
            ErrorPolicy::Fail => BTreeMap::new(),
            ErrorPolicy::Skip => limits::look_up(client, topology).await?,
        };
        // One request for all: what it cannot tell is asked for each below.
        let names: Vec<Str> = topology.sinks().iter().map(|sink| Str::from(sink.topic.as_str())).collect();
        let _ = client.metadata(&names).await;
        let (mut sinks, mut shuffles) = (Vec::new(), Vec::new());
        for sink in topology.sinks() {
            let topic = producer.topic(&sink.topic).await.map_err(|error| error.end())?;
            if matches!(sink.kind, SinkKind::Repartition { .. }) {
                shuffles.push(topic);
            }
            let partitions = producer.partition_count(topic);
            let name = (sink.kind == SinkKind::External).then(|| Str::from(sink.topic.as_str()));
            sinks.push(Sink { topic, partitions, name, limits: limits.remove(sink.topic.as_str()) });
        }
        let named = NamedTopics::new(sinks.len(), topology.own_topics());
        Ok(Self {
            producer,
            sinks,
            shuffles,
            named,
            is_refused_by_named: false,
            leaves_out: policy == ErrorPolicy::Skip,
            refused: None,
            written: (0, 0),
            next_partition: 0,
            wall: TimestampMs(0),
            compression: config.compression,
            look_interval: config.inspection_interval(),
            next_look: client.now() + config.inspection_interval(),
        })
    }

    /// Takes up the partitions that topics of the user's have gained, as far as the last look has told, and looks again
    /// if that is due. Nothing waits for the answer: a commit must not take longer for it.
    pub(super) async fn take_up_partitions(&mut self, client: &Client) {
        let Self { producer, sinks, named, .. } = self;
        let cluster = client.cluster();
        let mut names = Vec::new();
        for sink in sinks.iter_mut().chain(named.known_mut()) {
            let Some(name) = &sink.name else { continue };
            names.push(name.clone());
            let count = cluster.topic(name).map_or(0, |topic| topic.partitions.len());
            let has_grown = usize::try_from(sink.partitions).is_ok_and(|known| known < count);
            if has_grown && producer.topic(name).await.is_ok() {
                sink.partitions = producer.partition_count(sink.topic);
            }
        }
        let now = client.now();
        if now >= self.next_look && !names.is_empty() {
            self.next_look = now + self.look_interval;
            let client = client.clone();
            tokio::spawn(async move {
                if let Err(error) = client.metadata(&names).await {
                    debug!(%error, "topics were not looked up; the next try comes later");
                }
            });
        }
    }

    /// Looks up the topics that records have named for the first time, and appends those records.
    ///
    /// # Errors
    /// The cluster does not answer, or not for this job.
    pub(super) async fn look_up_named(&mut self, client: &Client) -> Result<(), End> {
        let wanted = self.named.wanted();
        if wanted.is_empty() {
            return Ok(());
        }
        let existing = existing(client, wanted.iter().map(|(_, name)| name.as_str())).await?;
        for (number, name) in wanted {
            let found = match existing.contains(&name) {
                true => Ok(self.named_sink(&name, client).await?),
                false => {
                    let until = TimestampMs(self.wall.0.saturating_add(LOOKED_UP_AGAIN_MS));
                    Err((MISSING.to_owned(), until))
                }
            };
            let waited = self.named.found(number, found);
            for record in waited {
                let record = record.as_record(number);
                let sink = self.named.sink(number).filter(|sink| self.takes(sink, &record).is_ok());
                match sink.map(|sink| (sink.topic, sink.partitions)) {
                    Some(topic) => self.append(topic, &record),
                    None => self.is_refused_by_named = true,
                }
            }
        }
        self.named.forget_waiting();
        Ok(())
    }

    async fn named_sink(&mut self, name: &str, client: &Client) -> Result<Sink, End> {
        let topic = self.producer.topic(name).await.map_err(|error| error.end())?;
        let limits = match self.leaves_out {
            true => limits::look_up_topics(client, std::iter::once(name)).await?.remove(name),
            false => None,
        };
        let (partitions, name) = (self.producer.partition_count(topic), Some(Str::from(name)));
        Ok(Sink { topic, partitions, name, limits })
    }

    /// Sends everything and waits for every acknowledgement. Returns the batches of repartition topics, as they are in
    /// the log.
    pub(super) async fn flush_shuffles(&mut self) -> Result<Vec<(TopicPartition, Batch)>, FlushError> {
        self.producer.flush_and_keep(&self.shuffles).await
    }

    /// Whether a named topic has not taken a record of the open transaction, which must be aborted then.
    pub(super) const fn is_refused_by_named(&self) -> bool {
        self.is_refused_by_named
    }

    /// The topic of that number, declared or named; `None` if it has not been looked up yet.
    #[inline]
    fn sink(&self, number: SinkId) -> Option<&Sink> {
        self.sinks.get(number.0).or_else(|| self.named.sink(number))
    }

    fn takes(&self, sink: &Sink, record: &OutRecord<'_>) -> Result<(), Refused> {
        sink.limits.as_ref().map_or(Ok(()), |limits| limits.check(record, self.wall, self.compression))
    }

    #[inline]
    fn append(&mut self, (topic, partitions): (TopicHandle, i32), record: &OutRecord<'_>) {
        let partition = match (record.route, record.key) {
            (Route::Partition(partition), _) => partition,
            (Route::Number(number), _) => numbered(number, partitions),
            (Route::ByKey, Some(key)) => partition_for_key(key, partitions),
            (Route::ByKey, None) => {
                self.next_partition = (self.next_partition + 1) % partitions;
                PartitionId(self.next_partition)
            }
        };
        let appended = self.producer.append(
            topic,
            partition,
            NewRecord { timestamp: record.timestamp, key: record.key, value: record.value, headers: record.headers },
        );
        if let Err(error) = appended {
            self.refused.get_or_insert(error);
        }
    }
}

/// Those of some topics that exist. One that has been created a moment ago may not be known to each broker yet, so they
/// are asked for more than once, all of them together.
async fn existing(client: &Client, names: impl Iterator<Item = &str>) -> Result<BTreeSet<String>, End> {
    let names: Vec<_> = names.map(Str::from).collect();
    let mut existing = BTreeSet::new();
    for pause_ms in [0, 50, 100, 200, 400] {
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        let cluster = client.metadata(&names).await.map_err(|error| error.end())?;
        let is_there = |name: &&Str| cluster.topic(name).is_some_and(|topic| !topic.partitions.is_empty());
        existing = names.iter().filter(is_there).map(ToString::to_string).collect();
        if existing.len() == names.len() {
            break;
        }
    }
    Ok(existing)
}

/// The reason why a topic that a record names takes none.
const MISSING: &str =
    "it does not exist; create it, or let the job leave such records out (production.exception.handler)";
/// Time after which a topic that takes no records is looked up again.
const LOOKED_UP_AGAIN_MS: i64 = 30_000;

impl Outbox for Transaction {
    fn begin(&mut self) -> Result<(), End> {
        self.wall = time_of_day();
        self.named.forget_waiting();
        self.is_refused_by_named = false;
        self.producer.begin().map_err(|error| error.end())?;
        // A transaction of a worker ends soon, with an offset at least.
        self.producer.expect_records();
        Ok(())
    }

    fn check(&mut self) -> Result<(), Fatal> {
        self.refused.take().map_or(Ok(()), |error| Err(error.fatal()))
    }

    fn has_room(&self) -> bool {
        self.producer.has_room() && self.named.has_room()
    }

    fn take_written(&mut self) -> (u64, u64) {
        std::mem::take(&mut self.written)
    }
}

impl Output for Transaction {
    #[inline]
    fn emit(&mut self, record: OutRecord<'_>) {
        let size = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        self.written = (self.written.0 + 1, self.written.1 + size as u64);
        match self.sink(record.sink).map(|sink| (sink.topic, sink.partitions)) {
            Some(topic) => self.append(topic, &record),
            None => self.named.wait(&record),
        }
    }

    fn named(&mut self, topic: &str) -> Result<SinkId, Refused> {
        self.named.number(topic, self.wall)
    }

    #[inline]
    fn offer(&mut self, record: OutRecord<'_>) -> Result<(), Refused> {
        if let Some(sink) = self.sink(record.sink) {
            self.takes(sink, &record)?;
        }
        self.emit(record);
        Ok(())
    }
}
