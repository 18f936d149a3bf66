//! Round-robin: all partitions, by topic and number, dealt in turn to the members in serving order.
//!
//! A member that does not subscribe to the present topic is skipped, and the next partition goes on from the member
//! that was served last; so unequal subscriptions spread less evenly. Equal to Java's `RoundRobinAssignor`.

use super::{PartitionCounts, Subscriber, in_serving_order, members_by_topic, partition};
use crate::cluster::TopicPartition;

pub(super) fn assign(members: &[Subscriber], partition_counts: &PartitionCounts) -> Vec<Vec<TopicPartition>> {
    let mut assigned = vec![Vec::new(); members.len()];
    let order = in_serving_order(members);
    let mut is_subscribed = vec![false; members.len()];
    let mut turn = order.iter().copied().cycle();
    for (topic, subscribed) in members_by_topic(members) {
        let Some(&count) = partition_counts.get(topic) else { continue };
        is_subscribed.fill(false);
        for &member in &subscribed {
            is_subscribed[member] = true;
        }
        for index in 0..count {
            let member = turn.find(|&member| is_subscribed[member]).expect("a topic here has a subscriber");
            assigned[member].push(partition(topic, index));
        }
    }
    assigned
}
