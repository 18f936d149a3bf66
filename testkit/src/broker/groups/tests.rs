//! Scripts of a group: members join, leave, fall silent and come back under the same name.

use kafka_wire::protocol::ApiKey;
use kafka_wire::types::{LeaderEpoch, Offset, PartitionId};
use kafka_wire::wire::Uuid;

use super::*;
use crate::broker::ConnectionId;

const SESSION: Duration = Duration::from_secs(10);
const REBALANCE: Duration = Duration::from_secs(60);

struct Script {
    groups: Groups,
    now: Moment,
    calls: u64,
}

impl Script {
    fn new() -> Self {
        Self::with(&BrokerConfig::default())
    }

    fn with(config: &BrokerConfig) -> Self {
        Self { groups: Groups::new(config, Rng::from_seed(1)), now: Moment::ZERO, calls: 0 }
    }

    fn context(&mut self) -> RequestContext {
        self.calls += 1;
        let connection = ConnectionId(self.calls);
        RequestContext { connection, serial: 1, api: ApiKey::JoinGroup, version: 9, correlation_id: 0 }
    }

    fn join(&mut self, join: &Join) -> RequestContext {
        let context = self.context();
        self.groups.join(self.now, context, join);
        context
    }

    fn sync(
        &mut self,
        member: &Joined,
        instance: Option<&str>,
        assignments: &[(&Str, &'static str)],
    ) -> RequestContext {
        let context = self.context();
        let sync = Sync {
            group_id: Str::from("g"),
            caller: caller(member, instance),
            protocol_type: Some(Str::from("consumer")),
            protocol: Some(Str::from("range")),
            assignments: assignments.iter().map(|&(id, bytes)| (id.clone(), Bytes::from(bytes))).collect(),
        };
        self.groups.sync(self.now, context, &sync);
        context
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.groups.handle_timeout(self.now);
    }

    /// The next result, which has to be one of JoinGroup.
    fn joined(&mut self, context: RequestContext) -> Joined {
        match self.groups.poll() {
            Some((to, MemberResult::Join(joined))) if to == context => joined,
            other => panic!("expected an answer to {context:?}: {other:?}"),
        }
    }

    fn synced(&mut self, context: RequestContext) -> Synced {
        match self.groups.poll() {
            Some((to, MemberResult::Sync(synced))) if to == context => synced,
            other => panic!("expected an answer to {context:?}: {other:?}"),
        }
    }

    fn heartbeat(&mut self, member: &Joined) -> Result<(), ErrorCode> {
        self.groups.heartbeat(self.now, "g", &caller(member, None))
    }

    /// A stable group of two dynamic members; the first is the leader.
    fn pair(&mut self) -> (Joined, Joined) {
        let first = self.join(&by_name(None));
        let first = self.joined(first);
        self.sync(&first, None, &[(&first.member_id, "all")]);
        self.groups.poll();
        let second = self.join(&by_name(None));
        let rejoin = self.join(&Join { member_id: first.member_id.clone(), ..by_name(None) });
        let (leader, follower) = match (self.groups.poll(), self.groups.poll()) {
            (Some((a, MemberResult::Join(one))), Some((_, MemberResult::Join(other)))) if a == rejoin => (one, other),
            (Some((_, MemberResult::Join(other))), Some((_, MemberResult::Join(one)))) => (one, other),
            other => panic!("expected two members of {second:?}: {other:?}"),
        };
        let follows = self.sync(&follower, None, &[]);
        let leads = self.sync(&leader, None, &[(&leader.member_id, "half"), (&follower.member_id, "other half")]);
        let mut assigned: Vec<_> = std::iter::from_fn(|| self.groups.poll()).collect();
        assigned.sort_by_key(|(context, _)| *context != leads);
        let bytes = |index: usize| match &assigned[index] {
            (_, MemberResult::Sync(synced)) => synced.assignment.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!((assigned[1].0, bytes(0), bytes(1)), (follows, "half".into(), "other half".into()));
        (leader, follower)
    }
}

/// A JoinGroup of a client that needs no second round for its member id.
fn by_name(instance: Option<&str>) -> Join {
    Join {
        group_id: Str::from("g"),
        member_id: Str::EMPTY,
        instance_id: instance.map(Str::from),
        client_id: Str::from("client"),
        client_host: Str::from("/test"),
        session_timeout: SESSION,
        rebalance_timeout: REBALANCE,
        protocol_type: Str::from("consumer"),
        protocols: vec![(Str::from("range"), Bytes::from_static(b"topics"))],
        is_id_required: false,
        may_skip_assignment: true,
    }
}

fn caller(member: &Joined, instance: Option<&str>) -> Caller {
    Caller { member_id: member.member_id.clone(), instance_id: instance.map(Str::from), generation: member.generation }
}

fn commit(caller: Caller, producer: Option<i64>, offset: i64) -> Commit {
    let committed = CommittedOffset { offset: Offset(offset), leader_epoch: LeaderEpoch(0), metadata: Str::EMPTY };
    Commit { group_id: Str::from("g"), caller, producer: producer.map(ProducerId), offsets: vec![(place(), committed)] }
}

fn place() -> PartitionName {
    PartitionName { topic: Str::from("t"), partition: PartitionId(0) }
}

#[test]
fn a_new_member_is_told_its_id_and_comes_back_with_it() {
    let mut script = Script::new();
    let told = script.join(&Join { is_id_required: true, ..by_name(None) });
    let told = script.joined(told);
    assert_eq!((told.error, told.generation), (ErrorCode::MEMBER_ID_REQUIRED, -1));
    assert!(told.member_id.starts_with("client-"));
    let joined = script.join(&Join { member_id: told.member_id.clone(), is_id_required: true, ..by_name(None) });
    let joined = script.joined(joined);
    assert_eq!((joined.error, joined.generation, &joined.leader), (ErrorCode::NONE, 1, &told.member_id));
    assert_eq!(joined.members, [(told.member_id.clone(), None, Bytes::from_static(b"topics"))]);

    let stranger = script.join(&Join { member_id: Str::from("client-x"), ..by_name(None) });
    assert_eq!(script.joined(stranger).error, ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_second_member_makes_the_first_rejoin() {
    let mut script = Script::new();
    let (leader, follower) = script.pair();
    assert_eq!((leader.generation, follower.generation), (2, 2));
    assert_eq!((leader.members.len(), follower.members.len(), &follower.leader), (2, 0, &leader.member_id));
    assert_eq!((script.heartbeat(&leader), script.heartbeat(&follower)), (Ok(()), Ok(())));
    // A follower that repeats its JoinGroup gets the same result; a repetition of the leader's starts a rebalance.
    let again = script.join(&Join { member_id: follower.member_id.clone(), ..by_name(None) });
    assert_eq!(script.joined(again), follower);
    script.join(&Join { member_id: leader.member_id.clone(), ..by_name(None) });
    assert_eq!(script.heartbeat(&follower), Err(ErrorCode::REBALANCE_IN_PROGRESS));
}

#[test]
fn members_that_do_not_rejoin_in_time_are_dropped() {
    let mut script = Script::new();
    let (leader, follower) = script.pair();
    let rejoin = script.join(&Join { member_id: leader.member_id.clone(), ..by_name(None) });
    for _ in 0..11 {
        script.pass(Duration::from_secs(5));
        assert_eq!(script.heartbeat(&follower), Err(ErrorCode::REBALANCE_IN_PROGRESS));
    }
    script.pass(Duration::from_secs(5));
    let joined = script.joined(rejoin);
    assert_eq!((joined.generation, joined.members.len()), (3, 1));
    assert_eq!(script.heartbeat(&follower), Err(ErrorCode::UNKNOWN_MEMBER_ID));
}

#[test]
fn a_silent_member_loses_its_session_and_the_others_rebalance() {
    let mut script = Script::new();
    let (leader, follower) = script.pair();
    script.pass(Duration::from_secs(6));
    assert_eq!(script.heartbeat(&leader), Ok(()));
    assert_eq!(script.groups.next_timeout(), Some(Moment::from_millis(10_000)));
    script.pass(Duration::from_secs(4));
    assert_eq!(script.heartbeat(&leader), Err(ErrorCode::REBALANCE_IN_PROGRESS));
    assert_eq!(script.heartbeat(&follower), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    let rejoin = script.join(&Join { member_id: leader.member_id.clone(), ..by_name(None) });
    assert_eq!(script.joined(rejoin).generation, 3);
}

#[test]
fn a_member_that_never_syncs_is_dropped() {
    let mut script = Script::new();
    let (leader, follower) = script.pair();
    let leads = script.join(&Join { member_id: leader.member_id.clone(), ..by_name(None) });
    let follows = script.join(&Join { member_id: follower.member_id.clone(), ..by_name(None) });
    let answers: Vec<_> = std::iter::from_fn(|| script.groups.poll()).map(|(context, _)| context).collect();
    assert!(answers.len() == 2 && answers.contains(&leads) && answers.contains(&follows));
    let follower = Joined { generation: 3, ..follower };
    let waits = script.sync(&follower, None, &[]);
    for _ in 0..12 {
        script.pass(Duration::from_secs(5));
        let _ = script.heartbeat(&Joined { generation: 3, ..leader.clone() });
    }
    assert_eq!(script.synced(waits).error, ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(script.heartbeat(&leader), Err(ErrorCode::UNKNOWN_MEMBER_ID));
}

#[test]
fn leaving_starts_a_rebalance_and_the_last_one_empties_the_group() {
    let mut script = Script::new();
    let (leader, follower) = script.pair();
    let stranger = Caller { member_id: Str::from("x"), ..Caller::default() };
    let left = script.groups.leave(script.now, "g", &[caller(&leader, None), stranger]);
    assert_eq!(left, [Ok(()), Err(ErrorCode::UNKNOWN_MEMBER_ID)]);
    assert_eq!(script.heartbeat(&follower), Err(ErrorCode::REBALANCE_IN_PROGRESS));
    script.groups.leave(script.now, "g", &[caller(&follower, None)]);
    assert_eq!(script.groups.group("g").unwrap().phase, Phase::Empty);
    assert_eq!(script.groups.next_timeout(), None);
    assert_eq!(script.groups.delete("g"), Ok(()));
    assert_eq!(script.groups.delete("g"), Err(ErrorCode::GROUP_ID_NOT_FOUND));
}

#[test]
fn a_static_member_returns_to_its_assignment_and_its_old_self_is_fenced() {
    let mut script = Script::new();
    let old = script.join(&by_name(Some("a")));
    let old = script.joined(old);
    script.sync(&old, Some("a"), &[(&old.member_id, "mine")]);
    script.groups.poll();
    let new = script.join(&by_name(Some("a")));
    let new = script.joined(new);
    assert_eq!((new.error, new.generation, new.skip_assignment), (ErrorCode::NONE, 1, true));
    assert_ne!(new.member_id, old.member_id);
    let synced = script.sync(&new, Some("a"), &[]);
    assert_eq!(script.synced(synced).assignment, "mine");
    let fenced = script.groups.heartbeat(script.now, "g", &caller(&old, Some("a")));
    assert_eq!(fenced, Err(ErrorCode::FENCED_INSTANCE_ID));
    let fenced = script.groups.commit(script.now, &commit(caller(&old, Some("a")), Some(5), 1));
    assert_eq!(fenced, Err(ErrorCode::FENCED_INSTANCE_ID));
    // An administrator removes the member by its static name.
    let by_instance = Caller { instance_id: Some(Str::from("a")), ..Caller::default() };
    assert_eq!(script.groups.leave(script.now, "g", &[by_instance]), [Ok(())]);
}

#[test]
fn a_static_member_that_is_away_keeps_its_place_until_its_session_ends() {
    let mut script = Script::new();
    let away = script.join(&by_name(Some("a")));
    let away = script.joined(away);
    script.sync(&away, Some("a"), &[(&away.member_id, "mine")]);
    script.groups.poll();
    script.pass(SESSION.saturating_sub(Duration::from_millis(1)));
    assert_eq!(script.groups.group("g").unwrap().phase, Phase::Stable);
    script.pass(Duration::from_millis(1));
    assert_eq!(script.groups.group("g").unwrap().phase, Phase::Empty);
}

#[test]
fn members_of_another_kind_or_without_a_common_assignor_are_refused() {
    let mut script = Script::new();
    script.pair();
    let connect = script.join(&Join { protocol_type: Str::from("connect"), ..by_name(None) });
    assert_eq!(script.joined(connect).error, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    let protocols = vec![(Str::from("sticky"), Bytes::new())];
    let sticky = script.join(&Join { protocols, ..by_name(None) });
    assert_eq!(script.joined(sticky).error, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    let impatient = script.join(&Join { session_timeout: Duration::from_secs(1), ..by_name(None) });
    assert_eq!(script.joined(impatient).error, ErrorCode::INVALID_SESSION_TIMEOUT);
}

#[test]
fn lists_of_assignors_may_be_long() {
    let mut script = Script::new();
    // 100,000 names each, of which only the last is common: by comparing each with each this takes minutes.
    let list = |prefix: &str| {
        let names = (0..100_000).map(|number| Str::from(format!("{prefix}{number}"))).chain([Str::from("range")]);
        names.map(|name| (name, Bytes::new())).collect()
    };
    let first = script.join(&Join { protocols: list("a"), ..by_name(None) });
    let first = script.joined(first);
    assert_eq!(first.error, ErrorCode::NONE);
    script.join(&Join { protocols: list("b"), ..by_name(None) });
    script.join(&Join { member_id: first.member_id, protocols: list("a"), ..by_name(None) });
    while let Some((_, MemberResult::Join(joined))) = script.groups.poll() {
        assert_eq!((joined.error, joined.protocol.as_deref()), (ErrorCode::NONE, Some("range")));
    }
    assert_eq!(script.groups.group("g").unwrap().generation, 2);
}

#[test]
fn a_new_group_waits_for_further_members_if_so_configured() {
    let config = BrokerConfig { group_initial_rebalance_delay: Duration::from_secs(3), ..BrokerConfig::default() };
    let mut script = Script::with(&config);
    script.join(&by_name(None));
    script.pass(Duration::from_secs(2));
    script.join(&by_name(None));
    assert_eq!(script.groups.next_timeout(), Some(Moment::from_millis(5_000)));
    script.pass(Duration::from_secs(2));
    assert_eq!(script.groups.poll(), None);
    script.pass(Duration::from_secs(1));
    let generations: Vec<_> = std::iter::from_fn(|| script.groups.poll()).collect();
    assert_eq!(generations.len(), 2);
    assert!(
        generations.iter().all(|(_, result)| matches!(result, MemberResult::Join(joined) if joined.generation == 1))
    );
}

#[test]
fn commits_are_checked_against_the_generation() {
    let mut script = Script::new();
    let (leader, _) = script.pair();
    let now = script.now;
    let mut try_commit = |caller: Caller, producer| script.groups.commit(now, &commit(caller, producer, 1));
    let old = Caller { generation: 1, ..caller(&leader, None) };
    let stranger = Caller { member_id: Str::from("x"), ..caller(&leader, None) };
    let nobody = Caller { generation: -1, ..Caller::default() };
    for producer in [None, Some(5)] {
        assert_eq!(try_commit(caller(&leader, None), producer), Ok(()));
        assert_eq!(try_commit(old.clone(), producer), Err(ErrorCode::ILLEGAL_GENERATION));
        assert_eq!(try_commit(stranger.clone(), producer), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    }
    assert_eq!(try_commit(nobody.clone(), None), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    // Before KIP-447, a producer commits without naming a member.
    assert_eq!(try_commit(nobody.clone(), Some(5)), Ok(()));
    let elsewhere = Commit { group_id: Str::from("other"), ..commit(old, None, 1) };
    assert_eq!(script.groups.commit(now, &elsewhere), Err(ErrorCode::GROUP_ID_NOT_FOUND));
    let elsewhere = Commit { group_id: Str::from("other"), ..commit(nobody, None, 1) };
    assert_eq!(script.groups.commit(now, &elsewhere), Ok(()));
}

#[test]
fn pending_offsets_are_unstable_until_their_transaction_ends() {
    let mut script = Script::new();
    let nobody = Caller { generation: -1, ..Caller::default() };
    let fetch = |script: &Script, require_stable| {
        let group = script.groups.group("g").unwrap();
        group.committed(&place(), require_stable).map(|found| found.map(|committed| committed.offset.0))
    };
    script.groups.commit(script.now, &commit(nobody.clone(), None, 1)).unwrap();
    for (producer, is_commit, after) in [(5, false, 1), (5, true, 9), (6, true, 9)] {
        script.groups.commit(script.now, &commit(nobody.clone(), Some(producer), 9)).unwrap();
        assert_eq!(fetch(&script, true), Err(ErrorCode::UNSTABLE_OFFSET_COMMIT));
        script.groups.end_transaction("g", ProducerId(producer), is_commit);
        assert_eq!(fetch(&script, true), Ok(Some(after)));
    }
    script.groups.forget_topic("t");
    assert_eq!(fetch(&script, false), Ok(None));
}

#[test]
fn a_transaction_that_ends_late_takes_no_newer_commit_back() {
    let mut script = Script::new();
    let nobody = Caller { generation: -1, ..Caller::default() };
    let committed = |script: &Script| {
        let group = script.groups.group("g").unwrap();
        assert_eq!(group.committed_partitions().count(), usize::from(group.committed(&place(), false) != Ok(None)));
        group.committed(&place(), false).map(|found| found.map(|committed| committed.offset.0))
    };
    script.groups.commit(script.now, &commit(nobody.clone(), Some(5), 10)).unwrap();
    assert_eq!(committed(&script), Ok(None));
    // An administrator, or another producer, commits while the first transaction is open.
    script.groups.commit(script.now, &commit(nobody.clone(), None, 20)).unwrap();
    script.groups.end_transaction("g", ProducerId(5), true);
    assert_eq!(committed(&script), Ok(Some(20)));
    for (producer, offset) in [(5, 30), (6, 40)] {
        script.groups.commit(script.now, &commit(nobody.clone(), Some(producer), offset)).unwrap();
    }
    script.groups.end_transaction("g", ProducerId(6), true);
    script.groups.end_transaction("g", ProducerId(5), true);
    assert_eq!(committed(&script), Ok(Some(40)));
}

fn consumer_heartbeat(member: &str, member_epoch: i32) -> ConsumerHeartbeat {
    let is_join = member_epoch == 0;
    ConsumerHeartbeat {
        member_id: Str::from(member),
        member_epoch,
        rebalance_timeout: is_join.then_some(REBALANCE),
        topics: is_join.then(|| vec![Str::from("t")]),
        owned: is_join.then(Partitions::new),
        ..ConsumerHeartbeat::default()
    }
}

#[test]
fn a_static_member_keeps_its_name_when_a_heartbeat_leaves_it_out() {
    let mut script = Script::new();
    let catalog = Catalog::from([(Str::from("t"), (Uuid([1; 16]), 3))]);
    let group = Str::from("g");
    let join = ConsumerHeartbeat { instance_id: Some(Str::from("a")), ..consumer_heartbeat("m", 0) };
    let joined = script.groups.consumer_heartbeat(script.now, &group, join, &catalog).unwrap();
    // librdkafka names itself in full requests alone.
    let next = consumer_heartbeat("m", joined.member_epoch);
    script.groups.consumer_heartbeat(script.now, &group, next, &catalog).unwrap();
    let members = &script.groups.group("g").unwrap().consumer().unwrap().members;
    assert_eq!(members[&Str::from("m")].instance_id.as_deref(), Some("a"));
}

#[test]
fn a_pattern_that_is_broken_or_takes_too_much_memory_is_refused() {
    let catalog = Catalog::new();
    for (pattern, expected) in [
        ("t.*", None),
        ("a)|(b", Some(ErrorCode::INVALID_REGULAR_EXPRESSION)),
        ("(?:a?){50000}", Some(ErrorCode::INVALID_REGULAR_EXPRESSION)),
    ] {
        let mut script = Script::new();
        let join = ConsumerHeartbeat { topics: None, pattern: Some(Str::from(pattern)), ..consumer_heartbeat("m", 0) };
        let joined = script.groups.consumer_heartbeat(script.now, &Str::from("g"), join, &catalog);
        assert_eq!(joined.err().map(|(error, _)| error), expected, "{pattern}");
    }
}

#[test]
fn a_commit_may_have_an_epoch_at_which_the_member_had_its_partitions() {
    let mut script = Script::new();
    let group = Str::from("g");
    let mut catalog = Catalog::from([(Str::from("t"), (Uuid([1; 16]), 1)), (Str::from("u"), (Uuid([2; 16]), 1))]);
    let beat = |script: &mut Script, catalog: &Catalog, heartbeat| {
        script.groups.consumer_heartbeat(script.now, &group, heartbeat, catalog).unwrap().member_epoch
    };
    let first = beat(&mut script, &catalog, consumer_heartbeat("m", 0));
    // Another member subscribes to another topic.
    let other = ConsumerHeartbeat { topics: Some(vec![Str::from("u")]), ..consumer_heartbeat("n", 0) };
    beat(&mut script, &catalog, other);
    let second = beat(&mut script, &catalog, consumer_heartbeat("m", first));
    // Its topic gets a second partition.
    catalog.insert(Str::from("t"), (Uuid([1; 16]), 2));
    let third = beat(&mut script, &catalog, consumer_heartbeat("m", second));
    assert!(first < second && second < third, "{first}, {second}, {third}");
    let try_commit = |script: &mut Script, index, generation| {
        let caller = Caller { member_id: Str::from("m"), instance_id: None, generation };
        let mut commit = commit(caller, None, 1);
        commit.offsets[0].0.partition = PartitionId(index);
        script.groups.commit(script.now, &commit)
    };
    for epoch in [first, second, third] {
        assert_eq!(try_commit(&mut script, 0, epoch), Ok(()), "{epoch}");
    }
    assert_eq!(try_commit(&mut script, 1, third), Ok(()));
    for (index, epoch) in [(1, second), (0, third + 1), (0, first - 1), (2, second)] {
        assert_eq!(try_commit(&mut script, index, epoch), Err(ErrorCode::STALE_MEMBER_EPOCH), "{index} at {epoch}");
    }
}
