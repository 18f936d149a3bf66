//! The group in numbers, for the sticky assignors: the topics that each member reads, and the former
//! owner of each partition.

use std::collections::{BTreeMap, BTreeSet};

use super::{PartitionCounts, PartitionRacks, Subscriber, members_by_topic, needs_racks, partition};
use crate::cluster::TopicPartition;
use crate::wire::Str;

/// The owner of each partition, by topic and partition number, as an index of a member.
pub(super) type Owners = Vec<Vec<Option<usize>>>;

/// The group in numbers.
pub(super) struct Problem<'a> {
    members: &'a [Subscriber],
    /// Topics that a member reads, sorted.
    topics: Vec<(&'a Str, u32)>,
    /// Subscribers of each topic, in serving order.
    pub(super) subscribers: Vec<Vec<usize>>,
    pub(super) claims: Vec<Vec<Claim>>,
    /// `None` if it makes no difference for racks which member gets which partition.
    racks: Option<Racks>,
}

/// The racks of members and replicas.
struct Racks {
    /// As the bit of the rack; 0 for a member that tells none.
    of_members: Vec<u64>,
    /// As the bits of all racks that have a replica, by topic and partition number.
    of_partitions: Vec<Vec<u64>>,
}

/// The former owner of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    Nobody,
    Member {
        member: usize,
        generation: i32,
    },
    /// Several members had it in the same generation; or, in a cooperative assignment, a member has it that does not
    /// subscribe to the topic any more.
    Contested {
        generation: i32,
    },
}

impl<'a> Problem<'a> {
    pub(super) fn new(
        members: &'a [Subscriber],
        partition_counts: &'a PartitionCounts,
        racks: &PartitionRacks,
        is_cooperative: bool,
    ) -> Self {
        let mut by_topic = members_by_topic(members);
        let topics = by_topic.keys().filter_map(|topic| partition_counts.get_key_value(*topic));
        let topics: Vec<(&Str, u32)> = topics.map(|(topic, count)| (topic, *count)).collect();
        let subscribers = topics.iter().map(|(topic, _)| by_topic.remove(topic).unwrap_or_default()).collect();
        let claims = topics.iter().map(|(_, count)| vec![Claim::Nobody; *count as usize]).collect();
        let racks = Racks::new(members, &topics, racks);
        let mut problem = Self { members, topics, subscribers, claims, racks };
        problem.claim(is_cooperative);
        problem
    }

    fn claim(&mut self, is_cooperative: bool) {
        let index_of: BTreeMap<&Str, usize> =
            self.topics.iter().enumerate().map(|(index, (topic, _))| (*topic, index)).collect();
        let mut is_subscribed = vec![false; self.topics.len()];
        for (member, subscriber) in self.members.iter().enumerate() {
            is_subscribed.fill(false);
            for topic in subscriber.topics.iter().filter_map(|topic| index_of.get(topic)) {
                is_subscribed[*topic] = true;
            }
            for own in &subscriber.owned {
                let Some(&topic) = index_of.get(&own.topic) else { continue };
                let index = usize::try_from(own.partition.0).unwrap_or(usize::MAX);
                let Some(claim) = self.claims[topic].get_mut(index) else { continue };
                if is_subscribed[topic] {
                    claim.add(member, subscriber.generation);
                } else if is_cooperative {
                    claim.contest(subscriber.generation);
                }
            }
        }
    }

    pub(super) fn shares(&self, owners: &Owners) -> Vec<Vec<TopicPartition>> {
        let mut shares = vec![Vec::new(); self.members.len()];
        for ((topic, _), owners) in self.topics.iter().zip(owners) {
            for (index, owner) in (0_u32..).zip(owners) {
                if let Some(member) = owner {
                    shares[*member].push(partition(topic, index));
                }
            }
        }
        shares
    }

    /// Whether racks matter.
    pub(super) fn has_racks(&self) -> bool {
        self.racks.is_some()
    }

    /// Whether the partition has a replica in the member's rack, or that does not matter.
    pub(super) fn is_near(&self, topic: usize, index: usize, member: usize) -> bool {
        self.racks.as_ref().is_none_or(|racks| {
            let rack = racks.of_members[member];
            rack == 0 || racks.of_partitions[topic][index] & rack != 0
        })
    }

    /// Price of a partition at a member: first of all it has to be near, and then where it was.
    pub(super) fn price(&self, topic: usize, index: usize, member: usize) -> i64 {
        let is_at_home = self.claims[topic][index].member().is_none_or(|home| home == member);
        i64::from(!self.is_near(topic, index, member)) * FAR + i64::from(!is_at_home)
    }

    pub(super) fn member_count(&self) -> usize {
        self.members.len()
    }

    /// Returns owners of which every partition has none.
    pub(super) fn nothing_owned(&self) -> Owners {
        self.claims.iter().map(|topic| vec![None; topic.len()]).collect()
    }
}

impl Racks {
    /// Returns `None` if racks do not matter. Members of a rack beyond the 64th count as members without one.
    fn new(members: &[Subscriber], topics: &[(&Str, u32)], racks: &PartitionRacks) -> Option<Self> {
        let names: BTreeSet<&Str> = members.iter().filter_map(|member| member.rack.as_ref()).collect();
        let of_topics = topics.iter().filter_map(|(topic, _)| racks.get(*topic)).flatten();
        if names.is_empty() || !needs_racks(&names, of_topics) {
            return None;
        }
        let bit = |rack: &Str| names.iter().take(64).position(|name| *name == rack).map_or(0, |place| 1 << place);
        let of_members = members.iter().map(|member| member.rack.as_ref().map_or(0, bit)).collect();
        let of_partition = |racks: &Vec<Str>| racks.iter().map(bit).fold(0, std::ops::BitOr::bitor);
        let of_partitions = topics.iter().map(|(topic, count)| {
            let mut bits: Vec<u64> = racks.get(*topic).into_iter().flatten().map(of_partition).collect();
            bits.resize(*count as usize, 0);
            bits
        });
        Some(Self { of_members, of_partitions: of_partitions.collect() })
    }
}

/// Price of a partition without a replica in its member's rack; more than all partitions that change their owners.
const FAR: i64 = 1 << 40;

impl Claim {
    /// Returns the member that was the former owner, if it is exactly one.
    pub(super) fn member(&self) -> Option<usize> {
        match self {
            Self::Member { member, .. } => Some(*member),
            Self::Nobody | Self::Contested { .. } => None,
        }
    }

    fn add(&mut self, member: usize, generation: i32) {
        *self = match *self {
            Self::Member { generation: other, .. } | Self::Contested { generation: other } if other > generation => {
                return;
            }
            Self::Member { member: other, generation: of_other } if of_other == generation && other != member => {
                Self::Contested { generation }
            }
            Self::Contested { generation: of_others } if of_others == generation => return,
            Self::Nobody | Self::Member { .. } | Self::Contested { .. } => Self::Member { member, generation },
        };
    }

    /// Takes the claim of a member that cannot keep the partition.
    fn contest(&mut self, generation: i32) {
        match *self {
            Self::Member { generation: other, .. } | Self::Contested { generation: other } if other > generation => {}
            Self::Nobody | Self::Member { .. } | Self::Contested { .. } => *self = Self::Contested { generation },
        }
    }
}
