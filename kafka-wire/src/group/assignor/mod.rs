//! Client-side assignment of partitions to the members of a classic group, one file per assignor.
//!
//! The leader of a group runs an assignor over what every member subscribed to. The result equals the Java client's
//! for the same input, so a group may mix clients and any member may lead. A new assignor is a file and a row in
//! [`Assignor`].

mod range;
mod round_robin;

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::cluster::TopicPartition;
use crate::types::PartitionId;
use crate::wire::Str;

/// A way to spread partitions over the members of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Assignor {
    /// Each topic on its own, in contiguous runs: equal keys of co-partitioned topics meet in one member.
    Range,
    /// All partitions of all topics dealt out like cards, the most even spread over equal subscriptions.
    RoundRobin,
}

impl Assignor {
    /// The name that members agree on in JoinGroup; equal to the Java client's.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
        }
    }

    /// The assignor with that protocol name, if we have it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Range, Self::RoundRobin].into_iter().find(|assignor| assignor.name() == name)
    }

    /// Assigns every partition of every subscribed topic to exactly one of the members that subscribe to it.
    ///
    /// The result has one entry per member, in the order of `members`; partitions of an entry are sorted. The order of
    /// `members` changes nothing else. Topics that `partition_counts` does not name are left out.
    #[must_use]
    pub fn assign(self, members: &[Subscriber], partition_counts: &PartitionCounts) -> Vec<Vec<TopicPartition>> {
        let mut assigned = match self {
            Self::Range => range::assign(members, partition_counts),
            Self::RoundRobin => round_robin::assign(members, partition_counts),
        };
        for partitions in &mut assigned {
            partitions.sort_unstable();
        }
        assigned
    }
}

impl Assignor {
    /// As [`Assignor::assign`], and partitions of equal numbers of the topics of one group of `together` go to one
    /// member.
    ///
    /// Each group is assigned as one topic, its first, with as many partitions as the largest of its topics has; a
    /// member takes part that subscribes to this first one, and must subscribe to all. A topic belongs to one group at
    /// most.
    #[must_use]
    pub fn assign_together(
        self,
        members: &[Subscriber],
        partition_counts: &PartitionCounts,
        together: &[Vec<Str>],
    ) -> Vec<Vec<TopicPartition>> {
        let mut counts = partition_counts.clone();
        for group in together {
            let most = group.iter().filter_map(|topic| counts.remove(topic)).max();
            counts.extend(group.first().cloned().zip(most));
        }
        let mut assigned = self.assign(members, &counts);
        for partitions in &mut assigned {
            for group in together {
                let Some((first, others)) = group.split_first() else { continue };
                let numbers: Vec<_> =
                    partitions.extract_if(.., |partition| partition.topic == *first).map(|own| own.partition).collect();
                for topic in std::iter::once(first).chain(others) {
                    let count = partition_counts.get(topic).copied().unwrap_or(0);
                    let exists = |number: &&PartitionId| u32::try_from(number.0).is_ok_and(|number| number < count);
                    let own = |number: &PartitionId| TopicPartition { topic: topic.clone(), partition: *number };
                    partitions.extend(numbers.iter().filter(exists).map(own));
                }
            }
            partitions.sort_unstable();
        }
        assigned
    }
}

/// Number of partitions of each topic that exists.
pub type PartitionCounts = BTreeMap<Str, u32>;

/// What an assignor knows of one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscriber {
    /// Id that the coordinator gave to the member.
    pub member_id: Str,
    /// `group.instance.id` of a static member. Source: KIP-345.
    pub instance_id: Option<Str>,
    /// Topics that the member reads; repetitions count once.
    pub topics: Vec<Str>,
}

/// Order in which both assignors serve members, as Java's `AbstractPartitionAssignor.MemberInfo`: static members first,
/// by instance id, so that a static member that comes back under a new member id gets the same partitions.
fn serving_order(a: &Subscriber, b: &Subscriber) -> Ordering {
    match (&a.instance_id, &b.instance_id) {
        (Some(a), Some(b)) => java_order(a, b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => java_order(&a.member_id, &b.member_id),
    }
}

/// Java compares strings by UTF-16 code unit, which differs from byte order above U+FFFF.
fn java_order(a: &str, b: &str) -> Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}

/// Indexes into `members` in serving order.
fn in_serving_order(members: &[Subscriber]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by(|&a, &b| serving_order(&members[a], &members[b]));
    order
}

/// For each subscribed topic, in name order, the indexes of its members in serving order.
fn members_by_topic(members: &[Subscriber]) -> BTreeMap<&Str, Vec<usize>> {
    let mut by_topic: BTreeMap<&Str, Vec<usize>> = BTreeMap::new();
    for member in in_serving_order(members) {
        for topic in &members[member].topics {
            let subscribed = by_topic.entry(topic).or_default();
            // A member that names a topic twice is pushed twice in a row.
            if subscribed.last() != Some(&member) {
                subscribed.push(member);
            }
        }
    }
    by_topic
}

/// The partition of that index; topics have far fewer than 2^31 partitions.
fn partition(topic: &Str, index: u32) -> TopicPartition {
    let partition = PartitionId(i32::try_from(index).expect("partition counts come from non-negative i32s"));
    TopicPartition { topic: topic.clone(), partition }
}

#[cfg(test)]
mod tests;
