//! The places where clients count. Each has a lock that is held for some additions, per request or per batch.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{BrokerMetrics, ClientMetrics, ConsumerMetrics, PartitionMetrics, ProducerMetrics};
use crate::cluster::TopicPartition;
use crate::protocol::ApiKey;
use crate::types::BrokerId;
use crate::wire::Str;

/// Counts the requests of a client.
#[derive(Debug, Default)]
pub struct ClientCounters {
    places: Mutex<Vec<Arc<BrokerCounters>>>,
}

impl ClientCounters {
    /// Returns the place to count for the broker at an address. `None` for a bootstrap address, whose broker may become
    /// known later: see [`BrokerCounters::adopt`].
    pub fn broker(&self, id: Option<BrokerId>, address: &str) -> Arc<BrokerCounters> {
        let mut places = locked(&self.places);
        let is_it =
            |place: &BrokerCounters| locked(&place.metrics).broker == id && (id.is_some() || place.address == address);
        if let Some(known) = places.iter().find(|place| is_it(place)) {
            return Arc::clone(known);
        }
        let metrics = Mutex::new(BrokerMetrics { broker: id, ..BrokerMetrics::default() });
        let place = Arc::new(BrokerCounters { address: address.to_owned(), metrics });
        places.push(Arc::clone(&place));
        place
    }

    /// Returns the numbers so far.
    pub fn read(&self, client_id: &Str) -> ClientMetrics {
        let mut brokers: BTreeMap<Option<BrokerId>, BrokerMetrics> = BTreeMap::new();
        for place in locked(&self.places).iter() {
            let metrics = locked(&place.metrics);
            let new = || BrokerMetrics { broker: metrics.broker, ..BrokerMetrics::default() };
            brokers.entry(metrics.broker).or_insert_with(new).absorb(&metrics);
        }
        ClientMetrics { client_id: client_id.clone(), brokers: brokers.into_values().collect() }
    }
}

/// Counts the requests to one broker.
#[derive(Debug, Default)]
pub struct BrokerCounters {
    address: String,
    metrics: Mutex<BrokerMetrics>,
}

impl BrokerCounters {
    /// Notes the broker that a bootstrap address has turned out to lead to.
    pub fn adopt(&self, id: BrokerId) {
        locked(&self.metrics).broker = Some(id);
    }

    /// Counts a connection that is ready for requests.
    pub fn connected(&self) {
        locked(&self.metrics).connections += 1;
    }

    /// Counts an attempt to connect that failed.
    pub fn not_connected(&self) {
        locked(&self.metrics).connection_failures += 1;
    }

    /// Counts a request that was written.
    pub fn sent(&self, api: ApiKey, is_answered: bool) {
        let mut metrics = locked(&self.metrics);
        metrics.requests += 1;
        metrics.in_flight += u64::from(is_answered);
        metrics.apis.entry(api).or_default().requests += 1;
    }

    /// Counts a response, and the time that it took.
    pub fn answered(&self, api: ApiKey, latency: Duration) {
        let mut metrics = locked(&self.metrics);
        metrics.responses += 1;
        metrics.in_flight = metrics.in_flight.saturating_sub(1);
        metrics.latency.add(latency);
        metrics.apis.entry(api).or_default().latency.add(latency);
    }

    /// Counts requests that will have no response.
    pub fn lost(&self, count: u64) {
        let mut metrics = locked(&self.metrics);
        metrics.lost_requests += count;
        metrics.in_flight = metrics.in_flight.saturating_sub(count);
    }

    /// Counts a request that was not written.
    pub fn unsent(&self) {
        locked(&self.metrics).unsent_requests += 1;
    }

    /// Counts bytes that were written and read.
    pub fn moved(&self, sent_bytes: usize, received_bytes: usize) {
        let mut metrics = locked(&self.metrics);
        metrics.sent_bytes += sent_bytes as u64;
        metrics.received_bytes += received_bytes as u64;
    }

    /// Counts a pause that the broker has asked for.
    pub fn throttled(&self, pause: Duration) {
        let mut metrics = locked(&self.metrics);
        metrics.throttle_time += pause;
        metrics.throttled_responses += 1;
    }
}

/// Counts the batches of a producer.
#[derive(Debug, Default)]
pub struct ProducerCounters {
    metrics: Mutex<ProducerMetrics>,
}

impl ProducerCounters {
    /// Counts a batch that was acknowledged, or has failed.
    pub fn settled(&self, topic: &Str, records: u64, bytes: usize, is_acknowledged: bool) {
        let mut metrics = locked(&self.metrics);
        metrics.batch_bytes.add(bytes as u64);
        metrics.batch_records.add(records);
        if !metrics.topics.contains_key(topic) {
            metrics.topics.insert(topic.detached(), Default::default());
        }
        let Some(of_topic) = metrics.topics.get_mut(topic) else { return };
        if is_acknowledged {
            of_topic.records += records;
            of_topic.bytes += bytes as u64;
            of_topic.batches += 1;
        } else {
            of_topic.failed_records += records;
        }
    }

    /// Counts attempts after the first, and batches that went in parts.
    pub fn repeated(&self, retries: u64, split_batches: u64) {
        let mut metrics = locked(&self.metrics);
        metrics.retries += retries;
        metrics.split_batches += split_batches;
    }

    /// Returns the numbers so far, without those of the buffer.
    pub fn read(&self, client_id: &Str) -> ProducerMetrics {
        ProducerMetrics { client_id: client_id.clone(), ..locked(&self.metrics).clone() }
    }
}

/// Counts the fetches of a consumer.
#[derive(Debug, Default)]
pub struct ConsumerCounters {
    metrics: Mutex<ConsumerMetrics>,
}

impl ConsumerCounters {
    /// Counts a fetch that was answered, or has failed.
    pub fn fetched(&self, is_answered: bool) {
        let mut metrics = locked(&self.metrics);
        metrics.fetches += u64::from(is_answered);
        metrics.fetch_failures += u64::from(!is_answered);
    }

    /// Counts the batches of one fetch that were handed out.
    pub fn delivered(&self, partition: &TopicPartition, bytes: usize) {
        let mut metrics = locked(&self.metrics);
        if !metrics.partitions.contains_key(partition) {
            let TopicPartition { topic, partition } = partition;
            let kept = TopicPartition { topic: topic.detached(), partition: *partition };
            metrics.partitions.insert(kept, PartitionMetrics::default());
        }
        let Some(of_partition) = metrics.partitions.get_mut(partition) else { return };
        of_partition.bytes += bytes as u64;
        of_partition.deliveries += 1;
    }

    /// Returns the numbers so far, with these lags of the assigned partitions.
    pub fn read(
        &self,
        client_id: &Str,
        lags: impl IntoIterator<Item = (TopicPartition, Option<u64>)>,
    ) -> ConsumerMetrics {
        let mut metrics = ConsumerMetrics { client_id: client_id.clone(), ..locked(&self.metrics).clone() };
        for (partition, lag) in lags {
            metrics.partitions.entry(partition).or_default().lag = lag;
        }
        metrics
    }
}

/// A panic while counting leaves numbers that are at worst one too low.
fn locked<T>(place: &Mutex<T>) -> MutexGuard<'_, T> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}
