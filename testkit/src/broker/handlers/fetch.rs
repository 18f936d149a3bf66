//! Fetch: reads records from many partitions, and answers at once or when there are enough.
//!
//! A request of a fetch session (KIP-227) is completed from the session first, and the response to it loses what the
//! reader knows at the end (`fetch_sessions`); between the two, it is a request like any other.

use std::time::Duration;

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::fetch::{
    AbortedTransaction, EpochEndOffset, FetchPartition, FetchRequest, FetchResponse, FetchTopic,
    FetchableTopicResponse, PartitionData,
};
use kafka_wire::time::Moment;
use kafka_wire::types::Offset;

use super::{Client, Handled, Handler};
use crate::broker::log::{LEADER_EPOCH, Log, ReadBounds};
use crate::broker::state::{State, WaitingFetch};

impl Handler for FetchRequest {
    fn handle(self, state: &mut State, client: &Client) -> Handled<FetchResponse> {
        let (context, wait) = (client.context, Duration::from_millis(u64::try_from(self.max_wait_ms).unwrap_or(0)));
        let (request, session) = match state.fetch_sessions.enter(state.now, self, context.version) {
            Ok(entered) => entered,
            Err(error) => {
                return Handled::Now(FetchResponse { error_code: error.0, ..FetchResponse::default() });
            }
        };
        let fetch = WaitingFetch { context, request, session, deadline: state.now + wait };
        match answer(state, &fetch) {
            Some(response) => Handled::Now(response),
            None => {
                state.wait_for_records(fetch);
                Handled::Later
            }
        }
    }

    /// An error of the session stands at the top; as in Kafka, every other error stands with each partition.
    fn refuse(&self, error: ErrorCode, _version: i16) -> FetchResponse {
        let session_errors = [
            ErrorCode::FETCH_SESSION_ID_NOT_FOUND,
            ErrorCode::INVALID_FETCH_SESSION_EPOCH,
            ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR,
        ];
        if session_errors.contains(&error) || self.topics.is_empty() {
            return FetchResponse { error_code: error.0, ..FetchResponse::default() };
        }
        let refuse = |topic: &FetchTopic| FetchableTopicResponse {
            topic: topic.topic.clone(),
            topic_id: topic.topic_id,
            partitions: topic.partitions.iter().map(|partition| refused(partition.partition, error)).collect(),
            ..Default::default()
        };
        FetchResponse { responses: self.topics.iter().map(refuse).collect(), ..FetchResponse::default() }
    }
}

/// Tries to answer a waiting fetch: one of its partitions has changed, or its time is up.
pub(in crate::broker) fn resume_fetch(state: &mut State, fetch: WaitingFetch) {
    match answer(state, &fetch) {
        Some(response) => state.answer(fetch.context, &response),
        None => state.wait_for_records(fetch),
    }
}

/// The response, or `None` if the fetch should wait for more records.
fn answer(state: &mut State, fetch: &WaitingFetch) -> Option<FetchResponse> {
    let WaitingFetch { context, request, session, deadline } = fetch;
    let mut response = read(state, request, context.version, *deadline)?;
    state.fetch_sessions.leave(state.now, (request, context.version), *session, &mut response);
    Some(response)
}

/// The response without regard to sessions.
fn read(state: &State, request: &FetchRequest, version: i16, deadline: Moment) -> Option<FetchResponse> {
    let is_committed_only = request.isolation_level == READ_COMMITTED;
    let wanted = || request.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |one| (topic, one)));
    if state.now < deadline && wanted().next().is_some() {
        let enough = usize::try_from(request.min_bytes).unwrap_or(0);
        let mut available = 0;
        let is_refused = wanted().any(|(topic, partition)| match find(state, topic, partition, version) {
            Ok(log) => {
                let end = visible_end(log, is_committed_only);
                available += log.available_bytes(Offset(partition.fetch_offset), end, enough - available.min(enough));
                false
            }
            Err(_) => true,
        });
        if !is_refused && available < enough {
            return None;
        }
    }
    let limit_bytes = state.config.fetch_limit_bytes.min(state.answer_room_bytes);
    let max_bytes = usize::try_from(request.max_bytes).unwrap_or(0).min(limit_bytes);
    let mut reading = Reading { left_bytes: max_bytes, is_empty: true, is_committed_only };
    let mut responses = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let read = |partition| match find(state, topic, partition, version) {
            Ok(log) => reading.read(log, partition),
            Err(error) => diverged(state, topic, partition).unwrap_or_else(|| refused(partition.partition, error)),
        };
        responses.push(FetchableTopicResponse {
            topic: topic.topic.clone(),
            topic_id: topic.topic_id,
            partitions: topic.partitions.iter().map(read).collect(),
            ..Default::default()
        });
    }
    Some(FetchResponse { responses, ..FetchResponse::default() })
}

/// The log to read, if the request may read this partition.
fn find<'a>(
    state: &'a State,
    topic: &FetchTopic,
    partition: &FetchPartition,
    version: i16,
) -> Result<&'a Log, ErrorCode> {
    let name = state.topic_name(&topic.topic, topic.topic_id);
    let is_known = state.topics.by_name(&name).is_some();
    let Some(found) = state.topics.partition(&name, partition.partition) else {
        let by_id = version >= FIRST_WITH_TOPIC_IDS && !is_known;
        return Err(if by_id { ErrorCode::UNKNOWN_TOPIC_ID } else { ErrorCode::UNKNOWN_TOPIC_OR_PARTITION });
    };
    if partition.current_leader_epoch > LEADER_EPOCH.0 {
        return Err(ErrorCode::UNKNOWN_LEADER_EPOCH);
    }
    let position = Offset(partition.fetch_offset);
    if position < found.log.start_offset() || position > found.log.end_offset() {
        return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
    }
    Ok(&found.log)
}

/// The response to a reader whose position in the leader's epoch is beyond the log: its records are of another history.
/// Kafka checks this before the range of offsets. Source: KIP-595.
fn diverged(state: &State, topic: &FetchTopic, partition: &FetchPartition) -> Option<PartitionData> {
    let log = &state.topics.partition(&state.topic_name(&topic.topic, topic.topic_id), partition.partition)?.log;
    let end_offset = log.end_offset().0;
    let is_diverged = partition.last_fetched_epoch == LEADER_EPOCH.0 && partition.fetch_offset > end_offset;
    is_diverged.then(|| PartitionData {
        partition_index: partition.partition,
        high_watermark: end_offset,
        last_stable_offset: log.last_stable_offset().0,
        log_start_offset: log.start_offset().0,
        diverging_epoch: EpochEndOffset { epoch: LEADER_EPOCH.0, end_offset, ..Default::default() },
        records: Some(bytes::Bytes::new()),
        ..PartitionData::default()
    })
}

/// The limits that are left to a response while it is built.
struct Reading {
    left_bytes: usize,
    is_empty: bool,
    is_committed_only: bool,
}

impl Reading {
    /// Reads one partition. The first batch of the response is returned whole even above the limits, so that a reader
    /// with small limits makes progress (KIP-74).
    fn read(&mut self, log: &Log, partition: &FetchPartition) -> PartitionData {
        let partition_limit = usize::try_from(partition.partition_max_bytes).unwrap_or(0);
        let position = Offset(partition.fetch_offset);
        let read = log.read(
            position,
            ReadBounds {
                end_offset: visible_end(log, self.is_committed_only),
                size_bytes: partition_limit.min(self.left_bytes),
                is_first_whole: self.is_empty,
            },
        );
        self.left_bytes = self.left_bytes.saturating_sub(read.records.len());
        self.is_empty &= read.records.is_empty();
        let aborted = self.is_committed_only.then(|| {
            let aborted = log.aborted_between(position, read.next_offset).into_iter();
            let aborted = aborted.map(|aborted| AbortedTransaction {
                producer_id: aborted.producer_id.0,
                first_offset: aborted.first_offset.0,
                ..Default::default()
            });
            aborted.collect()
        });
        PartitionData {
            partition_index: partition.partition,
            high_watermark: log.end_offset().0,
            last_stable_offset: log.last_stable_offset().0,
            log_start_offset: log.start_offset().0,
            aborted_transactions: aborted,
            records: Some(read.records),
            ..PartitionData::default()
        }
    }
}

fn visible_end(log: &Log, is_committed_only: bool) -> Offset {
    if is_committed_only { log.last_stable_offset() } else { log.end_offset() }
}

fn refused(partition_index: i32, error: ErrorCode) -> PartitionData {
    PartitionData {
        partition_index,
        error_code: error.0,
        high_watermark: -1,
        last_stable_offset: -1,
        log_start_offset: -1,
        aborted_transactions: None,
        records: Some(bytes::Bytes::new()),
        ..PartitionData::default()
    }
}

const READ_COMMITTED: i8 = 1;
const FIRST_WITH_TOPIC_IDS: i16 = 13;
