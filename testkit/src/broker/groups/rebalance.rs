//! The moves of a group from one generation to the next.

use std::collections::BTreeSet;

use kafka_wire::protocol::ErrorCode;
use kafka_wire::time::Moment;
use kafka_wire::wire::Str;

use super::{Group, Member, Phase};

impl Group {
    /// Starts a rebalance: every member has to join again. It goes on by itself once all have.
    pub(super) fn prepare_rebalance(&mut self, now: Moment) {
        let earliest = match self.phase {
            Phase::PreparingRebalance { .. } => return self.try_complete_join(now),
            Phase::Empty if !self.initial_delay.is_zero() => Some(now + self.initial_delay),
            Phase::Empty | Phase::CompletingRebalance | Phase::Stable => None,
        };
        let waiting: Vec<_> = self.members.values_mut().filter_map(|member| member.syncing.take()).collect();
        waiting.into_iter().for_each(|context| self.refuse_sync(context, ErrorCode::REBALANCE_IN_PROGRESS));
        self.unsynced.clear();
        self.phase = Phase::PreparingRebalance { earliest, deadline: self.rebalance_deadline(now) };
        self.try_complete_join(now);
    }

    /// Extends the initial delay of a new group with each member that joins, but no longer than the rebalance timeout.
    pub(super) fn extend_initial_delay(&mut self, now: Moment) {
        if let Phase::PreparingRebalance { earliest: Some(earliest), deadline } = &mut self.phase {
            *earliest = (now + self.initial_delay).min(*deadline);
        }
    }

    fn try_complete_join(&mut self, now: Moment) {
        let Phase::PreparingRebalance { earliest, .. } = self.phase else { return };
        let is_waiting = self.members.values().any(|member| member.joining.is_none()) || !self.pending.is_empty();
        if earliest.is_none_or(|earliest| earliest <= now) && !is_waiting {
            self.complete_join(now);
        }
    }

    /// Starts the next generation with those who have joined, and the static members who have not.
    fn complete_join(&mut self, now: Moment) {
        let absent = |member: &Member| member.joining.is_none() && member.instance_id.is_none();
        let gone: Vec<Str> = self.ids_of(absent);
        gone.iter().for_each(|id| self.remove_member(id));
        let joined = self.ids_of(|member| member.joining.is_some());
        if joined.is_empty() && !self.members.is_empty() {
            // Only static members are left, and all are away: their sessions decide about them, not this rebalance.
            self.phase = Phase::PreparingRebalance { earliest: None, deadline: self.rebalance_deadline(now) };
            return;
        }
        self.generation += 1;
        if self.members.is_empty() {
            self.phase = Phase::Empty;
            // The protocol type stays, as in Kafka: tools list an emptied group with the type that it had.
            // The next member may bring another.
            (self.protocol, self.leader) = (None, None);
            return;
        }
        if !self.leader.as_ref().is_some_and(|leader| joined.contains(leader)) {
            self.leader = joined.first().cloned();
        }
        self.protocol = self.select_protocol();
        self.phase = Phase::CompletingRebalance;
        self.sync_deadline = self.rebalance_deadline(now);
        self.unsynced = joined.iter().cloned().collect();
        self.members.values_mut().for_each(|member| member.assignment.clear());
        for id in joined {
            let member = self.members.get_mut(&id).expect("listed above");
            member.refresh(now);
            if let Some(context) = member.joining.take() {
                let joined = self.joined(&id);
                self.answer_join(context, joined);
            }
        }
    }

    /// The assignor that most members prefer among those that all of them support; on a tie, the one
    /// that got a vote first.
    pub(super) fn select_protocol(&self) -> Option<Str> {
        let common = common_protocols(self.members.values());
        let vote =
            |member: &Member| member.protocols.iter().map(|(name, _)| name).find(|name| common.contains(name)).cloned();
        let mut votes: Vec<(Str, usize)> = Vec::new();
        for choice in self.members.values().filter_map(vote) {
            match votes.iter_mut().find(|(name, _)| *name == choice) {
                Some((_, count)) => *count += 1,
                None => votes.push((choice, 1)),
            }
        }
        let most = votes.iter().map(|&(_, count)| count).max()?;
        votes.into_iter().find(|&(_, count)| count == most).map(|(name, _)| name)
    }

    /// Removes a member without the consequences for the group, which are up to [`Group::after_removal`].
    pub(super) fn remove_member(&mut self, id: &Str) {
        let Some(mut member) = self.members.remove(id) else { return };
        self.refuse_waiting(&mut member, id, ErrorCode::UNKNOWN_MEMBER_ID);
        if let Some(instance) = &member.instance_id {
            self.instances.remove(instance);
        }
        self.unsynced.remove(id);
        if self.leader.as_ref() == Some(id) {
            self.leader = None;
        }
    }

    /// Goes on after removals: the remaining members rebalance if the group had `count_before` members and now
    /// has fewer.
    pub(super) fn after_removal(&mut self, now: Moment, count_before: usize) {
        if self.members.len() < count_before {
            self.prepare_rebalance(now);
        } else {
            // The member may have been the last one that was given an id and has not come back with it.
            self.try_complete_join(now);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Moment) {
        let count_before = self.members.len();
        let expired = self.ids_of(|member| member.session_due().is_some_and(|due| due <= now));
        expired.iter().for_each(|id| self.remove_member(id));
        self.pending.retain(|_, deadline| *deadline > now);
        if self.is_sync_awaited() && self.sync_deadline <= now {
            let late = std::mem::take(&mut self.unsynced);
            late.iter().for_each(|id| self.remove_member(id));
        }
        if let Phase::PreparingRebalance { earliest, .. } = &mut self.phase
            && earliest.is_some_and(|earliest| earliest <= now)
        {
            *earliest = None;
        }
        self.after_removal(now, count_before);
        if let Phase::PreparingRebalance { deadline, .. } = self.phase
            && deadline <= now
        {
            self.complete_join(now);
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Moment> {
        let sessions = self.members.values().filter_map(Member::session_due);
        let pending = self.pending.values().copied();
        let sync = self.is_sync_awaited().then_some(self.sync_deadline);
        let join = match self.phase {
            Phase::PreparingRebalance { earliest, deadline } => [earliest, Some(deadline)],
            Phase::Empty | Phase::CompletingRebalance | Phase::Stable => [None, None],
        };
        sessions.chain(pending).chain(sync).chain(join.into_iter().flatten()).min()
    }

    fn is_sync_awaited(&self) -> bool {
        !self.unsynced.is_empty() && matches!(self.phase, Phase::CompletingRebalance | Phase::Stable)
    }

    fn rebalance_deadline(&self, now: Moment) -> Moment {
        now + self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default()
    }

    fn ids_of(&self, is_meant: impl Fn(&Member) -> bool) -> Vec<Str> {
        self.members.iter().filter(|(_, member)| is_meant(member)).map(|(id, _)| id.clone()).collect()
    }
}

/// The assignors that all of these members support. Its work does not grow with the square of the lists, which may
/// have as many names as a request has room for.
pub(super) fn common_protocols<'a>(mut members: impl Iterator<Item = &'a Member>) -> BTreeSet<&'a Str> {
    let names = |member: &'a Member| member.protocols.iter().map(|(name, _)| name).collect::<BTreeSet<_>>();
    let mut common = members.next().map(names).unwrap_or_default();
    for member in members {
        let own = names(member);
        common.retain(|name| own.contains(name));
    }
    common
}
