//! Range: per topic, partitions in numeric order are cut into one contiguous run per subscribed member.
//!
//! With `n` partitions and `m` members each run has `n / m` partitions, and the first `n % m` runs have one more.
//! Equal to Java's `RangeAssignor` if no member names a rack; this client neither sends racks nor uses them (KIP-881).

use super::{PartitionCounts, Subscriber, members_by_topic, partition};
use crate::cluster::TopicPartition;

pub(super) fn assign(members: &[Subscriber], partition_counts: &PartitionCounts) -> Vec<Vec<TopicPartition>> {
    let mut assigned = vec![Vec::new(); members.len()];
    for (topic, subscribed) in members_by_topic(members) {
        let Some(&count) = partition_counts.get(topic) else { continue };
        let runs = u32::try_from(subscribed.len()).unwrap_or(u32::MAX);
        let (run, extra) = (count / runs, count % runs);
        let mut start = 0;
        for (nth, &member) in (0u32..).zip(&subscribed) {
            let end = start + run + u32::from(nth < extra);
            assigned[member].extend((start..end).map(|index| partition(topic, index)));
            start = end;
        }
    }
    assigned
}
