//! The handling of responses to fetches.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use tracing::warn;

use super::{FetchFailure, Fetcher, Parked, retry_delay};
use crate::cluster::{Broker, LeaderHint, TopicPartition};
use crate::consumer::fetched::Fetched;
use crate::consumer::flights::FetchKind;
use crate::consumer::isolation::AbortedTransactions;
use crate::consumer::plan::{Asked, Ticket, needs_check};
use crate::consumer::positions::{State, Watermarks};
use crate::consumer::{ConsumeError, ConsumerConfig, IsolationLevel};
use crate::protocol::ErrorCode;
use crate::protocol::fetch::{EpochEndOffset, FetchResponse, PartitionData};
use crate::record::Batches;
use crate::time::Moment;
use crate::types::{BrokerId, LeaderEpoch, Offset, PartitionId, ProducerId};
use crate::wire::{Str, Uuid};

/// Handling of responses.
impl Fetcher {
    /// Handles the response to a fetch with its version, or the reason why there is none.
    pub fn handle_fetched(&mut self, now: Moment, ticket: Ticket, answer: Result<(i16, FetchResponse), FetchFailure>) {
        self.flights.end(ticket.broker, ticket.kind);
        if answer.is_err() && ticket.kind == FetchKind::Regular {
            self.sessions.entry(ticket.broker).or_default().handle_failure(None);
        }
        match answer {
            Ok((version, response)) => {
                self.versions.insert(ticket.broker, version);
                self.handle_response(now, &ticket, version, response);
            }
            Err(FetchFailure::Unreachable) => {
                self.versions.remove(&ticket.broker);
                for asked in &ticket.asked {
                    self.leave_replica(asked);
                    self.retry_later(now, asked);
                }
            }
            Err(FetchFailure::Unsupported(detail)) => {
                for asked in &ticket.asked {
                    let error =
                        ConsumeError::Unsupported { partition: asked.partition.clone(), detail: detail.clone() };
                    self.stop(&asked.partition, asked.assignment, error);
                }
            }
        }
    }

    fn handle_response(&mut self, now: Moment, ticket: &Ticket, version: i16, response: FetchResponse) {
        let session = (ticket.kind == FetchKind::Regular).then(|| self.sessions.entry(ticket.broker).or_default());
        if response.error_code != ErrorCode::NONE.0 {
            let code = ErrorCode(response.error_code);
            let is_of_session = session.is_some_and(|session| session.handle_failure(Some(code)));
            for asked in &ticket.asked {
                match is_of_session {
                    true => self.fetch_again(now, asked),
                    false => self.handle_error(now, asked, code),
                }
            }
            return;
        }
        if let Some(session) = session {
            session.handle_response(response.session_id, version);
        }
        let endpoints = response.node_endpoints;
        self.answers += 1;
        let parked_before = self.parked_bytes;
        let mut unanswered: BTreeMap<TopicPartition, &Asked> =
            ticket.asked.iter().map(|asked| (asked.partition.clone(), asked)).collect();
        let names: BTreeMap<Uuid, &Str> =
            ticket.asked.iter().map(|asked| (asked.topic_id, &asked.partition.topic)).collect();
        for topic in response.responses {
            // The name is empty from version 13 on, where the id identifies the topic.
            let name = if topic.topic.is_empty() { names.get(&topic.topic_id).copied() } else { Some(&topic.topic) };
            let Some(name) = name else { continue };
            for data in topic.partitions {
                let partition = TopicPartition::new(name.clone(), PartitionId(data.partition_index));
                // Partitions that were not requested are ignored.
                if let Some(asked) = unanswered.remove(&partition) {
                    self.handle_partition(now, asked, version, data);
                }
            }
        }
        if let Some(named) = &mut self.named {
            named.brokers.extend(endpoints.into_iter().map(|endpoint| Broker {
                id: BrokerId(endpoint.node_id),
                host: endpoint.host,
                port: u16::try_from(endpoint.port).unwrap_or(0),
                rack: endpoint.rack,
            }));
        }
        if self.parked_bytes.saturating_sub(parked_before) >= ConsumerConfig::LARGE_RESPONSE_BYTES {
            self.flights.wake(ticket.broker);
        }
        // In a session, a response leaves out the partitions without news.
        for asked in unanswered.into_values() {
            if let Some(assigned) = self.positions.current(&asked.partition, asked.assignment) {
                assigned.answered(now);
            }
        }
    }

    fn fetch_again(&mut self, now: Moment, asked: &Asked) {
        if let Some(assigned) = self.positions.current(&asked.partition, asked.assignment) {
            assigned.failures = 0;
            assigned.state = State::Fetchable(now);
        }
    }

    fn handle_partition(&mut self, now: Moment, asked: &Asked, version: i16, data: PartitionData) {
        let code = ErrorCode(data.error_code);
        if code != ErrorCode::NONE {
            self.note_leader(asked, data.current_leader.leader_id, data.current_leader.leader_epoch);
            return self.handle_error(now, asked, code);
        }
        if data.preferred_read_replica >= 0 {
            return self.take_replica(now, asked, BrokerId(data.preferred_read_replica));
        }
        let Some(assigned) = self.positions.current(&asked.partition, asked.assignment) else { return };
        if data.diverging_epoch.end_offset >= 0 {
            let EpochEndOffset { epoch, end_offset } = data.diverging_epoch;
            return self.part(now, asked, LeaderEpoch(epoch), end_offset);
        }
        if needs_check(assigned, asked.epoch, Some(version)) {
            // The leader could not be told what was read, so its answer is worth nothing before it is asked.
            assigned.state = State::Fetchable(now);
            return;
        }
        assigned.checked = Some(asked.epoch);
        assigned.answered(now);
        assigned.watermarks = Some(Watermarks {
            high_watermark: Offset(data.high_watermark),
            last_stable_offset: Offset(data.last_stable_offset),
            log_start_offset: Offset(data.log_start_offset),
        });
        if data.records.as_ref().is_some_and(|records| !records.is_empty()) {
            assigned.served = self.answers;
            self.park(asked, data);
        }
    }

    /// Parks data. Only the headers are read, to find the next offset to fetch; the records are up to the reader.
    fn park(&mut self, asked: &Asked, data: PartitionData) {
        let records: Bytes = data.records.unwrap_or_default();
        let size_bytes = records.len();
        let Some(assigned) = self.positions.current(&asked.partition, asked.assignment) else { return };
        let (start, leader_epoch) = (assigned.position, assigned.epochs.last());
        let mut batches = Batches::new(records.clone());
        for batch in &mut batches {
            match batch {
                Ok(batch) if batch.header.next_offset() > assigned.position => {
                    assigned.position = batch.header.next_offset();
                    assigned.epochs.note(batch.header.base_offset, batch.header.partition_leader_epoch);
                }
                Ok(_) => {}
                // The reader will find the same error at its place; there is nothing to fetch after it.
                Err(_) => assigned.state = State::Stopped,
            }
        }
        if assigned.position == start && assigned.state != State::Stopped {
            let error = ConsumeError::Stalled { partition: asked.partition.clone(), offset: Offset(start), size_bytes };
            return self.stop(&asked.partition, asked.assignment, error);
        }
        let aborted = data.aborted_transactions.unwrap_or_default();
        let aborted = aborted.iter().map(|aborted| (ProducerId(aborted.producer_id), aborted.first_offset));
        let aborted =
            (self.config.isolation == IsolationLevel::ReadCommitted).then(|| AbortedTransactions::new(aborted));
        let wanted_from = Offset(assigned.wanted_from);
        let mut fetched = Fetched {
            partition: asked.partition.clone(),
            high_watermark: Offset(data.high_watermark),
            last_stable_offset: Offset(data.last_stable_offset),
            batches: Batches::new(records),
            size_bytes,
            aborted,
            position: start,
            end_offset: assigned.position,
            leader_epoch,
            aborted_batch_count: 0,
            failure: assigned.failure.clone(),
        };
        fetched.skip_to(wanted_from);
        assigned.parked_bytes += size_bytes;
        self.parked_bytes += size_bytes;
        self.parked.push_back(Parked {
            assignment: asked.assignment,
            partition: asked.partition.clone(),
            item: Ok(fetched),
        });
    }

    fn handle_error(&mut self, now: Moment, asked: &Asked, code: ErrorCode) {
        let Some(assigned) = self.positions.current(&asked.partition, asked.assignment) else { return };
        let (partition, offset) = (asked.partition.clone(), Offset(assigned.position));
        let is_known_elsewhere =
            self.named.as_ref().is_some_and(|named| named.hints.iter().any(|hint| hint.partition == partition));
        let is_unwanted = code == ErrorCode::OFFSET_OUT_OF_RANGE && assigned.go_to_wanted();
        self.leave_replica(asked);
        match code {
            _ if is_unwanted => self.fetch_again(now, asked),
            // A replica may have more or fewer records than the leader, whose answer is the one that counts.
            ErrorCode::OFFSET_OUT_OF_RANGE if !asked.is_from_leader => self.fetch_elsewhere(now, asked),
            ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::FENCED_LEADER_EPOCH if is_known_elsewhere => {
                self.fetch_elsewhere(now, asked);
            }
            ErrorCode::OFFSET_OUT_OF_RANGE if self.refuse_position(now, asked) => {}
            ErrorCode::OFFSET_OUT_OF_RANGE => {
                self.reset_or_stop(now, asked, ConsumeError::OffsetOutOfRange { partition, offset });
            }
            // Kafka's table calls the code retriable, but the leader's disk will return the same bytes the next time.
            ErrorCode::CORRUPT_MESSAGE => {
                self.stop(&asked.partition, asked.assignment, ConsumeError::Refused { partition, offset, code });
            }
            ErrorCode::UNKNOWN_SERVER_ERROR => {
                warn!(%partition, %offset, "the leader failed without a reason, and is asked again; its log tells more");
                self.retry_later(now, asked);
            }
            // The leader has moved, does not lead yet, or has another topic under that name or id.
            code if code.is_retriable() || code == ErrorCode::INCONSISTENT_TOPIC_ID => self.retry_later(now, asked),
            code => self.stop(&asked.partition, asked.assignment, ConsumeError::Refused { partition, offset, code }),
        }
    }

    /// Notes the leader that a broker has named with an error.
    fn note_leader(&mut self, asked: &Asked, leader: i32, epoch: i32) {
        // A leader that was known when the request was made does not lead now: this one must be newer.
        if leader >= 0 && LeaderEpoch(epoch) > asked.epoch {
            let partition = asked.partition.clone();
            let hint = LeaderHint { partition, leader: BrokerId(leader), epoch: LeaderEpoch(epoch) };
            self.named.get_or_insert_default().hints.push(hint);
        }
    }

    /// Goes on at the replica that the leader has named, for a while.
    fn take_replica(&mut self, now: Moment, asked: &Asked, replica: BrokerId) {
        if let Some(assigned) = self.positions.current(&asked.partition, asked.assignment) {
            assigned.replica = asked.is_from_leader.then_some((replica, now + REPLICA_AGE_MAX));
            assigned.state = State::Fetchable(now);
        }
    }

    /// Fetches from another broker, at once only the first time: brokers may disagree.
    fn fetch_elsewhere(&mut self, now: Moment, asked: &Asked) {
        if let Some(assigned) = self.positions.current(&asked.partition, asked.assignment) {
            let pause = if assigned.failures == 0 { Duration::ZERO } else { retry_delay(assigned.failures) };
            assigned.failures = assigned.failures.saturating_add(1);
            assigned.state = State::Fetchable(now + pause);
        }
    }

    /// Goes back to the leader.
    fn leave_replica(&mut self, asked: &Asked) {
        if let Some(assigned) = self.positions.current(&asked.partition, asked.assignment) {
            assigned.replica = None;
        }
    }

    pub(super) fn retry_later(&mut self, now: Moment, asked: &Asked) {
        let Some(assigned) = self.positions.current(&asked.partition, asked.assignment) else { return };
        assigned.failures = assigned.failures.saturating_add(1);
        assigned.spares = Some(asked.epoch);
        assigned.state = State::Fetchable(now + retry_delay(assigned.failures));
        self.stale.insert(asked.partition.topic.clone());
    }
}

/// Time after which the leader is asked again which replica is near, as after Kafka's default `metadata.max.age.ms`.
const REPLICA_AGE_MAX: Duration = Duration::from_secs(300);
