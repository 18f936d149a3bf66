//! Metrics as text for Prometheus, in its exposition format 0.0.4.

use std::fmt::{Display, Write};
use std::time::Duration;

use super::{ApiMetrics, BrokerMetrics, ClientMetrics, ConsumerMetrics, Latency, ProducerMetrics, Sizes};

/// The metrics of any number of clients, producers and consumers, to be written as one text.
///
/// A program serves the text at the path that Prometheus scrapes, with the type [`Prometheus::CONTENT_TYPE`].
///
/// ```no_run
/// use kafka_wire::client::{Client, Producer};
/// use kafka_wire::metrics::Prometheus;
///
/// # fn run(client: Client, producer: Producer) {
/// let text = Prometheus::default().client(client.metrics()).producer(producer.metrics()).text();
/// assert!(text.contains("kafka_wire_client_requests_total"));
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Prometheus {
    clients: Vec<ClientMetrics>,
    producers: Vec<ProducerMetrics>,
    consumers: Vec<ConsumerMetrics>,
}

impl Prometheus {
    /// The `Content-Type` of the text.
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// Adds the metrics of a client.
    #[must_use]
    pub fn client(mut self, metrics: ClientMetrics) -> Self {
        self.clients.push(metrics);
        self
    }

    /// Adds the metrics of a producer.
    #[must_use]
    pub fn producer(mut self, metrics: ProducerMetrics) -> Self {
        self.producers.push(metrics);
        self
    }

    /// Adds the metrics of a consumer.
    #[must_use]
    pub fn consumer(mut self, metrics: ConsumerMetrics) -> Self {
        self.consumers.push(metrics);
        self
    }

    /// Returns the text. Handles that share a `client.id` need other names to be told apart: Prometheus refuses a text
    /// with the same labels twice.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = Text::default();
        self.write_brokers(&mut text);
        self.write_apis(&mut text);
        self.write_producers(&mut text);
        self.write_topics(&mut text);
        self.write_consumers(&mut text);
        text.out
    }

    fn write_brokers(&self, text: &mut Text) {
        let mut family = |name: &str, kind: &str, help: &str, value: fn(&BrokerMetrics) -> f64| {
            text.family(&format!("client_{name}"), kind, help);
            for (labels, broker) in self.brokers() {
                text.sample(&format!("client_{name}"), &labels, value(broker));
            }
        };
        family("requests_total", "counter", "Requests written.", |one| one.requests as f64);
        family("responses_total", "counter", "Responses read.", |one| one.responses as f64);
        family("lost_requests_total", "counter", "Requests without a response.", |one| one.lost_requests as f64);
        family("unsent_requests_total", "counter", "Requests not written.", |one| one.unsent_requests as f64);
        family("in_flight_requests", "gauge", "Requests that wait for a response.", |one| one.in_flight as f64);
        family("sent_bytes_total", "counter", "Bytes written.", |one| one.sent_bytes as f64);
        family("received_bytes_total", "counter", "Bytes read.", |one| one.received_bytes as f64);
        family("connections_total", "counter", "Connections that were opened.", |one| one.connections as f64);
        family("connection_failures_total", "counter", "Attempts to connect that failed.", |one| {
            one.connection_failures as f64
        });
        family("throttle_seconds_total", "counter", "Pauses that brokers asked for.", |one| {
            one.throttle_time.as_secs_f64()
        });
        let name = "client_request_latency_seconds";
        text.family(name, "histogram", "Time from writing a request to reading its response.");
        for (labels, broker) in self.brokers() {
            text.histogram(name, &labels, &broker.latency);
        }
    }

    fn write_apis(&self, text: &mut Text) {
        let apis = || {
            self.brokers().flat_map(|(labels, broker)| {
                let of_api = broker.apis.iter();
                of_api.map(move |(api, metrics)| (labels.clone().with("api", api), metrics))
            })
        };
        let mut family = |name: &str, help: &str, value: fn(&ApiMetrics) -> f64| {
            text.family(name, "counter", help);
            for (labels, metrics) in apis() {
                text.sample(name, &labels, value(metrics));
            }
        };
        family("client_api_requests_total", "Requests written, by API.", |one| one.requests as f64);
        family("client_api_responses_total", "Responses read, by API.", |one| one.latency.count as f64);
        family("client_api_latency_seconds_total", "Time that the responses took, by API.", |one| {
            one.latency.sum.as_secs_f64()
        });
    }

    fn write_producers(&self, text: &mut Text) {
        let mut family = |name: &str, kind: &str, help: &str, value: fn(&ProducerMetrics) -> f64| {
            text.family(&format!("producer_{name}"), kind, help);
            for producer in &self.producers {
                let labels = Labels::default().with("client_id", &producer.client_id);
                text.sample(&format!("producer_{name}"), &labels, value(producer));
            }
        };
        family("buffer_used_bytes", "gauge", "Bytes of records not acknowledged yet.", |one| {
            one.buffer_used_bytes as f64
        });
        family("buffer_limit_bytes", "gauge", "buffer.memory.", |one| one.buffer_limit_bytes as f64);
        family("waiting_sends", "gauge", "Calls that wait for room in the buffer.", |one| one.waiting_sends as f64);
        family("retries_total", "counter", "Attempts to send a batch after the first.", |one| one.retries as f64);
        family("split_batches_total", "counter", "Batches that went in parts.", |one| one.split_batches as f64);
        type Pick = fn(&ProducerMetrics) -> Sizes;
        let summaries: [(&str, &str, Pick); 2] = [
            ("batch_bytes", "Sizes of batches as they were sent.", |one| one.batch_bytes),
            ("batch_records", "Records of those batches.", |one| one.batch_records),
        ];
        for (name, help, sizes) in summaries {
            let name = format!("producer_{name}");
            text.family(&name, "summary", help);
            for producer in &self.producers {
                let labels = Labels::default().with("client_id", &producer.client_id);
                text.sample(&format!("{name}_sum"), &labels, sizes(producer).sum as f64);
                text.sample(&format!("{name}_count"), &labels, sizes(producer).count as f64);
            }
        }
    }

    fn write_topics(&self, text: &mut Text) {
        let mut family = |name: &str, help: &str, value: fn(&super::TopicMetrics) -> u64| {
            text.family(name, "counter", help);
            for producer in &self.producers {
                for (topic, metrics) in &producer.topics {
                    let labels = Labels::default().with("client_id", &producer.client_id).with("topic", topic);
                    text.sample(name, &labels, value(metrics) as f64);
                }
            }
        };
        family("producer_records_total", "Records that were acknowledged.", |one| one.records);
        family("producer_bytes_total", "Bytes of their batches as they were sent.", |one| one.bytes);
        family("producer_failed_records_total", "Records that have failed.", |one| one.failed_records);
    }

    fn write_consumers(&self, text: &mut Text) {
        let mut family = |name: &str, help: &str, value: fn(&ConsumerMetrics) -> u64| {
            text.family(name, "counter", help);
            for consumer in &self.consumers {
                let labels = Labels::default().with("client_id", &consumer.client_id);
                text.sample(name, &labels, value(consumer) as f64);
            }
        };
        family("consumer_fetches_total", "Fetches that were answered.", |one| one.fetches);
        family("consumer_fetch_failures_total", "Fetches that have failed.", |one| one.fetch_failures);
        let mut family = |name: &str, kind: &str, help: &str, value: fn(&super::PartitionMetrics) -> Option<u64>| {
            text.family(name, kind, help);
            for consumer in &self.consumers {
                for (partition, metrics) in &consumer.partitions {
                    let labels = Labels::default().with("client_id", &consumer.client_id);
                    let labels = labels.with("topic", &partition.topic).with("partition", partition.partition);
                    value(metrics).into_iter().for_each(|value| text.sample(name, &labels, value as f64));
                }
            }
        };
        family("consumer_bytes_total", "counter", "Bytes of batches handed out.", |one| Some(one.bytes));
        family("consumer_lag", "gauge", "Offsets between the position and the end.", |one| one.lag);
    }

    fn brokers(&self) -> impl Iterator<Item = (Labels, &BrokerMetrics)> {
        self.clients.iter().flat_map(|client| {
            client.brokers.iter().map(move |broker| {
                let labels = Labels::default().with("client_id", &client.client_id);
                let id = broker.broker.map_or_else(|| "bootstrap".to_owned(), |id| id.to_string());
                (labels.with("broker", id), broker)
            })
        })
    }
}

/// Labels of a sample, as they are written between the braces.
#[derive(Clone, Debug, Default)]
struct Labels(String);

impl Labels {
    fn with(mut self, name: &str, value: impl Display) -> Self {
        let value = value.to_string().replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let comma = if self.0.is_empty() { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{comma}{name}=\"{value}\"");
        self
    }
}

/// The text so far.
#[derive(Debug, Default)]
struct Text {
    out: String,
}

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.out, "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &Labels, value: f64) {
        let _ = writeln!(self.out, "{PREFIX}{name}{{{}}} {value}", labels.0);
    }

    fn histogram(&mut self, name: &str, labels: &Labels, latency: &Latency) {
        let mut below = 0;
        let bounds = Latency::BOUNDS.iter().map(Duration::as_secs_f64);
        for (bound, count) in bounds.zip(latency.buckets) {
            below += count;
            self.sample(&format!("{name}_bucket"), &labels.clone().with("le", bound), below as f64);
        }
        self.sample(&format!("{name}_bucket"), &labels.clone().with("le", "+Inf"), latency.count as f64);
        self.sample(&format!("{name}_sum"), labels, latency.sum.as_secs_f64());
        self.sample(&format!("{name}_count"), labels, latency.count as f64);
    }
}

/// Begins the name of every metric.
const PREFIX: &str = "kafka_wire_";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{ConsumerCounters, ProducerCounters};
    use crate::wire::Str;

    #[test]
    fn each_family_is_declared_once_before_its_samples() {
        let counters = ProducerCounters::default();
        counters.settled(&Str::from("orders"), 3, 200, true);
        counters.settled(&Str::from("orders"), 1, 90, false);
        let metrics = |name: &str| counters.read(&Str::from(name));
        let consumer = ConsumerCounters::default().read(&Str::from("c"), []);
        let text = Prometheus::default().producer(metrics("a")).producer(metrics("b")).consumer(consumer).text();
        assert!(text.contains("kafka_wire_producer_records_total{client_id=\"a\",topic=\"orders\"} 3\n"), "{text}");
        assert!(text.contains("kafka_wire_producer_failed_records_total{client_id=\"b\",topic=\"orders\"} 1\n"));
        assert!(text.contains("kafka_wire_producer_batch_bytes_sum{client_id=\"a\"} 290\n"), "{text}");
        let mut declared = Vec::new();
        for line in text.lines() {
            match line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
                Some((name, _)) => declared.push(name),
                None if line.starts_with('#') => {}
                None => assert!(line.starts_with(declared.last().expect("a family")), "{line}"),
            }
        }
        let mut names = declared.clone();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), declared.len(), "{declared:?}");
    }

    #[test]
    fn a_histogram_accumulates_and_labels_are_escaped() {
        let mut text = Text::default();
        let mut latency = Latency::default();
        latency.add(Duration::from_micros(100));
        latency.add(Duration::from_micros(400));
        text.histogram("t", &Labels::default().with("name", "a\"b\\c"), &latency);
        let lines: Vec<_> = text.out.lines().collect();
        assert_eq!(lines[0], r#"kafka_wire_t_bucket{name="a\"b\\c",le="0.00025"} 1"#);
        assert_eq!(lines[1], r#"kafka_wire_t_bucket{name="a\"b\\c",le="0.0005"} 2"#);
        assert_eq!(lines.last(), Some(&r#"kafka_wire_t_count{name="a\"b\\c"} 2"#));
    }
}
