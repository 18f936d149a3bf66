//! Client-side assignment of partitions to the members of a classic group, one file per assignor.
//!
//! The leader of a group runs an assignor over the subscriptions of all members. `range` and `roundrobin` return what
//! the Java client returns for the same input, and the sticky ones are as balanced and as sticky; so a group may mix
//! clients and any member may lead. A new assignor is a file and a row in [`Assignor`], or, in a user's program,
//! a [`PartitionAssignor`].

mod general;
mod own;
mod problem;
mod range;
mod refine;
mod round_robin;
mod sticky;
mod user_data;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

pub use own::{PartitionAssignor, Previous, Share};

use crate::cluster::TopicPartition;
use crate::types::PartitionId;
use crate::wire::Str;

/// A way to spread partitions over the members of a group.
///
/// To change the assignor without stopping the group, restart the members one by one with both in their lists,
/// the new one first, and then again with the new one alone: the coordinator chooses one that all members have.
#[derive(Clone)]
pub enum Assignor {
    /// Each topic by itself, in contiguous runs: equal keys of co-partitioned topics go to the same member.
    Range,
    /// All partitions of all topics dealt in turn, which is the most even spread for equal subscriptions.
    RoundRobin,
    /// As even as the subscriptions allow; within that, members keep their partitions as far as possible.
    Sticky,
    /// As `Sticky`, and cooperative (KIP-429): members go on with the partitions that they keep during a rebalance.
    /// That is so only if every assignor in a member's list is cooperative; otherwise the member gives everything up,
    /// as all members have to.
    CooperativeSticky,
    /// An assignor of the user.
    Own(Arc<dyn PartitionAssignor>),
}

impl Assignor {
    /// The name that members agree on in JoinGroup; equal to the Java client's.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
            Self::Sticky => "sticky",
            Self::CooperativeSticky => "cooperative-sticky",
            Self::Own(assignor) => assignor.name(),
        }
    }

    /// Returns the assignor with that protocol name, or that class of the Java client, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name.strip_prefix("org.apache.kafka.clients.consumer.").unwrap_or(name) {
            "range" | "RangeAssignor" => Some(Self::Range),
            "roundrobin" | "RoundRobinAssignor" => Some(Self::RoundRobin),
            "sticky" | "StickyAssignor" => Some(Self::Sticky),
            "cooperative-sticky" | "CooperativeStickyAssignor" => Some(Self::CooperativeSticky),
            _ => None,
        }
    }

    /// Returns whether members may keep partitions through a rebalance, since this assignor gives no partition
    /// to another member before its owner has given it up. Source: KIP-429.
    #[must_use]
    pub fn is_cooperative(&self) -> bool {
        match self {
            Self::Range | Self::RoundRobin | Self::Sticky => false,
            Self::CooperativeSticky => true,
            Self::Own(assignor) => assignor.is_cooperative(),
        }
    }

    /// Returns the bytes by which a member describes itself to the leader for this assignor; empty for none.
    #[must_use]
    pub fn user_data(&self, topics: &[Str], previous: Previous<'_>) -> Bytes {
        match self {
            Self::Range | Self::RoundRobin => Bytes::new(),
            Self::Sticky => user_data::sticky(previous),
            Self::CooperativeSticky => user_data::cooperative_sticky(previous),
            Self::Own(assignor) => assignor.user_data(topics, previous),
        }
    }

    /// Assigns every partition of every subscribed topic to exactly one of the members that subscribe to it;
    /// a cooperative assignor leaves out partitions that their owners have to give up first.
    ///
    /// The result has one entry per member, in the order of `members`; the partitions of an entry are sorted.
    /// The order of `members` has no other effect. Topics that are not in `partition_counts` are left out.
    #[must_use]
    pub fn assign(&self, members: &[Subscriber], partition_counts: &PartitionCounts) -> Vec<Vec<TopicPartition>> {
        self.shares(members, partition_counts, &PartitionRacks::new())
            .into_iter()
            .map(|share| share.partitions)
            .collect()
    }

    /// As [`Assignor::assign`], with the bytes that the assignor sends to each member. Members that tell their
    /// [racks](Subscriber::rack) get partitions with a replica there as far as the assignor looks at racks, which
    /// `RoundRobin` and one's own do not; `racks` may lack topics. Source: KIP-881.
    #[must_use]
    pub fn shares(
        &self,
        members: &[Subscriber],
        partition_counts: &PartitionCounts,
        racks: &PartitionRacks,
    ) -> Vec<Share> {
        let mut shares: Vec<Share> = match self {
            Self::Range => own::plain(range::assign(members, partition_counts, racks)),
            Self::RoundRobin => own::plain(round_robin::assign(members, partition_counts)),
            Self::Sticky => own::plain(sticky::assign(&user_data::with_sticky(members), partition_counts, racks)),
            Self::CooperativeSticky => {
                let members = user_data::with_generations(members);
                own::plain(sticky::assign_cooperatively(&members, partition_counts, racks))
            }
            Self::Own(assignor) => assignor.assign(members, partition_counts),
        };
        for share in &mut shares {
            share.partitions.sort_unstable();
        }
        shares
    }
}

impl PartialEq for Assignor {
    /// Two assignors of one name are the same for a group.
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Assignor {}

impl fmt::Debug for Assignor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Assignor {
    /// As [`Assignor::assign`], but for each set of topics in `together`, the partitions with equal numbers go
    /// to one member.
    ///
    /// Each set is assigned as one topic, its first, with as many partitions as its largest topic has.
    /// A member takes part if it subscribes to this first topic, and must then subscribe to all of the set.
    /// A topic belongs to at most one set.
    #[must_use]
    pub fn assign_together(
        &self,
        members: &[Subscriber],
        partition_counts: &PartitionCounts,
        together: &[Vec<Str>],
    ) -> Vec<Vec<TopicPartition>> {
        let racks = PartitionRacks::new();
        self.shares_together(members, (partition_counts, &racks), together)
            .into_iter()
            .map(|share| share.partitions)
            .collect()
    }

    /// As [`Assignor::assign_together`], with the bytes that the assignor sends to each member.
    #[must_use]
    pub fn shares_together(
        &self,
        members: &[Subscriber],
        (partition_counts, racks): (&PartitionCounts, &PartitionRacks),
        together: &[Vec<Str>],
    ) -> Vec<Share> {
        let mut counts = partition_counts.clone();
        for group in together {
            let most = group.iter().filter_map(|topic| counts.remove(topic)).max();
            counts.extend(group.first().cloned().zip(most));
        }
        let mut shares = self.shares(members, &counts, racks);
        for Share { partitions, .. } in &mut shares {
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
        shares
    }
}

/// Number of partitions of each topic that exists.
pub type PartitionCounts = BTreeMap<Str, u32>;

/// The racks of the replicas of each partition, by topic and partition number; empty for brokers without a rack.
pub type PartitionRacks = BTreeMap<Str, Vec<Vec<Str>>>;

/// A member, as the assignors see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscriber {
    /// Member id, given by the coordinator.
    pub member_id: Str,
    /// `group.instance.id` of a static member. Source: KIP-345.
    pub instance_id: Option<Str>,
    /// Topics that the member reads; repetitions count once.
    pub topics: Vec<Str>,
    /// The partitions that the member has and would keep.
    pub owned: Vec<TopicPartition>,
    /// The generation in which it got them; -1 if unknown. Of two claims to a partition the one of the later generation
    /// counts; of two of the same generation neither does. Source: KIP-792.
    pub generation: i32,
    /// `client.rack` of the member, if it tells one. Source: KIP-881.
    pub rack: Option<Str>,
    /// The bytes by which the member describes itself for this assignor.
    pub user_data: Bytes,
}

impl Subscriber {
    /// Makes a member that has no partitions yet.
    #[must_use]
    pub fn new(member_id: Str, instance_id: Option<Str>, topics: Vec<Str>) -> Self {
        let (owned, user_data) = (Vec::new(), Bytes::new());
        Self { member_id, instance_id, topics, owned, generation: -1, rack: None, user_data }
    }
}

/// The order in which the assignors serve members, as in Java's `AbstractPartitionAssignor.MemberInfo`: static members
/// first, by instance id, so that a static member that comes back under a new member id gets the same partitions.
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
            // A member that subscribes to a topic twice is pushed twice in a row.
            if subscribed.last() != Some(&member) {
                subscribed.push(member);
            }
        }
    }
    by_topic
}

/// Whether it makes a difference which member gets which partition: members and replicas share a rack, and not every
/// partition has replicas in the same racks.
fn needs_racks<'a>(of_members: &BTreeSet<&Str>, partitions: impl Iterator<Item = &'a Vec<Str>> + Clone) -> bool {
    let all: BTreeSet<&Str> = partitions.clone().flatten().collect();
    !of_members.is_disjoint(&all) && partitions.into_iter().any(|racks| all.iter().any(|rack| !racks.contains(rack)))
}

/// The partition with this index; topics have far fewer than 2^31 partitions.
fn partition(topic: &Str, index: u32) -> TopicPartition {
    let partition = PartitionId(i32::try_from(index).expect("partition counts come from non-negative i32s"));
    TopicPartition { topic: topic.clone(), partition }
}

#[cfg(test)]
mod tests;
