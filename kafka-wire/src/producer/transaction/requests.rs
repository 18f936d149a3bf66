//! The requests of a transaction, and the effects of their responses.

use std::collections::BTreeMap;
use std::time::Duration;

use super::state::{Attempts, Doubt, OffsetsToCommit, State};
use super::{CoordinatorRequest, Ended, Reaction, TransactionManager, TransactionVersion, reaction};
use crate::cluster::{CoordinatorKind, TopicPartition, UNKNOWN_TOPIC_PATIENCE};
use crate::producer::error::TransactionCause;
use crate::producer::pauses::Pauses;
use crate::producer::sequence::ProducerIdentity;
use crate::protocol::add_offsets_to_txn::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
use crate::protocol::add_partitions_to_txn::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, AddPartitionsToTxnTopic,
};
use crate::protocol::end_txn::{EndTxnRequest, EndTxnResponse};
use crate::protocol::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use crate::protocol::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic, TxnOffsetCommitResponse,
};
use crate::protocol::{ApiKey, ErrorCode};
use crate::time::Moment;
use crate::types::{PartitionId, ProducerEpoch, ProducerId};
use crate::wire::Str;

/// A request to a coordinator.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "named as in the protocol")]
pub enum Request {
    InitProducerId(InitProducerIdRequest),
    AddPartitionsToTxn(AddPartitionsToTxnRequest),
    AddOffsetsToTxn(AddOffsetsToTxnRequest),
    TxnOffsetCommit(TxnOffsetCommitRequest),
    EndTxn(EndTxnRequest),
}

/// The outcome of a request.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "named as in the protocol")]
pub enum RequestOutcome {
    InitProducerId(InitProducerIdResponse),
    AddPartitionsToTxn(AddPartitionsToTxnResponse),
    AddOffsetsToTxn(AddOffsetsToTxnResponse),
    TxnOffsetCommit(TxnOffsetCommitResponse),
    EndTxn(EndTxnResponse),
    /// It was not sent: no coordinator is known, or there is no connection to it.
    NotSent,
    /// It was sent without a response: it may have been carried out, or may be later.
    Unanswered,
    /// The coordinator's look-up was refused.
    NoCoordinator(ErrorCode),
    /// Both sides have no version of it in common, or it cannot be encoded.
    Unsendable,
}

impl TransactionManager {
    /// The request that is due.
    pub(super) fn call(&self, api: ApiKey, timeout: Duration) -> CoordinatorRequest {
        let is_v2 = self.version == TransactionVersion::V2;
        let (request, max_version) = match api {
            ApiKey::AddPartitionsToTxn => (Request::AddPartitionsToTxn(self.add_partitions()), 3),
            ApiKey::AddOffsetsToTxn => (Request::AddOffsetsToTxn(self.add_offsets()), 4),
            // Version 6 names topics by id (KIP-1319). Offsets are committed for names, as outside of transactions:
            // see `group::commit`. Its new codes are for groups of KIP-848; the older codes lead a classic group
            // to the same reaction.
            ApiKey::TxnOffsetCommit => (Request::TxnOffsetCommit(self.commit_offsets()), if is_v2 { 5 } else { 4 }),
            ApiKey::EndTxn => (Request::EndTxn(self.end_txn()), if is_v2 { 5 } else { 4 }),
            // Version 6 belongs to two-phase commit (KIP-939) and is not stable yet.
            _ => (Request::InitProducerId(self.init_producer_id()), 5),
        };
        let coordinator = match (&self.transactional_id, &self.offsets) {
            (_, Some(offsets)) if api == ApiKey::TxnOffsetCommit => {
                Some((CoordinatorKind::Group, offsets.group.group_id.clone()))
            }
            (Some(id), _) => Some((CoordinatorKind::Transaction, id.clone())),
            (None, _) => None,
        };
        CoordinatorRequest { request, max_version, coordinator, find_again: self.attempts.find_again, timeout }
    }

    /// Handles the outcome of the last request. A retry waits as long as `pauses` says.
    pub fn handle(&mut self, now: Moment, outcome: RequestOutcome, pauses: Pauses) {
        let Some(api) = self.attempts.in_flight.take() else { return };
        let (worst, code) = match outcome {
            RequestOutcome::InitProducerId(response) => self.handle_init(&response),
            RequestOutcome::AddPartitionsToTxn(response) => self.handle_partitions(&response),
            RequestOutcome::AddOffsetsToTxn(response) => self.handle_group(&response),
            RequestOutcome::TxnOffsetCommit(response) => self.handle_offsets(now, &response),
            RequestOutcome::EndTxn(response) => return self.handle_end(now, &response, pauses),
            RequestOutcome::NotSent => (Reaction::FindCoordinator, None),
            RequestOutcome::Unanswered => {
                self.attempts.unanswered = true;
                // The request may be carried out later, in the middle of the next transaction.
                (self.needs_epoch, self.reached) = (true, true);
                (Reaction::FindCoordinator, None)
            }
            RequestOutcome::NoCoordinator(code) => (reaction(ApiKey::FindCoordinator, code), Some(code)),
            RequestOutcome::Unsendable => {
                self.attempts.last_code = None;
                return self.spoil(Reaction::Fatal, TransactionCause::Unsendable { api });
            }
        };
        self.settle(now, api, worst, code, pauses);
    }

    /// Goes on after a response that did not end the transaction.
    fn settle(&mut self, now: Moment, api: ApiKey, reaction: Reaction, code: Option<ErrorCode>, pauses: Pauses) {
        match (reaction, code) {
            (Reaction::Done, _) => {}
            (Reaction::Retry | Reaction::FindCoordinator, _) | (_, None) => {
                self.attempts.last_code = code.or(self.attempts.last_code);
                self.attempts.find_again = reaction == Reaction::FindCoordinator;
                let is_early = code == Some(ErrorCode::CONCURRENT_TRANSACTIONS) && !self.registration.is_urgent;
                let pause = if is_early && self.state == State::Open {
                    self.registration.note_early()
                } else {
                    pauses.after(code, self.attempts.failures)
                };
                self.attempts.retry_at = now + pause;
                self.attempts.failures += 1;
            }
            (reaction, Some(code)) => self.spoil(reaction, TransactionCause::Refused { api, code }),
        }
    }

    fn init_producer_id(&self) -> InitProducerIdRequest {
        // With the current id and epoch the coordinator raises the epoch only if no other producer
        // has done so (KIP-360).
        InitProducerIdRequest {
            transactional_id: self.transactional_id.clone(),
            transaction_timeout_ms: milliseconds(self.transaction_timeout),
            producer_id: self.identity.id.0,
            producer_epoch: self.identity.epoch.0,
            ..InitProducerIdRequest::default()
        }
    }

    fn handle_init(&mut self, response: &InitProducerIdResponse) -> (Reaction, Option<ErrorCode>) {
        let code = ErrorCode(response.error_code);
        let reaction = reaction(ApiKey::InitProducerId, code);
        if reaction == Reaction::Done {
            self.identity = ProducerIdentity {
                id: ProducerId(response.producer_id),
                epoch: ProducerEpoch(response.producer_epoch),
            };
            match &self.state {
                State::Renewing(ended) => {
                    let ended = ended.clone();
                    self.finish(ended);
                }
                State::Doubted(Doubt::Aborts) => self.finish(Ended::Aborted),
                State::Doubted(Doubt::Fails(why)) => {
                    let why = why.clone();
                    // The coordinator knows nothing of the transaction: there is nothing to abort.
                    self.clear();
                    self.rest(State::Failed { why: why.clone(), skip_end: false }, why);
                }
                _ => self.rest(State::Ready, Ended::Opened),
            }
        }
        (reaction, Some(code))
    }

    fn add_partitions(&self) -> AddPartitionsToTxnRequest {
        let mut topics: BTreeMap<Str, Vec<i32>> = BTreeMap::new();
        for partition in self.registration.unregistered.keys() {
            topics.entry(partition.topic.clone()).or_default().push(partition.partition.0);
        }
        AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: self.id(),
            v3_and_below_producer_id: self.identity.id.0,
            v3_and_below_producer_epoch: self.identity.epoch.0,
            v3_and_below_topics: topics
                .into_iter()
                .map(|(name, partitions)| AddPartitionsToTxnTopic { name, partitions, ..Default::default() })
                .collect(),
            ..AddPartitionsToTxnRequest::default()
        }
    }

    /// Handles the response to AddPartitionsToTxn. Added partitions stay added, whatever the results of the others are.
    fn handle_partitions(&mut self, response: &AddPartitionsToTxnResponse) -> (Reaction, Option<ErrorCode>) {
        let mut worst = (Reaction::Done, ErrorCode::NONE);
        let mut is_mistaken = false;
        for topic in &response.results_by_topic_v3_and_below {
            for result in &topic.results_by_partition {
                let code = ErrorCode(result.partition_error_code);
                let reaction = reaction(ApiKey::AddPartitionsToTxn, code);
                // OPERATION_NOT_ATTEMPTED only says that another partition is the cause, and that one is worth
                // reporting.
                if reaction > worst.0 || (reaction == worst.0 && worst.1 == ErrorCode::OPERATION_NOT_ATTEMPTED) {
                    worst = (reaction, code);
                }
                let partition = TopicPartition::new(topic.name.clone(), PartitionId(result.partition_index));
                if reaction == Reaction::Done {
                    self.registration.add(&partition);
                    self.reached = true;
                }
                is_mistaken |= self.registration.is_mistaken(&partition, code);
            }
        }
        if is_mistaken && worst.0 <= Reaction::Abortable {
            // A topic is gone, or may not be written any more, and the transaction has no records for it so far.
            // The others are registered without it.
            self.registration.expect_nothing();
            worst = (Reaction::Done, ErrorCode::NONE);
        }
        if worst.0 == Reaction::Done && self.attempts.failures == 0 {
            self.registration.note_in_time();
        }
        self.progress_if(worst.0 == Reaction::Done);
        (worst.0, Some(worst.1))
    }

    fn add_offsets(&self) -> AddOffsetsToTxnRequest {
        AddOffsetsToTxnRequest {
            transactional_id: self.id(),
            producer_id: self.identity.id.0,
            producer_epoch: self.identity.epoch.0,
            group_id: self.registration.asked_group().cloned().unwrap_or_default(),
            ..Default::default()
        }
    }

    fn handle_group(&mut self, response: &AddOffsetsToTxnResponse) -> (Reaction, Option<ErrorCode>) {
        let code = ErrorCode(response.error_code);
        let mut reaction = reaction(ApiKey::AddOffsetsToTxn, code);
        if reaction == Reaction::Done {
            self.reached = true;
            self.registration.add_group();
        } else if reaction == Reaction::Abortable && self.committed_group() != self.registration.asked_group() {
            // The transaction was only expected to commit offsets of this group.
            self.registration.expect_no_group();
            reaction = Reaction::Done;
        }
        self.progress_if(reaction == Reaction::Done);
        (reaction, Some(code))
    }

    fn commit_offsets(&self) -> TxnOffsetCommitRequest {
        let Some(OffsetsToCommit { group, offsets, .. }) = &self.offsets else {
            return TxnOffsetCommitRequest::default();
        };
        let mut topics: BTreeMap<Str, Vec<TxnOffsetCommitRequestPartition>> = BTreeMap::new();
        for (partition, committed) in offsets {
            topics.entry(partition.topic.clone()).or_default().push(TxnOffsetCommitRequestPartition {
                partition_index: partition.partition.0,
                committed_offset: committed.offset.0,
                committed_leader_epoch: committed.leader_epoch.0,
                committed_metadata: Some(committed.metadata.clone()),
                ..Default::default()
            });
        }
        TxnOffsetCommitRequest {
            transactional_id: self.id(),
            group_id: group.group_id.clone(),
            producer_id: self.identity.id.0,
            producer_epoch: self.identity.epoch.0,
            generation_id_or_member_epoch: group.generation,
            member_id: group.member_id.clone(),
            group_instance_id: group.instance_id.clone(),
            topics: topics
                .into_iter()
                .map(|(name, partitions)| TxnOffsetCommitRequestTopic { name, partitions, ..Default::default() })
                .collect(),
            ..Default::default()
        }
    }

    /// Offsets that were accepted are not sent again; offsets that the response leaves out were not accepted.
    fn handle_offsets(&mut self, now: Moment, response: &TxnOffsetCommitResponse) -> (Reaction, Option<ErrorCode>) {
        // With version 2 the request itself has put the group into the transaction, even if it was refused later.
        self.reached = true;
        let mut worst = (Reaction::Done, ErrorCode::NONE);
        let mut taken = Vec::new();
        for topic in &response.topics {
            for result in &topic.partitions {
                let code = ErrorCode(result.error_code);
                let reaction = reaction(ApiKey::TxnOffsetCommit, code);
                worst = worst.max((reaction, code));
                if reaction == Reaction::Done {
                    taken.push(TopicPartition::new(topic.name.clone(), PartitionId(result.partition_index)));
                }
            }
        }
        // The coordinator may not have heard of a new topic yet; one that was deleted stays unknown. Java tries until
        // its time is over, which would hold all partitions of the transaction up for that long.
        let has_waited =
            self.attempts.deadline.is_some_and(|deadline| deadline + UNKNOWN_TOPIC_PATIENCE <= now + self.end_timeout);
        if worst == (Reaction::Retry, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) && has_waited {
            worst.0 = Reaction::Abortable;
        }
        if let Some(offsets) = &mut self.offsets {
            offsets.offsets.retain(|(partition, _)| !taken.contains(partition));
            if offsets.offsets.is_empty() {
                self.offsets = None;
            } else if worst.0 == Reaction::Done {
                worst.0 = Reaction::Retry;
            }
        }
        self.progress_if(worst.0 == Reaction::Done);
        (worst.0, Some(worst.1))
    }

    fn end_txn(&self) -> EndTxnRequest {
        EndTxnRequest {
            transactional_id: self.id(),
            producer_id: self.identity.id.0,
            producer_epoch: self.identity.epoch.0,
            committed: self.state == State::Committing,
            ..Default::default()
        }
    }

    fn handle_end(&mut self, now: Moment, response: &EndTxnResponse, pauses: Pauses) {
        let code = ErrorCode(response.error_code);
        let reaction = reaction(ApiKey::EndTxn, code);
        if reaction == Reaction::Done && response.producer_id >= 0 {
            // Version 5 and above return a new epoch, or a new producer id when the epochs are used up.
            // Requests that are still in flight carry the old one.
            self.identity = ProducerIdentity {
                id: ProducerId(response.producer_id),
                epoch: ProducerEpoch(response.producer_epoch),
            };
            self.needs_epoch = false;
        }
        match &self.state {
            State::Committing => self.handle_commit(now, reaction, code, pauses),
            State::Aborting { .. } | State::Recovering => self.handle_abort(now, reaction, code, pauses),
            _ => {}
        }
    }

    fn handle_commit(&mut self, now: Moment, reaction: Reaction, code: ErrorCode, pauses: Pauses) {
        let cause = TransactionCause::Refused { api: ApiKey::EndTxn, code };
        match reaction {
            Reaction::Done => self.end(Ended::Committed),
            Reaction::Retry | Reaction::FindCoordinator => {
                // Kafka also answers COORDINATOR_NOT_AVAILABLE if its append to the transaction log timed out, and
                // NOT_COORDINATOR if it was deposed meanwhile (`TransactionStateManager.appendTransactionToLog`): the
                // append may still succeed.
                self.attempts.unanswered |=
                    matches!(code, ErrorCode::COORDINATOR_NOT_AVAILABLE | ErrorCode::NOT_COORDINATOR);
                self.settle(now, ApiKey::EndTxn, reaction, Some(code), pauses);
            }
            _ if self.attempts.unanswered || !is_definite(code) => self.rest(State::InDoubt, Ended::Unknown(cause)),
            reaction => self.spoil(reaction, cause),
        }
    }

    fn handle_abort(&mut self, now: Moment, reaction: Reaction, code: ErrorCode, pauses: Pauses) {
        let is_recovering = self.state == State::Recovering;
        let cause = TransactionCause::Refused { api: ApiKey::EndTxn, code };
        match reaction {
            Reaction::Done => {
                // At version 1 the unanswered commit may still arrive; it must not find this epoch in use.
                self.needs_epoch |= is_recovering && self.version == TransactionVersion::V1;
                self.end(Ended::Aborted);
            }
            // The coordinator has no open transaction: the commit was carried out, or no request ever arrived.
            Reaction::Fatal if code == ErrorCode::INVALID_TXN_STATE => {
                self.needs_epoch = true;
                self.end(if is_recovering { Ended::Committed } else { Ended::Aborted });
            }
            Reaction::Reinitialize if is_recovering => self.spoil(Reaction::Fenced, cause),
            Reaction::Reinitialize => self.start(State::Doubted(Doubt::Aborts)),
            Reaction::Fenced => self.spoil(reaction, cause),
            Reaction::Fatal if code == ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED => self.spoil(reaction, cause),
            _ => self.settle(now, ApiKey::EndTxn, Reaction::Retry, Some(code), pauses),
        }
    }

    /// Resets the attempts for the next request.
    fn progress_if(&mut self, done: bool) {
        if done {
            self.attempts = Attempts::default();
        }
    }

    fn id(&self) -> Str {
        self.transactional_id.clone().unwrap_or_default()
    }
}

/// Whether a coordinator that answers the only attempt to commit with this code has certainly not committed.
fn is_definite(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::PRODUCER_FENCED
            | ErrorCode::INVALID_PRODUCER_EPOCH
            | ErrorCode::INVALID_PRODUCER_ID_MAPPING
            | ErrorCode::UNKNOWN_PRODUCER_ID
            | ErrorCode::INVALID_TXN_STATE
            | ErrorCode::TRANSACTION_ABORTABLE
            | ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    )
}

fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
