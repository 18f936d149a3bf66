//! Reads a topic as a member of a consumer group, until Ctrl-C.
//!
//! ```text
//! cargo run -p kafka-wire --example consume -- 127.0.0.1:9092 billing orders
//! ```
//! Two processes of it share the partitions. A process that is started again goes on where it stopped.

use std::error::Error;
use std::io::Write;

use kafka_wire::client::{ConsumerRecord, GroupConsumer, ResetPolicy};

/// Hands every record to `handle` until `stop` is set, then commits and leaves the group.
pub(crate) async fn consume(
    (servers, group, topic): (&str, &str, &str),
    stop: impl Future<Output = ()>,
    mut handle: impl FnMut(ConsumerRecord),
) -> Result<(), Box<dyn Error>> {
    let mut consumer =
        GroupConsumer::builder(group).topics([topic]).auto_offset_reset(ResetPolicy::Earliest).connect(servers).await?;
    tokio::pin!(stop);
    loop {
        tokio::select! {
            record = consumer.next() => handle(record?),
            () = &mut stop => break,
        }
    }
    consumer.close().await?;
    Ok(())
}

#[allow(dead_code, reason = "a test takes the file for its function")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [servers, group, topic] = &arguments[..] else { return Err("usage: consume HOST:PORT GROUP TOPIC".into()) };
    let stop = async { drop(tokio::signal::ctrl_c().await) };
    consume((servers, group, topic), stop, |record| {
        let value = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
        // A reader of our output that went away is no reason to fail.
        let _ = writeln!(std::io::stdout(), "{}-{} @ {}: {value}", record.topic, record.partition, record.offset);
    })
    .await
}
