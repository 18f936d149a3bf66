//! The client's CPU time per record, against a broker in another process.
//!
//! ```text
//! cargo run --release --manifest-path bench/client/Cargo.toml -- [FILTER] [--rounds N] [--servers HOST:PORT]
//! ```
//! Rows whose name contains FILTER are measured, in turns, and the round with the least CPU time counts:
//! other programs on the machine only add to it. Without `--servers` the embedded broker is started in a process of its
//! own. 6 partitions, `acks=all`, idempotent, no codec; values of 100 bytes unless a row says otherwise.

#[path = "../../src/counted.rs"]
mod counted;
mod cpu;
mod produce;

use std::error::Error;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use kafka_wire::admin::NewTopic;
use kafka_wire::client::{Client, ClientConfig};
use kafka_wire::wire::Str;
use testkit::broker::{Broker, BrokerConfig};

use crate::produce::{ROWS, Row};

type Fallible<T> = Result<T, Box<dyn Error>>;

fn main() -> Fallible<()> {
    let arguments = Arguments::read();
    if arguments.is_broker {
        return serve();
    }
    let broker = match &arguments.servers {
        Some(_) => None,
        None => Some(OtherProcess::start()?),
    };
    let servers =
        arguments.servers.clone().or(broker.as_ref().map(|broker| broker.address.clone())).unwrap_or_default();
    let rows: Vec<&Row> = ROWS.iter().filter(|row| row.name.contains(&arguments.filter)).collect();
    let mut best = vec![None; rows.len()];
    for round in 0..arguments.rounds {
        for (row, best) in rows.iter().zip(&mut best) {
            let measured = run(row, &servers, round)?;
            let is_better = best.as_ref().is_none_or(|best: &produce::Measured| measured.cpu_ns < best.cpu_ns);
            if is_better {
                *best = Some(measured);
            }
        }
    }
    println!("{:<44} {:>10} {:>14} {:>14} {:>14}", "row", "CPU ns", "records/s", "allocations", "of these KB");
    for (row, best) in rows.iter().zip(best) {
        let Some(best) = best else { continue };
        println!(
            "{:<44} {:>10.1} {:>14.0} {:>14.4} {:>14.4}",
            row.name, best.cpu_ns, best.per_second, best.allocations, best.allocated_kb
        );
    }
    Ok(())
}

/// Runs one row on a topic of its own.
fn run(row: &Row, servers: &str, round: usize) -> Fallible<produce::Measured> {
    let mut builder = if row.threads == 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    builder.worker_threads(row.threads).enable_all().build()?.block_on(async {
        let client = Client::connect(ClientConfig::new(servers)).await?;
        let topic = format!("bench-{}-{round}-{}", std::process::id(), row.name.replace([' ', ','], "-"));
        for (_, outcome) in client.create_topics(&[NewTopic::new(topic.as_str(), row.partitions)]).await? {
            outcome?;
        }
        for partition in 0..row.partitions {
            client.leader(&topic, kafka_wire::types::PartitionId(partition)).await?;
        }
        let measured = produce::measure(row, &client, &topic).await;
        client.delete_topics(&[Str::from(topic.as_str())]).await?;
        measured
    })
}

struct Arguments {
    filter: String,
    rounds: usize,
    servers: Option<String>,
    is_broker: bool,
}

impl Arguments {
    fn read() -> Self {
        let mut read = Self { filter: String::new(), rounds: 3, servers: None, is_broker: false };
        let mut given = std::env::args().skip(1);
        while let Some(argument) = given.next() {
            match argument.as_str() {
                "--rounds" => {
                    read.rounds = given.next().and_then(|count| count.parse().ok()).expect("--rounds takes a number")
                }
                "--servers" => read.servers = given.next(),
                BROKER => read.is_broker = true,
                _ => read.filter = argument,
            }
        }
        read
    }
}

/// Serves until stdin ends, which happens when the process that reads the address ends.
fn serve() -> Fallible<()> {
    let broker = Broker::start_on_thread(BrokerConfig { memory_bytes: 3 << 30, ..BrokerConfig::default() })?;
    println!("{}", broker.address());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// The embedded broker in a process of its own, which ends with this one.
struct OtherProcess {
    address: String,
    child: Child,
}

impl OtherProcess {
    fn start() -> Fallible<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.arg(BROKER).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
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

const BROKER: &str = "--serve";
