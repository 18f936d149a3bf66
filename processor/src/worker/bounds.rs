//! The ends of inputs: those of a bounded run, and those that inputs name themselves.

use std::collections::BTreeMap;

use kafka_wire::cluster::TopicPartition;
use kafka_wire::types::Offset;

/// The ends of inputs, by topic: the offset after the last record that is read of each partition, or [`UNBOUNDED`].
/// A topic that is missing has no end.
pub type Ends = BTreeMap<String, Vec<Offset>>;

/// The end of a partition that is read for ever.
pub const UNBOUNDED: Offset = Offset(i64::MAX);

/// The end of a source partition; `None` if it has none. A partition of a topic with ends that is younger than these
/// does not take part, so its end is its beginning.
#[must_use]
pub fn end_of(ends: &Ends, partition: &TopicPartition) -> Option<Offset> {
    let of_topic = ends.get(&*partition.topic)?;
    let index = usize::try_from(partition.partition.0).ok();
    let end = index.and_then(|index| of_topic.get(index)).copied().unwrap_or_default();
    (end != UNBOUNDED).then_some(end)
}
