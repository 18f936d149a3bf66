//! Members and their owners against a model of the coordinator, on schedules that a seed draws: requests and responses
//! are late or lost, owners are slow, members are killed, and topics grow.
//!
//! The model keeps the rules of KIP-848 for epochs, revocation and acknowledgement. At every step, of two members that
//! the coordinator has not fenced, only one reads a partition, and a commit that the coordinator takes comes from the
//! owner of the partition. Every record below a committed offset was handed out; where no membership was lost, once.
//! At the end of the faults all partitions are read again.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::cluster::CommittedOffset;
use crate::group::Exchange;
use crate::group::ownership::{AssignmentChange, Effect, Ownership};
use crate::rng::Rng;
use crate::types::{LeaderEpoch, Offset};

const TOPIC: &str = "t";
const SESSION: Duration = Duration::from_secs(45);
const REBALANCE: Duration = Duration::from_secs(60);

/// A member as the coordinator knows it.
#[derive(Debug, Default)]
struct Known {
    epoch: i32,
    previous_epoch: i32,
    assigned: BTreeSet<i32>,
    /// Partitions that it has to give up.
    pending: BTreeSet<i32>,
    seen: Moment,
    revoke_by: Option<Moment>,
}

/// The coordinator's rules.
#[derive(Debug, Default)]
struct Coordinator {
    members: BTreeMap<Str, Known>,
    partition_count: i32,
    /// Grows whenever members or topics change.
    epoch: i32,
    committed: BTreeMap<i32, i64>,
}

impl Coordinator {
    /// The partitions that a member is to have in the end.
    fn target(&self, id: &Str) -> BTreeSet<i32> {
        let count = self.members.len();
        let place = self.members.keys().position(|other| other == id).expect("a member");
        (0..self.partition_count).filter(|index| usize::try_from(*index).unwrap() % count == place).collect()
    }

    fn is_free(&self, index: i32) -> bool {
        !self.members.values().any(|known| known.assigned.contains(&index) || known.pending.contains(&index))
    }

    fn expire(&mut self, now: Moment) {
        let before = self.members.len();
        let is_alive = |known: &Known| known.seen + SESSION > now && known.revoke_by.is_none_or(|by| by > now);
        self.members.retain(|_, known| is_alive(known));
        self.epoch += i32::from(self.members.len() != before);
    }

    fn handle(&mut self, now: Moment, request: &ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
        self.expire(now);
        let id = &request.member_id;
        let refused = |code: ErrorCode| ConsumerGroupHeartbeatResponse { error_code: code.0, ..Default::default() };
        let owned: Option<BTreeSet<i32>> = request
            .topic_partitions
            .as_ref()
            .map(|topics| topics.iter().flat_map(|topic| topic.partitions.iter().copied()).collect());
        if request.member_epoch < 0 {
            self.epoch += i32::from(self.members.remove(id).is_some());
            return ConsumerGroupHeartbeatResponse { member_epoch: request.member_epoch, ..Default::default() };
        }
        let is_join = request.member_epoch == 0;
        if is_join {
            assert_eq!(owned, Some(BTreeSet::new()), "a member that joins has nothing");
            assert!(request.subscribed_topic_names.is_some() && request.rebalance_timeout_ms > 0);
            self.members.insert(id.clone(), Known::default());
            self.epoch += 1;
        }
        let Some(known) = self.members.get_mut(id) else { return refused(ErrorCode::UNKNOWN_MEMBER_ID) };
        known.seen = now;
        // The response that raised the epoch may have been lost.
        let is_behind = request.member_epoch == known.previous_epoch
            && owned.as_ref().is_some_and(|owned| owned.is_subset(&known.assigned));
        if !is_join && request.member_epoch != known.epoch && !is_behind {
            self.members.remove(id);
            self.epoch += 1;
            return refused(ErrorCode::FENCED_MEMBER_EPOCH);
        }
        let is_full = request.rebalance_timeout_ms != -1;
        let has_changed = self.reconcile(now, id, owned.as_ref());
        let known = &self.members[id];
        let topics: Vec<i32> = known.assigned.iter().copied().collect();
        ConsumerGroupHeartbeatResponse {
            member_epoch: known.epoch,
            heartbeat_interval_ms: 5_000,
            assignment: (is_join || is_full || has_changed).then(|| assignment(&[(TOPIC, &topics)])),
            ..Default::default()
        }
    }

    /// Takes the next step towards the target. Returns whether the assignment changed.
    fn reconcile(&mut self, now: Moment, id: &Str, owned: Option<&BTreeSet<i32>>) -> bool {
        let target = self.target(id);
        let known = self.members.get_mut(id).expect("a member");
        if !known.pending.is_empty() {
            if !owned.is_some_and(|owned| owned.is_disjoint(&known.pending)) {
                return false;
            }
            known.pending.clear();
            known.revoke_by = None;
        }
        let before = known.assigned.clone();
        let kept: BTreeSet<i32> = before.intersection(&target).copied().collect();
        if kept != before {
            known.pending = before.difference(&kept).copied().collect();
            known.assigned = kept;
            known.revoke_by = Some(now + REBALANCE);
            return true;
        }
        let added: Vec<i32> = target.difference(&before).copied().filter(|index| self.is_free(*index)).collect();
        let known = self.members.get_mut(id).expect("a member");
        known.assigned.extend(added);
        if known.epoch != self.epoch {
            known.previous_epoch = std::mem::replace(&mut known.epoch, self.epoch);
        }
        known.assigned != before
    }
}

/// A member with its owner, and the requests under way.
struct Client {
    member: Membership,
    ownership: Ownership,
    /// Partitions of which records may be handed out.
    reading: BTreeSet<i32>,
    requests: Vec<(Moment, MemberRequestId, MemberRequest)>,
    responses: Vec<(Moment, MemberRequestId, Result<MemberResponse, RequestFailure>)>,
    next_poll: Moment,
}

struct World {
    rng: Rng,
    now: Moment,
    coordinator: Coordinator,
    clients: BTreeMap<u32, Client>,
    started: u32,
    /// Times that each record was handed out, by partition and offset.
    handed_out: BTreeMap<(i32, i64), u32>,
    is_faulty: bool,
    has_lost: bool,
    /// A planted bug: owners acknowledge an assignment before they have given up what it takes from them.
    acknowledges_early: bool,
}

impl World {
    fn new(seed: u64, is_faulty: bool) -> Self {
        let coordinator = Coordinator { partition_count: 6, ..Coordinator::default() };
        let (rng, now) = (Rng::from_seed(seed), Moment::ZERO);
        let (clients, handed_out) = (BTreeMap::new(), BTreeMap::new());
        Self {
            rng,
            now,
            coordinator,
            clients,
            started: 0,
            handed_out,
            is_faulty,
            has_lost: false,
            acknowledges_early: false,
        }
    }

    fn chance(&mut self, of: u64) -> bool {
        self.rng.below(of) == 0
    }

    fn later(&mut self, millis: u64) -> Moment {
        self.now + Duration::from_millis(self.rng.below(millis))
    }

    fn start(&mut self) {
        self.started += 1;
        let config = GroupConfig { poll_interval: Some(REBALANCE), ..GroupConfig::new("g", vec![Str::from(TOPIC)]) };
        let mut member = Membership::new(config, Str::from(format!("m{}", self.started)));
        member.handle_rejoin(self.now);
        let auto_commit = Some(Duration::from_secs(5));
        let ownership = Ownership::new(Exchange::Acknowledged, auto_commit, self.now);
        let (reading, requests, responses) = (BTreeSet::new(), Vec::new(), Vec::new());
        let client = Client { member, ownership, reading, requests, responses, next_poll: self.now };
        self.clients.insert(self.started, client);
    }

    /// One step of time, in which everything that is due happens.
    fn step(&mut self) {
        self.now = self.now + Duration::from_millis(100);
        let ids: Vec<u32> = self.clients.keys().copied().collect();
        for id in ids {
            let mut client = self.clients.remove(&id).expect("listed");
            self.carry(&mut client);
            if client.next_poll <= self.now {
                self.poll(&mut client);
                let is_slow = self.is_faulty && self.chance(200);
                client.next_poll = self.later(if is_slow { 90_000 } else { 2_000 });
            }
            self.clients.insert(id, client);
        }
        self.check();
    }

    /// Carries requests and responses of a member.
    fn carry(&mut self, client: &mut Client) {
        client.member.handle_timeout(self.now);
        while let Some(action) = client.member.poll() {
            if let MemberAction::Request(id, request) = action {
                client.requests.push((self.later(800), id, request));
            }
        }
        // Requests of one connection stay in order.
        while client.requests.first().is_some_and(|(due, ..)| *due <= self.now) {
            let (_, id, request) = client.requests.remove(0);
            let fate = if self.is_faulty { self.rng.below(20) } else { 19 };
            let answer = match request {
                _ if fate == 0 => Err(RequestFailure::Unreachable),
                MemberRequest::TopicNames(ids) => {
                    let names = ids.into_iter().map(|id| (id, Str::from(TOPIC)));
                    Ok(MemberResponse::TopicNames(names.collect()))
                }
                MemberRequest::ConsumerHeartbeat(request) => {
                    let response = self.coordinator.handle(self.now, &request);
                    if fate == 1 {
                        Err(RequestFailure::Unreachable)
                    } else {
                        Ok(MemberResponse::ConsumerHeartbeat(response))
                    }
                }
                other => panic!("{other:?}"),
            };
            client.responses.push((self.later(800), id, answer));
        }
        let due = client.responses.extract_if(.., |(due, ..)| *due <= self.now).collect::<Vec<_>>();
        for (_, id, answer) in due {
            client.member.handle_answer(self.now, id, answer);
        }
        if self.acknowledges_early
            && let Some(GroupEvent::Assigned { partitions, .. }) = client.member.events.back()
        {
            let partitions = partitions.clone();
            client.member.handle_rejoin_keeping(self.now, partitions);
        }
    }

    /// One poll of the owner: events and effects up to the next thing that it is told, otherwise a few records.
    fn poll(&mut self, client: &mut Client) {
        client.member.handle_poll_ended(self.now);
        while let Some(event) = client.member.poll_event() {
            assert!(!matches!(event, GroupEvent::Fatal(_)), "{event:?}");
            client.ownership.handle_event(&event);
        }
        while let Some(effect) = client.ownership.poll(self.now) {
            if self.perform(client, effect) {
                return;
            }
        }
        for index in client.reading.clone() {
            let own = TopicPartition::new(TOPIC, PartitionId(index));
            let Some(position) = client.ownership.position(&own).map(|position| position.offset) else { continue };
            *self.handed_out.entry((index, position.0)).or_default() += 1;
            client.ownership.handle_read(&own, position, Offset(position.0 + 1), LeaderEpoch(0));
        }
    }

    /// Returns whether the poll ends with it.
    fn perform(&mut self, client: &mut Client, effect: Effect) -> bool {
        match effect {
            Effect::FetchOffsets { round, partitions } => {
                let committed = |own: &TopicPartition| {
                    let offset = self.coordinator.committed.get(&own.partition.0).copied().unwrap_or(0);
                    (own.clone(), Some(CommittedOffset::new(Offset(offset))))
                };
                client.ownership.handle_offsets(round, partitions.iter().map(committed).collect());
            }
            Effect::Commit { offsets, is_awaited } => {
                self.commit(client, &offsets);
                client.ownership.handle_committed(is_awaited);
            }
            Effect::Rejoin { keeping } => client.member.handle_rejoin_keeping(self.now, keeping),
            Effect::Read { .. } | Effect::StopReading(_) => {}
            Effect::Tell(change) => {
                match change {
                    AssignmentChange::Assigned(new) => client.reading.extend(new.iter().map(|own| own.partition.0)),
                    AssignmentChange::Revoking(gone) => {
                        client.reading.retain(|index| gone.iter().all(|own| own.partition.0 != *index));
                    }
                    AssignmentChange::Lost { .. } => {
                        self.has_lost = true;
                        client.reading.clear();
                    }
                    AssignmentChange::Revoked(_) => {}
                }
                return true;
            }
        }
        false
    }

    /// Commits, if the coordinator takes it: from a member that it knows at this epoch.
    fn commit(&mut self, client: &mut Client, offsets: &[(TopicPartition, CommittedOffset)]) {
        self.coordinator.expire(self.now);
        let proof = client.member.metadata();
        let Some(known) = self.coordinator.members.get(&proof.member_id) else { return };
        // As the client does: an outdated epoch is renewed by a heartbeat, and the commit repeated, while the
        // membership lasts. Here the heartbeat is not waited for.
        if known.epoch != proof.generation {
            self.has_lost = true;
            return;
        }
        for (own, committed) in offsets {
            let index = own.partition.0;
            assert!(known.assigned.contains(&index) || known.pending.contains(&index), "{index} is not its own");
            let before = self.coordinator.committed.insert(index, committed.offset.0).unwrap_or(0);
            for offset in before..committed.offset.0 {
                assert!(self.handed_out.contains_key(&(index, offset)), "record {offset} of {index} was passed over");
            }
        }
        client.ownership.handle_settled(offsets);
    }

    /// Of two members that are not fenced, only one reads a partition.
    fn check(&self) {
        let mut readers: BTreeMap<i32, &Str> = BTreeMap::new();
        for client in self.clients.values() {
            let proof = client.member.metadata();
            let known = self.coordinator.members.get(&proof.member_id);
            for index in &client.reading {
                // A fenced member reads on until it learns of that; its commits are refused.
                let is_its_own =
                    known.is_some_and(|known| known.assigned.contains(index) || known.pending.contains(index));
                if is_its_own && let Some(other) = readers.insert(*index, &proof.member_id) {
                    panic!("{other} and {} read {index}", proof.member_id);
                }
                assert!(
                    is_its_own || self.is_faulty,
                    "{} reads {index} without owning it, and nothing has gone wrong",
                    proof.member_id
                );
            }
        }
    }

    fn disturb(&mut self) {
        match self.rng.below(if self.is_faulty { 6 } else { 4 }) {
            0 if self.clients.len() < 5 => self.start(),
            1 if self.clients.len() > 1 => {
                let id = *self.clients.keys().next().expect("not empty");
                let mut client = self.clients.remove(&id).expect("listed");
                self.leave(&mut client);
            }
            2 => {
                self.coordinator.partition_count += 1;
                self.coordinator.epoch += 1;
            }
            4 if self.clients.len() > 1 => {
                let id = *self.clients.keys().last().expect("not empty");
                self.clients.remove(&id);
                self.has_lost = true;
            }
            _ => {}
        }
    }

    /// A consumer that is closed: it commits and leaves.
    fn leave(&mut self, client: &mut Client) {
        let offsets = client.ownership.uncommitted();
        self.commit(client, &offsets);
        client.member.handle_leave(self.now);
        while let Some(action) = client.member.poll() {
            if let MemberAction::Request(_, MemberRequest::ConsumerHeartbeat(request)) = action {
                self.coordinator.handle(self.now, &request);
            }
        }
        // A join that is still under way must not come after the end.
        client.requests.clear();
    }

    /// Whether every partition has a reader, and all members agree with the coordinator.
    fn is_settled(&self) -> bool {
        let readers: usize = self.clients.values().map(|client| client.reading.len()).sum();
        readers == usize::try_from(self.coordinator.partition_count).expect("few")
            && self.coordinator.members.len() == self.clients.len()
            && self.clients.values().all(|client| client.member.metadata().generation == self.coordinator.epoch)
    }
}

fn run(seed: u64, is_faulty: bool) {
    run_in(World::new(seed, is_faulty), seed);
}

fn run_in(mut world: World, seed: u64) {
    world.start();
    for round in 0..3_000 {
        world.step();
        if round % 150 == 149 {
            world.disturb();
        }
    }
    let mut rounds = 0;
    while !world.is_settled() {
        world.step();
        rounds += 1;
        assert!(rounds < 60_000, "seed {seed}: the group does not settle: {:?}", world.coordinator);
    }
    if !world.has_lost {
        let twice: Vec<_> = world.handed_out.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "seed {seed}: handed out twice: {twice:?}");
    }
}

#[test]
fn partitions_have_one_reader_whatever_is_late_or_lost() {
    for seed in 0..SCHEDULES {
        run(seed, true);
    }
}

#[test]
fn nothing_is_read_twice_when_members_come_and_go_in_order() {
    for seed in 0..SCHEDULES {
        run(seed, false);
    }
}

#[test]
#[should_panic(expected = "without owning it")]
fn owners_that_acknowledge_too_early_are_found() {
    for seed in 0..SCHEDULES {
        run_in(World { acknowledges_early: true, ..World::new(seed, false) }, seed);
    }
}

const SCHEDULES: u64 = 60;
