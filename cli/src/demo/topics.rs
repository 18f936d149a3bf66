//! The topics and the group of one run: created before it, and deleted after it.

use std::error::Error;
use std::time::Duration;

use kafka_wire::admin::NewTopic;
use kafka_wire::client::{CallOptions, Client, Lane, Node};
use kafka_wire::cluster::CoordinatorKind;
use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::delete_groups::DeleteGroupsRequest;
use kafka_wire::wire::Str;
use processor::Topology;

/// Names of this run; every run has its own, so that runs on one cluster do not interfere.
#[derive(Debug)]
pub(crate) struct Names {
    /// Application id of the job: its group, and the prefix of its topics.
    pub(crate) application_id: String,
    pub(crate) lines: String,
    pub(crate) counts: String,
}

impl Names {
    /// The process id tells two runs apart that start in the same millisecond on one cluster.
    pub(crate) fn new(started_ms: i64) -> Self {
        let application_id = format!("waterwheel-demo-{started_ms}-{}", std::process::id());
        Self { lines: format!("{application_id}-lines"), counts: format!("{application_id}-counts"), application_id }
    }

    /// Every topic of the run, those that the job creates for itself included.
    pub(crate) fn topics(&self, topology: &Topology) -> Vec<String> {
        let mut names = vec![self.lines.clone()];
        names.extend(topology.sinks().iter().map(|sink| sink.topic.clone()));
        names
    }
}

/// Creates the topics of input and output.
pub(crate) async fn create(client: &Client, names: &Names, partitions: i32) -> Result<(), Box<dyn Error>> {
    let topics = [&names.lines, &names.counts].map(|name| {
        let mut topic = NewTopic::new(name.as_str(), partitions);
        // Event times lie in the past, where retention would delete them; a file may have long lines.
        topic.configs =
            vec![("retention.ms".into(), "-1".into()), ("max.message.bytes".into(), BATCH_BYTES_MAX.into())];
        topic
    });
    for (topic, outcome) in client.create_topics(&topics).await? {
        outcome.map_err(|error| format!("topic {topic} cannot be created: {error}"))?;
    }
    Ok(())
}

/// Deletes the topics and the group of the run; returns a message for each that could not be deleted.
pub(crate) async fn delete(client: &Client, topics: &[String], group: &str) -> Vec<String> {
    let names: Vec<Str> = topics.iter().map(|name| Str::from(name.as_str())).collect();
    let mut left = Vec::new();
    match client.delete_topics(&names).await {
        Ok(outcomes) => left.extend(outcomes.into_iter().filter_map(|(topic, outcome)| match outcome {
            // A run that ended early has not created all of them.
            Ok(()) => None,
            Err(error) if error.code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => None,
            Err(error) => Some(format!("topic {topic}: {error}")),
        })),
        Err(error) => left.push(format!("topics {}: {error}", topics.join(", "))),
    }
    if let Err(error) = delete_group(client, group).await {
        left.push(format!("group {group}: {error}"));
    }
    left
}

/// Killed members stay in the group until their session times out, so this may take some attempts.
async fn delete_group(client: &Client, group: &str) -> Result<(), Box<dyn Error>> {
    for attempt in 1.. {
        let coordinator = client.coordinator(CoordinatorKind::Group, group).await?;
        let request = DeleteGroupsRequest { groups_names: vec![Str::from(group)], ..Default::default() };
        let response =
            client.request(Node::Broker(coordinator), Lane::General, request, CallOptions::default()).await?;
        let code = response.results.first().map_or(ErrorCode::UNKNOWN_SERVER_ERROR, |it| ErrorCode(it.error_code));
        match code {
            ErrorCode::NONE | ErrorCode::GROUP_ID_NOT_FOUND => return Ok(()),
            ErrorCode::NOT_COORDINATOR => client.forget_coordinator(CoordinatorKind::Group, group),
            code if !code.is_retriable() && code != ErrorCode::NON_EMPTY_GROUP => return Err(code.to_string().into()),
            _ => {}
        }
        if attempt == ATTEMPTS_MAX {
            return Err(code.to_string().into());
        }
        tokio::time::sleep(PAUSE).await;
    }
    unreachable!("the last attempt returns")
}

/// Batch size in bytes that holds a word as long as a line, in lower case and with the bytes around it in each topic.
pub(crate) const BATCH_BYTES_MAX: &str = "67108864";

/// Enough attempts to outlast the session timeout of a worker.
const ATTEMPTS_MAX: u32 = 40;
const PAUSE: Duration = Duration::from_millis(200);
