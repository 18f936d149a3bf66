//! The broker in another process, and the topics on it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use kafka_wire::admin::NewTopic;
use kafka_wire::client::{Client, ClientConfig, ExclusiveProducer};
use kafka_wire::types::PartitionId;
use kafka_wire::wire::Str;
use testkit::broker::{Broker, BrokerConfig};
use testkit::real::{RealConfig, RealKafka};

use crate::Fallible;
use crate::produce::{append_all, config};
use crate::rows::{Row, Task};

/// The broker to measure on.
pub(crate) enum Place {
    Given(String),
    Embedded(OtherProcess),
    Kafka(Box<RealKafka>),
}

impl Place {
    /// Starts the embedded broker in a process of its own.
    pub(crate) fn embedded() -> Fallible<Self> {
        OtherProcess::start().map(Self::Embedded)
    }

    /// Starts Apache Kafka. Deleted topics free their disk at once, for the next row.
    pub(crate) fn kafka() -> Fallible<Self> {
        let properties = vec![("log.segment.delete.delay.ms".to_owned(), "1000".to_owned())];
        let config = RealConfig { properties, ..RealConfig::for_measuring() };
        Ok(Self::Kafka(Box::new(RealKafka::start_blocking(&config)?)))
    }

    pub(crate) fn servers(&self) -> &str {
        match self {
            Self::Given(servers) => servers,
            Self::Embedded(process) => &process.address,
            Self::Kafka(kafka) => kafka.bootstrap(),
        }
    }
}

/// Makes the topic of a row, which keeps its records for ever, since their times are old; fills it if the row reads.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn prepare(row: &Row, servers: &str, topic: &str) -> Fallible<()> {
    let client = Client::connect(ClientConfig::new(servers)).await?;
    let mut configs = vec![("retention.ms".into(), "-1".into())];
    if row.partitions >= MANY_PARTITIONS {
        // A new partition's indexes are mapped, and read ahead, at their size of 10 MiB: with 1,000 of them the page
        // cache of a small machine is what is measured.
        configs.push(("segment.index.bytes".into(), "65536".into()));
    }
    let new = NewTopic { configs, ..NewTopic::new(topic, row.partitions) };
    for (_, outcome) in client.create_topics(&[new]).await? {
        outcome?;
    }
    for partition in 0..row.partitions {
        client.leader(topic, PartitionId(partition)).await?;
    }
    if row.task == Task::Consume {
        let way = row.task.ways()[0];
        let mut producer = ExclusiveProducer::open(&client, config(row, way)).await?;
        let handle = producer.topic(topic).await?;
        append_all(row, &mut producer, handle, &row.values(), row.records).await?;
        producer.close().await?;
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn remove(servers: &str, topic: &str) -> Fallible<()> {
    let client = Client::connect(ClientConfig::new(servers)).await?;
    client.delete_topics(&[Str::from(topic)]).await?;
    Ok(())
}

/// Serves until stdin ends, which happens when the process that reads the address ends.
pub(crate) fn serve() -> Fallible<()> {
    let broker = Broker::start_on_thread(BrokerConfig { memory_bytes: 3 << 30, ..BrokerConfig::default() })?;
    println!("{}", broker.address());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// The embedded broker in a process of its own, which ends with this one.
pub(crate) struct OtherProcess {
    address: String,
    child: Child,
}

impl OtherProcess {
    fn start() -> Fallible<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.arg(SERVE).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut address = String::new();
        BufReader::new(child.stdout.take().ok_or("no stdout")?).read_line(&mut address)?;
        Ok(Self { address: address.trim().to_owned(), child })
    }
}

impl Drop for OtherProcess {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The argument of our program where it is the broker.
pub(crate) const SERVE: &str = "serve";

/// From this number of partitions on, topics get small indexes.
const MANY_PARTITIONS: i32 = 100;
