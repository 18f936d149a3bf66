//! The trait by which a program brings its own assignor.

use std::fmt;

use bytes::Bytes;

use super::{PartitionCounts, Subscriber};
use crate::cluster::TopicPartition;
use crate::wire::Str;

/// An assignor of the user. All members of a group need it under the same name, since any of them may lead.
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
    /// Returns the name that members agree on, which must not be one of Kafka's own.
    fn name(&self) -> &str;

    /// Returns whether members keep their partitions through a rebalance. Then [`assign`](Self::assign) must give no
    /// partition to a member while another one has it among its [`owned`](Subscriber::owned) partitions.
    /// The owner sees in its share that it has to give the partition up, joins again at once, and then the partition
    /// is free. Default: no.
    fn is_cooperative(&self) -> bool {
        false
    }

    /// Returns the bytes by which this member describes itself to the leader, which gets them as
    /// [`Subscriber::user_data`]. Default: none.
    fn user_data(&self, topics: &[Str], previous: Previous<'_>) -> Bytes {
        let _ = (topics, previous);
        Bytes::new()
    }

    /// Returns one share for each member, in the order of `members`. Called in the member that leads.
    ///
    /// `counts` has the existing topics among those that members subscribe to. A partition may belong to at most
    /// one member, which must subscribe to its topic; a partition in no share is not read. The bytes of a share
    /// are sent to its member.
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
    /// Partitions of the member.
    pub partitions: Vec<TopicPartition>,
    /// Bytes that are sent to the member with them; empty for none.
    pub user_data: Bytes,
}

impl From<Vec<TopicPartition>> for Share {
    fn from(partitions: Vec<TopicPartition>) -> Self {
        Self { partitions, user_data: Bytes::new() }
    }
}

/// Makes shares without bytes.
pub(super) fn plain(assigned: Vec<Vec<TopicPartition>>) -> Vec<Share> {
    assigned.into_iter().map(Share::from).collect()
}
