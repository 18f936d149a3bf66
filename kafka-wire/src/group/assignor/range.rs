//! Range: per topic, partitions in numeric order are cut into one contiguous run per subscribed member.
//!
//! With `n` partitions and `m` members each run has `n / m` partitions, and the first `n % m` runs have one more.
//!
//! If members tell their racks and partitions differ in theirs, members first get partitions that have a replica in
//! their rack, up to the size of their run; topics with the same members and as many partitions are shared alike, by
//! partitions that have a replica there in all of these topics (KIP-881). The rest is cut into runs as before.
//!
//! Equal to Java's `RangeAssignor`.

use std::collections::{BTreeMap, BTreeSet};

use super::{PartitionCounts, PartitionRacks, Subscriber, members_by_topic, partition};
use crate::cluster::TopicPartition;
use crate::wire::Str;

pub(super) fn assign(
    members: &[Subscriber],
    partition_counts: &PartitionCounts,
    racks: &PartitionRacks,
) -> Vec<Vec<TopicPartition>> {
    let mut assigned = vec![Vec::new(); members.len()];
    let by_topic = members_by_topic(members).into_iter();
    let topics = by_topic.filter_map(|(topic, readers)| Some((topic, readers, *partition_counts.get(topic)?)));
    let mut topics: Vec<Topic<'_>> = topics
        .filter(|(_, _, count)| *count > 0)
        .map(|(name, readers, count)| {
            let racks = racks.get(name).map_or(&[][..], Vec::as_slice);
            Topic::new(members, name, readers, count, racks)
        })
        .collect();
    if topics.iter().any(|topic| topic.needs_racks) {
        match_racks(members, &mut topics, &mut assigned);
    }
    for topic in &mut topics {
        topic.cut(&mut assigned, |_, _, _| true);
    }
    assigned
}

/// A topic while its partitions are being assigned.
struct Topic<'a> {
    name: &'a Str,
    /// Members that read it, in serving order.
    readers: Vec<usize>,
    count: u32,
    /// Racks of the replicas, by partition; empty if they are not known.
    racks: &'a [Vec<Str>],
    needs_racks: bool,
    has_reader_with_rack: bool,
    /// Partitions without an owner, in order.
    free: Vec<u32>,
    /// Number of partitions that each reader has got.
    given: Vec<u32>,
    /// Number of readers that may still have one partition more than the others.
    extra: u32,
}

impl<'a> Topic<'a> {
    fn new(members: &[Subscriber], name: &'a Str, readers: Vec<usize>, count: u32, racks: &'a [Vec<Str>]) -> Self {
        let of_readers: BTreeSet<&Str> = readers.iter().filter_map(|&member| members[member].rack.as_ref()).collect();
        let has_reader_with_rack = !of_readers.is_empty();
        let needs_racks = has_reader_with_rack && super::needs_racks(&of_readers, racks.iter());
        let runs = u32::try_from(readers.len()).unwrap_or(u32::MAX);
        let given = vec![0; readers.len()];
        let free = (0..count).collect();
        Self { name, readers, count, racks, needs_racks, has_reader_with_rack, free, given, extra: count % runs }
    }

    /// Number of partitions that a reader may still get.
    fn room(&self, reader: usize) -> usize {
        let runs = u32::try_from(self.readers.len()).unwrap_or(u32::MAX);
        (self.count / runs + u32::from(self.extra > 0)).saturating_sub(self.given[reader]) as usize
    }

    fn give(&mut self, reader: usize, partitions: &[u32], assigned: &mut [Vec<TopicPartition>]) {
        let runs = u32::try_from(self.readers.len()).unwrap_or(u32::MAX);
        assigned[self.readers[reader]].extend(partitions.iter().map(|index| partition(self.name, *index)));
        self.given[reader] += u32::try_from(partitions.len()).unwrap_or(u32::MAX);
        if self.given[reader] > self.count / runs {
            self.extra = self.extra.saturating_sub(1);
        }
    }

    /// Gives each reader in turn a run of the free partitions that it may have.
    fn cut(&mut self, assigned: &mut [Vec<TopicPartition>], may_have: impl Fn(&Self, usize, u32) -> bool) {
        for reader in 0..self.readers.len() {
            let room = self.room(reader);
            let mut run = Vec::with_capacity(room.min(self.free.len()));
            let free = std::mem::take(&mut self.free);
            let mut left = Vec::new();
            for index in free {
                if run.len() < room && may_have(self, reader, index) { run.push(index) } else { left.push(index) }
            }
            self.free = left;
            if !run.is_empty() {
                self.give(reader, &run, assigned);
            }
        }
    }

    /// Whether the partition has a replica in the reader's rack, or the reader tells none.
    fn is_near(&self, members: &[Subscriber], reader: usize, index: u32) -> bool {
        let Some(rack) = &members[self.readers[reader]].rack else { return true };
        self.racks.get(index as usize).is_some_and(|racks| racks.contains(rack))
    }
}

/// Gives members partitions that have a replica in their rack.
fn match_racks(members: &[Subscriber], topics: &mut [Topic<'_>], assigned: &mut [Vec<TopicPartition>]) {
    let mut alike: BTreeMap<(Vec<usize>, u32), Vec<usize>> = BTreeMap::new();
    for (index, topic) in topics.iter().enumerate() {
        // Topics whose readers tell no rack have nothing to match.
        let count = if topic.has_reader_with_rack { topic.count } else { 0 };
        alike.entry((topic.readers.clone(), count)).or_default().push(index);
    }
    for ((readers, count), alike) in alike {
        if let [single] = alike[..] {
            let topic = &mut topics[single];
            if topic.needs_racks {
                topic.cut(assigned, |topic, reader, index| topic.is_near(members, reader, index));
            }
        } else {
            match_alike(members, (readers.len(), count), (topics, &alike), assigned);
        }
    }
}

/// Gives partitions with the same number of several topics to one member, if it is near to all of them.
fn match_alike(
    members: &[Subscriber],
    (reader_count, count): (usize, u32),
    (topics, alike): (&mut [Topic<'_>], &[usize]),
    assigned: &mut [Vec<TopicPartition>],
) {
    let mut remaining: Vec<usize> = (0..reader_count).collect();
    for index in 0..count {
        let suits = |reader: &usize| {
            alike.iter().all(|&topic| topics[topic].is_near(members, *reader, index) && topics[topic].room(*reader) > 0)
        };
        let Some(reader) = remaining.iter().copied().find(suits) else { continue };
        for &topic in alike {
            topics[topic].free.retain(|free| *free != index);
            topics[topic].give(reader, &[index], assigned);
        }
        if alike.iter().all(|&topic| topics[topic].room(reader) == 0) {
            remaining.retain(|other| *other != reader);
        }
    }
}
