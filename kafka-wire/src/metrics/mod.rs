//! Numbers about the work of clients, producers and consumers: to be read by the program, or by Prometheus.
//!
//! They are counted per request, per batch and per connection, never per record, so that counting costs nothing
//! that can be measured. Every number counts from the making of its client, producer or consumer.
//!
//! ```no_run
//! # async fn run(client: kafka_wire::client::Client) {
//! for broker in client.metrics().brokers {
//!     println!("{:?}: {} requests, p99 {:?}", broker.broker, broker.requests, broker.latency.quantile(0.99));
//! }
//! # }
//! ```

mod counters;
#[cfg(feature = "prometheus")]
mod prometheus;

use std::collections::BTreeMap;
use std::time::Duration;

pub use counters::{BrokerCounters, ClientCounters, ConsumerCounters, ProducerCounters};
#[cfg(feature = "prometheus")]
pub use prometheus::Prometheus;

use crate::cluster::TopicPartition;
use crate::protocol::ApiKey;
use crate::types::BrokerId;
use crate::wire::Str;

/// The connections and requests of one client, with those of its producers and consumers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientMetrics {
    /// `client.id`.
    pub client_id: Str,
    /// The brokers that it has been connected to, by id; before them the bootstrap addresses that lead to no known
    /// broker.
    pub brokers: Vec<BrokerMetrics>,
}

impl ClientMetrics {
    /// Returns the requests written to all brokers.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.brokers.iter().map(|broker| broker.requests).sum()
    }
}

/// The connections and requests to one broker.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BrokerMetrics {
    /// The broker; `None` for the bootstrap addresses of which it is unknown which brokers they lead to, together.
    pub broker: Option<BrokerId>,
    /// Connections that were opened and ready for requests.
    pub connections: u64,
    /// Attempts to connect that failed.
    pub connection_failures: u64,
    /// Requests written, those that negotiate and authenticate included.
    pub requests: u64,
    /// Responses read.
    pub responses: u64,
    /// Requests that were written and will have no response, because their connection has ended.
    pub lost_requests: u64,
    /// Requests that were not written: their time was over, their connection ended, or the broker lacks the API.
    pub unsent_requests: u64,
    /// Requests without a response so far.
    pub in_flight: u64,
    /// Bytes written, before TLS.
    pub sent_bytes: u64,
    /// Bytes read, before TLS.
    pub received_bytes: u64,
    /// The time for which the broker asked to send nothing, because a quota was exceeded (KIP-219).
    pub throttle_time: Duration,
    /// Responses that asked for such a pause.
    pub throttled_responses: u64,
    /// Time from writing a request to reading its response; those that wait at the broker (Fetch, JoinGroup) included.
    pub latency: Latency,
    /// The same for each API.
    pub apis: BTreeMap<ApiKey, ApiMetrics>,
}

impl BrokerMetrics {
    /// Adds the numbers of other connections to the same broker.
    fn absorb(&mut self, other: &Self) {
        self.connections += other.connections;
        self.connection_failures += other.connection_failures;
        self.requests += other.requests;
        self.responses += other.responses;
        self.lost_requests += other.lost_requests;
        self.unsent_requests += other.unsent_requests;
        self.in_flight += other.in_flight;
        self.sent_bytes += other.sent_bytes;
        self.received_bytes += other.received_bytes;
        self.throttle_time += other.throttle_time;
        self.throttled_responses += other.throttled_responses;
        self.latency.absorb(&other.latency);
        for (api, metrics) in &other.apis {
            let own = self.apis.entry(*api).or_default();
            own.requests += metrics.requests;
            own.latency.absorb(&metrics.latency);
        }
    }
}

/// The requests of one API to one broker.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ApiMetrics {
    /// Requests written.
    pub requests: u64,
    /// Time from writing a request to reading its response.
    pub latency: Latency,
}

/// The records and the buffer of a producer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProducerMetrics {
    /// `client.id`.
    pub client_id: Str,
    /// Bytes of records that wait for their acknowledgement, before compression.
    pub buffer_used_bytes: u64,
    /// `buffer.memory`.
    pub buffer_limit_bytes: u64,
    /// Calls of `send` that wait for room in the buffer.
    pub waiting_sends: u64,
    /// Batches that were larger than their topic allows, and went in parts.
    pub split_batches: u64,
    /// Attempts to send a batch after the first.
    pub retries: u64,
    /// Sizes of batches that were acknowledged or have failed, as they were sent, in bytes.
    pub batch_bytes: Sizes,
    /// Numbers of records in those batches.
    pub batch_records: Sizes,
    /// The topics that batches were for.
    pub topics: BTreeMap<Str, TopicMetrics>,
}

/// The records of a producer for one topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicMetrics {
    /// Records that were acknowledged.
    pub records: u64,
    /// Bytes of their batches, as they were sent.
    pub bytes: u64,
    /// Batches that were acknowledged.
    pub batches: u64,
    /// Records that have failed.
    pub failed_records: u64,
}

/// The data of a consumer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConsumerMetrics {
    /// `client.id`.
    pub client_id: Str,
    /// Fetches that were answered.
    pub fetches: u64,
    /// Fetches that have failed.
    pub fetch_failures: u64,
    /// The partitions that are assigned, or have been.
    pub partitions: BTreeMap<TopicPartition, PartitionMetrics>,
}

impl ConsumerMetrics {
    /// Returns the sum of the known lags.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.partitions.values().filter_map(|partition| partition.lag).sum()
    }
}

/// The data of one partition that a consumer reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionMetrics {
    /// Bytes of batches that were handed out.
    pub bytes: u64,
    /// Hand-outs, each of the batches of one fetch.
    pub deliveries: u64,
    /// Offsets between the position and the end that this reader may see; `None` if it is not assigned (any more), or
    /// the end is not known yet.
    pub lag: Option<u64>,
}

/// Number, sum and maximum of sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Number of sizes.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    /// The largest.
    pub max: u64,
}

impl Sizes {
    /// Returns the average; 0 for no sizes.
    #[must_use]
    pub fn average(&self) -> u64 {
        self.sum.checked_div(self.count).unwrap_or(0)
    }

    fn add(&mut self, size: u64) {
        self.count += 1;
        self.sum += size;
        self.max = self.max.max(size);
    }
}

/// A distribution of times, in buckets that double from 250 microseconds to 8 seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// Number of times.
    pub count: u64,
    /// Their sum.
    pub sum: Duration,
    /// The longest.
    pub max: Duration,
    /// Number of times up to each bound of [`Latency::BOUNDS`] and above the one before; the last is for longer ones.
    pub buckets: [u64; BUCKETS + 1],
}

impl Latency {
    /// Upper bounds of the buckets, inclusive.
    pub const BOUNDS: [Duration; BUCKETS] = {
        let mut bounds = [Duration::ZERO; BUCKETS];
        let mut index = 0;
        while index < BUCKETS {
            bounds[index] = Duration::from_micros(250 << index);
            index += 1;
        }
        bounds
    };

    /// Returns the average; zero for no times.
    #[must_use]
    pub fn average(&self) -> Duration {
        let count = u32::try_from(self.count).unwrap_or(u32::MAX);
        self.sum.checked_div(count).unwrap_or_default()
    }

    /// Returns a bound that at least the share `q` of the times (0.99 of them) do not exceed: the upper bound of a
    /// bucket, or the longest time if that is less. Zero for no times.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Duration {
        let mut below = 0;
        for (bound, count) in Self::BOUNDS.iter().zip(self.buckets) {
            below += count;
            if below as f64 >= q * self.count as f64 {
                return self.max.min(*bound);
            }
        }
        self.max
    }

    fn absorb(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.max = self.max.max(other.max);
        self.buckets.iter_mut().zip(other.buckets).for_each(|(own, other)| *own += other);
    }

    fn add(&mut self, time: Duration) {
        self.count += 1;
        self.sum += time;
        self.max = self.max.max(time);
        let bucket = Self::BOUNDS.partition_point(|bound| *bound < time);
        self.buckets[bucket] += 1;
    }
}

const BUCKETS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_bound_of_its_bucket() {
        let mut latency = Latency::default();
        assert_eq!((latency.quantile(0.5), latency.average()), (Duration::ZERO, Duration::ZERO));
        for _ in 0..99 {
            latency.add(Duration::from_micros(300));
        }
        latency.add(Duration::from_secs(20));
        assert_eq!(latency.quantile(0.5), Duration::from_micros(500));
        assert_eq!(latency.quantile(0.99), Duration::from_micros(500));
        assert_eq!(latency.quantile(1.0), Duration::from_secs(20));
        assert_eq!((latency.buckets[1], latency.buckets[BUCKETS]), (99, 1));
        assert_eq!(latency.buckets.iter().sum::<u64>(), latency.count);
    }

    #[test]
    fn a_time_on_a_bound_belongs_to_its_bucket() {
        let mut latency = Latency::default();
        latency.add(Latency::BOUNDS[0]);
        latency.add(Latency::BOUNDS[BUCKETS - 1]);
        assert_eq!((latency.buckets[0], latency.buckets[BUCKETS - 1], latency.buckets[BUCKETS]), (1, 1, 0));
    }
}
