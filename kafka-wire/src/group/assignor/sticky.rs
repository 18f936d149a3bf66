//! The sticky assignors: as even as the subscriptions allow; within that, members keep their partitions.
//!
//! 1. Claims. A partition belongs to its last owner, if that member still subscribes to the topic.
//!    Of two claims the one of the later generation counts; two of one generation cancel each other out, because one
//!    of them must be wrong (KIP-792).
//! 2. If all members subscribe to the same topics, each may have `n / m` partitions, and `n % m` of them one more.
//!    A member keeps up to that number; those with too many are the first to get the one more. No assignment that is as
//!    even keeps more. The remaining partitions are dealt to members that have too few.
//! 3. Otherwise members keep all partitions that they had, partitions without an owner go to the subscriber with
//!    the fewest, and then partitions move from members with many to members with few until no move makes the group
//!    more even (`general`).
//!
//! If members tell their racks and partitions differ in theirs, evenness comes first, then that partitions have a
//! replica in the rack of their member, and only then that members keep theirs (KIP-881): in step 2 a partition stays
//! only with an owner in such a rack, and is dealt to such a member if one has room. Groups of up to 100 members are
//! then refined to the best assignment (`refine`).
//!
//! The cooperative variant then withholds partitions that another member still has. That owner sees in its share that
//! it has to give the partition up, joins again, and in that next round the partition is free. That also holds for an
//! owner that does not subscribe to the topic any more. Source: KIP-429.

use super::problem::{Claim, Owners, Problem};
use super::{PartitionCounts, PartitionRacks, Subscriber, general, in_serving_order, refine};
use crate::cluster::TopicPartition;

pub(super) fn assign(
    members: &[Subscriber],
    partition_counts: &PartitionCounts,
    racks: &PartitionRacks,
) -> Vec<Vec<TopicPartition>> {
    in_order(members, |members| {
        let problem = Problem::new(members, partition_counts, racks, false);
        problem.shares(&solve(&problem))
    })
}

/// As [`assign`], without partitions that another member still has.
pub(super) fn assign_cooperatively(
    members: &[Subscriber],
    partition_counts: &PartitionCounts,
    racks: &PartitionRacks,
) -> Vec<Vec<TopicPartition>> {
    in_order(members, |members| {
        let problem = Problem::new(members, partition_counts, racks, true);
        let mut owners = solve(&problem);
        for (owner, claim) in owners.iter_mut().flatten().zip(problem.claims.iter().flatten()) {
            let is_free = match claim {
                Claim::Nobody => true,
                Claim::Member { member, .. } => *owner == Some(*member),
                // Several members claim it, or one that does not read it any more: all of them give it up first.
                Claim::Contested { .. } => false,
            };
            if !is_free {
                *owner = None;
            }
        }
        problem.shares(&owners)
    })
}

/// Serves members in the order of their ids, whatever order they come in.
fn in_order(
    members: &[Subscriber],
    assign: impl FnOnce(&[Subscriber]) -> Vec<Vec<TopicPartition>>,
) -> Vec<Vec<TopicPartition>> {
    let order = in_serving_order(members);
    let sorted: Vec<Subscriber> = order.iter().map(|&member| members[member].clone()).collect();
    let mut shares = vec![Vec::new(); members.len()];
    for (member, share) in order.into_iter().zip(assign(&sorted)) {
        shares[member] = share;
    }
    shares
}

fn solve(problem: &Problem<'_>) -> Owners {
    let mut owners = if is_uniform(problem) { deal(problem) } else { general::solve(problem) };
    if problem.member_count() <= REFINED_MEMBERS_MAX && (problem.has_racks() || !is_uniform(problem)) {
        refine::refine(problem, &mut owners);
    }
    owners
}

/// Returns whether all members that read anything read the same topics.
fn is_uniform(problem: &Problem<'_>) -> bool {
    problem.subscribers.windows(2).all(|pair| pair[0] == pair[1])
}

/// Step 2 of the algorithm.
fn deal(problem: &Problem<'_>) -> Owners {
    let mut owners = problem.nothing_owned();
    let Some(readers) = problem.subscribers.first().filter(|readers| !readers.is_empty()) else { return owners };
    let count: usize = problem.claims.iter().map(Vec::len).sum();
    let (least, mut extra) = (count / readers.len(), count % readers.len());
    // A partition stays only with an owner that is near.
    let homes = problem.claims.iter().enumerate().flat_map(|(topic, claims)| {
        let home = move |(index, claim): (usize, &Claim)| {
            ((topic, index), claim.member().filter(|member| problem.is_near(topic, index, *member)))
        };
        claims.iter().enumerate().map(home)
    });
    let homes: Vec<((usize, usize), Option<usize>)> = homes.collect();
    let mut owned = vec![0_usize; problem.member_count()];
    for member in homes.iter().filter_map(|(_, home)| *home) {
        owned[member] += 1;
    }
    let mut room = vec![0_usize; problem.member_count()];
    for &member in readers {
        let has_extra = owned[member] > least && extra > 0;
        extra -= usize::from(has_extra);
        room[member] = least + usize::from(has_extra);
    }
    for ((topic, index), home) in &homes {
        if let Some(member) = home.filter(|member| room[*member] > 0) {
            room[member] -= 1;
            owners[*topic][*index] = Some(member);
        }
    }
    // Extra partitions that nobody kept go to members without one, in serving order.
    for &member in readers.iter().filter(|member| owned[**member] <= least).take(extra) {
        room[member] += 1;
    }
    if problem.has_racks() {
        deal_near(problem, readers, &mut room, &mut owners);
    }
    let mut turn = readers.iter().copied().cycle();
    for owner in owners.iter_mut().flatten().filter(|owner| owner.is_none()) {
        let member = turn.find(|member| room[*member] > 0).expect("there is as much room as there are partitions");
        room[member] -= 1;
        *owner = Some(member);
    }
    owners
}

/// Deals partitions without an owner to members that are near and have room, and then to their former owners.
fn deal_near(problem: &Problem<'_>, readers: &[usize], room: &mut [usize], owners: &mut Owners) {
    let mut next = 0;
    for (topic, owners) in owners.iter_mut().enumerate() {
        for (index, owner) in owners.iter_mut().enumerate().filter(|(_, owner)| owner.is_none()) {
            let mut places = (next..readers.len()).chain(0..next);
            let suits = |place: &usize| room[readers[*place]] > 0 && problem.is_near(topic, index, readers[*place]);
            if let Some(place) = places.find(suits) {
                room[readers[place]] -= 1;
                *owner = Some(readers[place]);
                next = (place + 1) % readers.len();
            }
        }
    }
    for (owner, claim) in owners.iter_mut().flatten().zip(problem.claims.iter().flatten()) {
        if owner.is_none()
            && let Some(member) = claim.member().filter(|member| room[*member] > 0)
        {
            room[member] -= 1;
            *owner = Some(member);
        }
    }
}

/// Larger groups are left as they are: the search takes time with the third power of the number of members,
/// and finds only a partition here and there that need not have moved.
const REFINED_MEMBERS_MAX: usize = 100;
