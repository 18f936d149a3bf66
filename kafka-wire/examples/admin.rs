//! Makes a topic, changes a setting of it, and lists the groups: `cargo run --example admin -- 127.0.0.1:9092 orders`.
#![allow(clippy::print_stdout, reason = "a program that tells what it did")]

use std::error::Error;

use kafka_wire::admin::{ConfigChange, ConfigResource, GroupFilter, NewTopic};
use kafka_wire::client::{Client, ClientConfig};

/// Every operation has an outcome for each item, so that a failure for one does not hide the others.
pub(crate) async fn admin(servers: &str, topic: &str) -> Result<(), Box<dyn Error>> {
    let client = Client::connect(ClientConfig::new(servers)).await?;
    for (name, outcome) in client.create_topics(&[NewTopic::new(topic, 3)]).await? {
        println!("topic {name}: {}", outcome.map_or_else(|error| error.to_string(), |()| "created".to_owned()));
    }
    let resource = ConfigResource::Topic(topic.into());
    let change = ConfigChange::Set("retention.ms".into(), "3600000".into());
    for (resource, outcome) in client.alter_configs(&[(resource, vec![change])]).await? {
        println!("{resource}: {outcome:?}");
    }
    for group in client.list_groups(&GroupFilter::default()).await? {
        println!("group {} is {}", group.group_id, group.state);
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
#[allow(dead_code, reason = "the tests run the function above")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let servers = arguments.next().unwrap_or_else(|| "127.0.0.1:9092".to_owned());
    admin(&servers, &arguments.next().unwrap_or_else(|| "orders".to_owned())).await
}
