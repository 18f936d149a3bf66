//! The trait by which a program brings an assignor of its own.

use std::fmt;

use bytes::Bytes;

use super::{PartitionCounts, Subscriber};
use crate::cluster::TopicPartition;
use crate::wire::Str;

/// An assignor of the user's own. All members of a group need it under the same name, since any of them may lead.
///
/// ```
/// use std::sync::Arc;
///
/// use kafka_wire::cluster::TopicPartition;
/// use kafka_wire::group::assignor::{Assignor, PartitionAssignor, PartitionCounts, Share, Subscriber};
/// use kafka_wire::types::PartitionId;
/// use kafka_wire::wire::Str;
///
/// /// Everything to the member with the first id; the others stand by.
/// #[derive(Debug)]
/// struct OneReads;
///
/// impl PartitionAssignor for OneReads {
///     fn name(&self) -> &str {
///         "one-reads"
///     }
///
///     fn assign(&self, members: &[Subscriber], counts: &PartitionCounts) -> Vec<Share> {
///         let first = members.iter().map(|member| &member.member_id).min();
///         let all = counts.iter().flat_map(|(topic, &count)| {
///             (0..count.cast_signed()).map(|index| TopicPartition::new(topic.clone(), PartitionId(index)))
///         });
///         let all: Vec<_> = all.collect();
///         let share = |member: &Subscriber| if Some(&member.member_id) == first { all.clone() } else { Vec::new() };
///         members.iter().map(|member| Share::from(share(member))).collect()
///     }
/// }
///
/// let member = |id: &'static str| Subscriber::new(Str::from_static(id), None, vec![Str::from_static("orders")]);
/// let counts = PartitionCounts::from([(Str::from_static("orders"), 2)]);
/// let assigned = Assignor::Own(Arc::new(OneReads)).assign(&[member("b"), member("a")], &counts);
/// assert_eq!(assigned.iter().map(Vec::len).collect::<Vec<_>>(), [0, 2]);
/// ```
pub trait PartitionAssignor: fmt::Debug + Send + Sync {
    /// The name that members agree on; not one of Kafka's own.
    fn name(&self) -> &str;

    /// Whether members keep what they have through a rebalance. Then [`assign`](Self::assign) must give no partition to
    /// a member while another one has it among its [`owned`](Subscriber::owned): the owner is told to give it up by its
    /// share, joins again at once, and then the partition is free. Default: no.
    fn is_cooperative(&self) -> bool {
        false
    }

    /// The bytes by which this member tells the leader about itself: they come back as [`Subscriber::user_data`].
    /// Default: nothing.
    fn user_data(&self, topics: &[Str], previous: Previous<'_>) -> Bytes {
        let _ = (topics, previous);
        Bytes::new()
    }

    /// One share for each member, in the order of `members`. Called in the member that leads.
    ///
    /// `counts` has the topics that exist, of all that any member subscribes to. A partition belongs to at most one
    /// member, and to one that subscribes to its topic; nobody reads a partition that is in no share. The bytes of a
    /// share go to its member.
    fn assign(&self, members: &[Subscriber], counts: &PartitionCounts) -> Vec<Share>;
}

/// The partitions that a member had before it joined.
#[derive(Clone, Copy, Debug)]
pub struct Previous<'a> {
    /// Its partitions by the last assignment, sorted.
    pub partitions: &'a [TopicPartition],
    /// The generation of that assignment; -1 before the first.
    pub generation: i32,
}

/// The share of one member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Its partitions.
    pub partitions: Vec<TopicPartition>,
    /// Bytes that go to it with them; empty for none.
    pub user_data: Bytes,
}

impl From<Vec<TopicPartition>> for Share {
    fn from(partitions: Vec<TopicPartition>) -> Self {
        Self { partitions, user_data: Bytes::new() }
    }
}

/// Shares without bytes.
pub(super) fn plain(assigned: Vec<Vec<TopicPartition>>) -> Vec<Share> {
    assigned.into_iter().map(Share::from).collect()
}
