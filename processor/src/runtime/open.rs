//! Opening a session, and what the errors of its parts mean for it.
//!
//! The rule: what another attempt may mend starts the session over, what needs a person ends the job. When in doubt the
//! session starts over, because nothing can be lost by it.

use std::time::Duration;

use kafka_wire::client::{Client, Consumer, GroupMember, MetadataError, OffsetsError, Producer};
use kafka_wire::consumer::{ConsumeError, ConsumerConfig, ResetPolicy};
use kafka_wire::group::{Assignor, GroupConfig, GroupError};
use kafka_wire::producer::{
    CommitError, DeliveryCause, DeliveryError, FlushError, OpenError, ProducerConfig, TransactionCause,
    TransactionError,
};
use kafka_wire::protocol::ErrorCode;
use kafka_wire::types::{IsolationLevel, TimestampMs};
use kafka_wire::wire::Str;

use super::app::client_config;
use super::config::{AssignmentStrategy, Config};
use super::error::RunError;
use super::membership;
use super::output::Transaction;
use super::session::Session;
use super::worker::{SessionEnd, Worker};

/// What a session is made of.
pub(crate) struct Parts {
    pub(crate) client: Client,
    pub(crate) member: GroupMember,
    pub(crate) consumer: Consumer,
    pub(crate) transaction: Transaction,
    /// Above every sequence that the transactional id has used: it counts from the wall clock.
    pub(crate) first_sequence: u64,
}

/// Connects, takes up the transactional id (which aborts what its last holder left open), and begins to join the group.
pub(crate) async fn open(worker: &Worker) -> Result<Session<'_>, SessionEnd> {
    let config = &worker.config;
    let client =
        Client::connect(client_config(config)).await.map_err(|error| SessionEnd::Restart(error.to_string()))?;
    let opened = tokio::select! {
        biased;
        () = worker.control.stopped() => return Err(SessionEnd::Stopped),
        opened = Producer::open(&client, producer_config(worker)) => opened,
    };
    let producer = opened.map_err(|error| open_error(&error))?;
    let transaction = Transaction::open(producer, &worker.topology).await?;
    let consumer = Consumer::new(client.clone(), consumer_config(config));
    let member = GroupMember::join(client.clone(), group_config(worker));
    Ok(Session::new(worker, Parts { client, member, consumer, transaction, first_sequence: wall_clock_micros() }))
}

fn producer_config(worker: &Worker) -> ProducerConfig {
    let config = &worker.config;
    ProducerConfig {
        transaction_timeout: config.transaction_timeout,
        compression: config.compression,
        // The worker looks between two batches of input. What a batch puts out in between, such as all results of a window
        // that closes, cannot wait and must not be refused: it would be as much the next time.
        buffer_limit_bytes: usize::MAX,
        room_limit_bytes: config.buffer_memory,
        ..ProducerConfig::transactional(worker.transactional_id.clone())
    }
}

pub(crate) fn consumer_config(config: &Config) -> ConsumerConfig {
    let bytes = u32::try_from(config.fetch_max_bytes).unwrap_or(u32::MAX);
    ConsumerConfig {
        isolation: IsolationLevel::ReadCommitted,
        max_bytes: bytes,
        buffer_limit_bytes: config.fetch_max_bytes,
        // A partition that is taken over waits for the fetch that is in flight: this bounds that wait.
        max_wait: Duration::from_millis(100),
        // A position that is gone means lost input: a person has to decide.
        reset: ResetPolicy::None,
        ..ConsumerConfig::default()
    }
}

fn group_config(worker: &Worker) -> GroupConfig {
    let config = &worker.config;
    let sources = worker.topology.sub_topologies().iter().flat_map(|sub_topology| sub_topology.sources());
    let topics: Vec<Str> = sources.map(|source| Str::from(source.topic.as_str())).collect();
    GroupConfig {
        instance_id: worker.group_instance_id.clone(),
        session_timeout: config.session_timeout,
        rebalance_timeout: config.rebalance_timeout,
        heartbeat_interval: config.heartbeat_interval,
        assignors: vec![match config.assignment {
            AssignmentStrategy::Range => Assignor::Range,
            AssignmentStrategy::RoundRobin => Assignor::RoundRobin,
        }],
        together: worker
            .topology
            .together()
            .iter()
            .map(|group| group.iter().copied().map(Str::from).collect())
            .collect(),
        user_data: membership::joining(&worker.transactional_id),
        leader_user_data: Some(membership::leader_user_data),
        ..GroupConfig::new(worker.topology.application_id(), topics)
    }
}

#[expect(clippy::disallowed_methods, reason = "the runtime is where real time enters the processor")]
fn wall_clock_micros() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The time of day at the start of the client's clock.
pub(crate) fn wall_at_zero(client: &Client) -> TimestampMs {
    let wall = i64::try_from(wall_clock_micros() / 1_000).unwrap_or(i64::MAX);
    TimestampMs(wall.saturating_sub(i64::try_from(client.now().as_millis()).unwrap_or(i64::MAX)))
}

fn refused(text: String) -> SessionEnd {
    SessionEnd::Fatal(RunError::Refused(text))
}

pub(crate) fn consume_error(error: ConsumeError) -> SessionEnd {
    match error {
        ConsumeError::Corrupt { partition, offset, cause } => {
            SessionEnd::Fatal(RunError::Corrupt { partition, offset, cause: cause.to_string() })
        }
        other => refused(other.to_string()),
    }
}

pub(crate) fn group_error(error: &GroupError) -> SessionEnd {
    refused(error.to_string())
}

pub(crate) fn offsets_error(error: &OffsetsError) -> SessionEnd {
    match error.code() {
        Some(code) if !code.is_retriable() && !error.is_group_changed() => refused(error.to_string()),
        _ => SessionEnd::Restart(error.to_string()),
    }
}

fn open_error(error: &OpenError) -> SessionEnd {
    match error {
        OpenError::Refused(ErrorCode::INVALID_TRANSACTION_TIMEOUT) => {
            refused("the broker refuses transaction.timeout.ms: it is above its transaction.max.timeout.ms".to_owned())
        }
        OpenError::Refused(code) if is_permanent(*code) => refused(error.to_string()),
        OpenError::Unsupported | OpenError::Compression(_) => refused(error.to_string()),
        _ => SessionEnd::Restart(error.to_string()),
    }
}

pub(crate) fn flush_error(error: &FlushError) -> SessionEnd {
    match error {
        FlushError::Delivery { first, .. } if is_refused_for_good(first) => delivery_refused(first),
        _ => SessionEnd::Restart(error.to_string()),
    }
}

/// Whether the same records would be refused again.
pub(crate) fn is_refused_for_good(error: &DeliveryError) -> bool {
    match error.cause {
        DeliveryCause::Refused(code) => {
            is_permanent(code)
                || matches!(
                    code,
                    ErrorCode::MESSAGE_TOO_LARGE
                        | ErrorCode::RECORD_LIST_TOO_LARGE
                        | ErrorCode::INVALID_TIMESTAMP
                        | ErrorCode::INVALID_RECORD
                        | ErrorCode::UNSUPPORTED_COMPRESSION_TYPE
                        | ErrorCode::POLICY_VIOLATION
                )
        }
        _ => false,
    }
}

pub(crate) fn delivery_refused(error: &DeliveryError) -> SessionEnd {
    let mend = match error.cause {
        DeliveryCause::Refused(ErrorCode::INVALID_TIMESTAMP) => {
            "raise message.timestamp.after.max.ms of the topic, or correct the event times"
        }
        _ if error.is_too_large() => "raise max.message.bytes of the topic, or emit smaller records",
        _ => "change the topic's configuration or the job's rights",
    };
    refused(format!("{error}: {mend}; nothing of the transaction was committed"))
}

pub(crate) fn metadata_error(error: &MetadataError) -> SessionEnd {
    SessionEnd::Restart(error.to_string())
}

pub(crate) fn transaction_error(error: &TransactionError) -> SessionEnd {
    SessionEnd::Restart(error.to_string())
}

pub(crate) fn commit_error(error: &CommitError) -> SessionEnd {
    match error {
        CommitError::Fatal(TransactionCause::Refused { code, .. }) if is_permanent(*code) => refused(error.to_string()),
        _ => SessionEnd::Restart(error.to_string()),
    }
}

/// Codes that say that the job is not allowed to, or asks for what the cluster cannot do.
fn is_permanent(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED
            | ErrorCode::TOPIC_AUTHORIZATION_FAILED
            | ErrorCode::GROUP_AUTHORIZATION_FAILED
            | ErrorCode::CLUSTER_AUTHORIZATION_FAILED
            | ErrorCode::UNSUPPORTED_VERSION
            | ErrorCode::INVALID_TRANSACTION_TIMEOUT
    )
}
