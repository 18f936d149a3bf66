//! The requests of members to their group.

use bytes::Bytes;
use kafka_wire::protocol::ErrorCode;
use kafka_wire::time::Moment;
use kafka_wire::wire::Str;

use super::rebalance::common_protocols;
use super::{Caller, Commit, Group, Join, Joined, Member, MemberResult, Phase, RequestContext, Sync, Synced};

impl Group {
    pub(super) fn join(
        &mut self,
        now: Moment,
        context: RequestContext,
        join: &Join,
        id_for_new: Str,
    ) -> Result<(), ErrorCode> {
        self.check_protocols(join)?;
        if !join.member_id.is_empty() {
            return self.join_known(now, context, join);
        }
        let instance = join.instance_id.as_ref();
        if let Some(old_id) = instance.and_then(|instance| self.instances.get(instance)).cloned() {
            self.replace_static(now, context, join, &old_id, id_for_new);
        } else if instance.is_none() && join.is_id_required {
            self.pending.insert(id_for_new.clone(), now + join.session_timeout);
            self.answer_join(context, Joined::refused(ErrorCode::MEMBER_ID_REQUIRED, id_for_new));
        } else {
            self.add_member(now, context, join, id_for_new);
        }
        Ok(())
    }

    fn join_known(&mut self, now: Moment, context: RequestContext, join: &Join) -> Result<(), ErrorCode> {
        let id = join.member_id.detached();
        if self.pending.remove(&id).is_some() {
            self.add_member(now, context, join, id);
            return Ok(());
        }
        self.check_member(&id, join.instance_id.as_ref())?;
        let is_leader = self.leader.as_ref() == Some(&id);
        let member = self.members.get_mut(&id).expect("checked above");
        let is_unchanged = member.protocols == join.protocols;
        member.refresh(now);
        let repeats_answer = match self.phase {
            Phase::Stable => is_unchanged && !is_leader,
            // The member repeats its JoinGroup because it did not get the answer.
            Phase::CompletingRebalance => is_unchanged,
            Phase::Empty | Phase::PreparingRebalance { .. } => false,
        };
        if repeats_answer {
            let joined = self.joined(&id);
            self.answer_join(context, joined);
            return Ok(());
        }
        member.update(join);
        self.await_join(&id, context);
        self.prepare_rebalance(now);
        Ok(())
    }

    fn add_member(&mut self, now: Moment, context: RequestContext, join: &Join, id: Str) {
        if let Some(instance) = &join.instance_id {
            self.instances.insert(instance.detached(), id.clone());
        }
        if self.members.is_empty() {
            self.protocol_type = Some(join.protocol_type.detached());
        }
        self.leader.get_or_insert_with(|| id.clone());
        self.members.insert(id.clone(), Member::new(now, join));
        self.await_join(&id, context);
        self.extend_initial_delay(now);
        self.prepare_rebalance(now);
    }

    /// Replaces a static member that has come back under a new id. Its old id is fenced. If nothing changes for
    /// the others, they are not disturbed, and it finds its old assignment.
    fn replace_static(&mut self, now: Moment, context: RequestContext, join: &Join, old_id: &Str, id: Str) {
        let mut member = self.members.remove(old_id).expect("static names lead to members");
        self.refuse_waiting(&mut member, old_id, ErrorCode::FENCED_INSTANCE_ID);
        member.update(join);
        member.refresh(now);
        self.members.insert(id.clone(), member);
        if self.unsynced.remove(old_id) {
            self.unsynced.insert(id.clone());
        }
        let instance = join.instance_id.as_ref().expect("only static members are replaced");
        self.instances.insert(instance.detached(), id.clone());
        let was_leader = self.leader.as_ref() == Some(old_id);
        if was_leader {
            self.leader = Some(id.clone());
        }
        if self.phase != Phase::Stable || self.select_protocol() != self.protocol {
            self.await_join(&id, context);
            self.prepare_rebalance(now);
            return;
        }
        let mut joined = self.joined(&id);
        if was_leader && join.may_skip_assignment {
            joined.skip_assignment = true;
        } else if was_leader {
            // An older client would assign anew if it learned that it is the leader, so it is told that
            // another member leads.
            joined.leader = old_id.clone();
            joined.members = Vec::new();
        }
        self.answer_join(context, joined);
    }

    pub(super) fn sync(&mut self, now: Moment, context: RequestContext, sync: &Sync) -> Result<(), ErrorCode> {
        self.check_caller(&sync.caller)?;
        let differs = |claimed: &Option<Str>, ours: &Option<Str>| claimed.is_some() && claimed != ours;
        if differs(&sync.protocol_type, &self.protocol_type) || differs(&sync.protocol, &self.protocol) {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        let id = &sync.caller.member_id;
        let member = self.members.get_mut(id).expect("checked above");
        member.refresh(now);
        match self.phase {
            Phase::Empty => return Err(ErrorCode::UNKNOWN_MEMBER_ID),
            Phase::PreparingRebalance { .. } => return Err(ErrorCode::REBALANCE_IN_PROGRESS),
            Phase::Stable => {
                self.unsynced.remove(id);
                self.answer_sync(context, id);
            }
            Phase::CompletingRebalance => {
                let repeated = member.syncing.replace(context);
                self.unsynced.remove(id);
                if let Some(context) = repeated {
                    self.refuse_sync(context, ErrorCode::REBALANCE_IN_PROGRESS);
                }
                if self.leader.as_ref() == Some(id) {
                    self.assign(now, &sync.assignments);
                }
            }
        }
        Ok(())
    }

    /// Takes the leader's assignment: every waiting member gets its part, which is empty if the leader left it out.
    fn assign(&mut self, now: Moment, assignments: &[(Str, Bytes)]) {
        self.phase = Phase::Stable;
        for (id, assignment) in assignments {
            if let Some(member) = self.members.get_mut(id) {
                member.assignment = Bytes::copy_from_slice(assignment);
            }
        }
        let mut answers = Vec::new();
        for (id, member) in &mut self.members {
            if let Some(context) = member.syncing.take() {
                member.refresh(now);
                answers.push((context, id.clone()));
            }
        }
        answers.iter().for_each(|(context, id)| self.answer_sync(*context, id));
    }

    pub(super) fn heartbeat(&mut self, now: Moment, caller: &Caller) -> Result<(), ErrorCode> {
        self.check_caller(caller)?;
        self.members.get_mut(&caller.member_id).expect("checked above").refresh(now);
        match self.phase {
            Phase::Empty => Err(ErrorCode::UNKNOWN_MEMBER_ID),
            Phase::PreparingRebalance { .. } => Err(ErrorCode::REBALANCE_IN_PROGRESS),
            Phase::CompletingRebalance | Phase::Stable => Ok(()),
        }
    }

    pub(super) fn leave(&mut self, now: Moment, callers: &[Caller]) -> Vec<Result<(), ErrorCode>> {
        if let Some(consumer) = &mut self.consumer {
            let remove = |caller: &Caller| consumer.remove_named(&caller.member_id, caller.instance_id.as_ref());
            return callers.iter().map(remove).collect();
        }
        let count_before = self.members.len();
        let results = callers.iter().map(|caller| self.leave_one(caller)).collect();
        self.after_removal(now, count_before);
        results
    }

    fn leave_one(&mut self, caller: &Caller) -> Result<(), ErrorCode> {
        let id = match &caller.instance_id {
            // An administrator names a static member by its static name alone.
            Some(instance) if caller.member_id.is_empty() => {
                self.instances.get(instance).cloned().ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?
            }
            _ if self.pending.remove(&caller.member_id).is_some() => return Ok(()),
            instance => {
                self.check_member(&caller.member_id, instance.as_ref())?;
                caller.member_id.clone()
            }
        };
        self.remove_member(&id);
        Ok(())
    }

    pub(super) fn commit(&mut self, now: Moment, commit: &Commit) -> Result<(), ErrorCode> {
        let (caller, is_transactional) = (&commit.caller, commit.producer.is_some());
        let is_anonymous = caller.generation < 0 && caller.member_id.is_empty() && caller.instance_id.is_none();
        if let Some(consumer) = &self.consumer
            && !consumer.members.is_empty()
        {
            if !(is_anonymous && is_transactional) {
                let partitions = commit.offsets.iter().map(|(partition, _)| partition);
                consumer.check_commit(&caller.member_id, caller.generation, partitions)?;
            }
            self.offsets.commit(commit.producer, &commit.offsets);
            return Ok(());
        }
        if caller.generation < 0 && self.phase == Phase::Empty {
            // The caller is a consumer that assigns itself, or an administrator.
        } else if !is_anonymous {
            self.check_caller(caller)?;
            self.members.get_mut(&caller.member_id).expect("checked above").refresh(now);
        } else if !is_transactional {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        if !is_transactional && self.phase == Phase::CompletingRebalance {
            // The member may commit for partitions that the next assignment takes from it; so it has to sync first.
            return Err(ErrorCode::REBALANCE_IN_PROGRESS);
        }
        self.offsets.commit(commit.producer, &commit.offsets);
        Ok(())
    }

    /// Checks that the caller is a member of this generation.
    fn check_caller(&self, caller: &Caller) -> Result<(), ErrorCode> {
        self.check_member(&caller.member_id, caller.instance_id.as_ref())?;
        if caller.generation == self.generation { Ok(()) } else { Err(ErrorCode::ILLEGAL_GENERATION) }
    }

    fn check_member(&self, id: &Str, instance: Option<&Str>) -> Result<(), ErrorCode> {
        if let Some(instance) = instance {
            let owner = self.instances.get(instance).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
            if owner != id {
                return Err(ErrorCode::FENCED_INSTANCE_ID);
            }
        }
        if self.members.contains_key(id) { Ok(()) } else { Err(ErrorCode::UNKNOWN_MEMBER_ID) }
    }

    /// Checks that the member's protocol type is the group's, and that it shares an assignor with all other members.
    fn check_protocols(&self, join: &Join) -> Result<(), ErrorCode> {
        let others = || self.members.iter().filter(|(id, _)| **id != join.member_id);
        if others().next().is_none() {
            return Ok(());
        }
        let common = common_protocols(others().map(|(_, member)| member));
        if self.protocol_type.as_ref() == Some(&join.protocol_type)
            && join.protocols.iter().any(|(name, _)| common.contains(name))
        {
            return Ok(());
        }
        Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL)
    }

    /// Lets the member's JoinGroup wait for the rebalance. An earlier one that still waits was given up by the client.
    fn await_join(&mut self, id: &Str, context: RequestContext) {
        let member = self.members.get_mut(id).expect("callers looked it up");
        if let Some(repeated) = member.joining.replace(context) {
            self.answer_join(repeated, Joined::refused(ErrorCode::REBALANCE_IN_PROGRESS, id.clone()));
        }
    }

    /// The present generation, as JoinGroup answers it to one member.
    pub(super) fn joined(&self, id: &Str) -> Joined {
        let is_leader = self.leader.as_ref() == Some(id);
        let protocol = self.protocol.clone().unwrap_or_default();
        let tell = |(id, member): (&Str, &Member)| (id.clone(), member.instance_id.clone(), member.metadata(&protocol));
        Joined {
            error: ErrorCode::NONE,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            member_id: id.clone(),
            skip_assignment: false,
            members: if is_leader { self.members.iter().map(tell).collect() } else { Vec::new() },
        }
    }

    pub(super) fn answer_join(&mut self, context: RequestContext, joined: Joined) {
        self.results.push_back((context, MemberResult::Join(joined)));
    }

    fn answer_sync(&mut self, context: RequestContext, id: &Str) {
        let synced = Synced {
            error: ErrorCode::NONE,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: self.members.get(id).map(|member| member.assignment.clone()).unwrap_or_default(),
        };
        self.results.push_back((context, MemberResult::Sync(synced)));
    }

    pub(super) fn refuse_sync(&mut self, context: RequestContext, error: ErrorCode) {
        self.results.push_back((context, MemberResult::Sync(Synced { error, ..Synced::default() })));
    }

    /// Answers the requests of a member that wait with an error.
    pub(super) fn refuse_waiting(&mut self, member: &mut Member, id: &Str, error: ErrorCode) {
        if let Some(context) = member.joining.take() {
            self.answer_join(context, Joined::refused(error, id.clone()));
        }
        if let Some(context) = member.syncing.take() {
            self.refuse_sync(context, error);
        }
    }
}
