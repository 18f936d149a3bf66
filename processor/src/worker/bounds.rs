//! The ends of a bounded run.

use std::collections::BTreeMap;

use kafka_wire::cluster::TopicPartition;
use kafka_wire::types::Offset;

/// The ends of a bounded run: the offset after the last record of each source partition, by topic.
pub type Ends = BTreeMap<String, Vec<Offset>>;

/// The end of a source partition. A partition that is younger than the run does not take part, so its
/// end is its beginning.
pub fn end_of(ends: &Ends, partition: &TopicPartition) -> Offset {
    let index = usize::try_from(partition.partition.0).ok();
    let end = ends.get(&*partition.topic).zip(index).and_then(|(ends, index)| ends.get(index));
    end.copied().unwrap_or_default()
}
