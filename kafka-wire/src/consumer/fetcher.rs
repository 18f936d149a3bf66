//! The fetching of all assigned partitions as a state machine.
//!
//! ```text
//! assign -> Fetchable --poll: Fetch--> InFlight --answer with data--> parked and Fetchable --take--> the reader
//!               ^                         |-- temporary error --> Fetchable later, metadata refreshed
//!               ^                         |-- another leader named, or a replica --> Fetchable there
//!               |                         |-- out of range -----> NeedsReset -> Resetting -> Fetchable
//!               +---------- seek ---------+-- error ------------> Stopped
//! ```
//! A leader that has followed another one, or says "out of range", is first asked whether its log still has the records
//! that were read (`truncation`).
//!
//! One fetch per broker is in flight as long as the buffer has room, also while the reader processes what it has taken;
//! partitions that come up while it waits for records go by an extra one (`flights`). With each broker there is a fetch
//! session, so that requests name only what has changed.
//! Data for a partition that was sought or unassigned meanwhile is dropped; the number of the assignment tells.

mod lookups;
mod responses;
mod truncation;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

pub use self::lookups::{Looked, Lookup};
use super::fetched::Fetched;
use super::flights::{FetchKind, Flights};
use super::plan::{self, Brokers, Plans, Ticket};
use super::positions::{Positions, State};
use super::session::{FIRST_VERSION_WITH_IDS, FetchSession};
use super::{ConsumeError, ConsumerConfig, Watermarks};
use crate::cluster::{Broker, Cluster, LeaderHint, TopicPartition};
use crate::protocol::ErrorCode;
use crate::protocol::fetch::FetchRequest;
use crate::protocol::offset_for_leader_epoch::OffsetForLeaderEpochRequest;
use crate::time::Moment;
use crate::types::{BrokerId, LeaderEpoch, Offset};
use crate::wire::{Str, Uuid};

/// The fetching of all assigned partitions, without I/O.
#[derive(Debug)]
pub struct Fetcher {
    config: ConsumerConfig,
    /// The consumer's rack; empty for none.
    rack: Str,
    positions: Positions,
    flights: Flights,
    /// Whether a partition was left out of the last plans for lack of room.
    lacks_room: bool,
    /// The version of each broker's last response.
    versions: BTreeMap<BrokerId, i16>,
    sessions: BTreeMap<BrokerId, FetchSession>,
    parked: VecDeque<Parked>,
    parked_bytes: usize,
    answers: u64,
    /// Leaders that responses have named.
    named: Option<NamedLeaders>,
    /// Topics whose metadata is missing or turned out to be wrong.
    stale: BTreeSet<Str>,
    refresh: Refresh,
}

#[derive(Debug)]
struct Parked {
    assignment: u64,
    partition: TopicPartition,
    item: Result<Fetched, ConsumeError>,
}

#[derive(Clone, Copy, Debug)]
enum Refresh {
    /// Allowed from this moment on.
    From(Moment),
    UnderWay,
}

/// An instruction to the driver.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum FetcherAction {
    /// Send the request to the broker, and pass its response and this ticket to [`Fetcher::handle_fetched`].
    Fetch {
        /// The broker to send it to: the leader of the partitions, or a replica of them near the consumer.
        broker: BrokerId,
        /// Its kind; fetches of different kinds need different connections.
        kind: FetchKind,
        /// The request.
        request: FetchRequest,
        /// The newest version that can carry it, if that is not the newest known.
        max_version: Option<i16>,
        /// The ticket to pass back.
        ticket: Ticket,
    },
    /// Send the request to the leader, and pass its response and this ticket to [`Fetcher::handle_checked`].
    Check {
        /// The broker to send it to.
        broker: BrokerId,
        /// The request for the ends of the epochs that were read.
        request: OffsetForLeaderEpochRequest,
        /// The ticket to pass back.
        ticket: Ticket,
    },
    /// Learn these leaders before the next [`Fetcher::poll`].
    Learn(NamedLeaders),
    /// Refresh the metadata of these topics, then call [`Fetcher::handle_refreshed`].
    Refresh(Vec<Str>),
    /// Look up the offsets to go on at, and pass the results to [`Fetcher::handle_lookup`].
    Lookup(Lookup),
}

/// Leaders that a broker has named because it does not lead their partitions (any more). Source: KIP-951.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedLeaders {
    /// The leaders.
    pub hints: Vec<LeaderHint>,
    /// Their addresses.
    pub brokers: Vec<Broker>,
}

/// The reason why a fetch has no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchFailure {
    /// No connection, or no answer in time.
    Unreachable,
    /// The request cannot be encoded, or the response cannot be decoded: a retry will not help.
    Unsupported(String),
}

/// Assignment, and taking of fetched data.
impl Fetcher {
    /// Makes a fetcher without assigned partitions.
    #[must_use]
    pub fn new(config: ConsumerConfig) -> Self {
        Self {
            config,
            rack: Str::EMPTY,
            positions: Positions::default(),
            flights: Flights::default(),
            lacks_room: false,
            versions: BTreeMap::new(),
            sessions: BTreeMap::new(),
            parked: VecDeque::new(),
            parked_bytes: 0,
            answers: 0,
            named: None,
            stale: BTreeSet::new(),
            refresh: Refresh::From(Moment::ZERO),
        }
    }

    /// Reads the partition from `offset` on; also moves a partition that is assigned already. Data that was received
    /// from it and not taken is dropped. `epoch` is that of the record before `offset`, -1 if unknown.
    pub fn assign(&mut self, partition: TopicPartition, offset: Offset, epoch: LeaderEpoch) {
        self.drop_parked(&partition);
        self.positions.assign(partition, offset, epoch);
    }

    /// Delivers nothing of the partition below `offset` any more, without a seek: what was fetched or is being fetched
    /// stays, as far as it lies behind. Does nothing if the partition is not assigned, or is past that offset.
    pub fn skip_to(&mut self, partition: &TopicPartition, offset: Offset) {
        let Some(assigned) = self.positions.find_mut(partition) else { return };
        if assigned.delivered < 0 || assigned.delivered >= offset.0 {
            return;
        }
        assigned.wanted_from = offset.0;
        assigned.delivered = offset.0;
        for parked in self.parked.iter_mut().filter(|parked| parked.partition == *partition) {
            if let Ok(fetched) = &mut parked.item {
                fetched.skip_to(offset);
            }
        }
    }

    /// Reads the partition from where the reset policy says; without a policy the error is [`ConsumeError::NoOffset`].
    pub fn assign_unplaced(&mut self, partition: TopicPartition) {
        self.drop_parked(&partition);
        self.positions.assign_unplaced(partition);
    }

    /// Stops reading the partition. Returns whether it was assigned.
    pub fn unassign(&mut self, partition: &TopicPartition) -> bool {
        self.drop_parked(partition);
        self.positions.unassign(partition)
    }

    /// Stops or restarts fetching and delivering; parked data stays as far as it leaves other partitions room
    /// ([`ConsumerConfig::buffer_limit_bytes`]). Returns whether the partition is assigned.
    pub fn set_paused(&mut self, partition: &TopicPartition, is_paused: bool) -> bool {
        let assigned = self.positions.find_mut(partition);
        assigned.map(|assigned| assigned.is_paused = is_paused).is_some()
    }

    /// Sets the rack in which the consumer runs: leaders then name a replica there, from which it reads (KIP-392).
    pub fn set_rack(&mut self, rack: Str) {
        self.rack = rack;
    }

    /// Returns the offset from which the next taken data start; `None` if the partition is not assigned, or the reset
    /// policy has not yet determined where to begin.
    #[must_use]
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.positions.find(partition)?.next_delivered()
    }

    /// Returns whether the partition is assigned.
    #[must_use]
    pub fn is_assigned(&self, partition: &TopicPartition) -> bool {
        self.positions.find(partition).is_some()
    }

    /// The ends of the partition as of its last fetch; `None` before the first.
    #[must_use]
    pub fn watermarks(&self, partition: &TopicPartition) -> Option<Watermarks> {
        self.positions.find(partition)?.watermarks
    }

    /// The ends of the partition as of a fetch that ended at most `age_max` ago; `None` if there was none, or if the
    /// last one failed: records that came into the log since may be unknown here for longer than that.
    #[must_use]
    pub fn watermarks_within(&self, partition: &TopicPartition, now: Moment, age_max: Duration) -> Option<Watermarks> {
        let assigned = self.positions.find(partition)?;
        assigned.watermarks.filter(|_| assigned.failures == 0 && now.since(assigned.answered_at) <= age_max)
    }

    /// The replica that the partition is read from instead of its leader, as of the last answer.
    #[must_use]
    pub fn replica(&self, partition: &TopicPartition) -> Option<BrokerId> {
        self.positions.find(partition)?.replica.map(|(broker, _)| broker)
    }

    /// The assigned partitions, sorted.
    #[must_use]
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.positions.iter().map(|(partition, _)| partition.clone()).collect()
    }

    /// Bytes that were received and not taken yet.
    #[must_use]
    pub const fn parked_bytes(&self) -> usize {
        self.parked_bytes
    }

    /// The next data, in the order of arrival; if there is none, the error of a partition that stands still.
    pub fn take(&mut self) -> Option<Result<Fetched, ConsumeError>> {
        while let Some(index) = self.parked.iter().position(|parked| self.is_deliverable(parked)) {
            let Parked { assignment, partition, item } = self.parked.remove(index)?;
            let Some(assigned) = self.positions.current(&partition, assignment) else { continue };
            match item {
                Ok(fetched) => {
                    assigned.delivered = fetched.end_offset.max(assigned.wanted_from);
                    assigned.parked_bytes -= fetched.size_bytes;
                    self.parked_bytes -= fetched.size_bytes;
                    return Some(Ok(fetched));
                }
                // The partition goes on elsewhere, by the reset policy.
                Err(error) if assigned.state != State::Stopped => return Some(Err(error)),
                Err(error) => {
                    // From here on, the partition has the error, which is returned after all data.
                    return Some(Err(assigned.failure.get_or_init(|| error).clone()));
                }
            }
        }
        self.failure().cloned().map(Err)
    }

    /// Whether a fetch waits for room, so that a [`take`](Self::take) lets [`poll`](Self::poll) go on.
    #[must_use]
    pub const fn lacks_room(&self) -> bool {
        self.lacks_room
    }

    /// Whether [`take`](Self::take) has something to return, so that a waiting reader has to be woken.
    /// That may be due to a response, but also to a [`poll`](Self::poll) that finds that a topic was created again.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.parked.iter().any(|parked| self.is_deliverable(parked)) || self.failure().is_some()
    }

    /// The error of a partition that stands still.
    fn failure(&self) -> Option<&ConsumeError> {
        let mut failures = self.positions.iter().filter(|(_, assigned)| !assigned.is_paused);
        failures.find_map(|(_, assigned)| assigned.failure.get())
    }

    /// Data after a batch that could not be read is kept back: delivering it would skip that batch.
    fn is_deliverable(&self, parked: &Parked) -> bool {
        self.positions.find(&parked.partition).is_some_and(|assigned| !assigned.is_paused && !assigned.has_failed())
    }

    fn drop_parked(&mut self, partition: &TopicPartition) {
        let Some(assigned) = self.positions.find(partition) else { return };
        self.parked_bytes -= assigned.parked_bytes;
        self.parked.retain(|parked| parked.partition != *partition);
    }

    /// Drops data behind a batch that could not be read. They can never be delivered: a seek fetches again.
    fn drop_undeliverable(&mut self) {
        for (partition, assigned) in self.positions.iter_mut().filter(|(_, assigned)| assigned.has_failed()) {
            if assigned.parked_bytes > 0 {
                self.parked_bytes -= std::mem::take(&mut assigned.parked_bytes);
                self.parked.retain(|parked| parked.partition != *partition);
            }
        }
    }

    /// Drops data of paused partitions that others need the room of: the data that came last, which are fetched again
    /// after the resume. Otherwise nothing would be fetched as long as the program waits for the others. Java keeps all
    /// of them (KAFKA-7548), but its buffer has no limit.
    fn make_room(&mut self) {
        self.drop_undeliverable();
        let limit_bytes = self.config.buffer_limit_bytes;
        let paused_limit_bytes = limit_bytes - (limit_bytes / 2).min(self.config.max_partition_bytes as usize);
        if self.parked_bytes <= paused_limit_bytes {
            return;
        }
        let paused = self.positions.iter().filter(|(_, assigned)| assigned.is_paused);
        let paused_bytes: usize = paused.map(|(_, assigned)| assigned.parked_bytes).sum();
        let mut excess_bytes = paused_bytes.saturating_sub(paused_limit_bytes);
        for index in (0..self.parked.len()).rev() {
            if excess_bytes == 0 {
                return;
            }
            let Parked { assignment, partition, item: Ok(fetched) } = &self.parked[index] else { continue };
            let Some(assigned) = self.positions.current(partition, *assignment) else { continue };
            // Nothing may be under way that goes on from the end of these data.
            let is_last = matches!(assigned.state, State::Fetchable(_)) && assigned.position == fetched.end_offset;
            if assigned.is_paused && is_last {
                assigned.go_back(fetched.position, fetched.size_bytes);
                self.parked_bytes -= fetched.size_bytes;
                excess_bytes = excess_bytes.saturating_sub(fetched.size_bytes);
                self.parked.remove(index);
            }
        }
    }
}

/// The next actions.
impl Fetcher {
    /// The next instruction, if any, given the known state of the cluster.
    pub fn poll(&mut self, now: Moment, cluster: &Cluster) -> Option<FetcherAction> {
        let learn = self.named.take().map(FetcherAction::Learn);
        learn.or_else(|| self.lookup(now, cluster)).or_else(|| self.fetch(now, cluster)).or_else(|| self.refresh(now))
    }

    /// The time at which [`poll`](Self::poll) may have something to do, if nothing else happens before.
    /// A past moment means that it waits for something else: for room, or for a response.
    #[must_use]
    pub fn next_timeout(&self, now: Moment) -> Option<Moment> {
        let refresh = match self.refresh {
            Refresh::From(from) if !self.stale.is_empty() => Some(from),
            Refresh::From(_) | Refresh::UnderWay => None,
        };
        let waiting = self.positions.iter().filter_map(|(_, assigned)| match assigned.state {
            State::Fetchable(from) | State::NeedsReset(from) => Some(from),
            State::InFlight | State::Checking | State::Resetting | State::Stopped => None,
        });
        waiting.chain(self.flights.rests()).chain(refresh).filter(|&moment| moment > now).min()
    }

    fn fetch(&mut self, now: Moment, cluster: &Cluster) -> Option<FetcherAction> {
        self.positions.iter_mut().for_each(|(_, assigned)| assigned.pass_unwanted());
        let brokers = Brokers { cluster, flights: &self.flights, versions: &self.versions };
        let Plans { fetches, mut checks, leaderless, leaves_out } =
            plan::plan(&self.positions, brokers, &self.config, now);
        self.stale.extend(leaderless);
        if !fetches.is_empty() {
            self.make_room();
        }
        self.lacks_room = self.free_bytes() == 0 || leaves_out;
        if let Some((leader, asked)) = checks.pop_first() {
            return Some(self.check(leader, asked));
        }
        if self.free_bytes() == 0 {
            return None;
        }
        let waiting = fetches.iter().filter(|plan| plan.kind == FetchKind::Regular).count();
        let mut plan = fetches.into_iter().find_map(|plan| self.without_recreated(plan, now))?;
        let room_bytes = self.room_bytes(plan.kind, waiting);
        let version = self.versions.get(&plan.broker).copied();
        let settings = (&self.config, &self.rack);
        let (mut request, max_version) = plan::request(&mut plan, &self.positions, settings, room_bytes, version);
        let (broker, kind) = (plan.broker, plan.kind);
        self.flights.begin(broker, kind, now + plan.wait, room_bytes.min(self.config.max_bytes as usize));
        if kind == FetchKind::Regular {
            let has_ids = max_version.is_none() && version.is_none_or(|version| version >= FIRST_VERSION_WITH_IDS);
            self.sessions.entry(broker).or_default().apply(&mut request, has_ids);
            let count = u32::try_from(plan.asked.len()).unwrap_or(u32::MAX);
            let pause = self.config.pause_per_partition.saturating_mul(count);
            self.flights.rest(broker, now + pause.min(self.config.max_wait));
        }
        for asked in &plan.asked {
            if let Some(assigned) = self.positions.find_mut(&asked.partition) {
                assigned.asked(State::InFlight);
                assigned.topic_id = asked.topic_id;
            }
        }
        let ticket = Ticket { broker, kind, asked: plan.asked };
        Some(FetcherAction::Fetch { broker, kind, request, max_version, ticket })
    }

    /// Bytes of the buffer that hold no data.
    const fn free_bytes(&self) -> usize {
        self.config.buffer_limit_bytes.saturating_sub(self.parked_bytes)
    }

    /// Bytes that the response to a fetch of this kind may have; `waiting` is the number of brokers that wait for
    /// a regular one. The brokers share the buffer. As long as there is room at all, each gets enough for
    /// one partition, even of what is promised to others: one that had to wait for their responses might wait for ever.
    fn room_bytes(&self, kind: FetchKind, waiting: usize) -> usize {
        let free_bytes = self.free_bytes();
        let least_bytes = free_bytes.min(self.config.max_partition_bytes as usize);
        match kind {
            FetchKind::Regular => {
                let share_bytes = self.config.buffer_limit_bytes / (self.flights.regular_count() + waiting).max(1);
                free_bytes.saturating_sub(self.flights.reserved_bytes()).min(share_bytes).max(least_bytes)
            }
            FetchKind::Extra => least_bytes,
        }
    }

    /// Removes partitions from a plan whose topic is not the one that their position belongs to.
    fn without_recreated(&mut self, mut plan: plan::Plan, now: Moment) -> Option<plan::Plan> {
        plan.asked.retain(|asked| {
            let Some(assigned) = self.positions.find(&asked.partition) else { return false };
            let is_same = assigned.topic_id == Uuid::ZERO || assigned.topic_id == asked.topic_id;
            if !is_same {
                let offset = Offset(assigned.position);
                let error = ConsumeError::TopicRecreated { partition: asked.partition.clone(), offset };
                self.reset_or_stop(now, asked, error);
            }
            is_same
        });
        (!plan.asked.is_empty()).then_some(plan)
    }

    fn refresh(&mut self, now: Moment) -> Option<FetcherAction> {
        match self.refresh {
            Refresh::From(from) if from <= now && !self.stale.is_empty() => {
                self.refresh = Refresh::UnderWay;
                Some(FetcherAction::Refresh(std::mem::take(&mut self.stale).into_iter().collect()))
            }
            Refresh::From(_) | Refresh::UnderWay => None,
        }
    }

    /// Notes that the metadata was refreshed, or could not be: either way the next refresh has to wait a moment.
    pub fn handle_refreshed(&mut self, now: Moment) {
        self.refresh = Refresh::From(now + REFRESH_INTERVAL_MIN);
    }
}

/// The end of the reading of a partition.
impl Fetcher {
    /// Stops the partition; the reader gets the error after all data that was received before.
    fn stop(&mut self, partition: &TopicPartition, assignment: u64, error: ConsumeError) {
        let Some(assigned) = self.positions.current(partition, assignment) else { return };
        assigned.state = State::Stopped;
        self.parked.push_back(Parked { assignment, partition: partition.clone(), item: Err(error) });
    }
}

/// Shortest time between two refreshes of the metadata: leaders move within some 100 ms, so more requests are
/// only load.
const REFRESH_INTERVAL_MIN: Duration = Duration::from_millis(100);
const RETRY_DELAY_MIN: Duration = Duration::from_millis(20);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(1);

/// 20 ms after the first failure, twice as long after each further one, 1 s at most.
fn retry_delay(failures: u32) -> Duration {
    RETRY_DELAY_MIN.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(RETRY_DELAY_MAX)
}

/// Whether a leader that answers with this code is to be asked again. Whatever it does not foresee has the code
/// UNKNOWN_SERVER_ERROR, such as a failure to read from remote storage; Java's client asks again, too.
fn is_passing(code: ErrorCode) -> bool {
    code.is_retriable() || code == ErrorCode::UNKNOWN_SERVER_ERROR
}

#[cfg(test)]
mod tests;
