//! The group in numbers, for the sticky assignors: the topics that each member reads, and the former
//! owner of each partition.

use std::collections::BTreeMap;

use super::{PartitionCounts, Subscriber, members_by_topic, partition};
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
}

/// The former owner of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    Nobody,
    Member {
        member: usize,
        generation: i32,
    },
    /// Several members had it in the same generation.
    Contested {
        generation: i32,
    },
}

impl<'a> Problem<'a> {
    pub(super) fn new(members: &'a [Subscriber], partition_counts: &'a PartitionCounts) -> Self {
        let mut by_topic = members_by_topic(members);
        let topics = by_topic.keys().filter_map(|topic| partition_counts.get_key_value(*topic));
        let topics: Vec<(&Str, u32)> = topics.map(|(topic, count)| (topic, *count)).collect();
        let subscribers = topics.iter().map(|(topic, _)| by_topic.remove(topic).unwrap_or_default()).collect();
        let claims = topics.iter().map(|(_, count)| vec![Claim::Nobody; *count as usize]).collect();
        let mut problem = Self { members, topics, subscribers, claims };
        problem.claim();
        problem
    }

    fn claim(&mut self) {
        let index_of: BTreeMap<&Str, usize> =
            self.topics.iter().enumerate().map(|(index, (topic, _))| (*topic, index)).collect();
        let mut is_subscribed = vec![false; self.topics.len()];
        for (member, subscriber) in self.members.iter().enumerate() {
            is_subscribed.fill(false);
            for topic in subscriber.topics.iter().filter_map(|topic| index_of.get(topic)) {
                is_subscribed[*topic] = true;
            }
            for own in &subscriber.owned {
                let Some(&topic) = index_of.get(&own.topic).filter(|topic| is_subscribed[**topic]) else { continue };
                let index = usize::try_from(own.partition.0).unwrap_or(usize::MAX);
                if let Some(claim) = self.claims[topic].get_mut(index) {
                    claim.add(member, subscriber.generation);
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

    pub(super) fn member_count(&self) -> usize {
        self.members.len()
    }

    /// Returns owners of which every partition has none.
    pub(super) fn nothing_owned(&self) -> Owners {
        self.claims.iter().map(|topic| vec![None; topic.len()]).collect()
    }
}

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
}
