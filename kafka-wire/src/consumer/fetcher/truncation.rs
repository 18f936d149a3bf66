//! The check that the records which were read are still in the leader's log (KIP-320).
//!
//! ```text
//! Fetchable --another leader epoch, or out of range--> Checking --the log has them--> Fetchable, or the reset policy
//!                                                         |-- it parts behind what was handed out --> fetch that again
//!                                                         |-- it parts before that, by policy --> tell, go on there
//!                                                         +-- it parts before that, without policy --> tell, Stopped
//! ```
//! From version 12 on, the answer to a fetch says the same without being asked.

use super::{FetchFailure, Fetcher, FetcherAction, Parked, is_passing, retry_delay};
use crate::cluster::TopicPartition;
use crate::consumer::flights::FetchKind;
use crate::consumer::plan::{Asked, Ticket};
use crate::consumer::positions::{NOWHERE, State};
use crate::consumer::{ConsumeError, ResetPolicy};
use crate::protocol::ErrorCode;
use crate::protocol::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition,
    OffsetForLeaderTopic,
};
use crate::time::Moment;
use crate::types::{BrokerId, LeaderEpoch, Offset, PartitionId};

impl Fetcher {
    /// Asks a leader for the ends of the epochs that were read.
    pub(super) fn check(&mut self, broker: BrokerId, asked: Vec<Asked>) -> FetcherAction {
        let mut topics: Vec<OffsetForLeaderTopic> = Vec::new();
        for asked in &asked {
            let Some(assigned) = self.positions.find_mut(&asked.partition) else { continue };
            assigned.asked(State::Checking);
            let wanted = OffsetForLeaderPartition {
                partition: asked.partition.partition.0,
                current_leader_epoch: asked.epoch.0,
                leader_epoch: assigned.epochs.last().0,
                ..Default::default()
            };
            match topics.last_mut().filter(|topic| topic.topic == asked.partition.topic) {
                Some(topic) => topic.partitions.push(wanted),
                None => topics.push(OffsetForLeaderTopic {
                    topic: asked.partition.topic.clone(),
                    partitions: vec![wanted],
                    ..Default::default()
                }),
            }
        }
        let request = OffsetForLeaderEpochRequest { replica_id: CLIENT, topics, ..Default::default() };
        FetcherAction::Check { broker, request, ticket: Ticket { broker, kind: FetchKind::Regular, asked } }
    }

    /// Handles the response to a check, or the reason why there is none.
    pub fn handle_checked(
        &mut self,
        now: Moment,
        ticket: Ticket,
        answer: Result<OffsetForLeaderEpochResponse, FetchFailure>,
    ) {
        let mut found: Vec<(TopicPartition, EpochEndOffset)> = Vec::new();
        let is_unsupported = matches!(answer, Err(FetchFailure::Unsupported(_)));
        for topic in answer.map(|response| response.topics).unwrap_or_default() {
            let name = topic.topic;
            let of_topic = |end: EpochEndOffset| (TopicPartition::new(name.clone(), PartitionId(end.partition)), end);
            found.extend(topic.partitions.into_iter().map(of_topic));
        }
        for asked in &ticket.asked {
            let is_checking = self
                .positions
                .current(&asked.partition, asked.assignment)
                .is_some_and(|assigned| assigned.state == State::Checking);
            if !is_checking {
                continue;
            }
            match found.iter().find(|(partition, _)| *partition == asked.partition) {
                // A broker that cannot be asked is believed: it is older than this question.
                None if is_unsupported => self.pass_check(now, asked),
                None => self.retry_later(now, asked),
                Some((_, end)) => self.handle_end(now, asked, end),
            }
        }
    }

    fn handle_end(&mut self, now: Moment, asked: &Asked, end: &EpochEndOffset) {
        let Some(assigned) = self.positions.current(&asked.partition, asked.assignment) else { return };
        let (epoch, end_offset) = (LeaderEpoch(end.leader_epoch), end.end_offset);
        let (partition, offset) = (asked.partition.clone(), Offset(assigned.position));
        match ErrorCode(end.error_code) {
            ErrorCode::NONE if end_offset < 0 || epoch.0 < 0 => {
                // The leader knows nothing of the epoch, and so cannot tell where the logs part.
                assigned.is_refused = false;
                if assigned.go_to_wanted() {
                    return self.pass_check(now, asked);
                }
                self.reset_or_stop(now, asked, ConsumeError::OffsetOutOfRange { partition, offset });
            }
            ErrorCode::NONE if assigned.epochs.parting(epoch, end_offset) < offset.0 => {
                self.part(now, asked, epoch, end_offset);
            }
            ErrorCode::NONE => self.pass_check(now, asked),
            // Before version 3, the question was for brokers alone.
            ErrorCode::CLUSTER_AUTHORIZATION_FAILED => self.pass_check(now, asked),
            code if is_passing(code) => self.retry_later(now, asked),
            code => self.stop(&asked.partition, asked.assignment, ConsumeError::Refused { partition, offset, code }),
        }
    }

    /// Goes on as if there had been no question. A position that was refused is outside of the log for another reason.
    fn pass_check(&mut self, now: Moment, asked: &Asked) {
        let Some(assigned) = self.positions.current(&asked.partition, asked.assignment) else { return };
        assigned.checked = Some(asked.epoch);
        assigned.state = State::Fetchable(now);
        if std::mem::take(&mut assigned.is_refused) && !assigned.go_to_wanted() {
            let (partition, offset) = (asked.partition.clone(), Offset(assigned.position));
            self.reset_or_stop(now, asked, ConsumeError::OffsetOutOfRange { partition, offset });
        }
    }

    /// Handles OFFSET_OUT_OF_RANGE from a leader: whether it is to be asked if its log was cut.
    pub(super) fn refuse_position(&mut self, now: Moment, asked: &Asked) -> bool {
        let Some(assigned) = self.positions.current(&asked.partition, asked.assignment) else { return false };
        assigned.is_refused = asked.epoch.0 >= 0 && assigned.epochs.last().0 >= 0;
        if assigned.is_refused {
            assigned.state = State::Fetchable(now);
        }
        assigned.is_refused
    }

    /// Handles that the leader's log parts from the one that was read: what was fetched ahead is dropped, because
    /// nobody has seen it; that something is gone which was handed out is an error for the reader.
    pub(super) fn part(&mut self, now: Moment, asked: &Asked, epoch: LeaderEpoch, end_offset: i64) {
        let Some(assigned) = self.positions.current(&asked.partition, asked.assignment) else { return };
        let parting = assigned.epochs.parting(epoch, end_offset).min(assigned.position);
        let delivered = assigned.delivered;
        let next = parting.min(delivered);
        self.parked_bytes -= assigned.parked_bytes;
        assigned.parked_bytes = 0;
        // An earlier error of the same kind is still to be told.
        self.parked.retain(|parked| parked.partition != asked.partition || parked.item.is_err());
        assigned.is_refused = false;
        // A leader that says this again and again must not be asked in a hot loop.
        assigned.failures = assigned.failures.saturating_add(1);
        assigned.state = State::Fetchable(now + retry_delay(assigned.failures));
        let is_behind = next == delivered;
        if is_behind || self.config.reset != ResetPolicy::None {
            assigned.epochs.cut(next, epoch);
            (assigned.position, assigned.delivered, assigned.wanted_from) = (next, next, NOWHERE.0);
            assigned.checked = None;
        }
        if is_behind {
            return;
        }
        let (partition, assignment) = (asked.partition.clone(), asked.assignment);
        let error = ConsumeError::Diverged {
            partition: partition.clone(),
            offset: Offset(delivered),
            epoch,
            end_offset: Offset(parting),
        };
        match self.config.reset {
            ResetPolicy::None => self.stop(&partition, assignment, error),
            // Neither end of the log is where the reader left off: with any policy, nothing is left out.
            ResetPolicy::Earliest | ResetPolicy::Latest | ResetPolicy::ByDuration(_) => {
                self.parked.push_back(Parked { assignment, partition, item: Err(error) });
            }
        }
    }
}

/// `replica_id` of clients, which are not brokers.
const CLIENT: i32 = -1;
