//! A partition as its log has it: every batch, markers and aborted ones included.

use std::error::Error;

use kafka_wire::client::{CallOptions, Client, Lane, Node};
use kafka_wire::cluster::TopicPartition;
use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::fetch::{FetchPartition, FetchRequest, FetchTopic};
use kafka_wire::record::{Batch, Batches};

/// Calls `handle` with each batch from the start of the partition to its end, as read on the way.
pub(crate) async fn each(
    client: &Client,
    partition: &TopicPartition,
    mut handle: impl FnMut(&Batch) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let mut position = 0;
    loop {
        let (leader, _) = client.leader(&partition.topic, partition.partition).await?;
        // Version 12 is the last one with topic names instead of ids.
        let options = CallOptions { max_version: Some(12), ..CallOptions::default() };
        let response =
            client.request(Node::Broker(leader), Lane::General, request(partition, position), options).await?;
        let data = response.responses.into_iter().flat_map(|topic| topic.partitions).next();
        let data = data.ok_or_else(|| format!("no answer for {partition}"))?;
        let code = ErrorCode(data.error_code);
        if !code.is_none() {
            return Err(format!("{partition} cannot be read: {code}").into());
        }
        for batch in Batches::new(data.records.unwrap_or_default()) {
            let batch = batch?;
            position = batch.header.next_offset();
            handle(&batch)?;
        }
        if position >= data.high_watermark {
            return Ok(());
        }
    }
}

fn request(partition: &TopicPartition, position: i64) -> FetchRequest {
    let partitions = vec![FetchPartition {
        partition: partition.partition.0,
        fetch_offset: position,
        partition_max_bytes: MAX_BYTES,
        ..FetchPartition::default()
    }];
    FetchRequest {
        max_bytes: MAX_BYTES,
        min_bytes: 0,
        topics: vec![FetchTopic { topic: partition.topic.clone(), partitions, ..FetchTopic::default() }],
        ..FetchRequest::default()
    }
}

const MAX_BYTES: i32 = 4 << 20;
