//! A Kafka client in pure Rust, written from the protocol up: no C, no JVM.
//!
//! # Produce
//!
//! ```no_run
//! use kafka_wire::client::{Client, ClientConfig, Producer};
//! use kafka_wire::producer::{ProducerConfig, ProducerRecord};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect(ClientConfig::new("127.0.0.1:9092")).await?;
//! let producer = Producer::open(&client, ProducerConfig::default()).await?;
//!
//! let delivery = producer.send(ProducerRecord::to("orders").key("4711").value("paid")).await?;
//! let written = delivery.await?; // To send without waiting, `forget()` the delivery.
//! println!("partition {} offset {:?}", written.partition, written.offset);
//! producer.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! A `Producer` is cloned and shared by tasks and threads. A thread of its own sends, in batches that wait `linger`
//! to be filled. Every record is written once and in order, and its delivery reports its fate.
//!
//! # Consume in a group
//!
//! ```no_run
//! use kafka_wire::client::{GroupConsumer, ResetPolicy};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let mut consumer = GroupConsumer::builder("billing")
//!     .topics(["orders"])
//!     .auto_offset_reset(ResetPolicy::Earliest)
//!     .connect("127.0.0.1:9092")
//!     .await?;
//! for _ in 0..1_000 {
//!     let record = consumer.next().await?; // `next_batch` gives records that borrow what was fetched.
//!     println!("{}-{} @ {}: {:?}", record.topic, record.partition, record.offset, record.value);
//! }
//! consumer.close().await?; // Commits, and hands the partitions over at once.
//! # Ok(())
//! # }
//! ```
//!
//! # Consume, transform and produce in a transaction
//!
//! ```no_run
//! # use kafka_wire::client::Client;
//! use kafka_wire::client::{GroupConsumer, GroupTransactSession, ResetPolicy};
//! use kafka_wire::producer::{ProducerConfig, ProducerRecord};
//!
//! # async fn run(client: Client) -> Result<(), Box<dyn std::error::Error>> {
//! let orders = GroupConsumer::builder("billing").topics(["orders"]).auto_offset_reset(ResetPolicy::Earliest);
//! let mut session = GroupTransactSession::open(client, orders, ProducerConfig::transactional("billing-1")).await?;
//! loop {
//!     let order = session.next().await?; // Commits ten times a second what was read together with what was written.
//!     session.send(ProducerRecord::to("bills").value(&order.value.unwrap_or_default())).await?;
//! }
//! # }
//! ```
//!
//! A reader of `bills` with `isolation.level=read_committed` sees the bill of each order once. Transactions without
//! a group are those of `Producer`: `begin_transaction`, `commit_transaction`, `abort_transaction`.
//!
//! # Administer
//!
//! ```no_run
//! # use kafka_wire::client::Client;
//! use kafka_wire::admin::{GroupFilter, NewTopic};
//!
//! # async fn run(client: Client) -> Result<(), Box<dyn std::error::Error>> {
//! for (topic, outcome) in client.create_topics(&[NewTopic::new("orders", 3)]).await? {
//!     println!("{topic}: {outcome:?}"); // An outcome for each item: a failure hides no other.
//! }
//! for group in client.list_groups(&GroupFilter::default()).await? {
//!     println!("{} is {}", group.group_id, group.state);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # TLS and SASL
//!
//! ```no_run
//! # #[cfg(feature = "tls")]
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use kafka_wire::client::{Client, ClientConfig, Pem, Sasl, TlsConfig};
//!
//! let mut config = ClientConfig::new("kafka.example:9093");
//! config.tls = Some(TlsConfig::new(Pem::File("ca.pem".into()))); // Or `default()`: whom the machine trusts.
//! config.sasl = Some(Sasl::scram_sha_512("alice", std::env::var("PASSWORD")?));
//! let client = Client::connect(config).await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`client::Properties`] makes the same of a Java properties file. Users of rdkafka or of Java's client find the calls
//! that correspond to theirs in `docs/from-rdkafka.md` and `docs/from-java.md`; whole programs are in `examples/`.
//! [`blocking`] has the same without async.
//!
//! # Where to look
//!
//! [`client`] has the handles, and a table of which is for what. Their settings, records and errors are in
//! [`producer`], [`consumer`], [`group`] and [`admin`]; offsets, partitions and other numbers in [`types`], topics and
//! brokers in [`cluster`], tokens for a login in [`sasl`], and counters in [`metrics`]. The other modules are the
//! protocol below.
//!
//! # The protocol alone
//!
//! With `default-features = false` it is the sans-IO core, without tokio: every message of Apache Kafka 4.4 at every
//! version, record batches, and the client's state machines. Codecs are features as well: without `gzip`, `snappy`,
//! `lz4` and `zstd` a compressed batch fails to open with `UnsupportedCodec`.
//!
//! ```
//! use bytes::Bytes;
//! use kafka_wire::protocol::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponseView};
//! use kafka_wire::protocol::{ApiKey, Message, MessageView};
//! use kafka_wire::wire::{DecodeError, EncodeError, Reader, Str, Writer};
//!
//! fn body(topic: &str, version: i16) -> Result<Bytes, EncodeError> {
//!     let topic = MetadataRequestTopic { name: Some(Str::from(topic)), ..Default::default() };
//!     let mut w = Writer::new();
//!     MetadataRequest { topics: Some(vec![topic]), ..Default::default() }.encode(&mut w, version)?;
//!     Ok(w.into_bytes())
//! }
//!
//! // A view borrows the response, and reads its lists when they are iterated.
//! fn leaders(response: &Bytes, version: i16) -> Result<Vec<i32>, DecodeError> {
//!     let view = MetadataResponseView::decode(response, version)?;
//!     Ok(view.topics.iter().flat_map(|topic| topic.partitions).map(|partition| partition.leader_id).collect())
//! }
//!
//! let request = body("orders", 12).expect("version 12 has all that is set");
//! let read = MetadataRequest::decode(&mut Reader::new(&request), 12).expect("as it was written");
//! assert_eq!(read.topics.map(|topics| topics.len()), Some(1));
//! assert!(leaders(&request, 12).is_err(), "a request is no response");
//! assert_eq!(ApiKey::Metadata.versions(), 0..=13);
//! ```
//!
//! Modules have ranks, lowest first: a module uses its own files and lower ranks, never a sibling or a higher rank.
//! Everything but `client` is sans-IO: state machines take bytes and a [`time::Moment`], and never read a clock.
//!
//! Features: `client` (sockets), `tls`, `sasl` (SCRAM), `gzip`, `snappy`, `lz4`, `zstd` and `pattern` (regular
//! expressions in subscriptions) and `oauth` (tokens over HTTPS) are on by default. `inspect` shows messages as JSON,
//! `prometheus` writes [`metrics`] as text for Prometheus.

/// Makes `Debug` of errors print their text: `main` prints the error that it returns by `Debug`. For the crates of this
/// project, and no part of the interface.
#[doc(hidden)]
#[macro_export]
macro_rules! debug_as_text {
    ($($error:ident),+ $(,)?) => {
        $(
            /// The name of the type and the text of `Display`: `main` prints the error that it returns by `Debug`.
            impl std::fmt::Debug for $error {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    write!(f, "{}: {self}", stringify!($error))
                }
            }
        )+
    };
}

pub mod rng;
pub mod time;
pub mod types;

pub mod wire;

#[doc(inline)]
pub use kafka_wire_compression as compression;

pub mod protocol;
pub mod record;

pub mod cluster;
pub mod sasl;

pub mod metrics;

pub mod admin;
pub mod consumer;
pub mod group;
pub mod producer;
pub mod session;

#[cfg(feature = "client")]
pub mod client;

#[cfg(feature = "client")]
pub mod blocking;
