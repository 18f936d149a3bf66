//! The choice of partitions for the next fetch of a broker, and the request for them. The broker is the leader of a
//! partition, or the replica near the consumer that the leader has named (KIP-392).
//!
//! A partition is fetched if it is assigned, not paused, not in flight, and has less than `max_partition_bytes`
//! parked. Leaders fill a response in the order of the request until it is full, so the partitions that were served
//! longest ago go first.
//!
//! A leader whose log may lack the records that were read is asked about that first: see [`needs_check`].
//!
//! While a partition of the leader is left out because enough of it is parked, the fetch of the others waits only
//! briefly: otherwise the one fetch in flight would hold up the busy partition for a whole `max_wait` once the
//! application has caught up with the parked data.
//!
//! A partition that is assigned, sought or resumed while the fetch of its broker waits for records is asked for by an
//! extra fetch beside it: see [`FetchKind::Extra`].

use std::collections::BTreeMap;
use std::time::Duration;

use super::ConsumerConfig;
use super::flights::{BRIEF_WAIT, FetchKind, Flights};
use super::positions::{Assigned, Positions, State};
use crate::cluster::{Cluster, TopicPartition};
use crate::protocol::fetch::{FetchPartition, FetchRequest, FetchTopic};
use crate::time::Moment;
use crate::types::{BrokerId, LeaderEpoch};
use crate::wire::{Str, Uuid};

/// Identifies a fetch. Pass it back with the response or the failure.
#[derive(Clone, Debug, PartialEq)]
pub struct Ticket {
    pub(super) broker: BrokerId,
    pub(super) kind: FetchKind,
    pub(super) asked: Vec<Asked>,
}

/// A partition in a fetch.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    pub(super) partition: TopicPartition,
    pub(super) topic_id: Uuid,
    pub(super) assignment: u64,
    pub(super) epoch: LeaderEpoch,
    /// Whether it is fetched from its leader, and not from another replica.
    pub(super) is_from_leader: bool,
    served: u64,
}

impl Asked {
    fn new(
        partition: &TopicPartition,
        assigned: &Assigned,
        cluster: &Cluster,
        (epoch, is_from_leader): (LeaderEpoch, bool),
    ) -> Self {
        Self {
            partition: partition.clone(),
            topic_id: cluster.topic(&partition.topic).map_or(Uuid::default(), |topic| topic.id),
            assignment: assigned.assignment,
            epoch,
            is_from_leader,
            served: assigned.served,
        }
    }
}

/// The partitions for one fetch from a broker.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) broker: BrokerId,
    pub(super) kind: FetchKind,
    /// Time for which the broker may wait for records.
    pub(super) wait: Duration,
    pub(super) asked: Vec<Asked>,
    /// Whether a partition of the broker is left out because enough of it is parked.
    pub(super) leaves_out: bool,
}

/// The brokers as a plan sees them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Brokers<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) flights: &'a Flights,
    /// The version of each one's last response to a fetch.
    pub(super) versions: &'a BTreeMap<BrokerId, i16>,
}

/// The next requests.
#[derive(Debug, Default)]
pub(super) struct Plans {
    /// The fetches, at most one for each broker.
    pub(super) fetches: Vec<Plan>,
    /// The partitions whose leader is to be asked whether it has the records before the position.
    pub(super) checks: BTreeMap<BrokerId, Vec<Asked>>,
    /// The topics with partitions without a leader.
    pub(super) leaderless: Vec<Str>,
    /// Whether a partition is left out because enough of it is parked.
    pub(super) leaves_out: bool,
}

/// Plans the next requests.
pub(super) fn plan(positions: &Positions, brokers: Brokers<'_>, config: &ConsumerConfig, now: Moment) -> Plans {
    let Brokers { cluster, flights, versions } = brokers;
    let mut plans: BTreeMap<BrokerId, Plan> = BTreeMap::new();
    let mut checks: BTreeMap<BrokerId, Vec<Asked>> = BTreeMap::new();
    let mut leaderless: Vec<Str> = Vec::new();
    for (partition, assigned) in positions.iter() {
        let State::Fetchable(from) = assigned.state else { continue };
        if assigned.is_paused || assigned.has_failed() {
            continue;
        }
        let Some((leader, epoch)) = cluster.leader(&partition.topic, partition.partition) else {
            if leaderless.last() != Some(&partition.topic) {
                leaderless.push(partition.topic.clone());
            }
            continue;
        };
        let is_due = assigned.is_due(from, epoch, now);
        if is_due && needs_check(assigned, epoch, versions.get(&leader).copied()) {
            checks.entry(leader).or_default().push(Asked::new(partition, assigned, cluster, (epoch, true)));
            continue;
        }
        let replica = assigned.replica.filter(|(broker, until)| now < *until && cluster.broker(*broker).is_some());
        let broker = replica.map_or(leader, |(broker, _)| broker);
        let Some((kind, wait)) = flights.next(broker, now, config.max_wait) else { continue };
        let plan =
            plans.entry(broker).or_insert_with(|| Plan { broker, kind, wait, asked: Vec::new(), leaves_out: false });
        if assigned.parked_bytes >= config.max_partition_bytes as usize {
            plan.leaves_out = true;
        } else if is_due {
            plan.asked.push(Asked::new(partition, assigned, cluster, (epoch, broker == leader)));
        }
    }
    let leaves_out = plans.values().any(|plan| plan.leaves_out);
    let mut fetches: Vec<Plan> = plans.into_values().filter(|plan| !plan.asked.is_empty()).collect();
    fetches.iter_mut().filter(|plan| plan.leaves_out).for_each(|plan| plan.wait = plan.wait.min(BRIEF_WAIT));
    Plans { fetches, checks, leaderless, leaves_out }
}

/// Returns whether a leader, of this epoch, has to be asked whether its log has the records before the position.
///
/// A leader that fetches from version 12 on is told which history was read, and answers with the place where its own
/// parts. Others have to be asked before they are read from, and every leader when it has followed another one, or says
/// that the position is outside of its log: a log that was cut is another matter than records that were deleted.
/// Nothing can be asked as long as an epoch is unknown.
pub(super) fn needs_check(assigned: &Assigned, epoch: LeaderEpoch, version: Option<i16>) -> bool {
    const UNKNOWN: LeaderEpoch = LeaderEpoch(-1);
    if epoch <= UNKNOWN || assigned.epochs.last() <= UNKNOWN {
        return false;
    }
    match assigned.checked {
        _ if assigned.is_refused => true,
        Some(checked) => checked != epoch,
        None => version.is_some_and(|version| version < FIRST_VERSION_WITH_EPOCHS),
    }
}

/// The request for a plan, outside of a fetch session, and the newest version that can carry it. `room_bytes` is the
/// free room of the buffer, `version` that of the broker's last response.
pub(super) fn request(
    plan: &mut Plan,
    positions: &Positions,
    (config, rack): (&ConsumerConfig, &Str),
    room_bytes: usize,
    version: Option<i16>,
) -> (FetchRequest, Option<i16>) {
    // As long as the version is not known, `at_version` removes the fields that it does not have.
    let has_epochs = version.is_none_or(|version| version >= FIRST_VERSION_WITH_EPOCHS);
    // Partitions are grouped by topic, because a topic may occur only once in a request; the topic that waits longest
    // goes first, and so within it.
    plan.asked.sort_by(|a, b| (a.served, &a.partition).cmp(&(b.served, &b.partition)));
    let mut topics: Vec<FetchTopic> = Vec::new();
    let mut index_of: BTreeMap<&Str, usize> = BTreeMap::new();
    for asked in &plan.asked {
        let Some(assigned) = positions.find(&asked.partition) else { continue };
        let index = *index_of.entry(&asked.partition.topic).or_insert_with(|| {
            let topic = asked.partition.topic.clone();
            topics.push(FetchTopic { topic, topic_id: asked.topic_id, partitions: Vec::new(), ..Default::default() });
            topics.len() - 1
        });
        topics[index].partitions.push(FetchPartition {
            partition: asked.partition.partition.0,
            current_leader_epoch: asked.epoch.0,
            fetch_offset: assigned.position,
            last_fetched_epoch: if has_epochs { assigned.epochs.last().0 } else { -1 },
            partition_max_bytes: clamp(config.max_partition_bytes as usize),
            ..FetchPartition::default()
        });
    }
    let request = FetchRequest {
        max_wait_ms: i32::try_from(plan.wait.as_millis()).unwrap_or(i32::MAX),
        min_bytes: clamp(config.min_bytes as usize),
        max_bytes: clamp(room_bytes.min(config.max_bytes as usize)),
        isolation_level: config.isolation.code(),
        rack_id: rack.clone(),
        topics,
        ..FetchRequest::default()
    };
    // From version 13 on, topics are named by id alone.
    let has_ids = plan.asked.iter().all(|asked| asked.topic_id != Uuid::default());
    (request, (!has_ids).then_some(LAST_VERSION_WITH_NAMES))
}

/// Returns the request without the fields that a version does not have: below version 12 a leader cannot be told which
/// history was read, and so cannot notice that its own is another one.
#[must_use]
pub fn at_version(request: &FetchRequest, version: i16) -> FetchRequest {
    let mut request = request.clone();
    if version < FIRST_VERSION_WITH_EPOCHS {
        let partitions = request.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
        partitions.for_each(|partition| partition.last_fetched_epoch = -1);
    }
    if version < FIRST_VERSION_WITH_RACKS {
        request.rack_id = Str::EMPTY;
    }
    // Without sessions, a leader that was replaced by an older one answers for the partitions that are named; the
    // response then says that there is no session, and the next request names all.
    if version < FIRST_VERSION_WITH_SESSIONS {
        request.forgotten_topics_data.clear();
    }
    request
}

fn clamp(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX).max(1)
}

const LAST_VERSION_WITH_NAMES: i16 = 12;
/// First version with `last_fetched_epoch`, which must not be set below. Source: FetchRequest.json.
const FIRST_VERSION_WITH_EPOCHS: i16 = 12;
/// First version with the consumer's rack. Source: FetchRequest.json.
const FIRST_VERSION_WITH_RACKS: i16 = 11;
/// First version with sessions. Source: FetchRequest.json.
const FIRST_VERSION_WITH_SESSIONS: i16 = 7;
