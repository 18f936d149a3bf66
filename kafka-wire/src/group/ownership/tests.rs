//! Scripts of rebalances: the effects, and what the user is told, in order.

use super::*;
use crate::types::PartitionId;

fn partition(index: i32) -> TopicPartition {
    TopicPartition::new("t", PartitionId(index))
}

fn partitions(indexes: &[i32]) -> Vec<TopicPartition> {
    indexes.iter().copied().map(partition).collect()
}

fn assigned(indexes: &[i32]) -> GroupEvent {
    GroupEvent::Assigned { generation: 1, partitions: partitions(indexes), user_data: bytes::Bytes::new() }
}

fn committed(index: i32, offset: i64) -> (TopicPartition, CommittedOffset) {
    (partition(index), CommittedOffset::new(Offset(offset)))
}

/// The machine, and its effects, one word for each.
struct Script {
    ownership: Ownership,
    now: Moment,
}

impl Script {
    fn new(exchange: Exchange, auto_commit: Option<Duration>) -> Self {
        Self { ownership: Ownership::new(exchange, auto_commit, Moment::ZERO), now: Moment::ZERO }
    }

    /// Makes a member that reads these partitions from offset 10 on.
    fn reading(mut self, indexes: &[i32]) -> Self {
        self.ownership.handle_event(&assigned(indexes));
        self.until_told();
        let found = indexes.iter().map(|index| (partition(*index), Some(CommittedOffset::new(Offset(10))))).collect();
        self.ownership.handle_offsets(1, found);
        self.until_told();
        assert!(self.ownership.is_settled());
        self
    }

    fn read(&mut self, index: i32, next: i64) {
        self.ownership.handle_read(&partition(index), Offset(next - 1), Offset(next), LeaderEpoch(3));
    }

    /// Runs one poll of the user: everything up to the next thing that the user is told.
    fn until_told(&mut self) -> Vec<String> {
        let indexes = |partitions: &[TopicPartition]| {
            partitions.iter().map(|partition| partition.partition.to_string()).collect::<Vec<_>>().join(",")
        };
        let mut done = Vec::new();
        while let Some(effect) = self.ownership.poll(self.now) {
            let is_told = matches!(effect, Effect::Tell(_));
            done.push(match effect {
                Effect::FetchOffsets { partitions, .. } => format!("look up {}", indexes(&partitions)),
                Effect::Read { partition, from } => {
                    format!("read {} from {:?}", partition.partition, from.map(|from| from.offset.0))
                }
                Effect::StopReading(partition) => format!("stop {}", partition.partition),
                Effect::Commit { offsets, is_awaited } => {
                    let offsets =
                        offsets.iter().map(|(partition, at)| format!("{}@{}", partition.partition, at.offset));
                    format!(
                        "commit{} {}",
                        if is_awaited { " first" } else { "" },
                        offsets.collect::<Vec<_>>().join(",")
                    )
                }
                Effect::Rejoin { keeping } => format!("rejoin keeping {}", indexes(&keeping)),
                Effect::Tell(AssignmentChange::Assigned(partitions)) => {
                    format!("tell assigned {}", indexes(&partitions))
                }
                Effect::Tell(AssignmentChange::Revoking(partitions)) => {
                    format!("tell revoking {}", indexes(&partitions))
                }
                Effect::Tell(AssignmentChange::Revoked(partitions)) => format!("tell revoked {}", indexes(&partitions)),
                Effect::Tell(AssignmentChange::Lost { partitions, .. }) => {
                    format!("tell lost {}", indexes(&partitions))
                }
            });
            if is_told {
                break;
            }
        }
        done
    }
}

#[test]
fn an_eager_member_commits_and_tells_before_it_gives_everything_up() {
    let mut script = Script::new(Exchange::Eager, Some(Duration::from_secs(5))).reading(&[0, 1]);
    script.read(0, 12);
    script.ownership.handle_event(&GroupEvent::Rebalancing);
    assert_eq!(script.until_told(), ["commit first 0@12"]);
    assert!(script.until_told().is_empty(), "nothing goes on before the commit is answered");
    assert!(!script.ownership.is_settled());
    script.ownership.handle_settled(&[committed(0, 12)]);
    script.ownership.handle_committed(true);
    assert_eq!(script.until_told(), ["tell revoking 0,1"]);
    assert!(!script.ownership.is_settled() && script.ownership.holds(&partition(0)), "ours until the next poll");
    let mut given_up = script.until_told();
    given_up[..2].sort_unstable();
    assert_eq!(given_up, ["stop 0", "stop 1", "tell revoked 0,1"]);
    assert_eq!(script.until_told(), ["rejoin keeping "]);
    script.ownership.handle_event(&assigned(&[1]));
    assert_eq!(script.until_told(), ["look up 1", "tell assigned 1"]);
}

#[test]
fn nothing_is_due_while_a_commit_is_waited_for() {
    let mut script = Script::new(Exchange::Eager, Some(Duration::from_secs(5))).reading(&[0]);
    script.read(0, 12);
    script.ownership.handle_event(&GroupEvent::Rebalancing);
    assert_eq!(script.until_told(), ["commit first 0@12"]);
    assert_eq!(script.ownership.next_timeout(), None, "it would be past soon, and nothing done about it");
    script.ownership.handle_committed(true);
    assert_eq!(script.ownership.next_timeout(), Some(Moment::from_millis(5_000)));
}

#[test]
fn an_interval_of_zero_is_not_due_all_the_time() {
    let mut script = Script::new(Exchange::Eager, Some(Duration::ZERO)).reading(&[0]);
    script.now = Moment::from_millis(10);
    script.read(0, 12);
    assert_eq!(script.until_told(), ["commit 0@12"]);
    script.ownership.handle_committed(false);
    assert_eq!(script.ownership.next_timeout(), Some(Moment::from_millis(20)));
}

#[test]
fn the_commit_of_a_lost_membership_ends_no_wait_of_the_next_one() {
    let mut script = Script::new(Exchange::Eager, Some(Duration::from_secs(5))).reading(&[0]);
    script.read(0, 12);
    script.ownership.handle_event(&GroupEvent::Rebalancing);
    assert_eq!(script.until_told(), ["commit first 0@12"]);
    script.ownership.handle_event(&GroupEvent::Lost { cause: LostCause::Removed });
    while !script.until_told().is_empty() {}
    // It gets the partition again, reads on, and has to give it up.
    script.ownership.handle_event(&assigned(&[0]));
    script.until_told();
    script.ownership.handle_offsets(2, vec![(partition(0), Some(CommittedOffset::new(Offset(10))))]);
    script.until_told();
    script.read(0, 13);
    script.ownership.handle_event(&GroupEvent::Rebalancing);
    assert_eq!(script.until_told(), ["commit first 0@13"]);
    script.ownership.handle_committed(true);
    assert!(script.until_told().is_empty(), "that was the first one");
    script.ownership.handle_committed(true);
    assert_eq!(script.until_told(), ["tell revoking 0"]);
}

#[test]
fn a_partition_may_be_paused_before_it_is_read() {
    let mut script = Script::new(Exchange::Eager, None);
    assert!(!script.ownership.handle_paused(&partition(0), true), "the member does not have it");
    script.ownership.handle_event(&assigned(&[0]));
    script.until_told();
    assert!(script.ownership.handle_paused(&partition(0), true) && script.ownership.is_paused(&partition(0)));
    script.ownership.handle_event(&GroupEvent::Lost { cause: LostCause::Removed });
    while !script.until_told().is_empty() {}
    script.ownership.handle_event(&assigned(&[0]));
    script.until_told();
    assert!(!script.ownership.is_paused(&partition(0)), "that was another assignment");
}

#[test]
fn without_automatic_commits_the_user_is_told_at_once() {
    let mut script = Script::new(Exchange::Eager, None).reading(&[0]);
    script.read(0, 12);
    script.ownership.handle_event(&GroupEvent::Rebalancing);
    assert_eq!(script.until_told(), ["tell revoking 0"]);
    assert_eq!(script.ownership.uncommitted().len(), 1, "the user can commit what was read");
    assert_eq!(script.until_told(), ["stop 0", "tell revoked 0"]);
    assert!(script.ownership.uncommitted().is_empty(), "what was given up is not ours to commit");
}

#[test]
fn a_cooperative_member_keeps_what_stays_and_rejoins_after_giving_up_the_rest() {
    let mut script = Script::new(Exchange::Cooperative, Some(Duration::from_secs(5))).reading(&[0, 1]);
    script.ownership.handle_event(&GroupEvent::Rebalancing);
    assert_eq!(script.until_told(), ["rejoin keeping 0,1"]);
    assert!(script.ownership.is_settled(), "it reads on");
    script.read(0, 11);
    script.read(1, 15);
    script.ownership.handle_event(&assigned(&[0, 2]));
    assert_eq!(script.until_told(), ["commit first 1@15"], "what stays is not committed for it");
    script.ownership.handle_committed(true);
    assert_eq!(script.until_told(), ["tell revoking 1"]);
    assert_eq!(script.until_told(), ["stop 1", "tell revoked 1"]);
    assert_eq!(script.until_told(), ["look up 2", "tell assigned 2"]);
    assert_eq!(script.until_told(), ["rejoin keeping 0,2"]);
    script.ownership.handle_event(&assigned(&[0, 2]));
    assert_eq!(script.until_told(), ["tell assigned "]);
    assert!(script.until_told().is_empty() && script.ownership.is_settled());
}

#[test]
fn what_is_lost_is_told_apart_and_stops_whatever_was_going_on() {
    for exchange in [Exchange::Eager, Exchange::Cooperative] {
        let mut script = Script::new(exchange, Some(Duration::from_secs(5))).reading(&[0]);
        script.read(0, 12);
        let change = if exchange == Exchange::Cooperative { assigned(&[]) } else { GroupEvent::Rebalancing };
        script.ownership.handle_event(&change);
        assert_eq!(script.until_told(), ["commit first 0@12"]);
        script.ownership.handle_event(&GroupEvent::Lost { cause: LostCause::Removed });
        assert_eq!(script.until_told(), ["stop 0", "tell lost 0"]);
        assert_eq!(script.until_told(), ["rejoin keeping "]);
        assert!(script.ownership.uncommitted().is_empty());
    }
}

#[test]
fn a_member_that_has_nothing_says_nothing_of_losing_it() {
    let mut script = Script::new(Exchange::Eager, None);
    script.ownership.handle_event(&GroupEvent::Lost { cause: LostCause::Removed });
    assert_eq!(script.until_told(), ["rejoin keeping "]);
    script.ownership.handle_event(&GroupEvent::Rebalancing);
    assert_eq!(script.until_told(), ["rejoin keeping "]);
}

#[test]
fn reading_begins_where_the_group_stands_or_where_the_policy_says() {
    let mut script = Script::new(Exchange::Eager, None);
    script.ownership.handle_event(&assigned(&[0, 1, 2]));
    script.until_told();
    assert!(script.ownership.handle_seek(&partition(2), CommittedOffset::new(Offset(7))), "the user may seek at once");
    let found = vec![(partition(0), Some(CommittedOffset::new(Offset(5)))), (partition(1), None), (partition(2), None)];
    script.ownership.handle_offsets(0, found.clone());
    assert!(script.until_told().is_empty(), "the answer of another round");
    script.ownership.handle_offsets(1, found);
    assert_eq!(script.until_told(), ["read 0 from Some(5)", "read 1 from None"]);
    assert_eq!(script.ownership.unplaced().cloned().collect::<Vec<_>>(), partitions(&[1]));
    script.ownership.handle_start(&partition(1), Offset(30));
    // The offset at which the policy began is committed, so that a restart does not skip records that come meanwhile.
    assert_eq!(script.ownership.uncommitted(), [committed(1, 30), committed(2, 7)]);
}

#[test]
fn the_timer_commits_what_is_new_and_one_at_a_time() {
    let mut script = Script::new(Exchange::Eager, Some(Duration::from_secs(5))).reading(&[0, 1]);
    script.now = Moment::from_millis(5_000);
    assert!(script.until_told().is_empty(), "nothing is new");
    script.read(1, 20);
    script.now = Moment::from_millis(10_000);
    assert_eq!(script.until_told(), ["commit 1@20"]);
    script.read(1, 21);
    script.now = Moment::from_millis(20_000);
    assert!(script.until_told().is_empty(), "one is under way");
    assert_eq!(script.ownership.next_timeout(), None);
    script.ownership.handle_committed(false);
    assert_eq!(script.until_told(), ["commit 1@21"]);
}

#[test]
fn a_rewind_leads_back_to_what_is_settled() {
    let mut script = Script::new(Exchange::Eager, None).reading(&[0, 1]);
    script.read(0, 14);
    script.ownership.handle_settled(&[committed(0, 14)]);
    script.read(0, 18);
    script.read(1, 11);
    assert_eq!(script.ownership.rewind(), [committed(0, 14), committed(1, 10)]);
    assert!(script.ownership.uncommitted().is_empty());
}

#[test]
fn a_log_that_was_cut_takes_position_and_committed_offset_back() {
    let mut script = Script::new(Exchange::Eager, None).reading(&[0, 1]);
    script.read(0, 14);
    script.ownership.handle_settled(&[committed(0, 14)]);
    script.read(0, 18);
    script.ownership.handle_truncated(&partition(0), Offset(12), LeaderEpoch(2));
    script.ownership.handle_truncated(&partition(1), Offset(12), LeaderEpoch(2));
    let end = CommittedOffset { leader_epoch: LeaderEpoch(2), ..CommittedOffset::new(Offset(12)) };
    assert_eq!(script.ownership.uncommitted(), [(partition(0), end.clone())], "although 14 was committed");
    assert_eq!(script.ownership.rewind(), [(partition(0), end), committed(1, 10)], "it is not before the cut");
}

#[test]
fn another_subscription_gives_up_what_is_of_other_topics() {
    let mut script = Script::new(Exchange::Cooperative, None).reading(&[0]);
    script.ownership.handle_subscribed(&[Str::from("u")]);
    assert_eq!(script.until_told(), ["tell revoking 0"]);
    assert_eq!(script.until_told(), ["stop 0", "tell revoked 0"]);
    assert_eq!(script.until_told(), ["rejoin keeping "]);
    let mut script = Script::new(Exchange::Cooperative, None).reading(&[0]);
    script.ownership.handle_subscribed(&[Str::from("t"), Str::from("u")]);
    assert_eq!(script.until_told(), ["rejoin keeping 0"]);
}

#[test]
fn an_offset_behind_a_marker_has_the_epoch_of_the_marker() {
    let mut script = Script::new(Exchange::Eager, None).reading(&[0]);
    let place = |script: &Script| {
        let position = script.ownership.position(&partition(0)).expect("something was read");
        (position.offset, position.leader_epoch)
    };
    script.read(0, 11);
    script.ownership.handle_passed(&partition(0), Offset(12), Some(LeaderEpoch(4)));
    assert_eq!(place(&script), (Offset(12), LeaderEpoch(4)));
    script.ownership.handle_passed(&partition(0), Offset(11), None);
    assert_eq!(place(&script), (Offset(11), LeaderEpoch(4)));
}

#[test]
fn an_offset_that_was_looked_up_does_not_undo_a_later_seek() {
    let mut script = Script::new(Exchange::Cooperative, Some(Duration::from_secs(5))).reading(&[0]);
    script.read(0, 12);
    script.ownership.handle_event(&assigned(&[0, 1]));
    assert_eq!(script.until_told(), ["look up 1", "tell assigned 1"]);
    script.ownership.handle_event(&assigned(&[1]));
    assert_eq!(script.until_told(), ["commit first 0@12"]);
    script.ownership.handle_offsets(2, vec![(partition(1), Some(CommittedOffset::new(Offset(10))))]);
    script.ownership.handle_committed(true);
    assert_eq!(script.until_told(), ["tell revoking 0"]);
    assert!(script.ownership.handle_seek(&partition(1), CommittedOffset::new(Offset(500))));
    assert_eq!(script.until_told(), ["stop 0", "tell revoked 0"]);
    assert_eq!(script.until_told(), ["tell assigned "]);
    assert_eq!(script.until_told(), ["rejoin keeping 1"], "and no reading from 10");
    assert_eq!(script.ownership.position(&partition(1)).map(|position| position.offset), Some(Offset(500)));
}

#[test]
fn an_offset_that_was_looked_up_for_an_earlier_assignment_is_not_read_from() {
    let mut script = Script::new(Exchange::Cooperative, None);
    script.ownership.handle_event(&assigned(&[0]));
    assert_eq!(script.until_told(), ["look up 0", "tell assigned 0"]);
    script.ownership.handle_event(&assigned(&[]));
    script.ownership.handle_event(&assigned(&[0]));
    script.ownership.handle_offsets(1, vec![(partition(0), None)]);
    assert_eq!(script.until_told(), ["tell revoking 0"]);
    assert_eq!(script.until_told(), ["stop 0", "tell revoked 0"]);
    assert_eq!(script.until_told(), ["tell assigned "]);
    assert_eq!(script.until_told(), ["look up 0", "tell assigned 0"]);
    assert_eq!(script.until_told(), ["rejoin keeping 0"], "the group's offset is not known yet");
    script.ownership.handle_offsets(3, vec![(partition(0), Some(CommittedOffset::new(Offset(7))))]);
    assert_eq!(script.until_told(), ["read 0 from Some(7)"]);
}
