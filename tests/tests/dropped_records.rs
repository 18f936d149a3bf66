//! A producer that is dropped with records that are not acknowledged logs their number. A suite of its own,
//! since it listens to the events of the whole process.

use std::fmt::{Debug, Write as _};
use std::sync::Mutex;
use std::time::Duration;

use conformance::reader::create_topic;
use conformance::{TestBroker, client_config, eventually, test_on};
use kafka_wire::client::{Client, Producer};
use kafka_wire::producer::{ProducerConfig, ProducerRecord};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

test_on!(dropping_a_producer_tells_how_many_records_were_not_sent, EmbeddedTv2, warned_of);

async fn warned_of(broker: TestBroker) {
    tracing::subscriber::set_global_default(Listener).expect("nobody else listens in this process");
    let client = Client::connect(client_config(broker.bootstrap())).await.expect("the broker listens");
    create_topic(&client, "t", 2).await;
    let linger = Duration::from_secs(600);
    let producer =
        Producer::open(&client, ProducerConfig { linger, ..ProducerConfig::default() }).await.expect("a producer id");
    for value in ["a", "b", "c"] {
        producer.send(ProducerRecord::to("t").value(value)).await.expect("it is taken").forget();
    }
    drop(producer);
    eventually("the warning", Duration::from_secs(20), async || heard("records=3").then_some(())).await;

    let orderly = Producer::open(&client, ProducerConfig::default()).await.expect("a producer id");
    orderly.send(ProducerRecord::to("t").value("d")).await.expect("it is taken").forget();
    orderly.close().await.expect("all are written");
    assert!(!heard("records=1"), "nothing was lost: {:?}", WARNINGS.lock());
}

fn heard(words: &str) -> bool {
    let warnings = WARNINGS.lock().expect("no listener panics");
    warnings.iter().any(|warning| warning.contains("not acknowledged") && warning.contains(words))
}

static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Keeps warnings as text.
struct Listener;

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{}={value:?} ", field.name()).expect("a string grows");
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        WARNINGS.lock().expect("no listener panics").push(fields.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
