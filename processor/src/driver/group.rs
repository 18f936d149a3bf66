//! The group coordinator: eager rebalances of the classic protocol, with static members.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_wire::cluster::TopicPartition;
use kafka_wire::group::Assignor;
use kafka_wire::group::assignor::{PartitionCounts, Subscriber};
use kafka_wire::time::Moment;
use kafka_wire::wire::Str;

use crate::worker::Assignment;

/// The consumer group of a job.
#[derive(Debug)]
pub(super) struct Group {
    /// Members by static id, which is the worker's number.
    members: BTreeMap<usize, Joined>,
    generation: i32,
    /// Start of the rebalance, if there is one.
    rebalancing_since: Option<Moment>,
    session_timeout: Duration,
    rebalance_timeout: Duration,
    /// Sets of topics whose partitions with equal numbers go to one member.
    together: Vec<Vec<Str>>,
}

#[derive(Debug)]
struct Joined {
    /// The incarnation of the worker; earlier ones are fenced.
    incarnation: u32,
    transactional_id: String,
    heard: Moment,
    /// Whether it has joined again in the present rebalance.
    has_rejoined: bool,
    partitions: Vec<TopicPartition>,
}

/// The coordinator's answer to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// There is no change.
    Nothing,
    /// Give everything back and join again.
    Rebalancing,
    /// It is not a member any more.
    Unknown,
}

impl Group {
    pub(super) const fn new(together: Vec<Vec<Str>>) -> Self {
        Self {
            members: BTreeMap::new(),
            generation: 0,
            rebalancing_since: None,
            session_timeout: Duration::from_secs(6),
            rebalance_timeout: Duration::from_secs(30),
            together,
        }
    }

    pub(super) fn set_together(&mut self, together: Vec<Vec<Str>>) {
        self.together = together;
    }

    /// Joins a worker at its start. A static member that comes back while there is no rebalance gets its old
    /// assignment.
    pub(super) fn join(&mut self, worker: usize, incarnation: u32, transactional_id: &str, now: Moment) {
        let before = self.members.remove(&worker);
        let is_back = before.is_some() && self.rebalancing_since.is_none();
        let partitions = before.map(|before| before.partitions).unwrap_or_default();
        let transactional_id = transactional_id.to_owned();
        self.members
            .insert(worker, Joined { incarnation, transactional_id, heard: now, has_rejoined: !is_back, partitions });
        if !is_back {
            self.rebalance(now);
        }
    }

    /// Joins a member again that has given everything back.
    pub(super) fn rejoin(&mut self, worker: usize, incarnation: u32, now: Moment) {
        if let Some(member) = self.member(worker, incarnation) {
            member.has_rejoined = true;
            member.heard = now;
            self.rebalance(now);
        }
    }

    pub(super) fn leave(&mut self, worker: usize, incarnation: u32, now: Moment) {
        if self.member(worker, incarnation).is_some() {
            self.members.remove(&worker);
            self.rebalance(now);
        }
    }

    /// Starts a rebalance: every member has to join again.
    pub(super) fn rebalance(&mut self, now: Moment) {
        if self.rebalancing_since.is_none() {
            self.rebalancing_since = Some(now);
        }
    }

    /// Handles a heartbeat of a member.
    pub(super) fn heartbeat(&mut self, worker: usize, incarnation: u32, now: Moment) {
        if let Some(member) = self.member(worker, incarnation) {
            member.heard = now;
        }
    }

    /// The coordinator's answer to a member that has its assignment.
    pub(super) fn hear(&self, worker: usize, incarnation: u32, generation: i32) -> Heard {
        match self.members.get(&worker).filter(|member| member.incarnation == incarnation) {
            None => Heard::Unknown,
            Some(_) if self.rebalancing_since.is_some() => Heard::Rebalancing,
            Some(_) if self.generation != generation => Heard::Unknown,
            Some(_) => Heard::Nothing,
        }
    }

    /// The assignment of a member that waits for one, once it exists.
    pub(super) fn assignment(&self, worker: usize, incarnation: u32) -> Option<Assignment> {
        let member = self.members.get(&worker).filter(|member| member.incarnation == incarnation)?;
        self.rebalancing_since.is_none().then(|| Assignment {
            generation: self.generation,
            partitions: member.partitions.clone(),
            live_ids: self.members.values().map(|member| member.transactional_id.clone()).collect(),
        })
    }

    /// Whether offsets of this member are accepted: until it has joined again, its generation is the group's.
    pub(super) fn accepts_commit(&self, worker: usize, incarnation: u32, generation: i32) -> bool {
        let is_member = self.members.get(&worker).is_some_and(|member| member.incarnation == incarnation);
        is_member && self.generation == generation
    }

    /// Removes members whose session has ended, and assigns the partitions once all remaining ones have joined.
    pub(super) fn handle_time(&mut self, now: Moment, topics: &[Str], counts: &PartitionCounts) {
        let is_silent = |member: &Joined| now.since(member.heard) >= self.session_timeout;
        let is_slow = |member: &Joined| {
            let since = self.rebalancing_since.unwrap_or(now);
            !member.has_rejoined && now.since(since) >= self.rebalance_timeout
        };
        let gone: Vec<usize> = self
            .members
            .iter()
            .filter(|(_, member)| is_silent(member) || is_slow(member))
            .map(|(worker, _)| *worker)
            .collect();
        for worker in &gone {
            self.members.remove(worker);
            self.rebalance(now);
        }
        let all_are_in = self.members.values().all(|member| member.has_rejoined);
        if self.rebalancing_since.is_some() && all_are_in && !self.members.is_empty() {
            self.share(topics, counts);
        }
    }

    fn share(&mut self, topics: &[Str], counts: &PartitionCounts) {
        self.rebalancing_since = None;
        self.generation += 1;
        let subscriber = |worker: &usize| {
            let (member_id, instance_id) = (format!("member-{worker}"), format!("instance-{worker:03}"));
            Subscriber::new(Str::from(member_id), Some(Str::from(instance_id)), topics.to_vec())
        };
        let subscribers: Vec<Subscriber> = self.members.keys().map(subscriber).collect();
        let assigned = Assignor::Range.assign_together(&subscribers, counts, &self.together);
        for (member, partitions) in self.members.values_mut().zip(assigned) {
            member.has_rejoined = false;
            member.partitions = partitions;
        }
    }

    fn member(&mut self, worker: usize, incarnation: u32) -> Option<&mut Joined> {
        self.members.get_mut(&worker).filter(|member| member.incarnation == incarnation)
    }
}
