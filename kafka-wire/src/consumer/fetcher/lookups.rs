//! The look-ups of offsets to go on at, by the reset policy: one request for all partitions of a leader.
//!
//! ```text
//! no offset, or out of range -> NeedsReset --leader known----> Resetting --offset---------> Fetchable
//!                                   ^  |                           |-------passing error--> NeedsReset later
//!                                   |  +-----leader unknown--> Resetting
//!                                   +-------now it is known---------+
//! ```

use std::time::Duration;

use super::{Fetcher, FetcherAction, is_passing, retry_delay};
use crate::cluster::{Cluster, TopicPartition};
use crate::consumer::epochs::EpochHistory;
use crate::consumer::plan::Asked;
use crate::consumer::positions::{Assigned, NOWHERE, State};
use crate::consumer::{ConsumeError, ResetPolicy};
use crate::protocol::ErrorCode;
use crate::time::Moment;
use crate::types::{BrokerId, LeaderEpoch, Offset};
use crate::wire::{Str, Uuid};

/// The look-up of offsets by the reset policy, of partitions of one leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The leader to ask. `None` if it is not known: then only that is to be found out, and the partitions are of one
    /// topic.
    pub leader: Option<BrokerId>,
    /// The partitions, each with the leader epoch.
    pub partitions: Vec<(TopicPartition, LeaderEpoch)>,
    /// Never [`ResetPolicy::None`].
    pub policy: ResetPolicy,
    /// The assignment of each partition.
    assignments: Vec<u64>,
}

/// The result of a look-up for one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// The offset to go on at.
    Found(Offset),
    /// The leader is known now, and can be asked.
    Led,
    /// The reason why there is no offset.
    Refused(ErrorCode),
}

impl Fetcher {
    /// The next look-up: all partitions of a leader at once. Those whose leader is not known go by topic, so that a
    /// topic which is missing holds up no other.
    pub(super) fn lookup(&mut self, now: Moment, cluster: &Cluster) -> Option<FetcherAction> {
        let policy = self.config.reset;
        let mut first: Option<Result<BrokerId, Str>> = None;
        let mut lookup = Lookup { leader: None, partitions: Vec::new(), policy, assignments: Vec::new() };
        for (partition, assigned) in self.positions.iter_mut() {
            if !matches!(assigned.state, State::NeedsReset(from) if from <= now) {
                continue;
            }
            let led = cluster.leader(&partition.topic, partition.partition);
            let led_by = led.map(|(leader, _)| leader).ok_or_else(|| partition.topic.clone());
            if *first.get_or_insert_with(|| led_by.clone()) != led_by && policy != ResetPolicy::None {
                continue;
            }
            assigned.state = State::Resetting;
            lookup.leader = led.map(|(leader, _)| leader);
            lookup.partitions.push((partition.clone(), led.map_or(LeaderEpoch(-1), |(_, epoch)| epoch)));
            lookup.assignments.push(assigned.assignment);
        }
        if policy != ResetPolicy::None {
            return first.map(|_| FetcherAction::Lookup(lookup));
        }
        // Without a policy, only partitions that never had a position come here.
        for ((partition, _), assignment) in lookup.partitions.into_iter().zip(lookup.assignments) {
            self.stop(&partition.clone(), assignment, ConsumeError::NoOffset { partition });
        }
        None
    }

    /// Handles the results of a look-up, in the order of its partitions.
    pub fn handle_lookup(&mut self, now: Moment, lookup: &Lookup, results: &[Looked]) {
        for (((partition, _), assignment), result) in lookup.partitions.iter().zip(&lookup.assignments).zip(results) {
            let Some(assigned) = self.positions.current(partition, *assignment) else { continue };
            if assigned.state != State::Resetting {
                continue;
            }
            match *result {
                Looked::Found(offset) => place(assigned, offset, now),
                Looked::Led => assigned.state = State::NeedsReset(now + later(assigned)),
                Looked::Refused(code) if is_passing(code) => {
                    assigned.failures = assigned.failures.saturating_add(1);
                    assigned.state = State::NeedsReset(now + retry_delay(assigned.failures));
                    self.stale.insert(partition.topic.clone());
                }
                Looked::Refused(code) => {
                    let offset = Offset(assigned.position);
                    let error = ConsumeError::Refused { partition: partition.clone(), offset, code };
                    self.stop(partition, *assignment, error);
                }
            }
        }
    }

    pub(super) fn reset_or_stop(&mut self, now: Moment, asked: &Asked, error: ConsumeError) {
        match self.config.reset {
            ResetPolicy::None => self.stop(&asked.partition, asked.assignment, error),
            ResetPolicy::Earliest | ResetPolicy::Latest | ResetPolicy::ByDuration(_) => {
                if let Some(assigned) = self.positions.current(&asked.partition, asked.assignment) {
                    // A leader may refuse the very offset that it names as its first one.
                    assigned.state = State::NeedsReset(now + later(assigned));
                }
            }
        }
    }
}

/// Counts a failure; returns the time until the next attempt, which is zero only the first time.
fn later(assigned: &mut Assigned) -> Duration {
    let pause = if assigned.failures == 0 { Duration::ZERO } else { retry_delay(assigned.failures) };
    assigned.failures = assigned.failures.saturating_add(1);
    pause
}

/// Lets a partition go on at an offset.
fn place(assigned: &mut Assigned, offset: Offset, now: Moment) {
    assigned.position = offset.0;
    assigned.wanted_from = NOWHERE.0;
    // Parked data was received before, and is delivered before.
    if assigned.parked_bytes == 0 {
        assigned.delivered = offset.0;
    }
    assigned.epochs = EpochHistory::default();
    assigned.checked = None;
    assigned.topic_id = Uuid::ZERO;
    assigned.state = State::Fetchable(now);
}
