//! The choice of a partition for each record of a producer.

use std::fmt;
use std::sync::Arc;

use super::sticky::{Queue, Sticky, draw};
use super::{partition_by_crc32, partition_by_fnv1a, partition_for_key};
use crate::rng::Rng;
use crate::types::PartitionId;

/// The ways to choose the partition of a record that names none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Partitioning {
    /// By the key's murmur2 hash: the same partition as with Java's producer. Records without a key as
    /// with [`Self::Sticky`].
    #[default]
    ByKey,
    /// By the key's CRC-32: the same partition as with librdkafka's default (`partitioner=consistent_random`), and so
    /// with the clients that are built on it. Records without a key, or with an empty one, as with [`Self::Sticky`].
    ByCrc32,
    /// By the key's FNV-1a hash: the same partition as with librdkafka's `fnv1a_random` and with Sarama. Records
    /// without a key as with [`Self::Sticky`].
    ByFnv1a,
    /// Without regard to the key (`partitioner.ignore.keys`): one partition until `batch_size_bytes` have
    /// gone there, then another one, drawn at random. So all partitions get the same number of bytes,
    /// and batches are full (KIP-794).
    Sticky,
    /// Each record to the next partition, without regard to its key. Batches are small then:
    /// `Sticky` spreads as evenly.
    RoundRobin,
    /// By the user's own partitioner.
    Custom(CustomPartitioner),
}

/// A user's own rule that chooses partitions.
pub trait Partitioner: Send + Sync {
    /// The partition of a record in a topic of `partition_count` partitions: one of `0..partition_count`,
    /// or the record is refused.
    ///
    /// It is called for each record that names no partition, on the task or thread that sends the record.
    fn partition(&self, topic: &str, key: Option<&[u8]>, value: Option<&[u8]>, partition_count: i32) -> PartitionId;
}

/// A [`Partitioner`] in a configuration. Two are equal if they are the same object.
#[derive(Clone)]
pub struct CustomPartitioner(pub Arc<dyn Partitioner>);

/// A producer's state for the choice of partitions.
#[derive(Debug)]
pub struct Chooser {
    partitioning: Partitioning,
    batch_size_bytes: usize,
    adaptive: bool,
    rng: Rng,
    /// State of each topic, in the order in which the producer has looked them up.
    topics: Vec<Turn>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    sticky: Sticky,
    round_robin: i32,
}

/// The interface of a topic for a chooser.
pub trait Queues {
    /// Number of its partitions.
    fn partition_count(&self) -> i32;
    /// Whether the open batch of a partition has room for one more record.
    fn has_room(&self, partition: PartitionId) -> bool;
    /// The waiting batches of each partition.
    fn queues(&self) -> impl ExactSizeIterator<Item = Queue> + Clone;
}

impl Chooser {
    /// A chooser by `partitioning`. `adaptive`: partitions with fewer batches are likelier. `seed` decides what is
    /// drawn.
    #[must_use]
    pub fn new(partitioning: Partitioning, batch_size_bytes: usize, adaptive: bool, seed: u64) -> Self {
        Self {
            partitioning,
            batch_size_bytes: batch_size_bytes.max(1),
            adaptive,
            rng: Rng::from_seed(seed),
            topics: Vec::new(),
        }
    }

    /// The partition for a record of `record_bytes`, which will be appended there. `topic` is the index among
    /// the producer's topics.
    #[inline]
    pub fn choose(
        &mut self,
        topic: usize,
        queues: &impl Queues,
        key: Option<&[u8]>,
        record_bytes: usize,
    ) -> PartitionId {
        match (&self.partitioning, key) {
            (Partitioning::ByKey, Some(key)) => partition_for_key(key, queues.partition_count()),
            (Partitioning::ByCrc32, Some(key)) if !key.is_empty() => partition_by_crc32(key, queues.partition_count()),
            (Partitioning::ByFnv1a, Some(key)) => partition_by_fnv1a(key, queues.partition_count()),
            (Partitioning::RoundRobin, _) => self.next_in_turn(topic, queues.partition_count()),
            (
                Partitioning::ByKey
                | Partitioning::ByCrc32
                | Partitioning::ByFnv1a
                | Partitioning::Sticky
                | Partitioning::Custom(_),
                _,
            ) => self.stick(topic, queues, record_bytes),
        }
    }

    #[inline]
    fn stick(&mut self, topic: usize, queues: &impl Queues, record_bytes: usize) -> PartitionId {
        let batch_size_bytes = self.batch_size_bytes;
        let sticky = &mut self.turn(topic).sticky;
        let current = sticky.current(batch_size_bytes, |partition| queues.has_room(partition));
        // The topic may have been made anew with fewer partitions.
        let current = current.filter(|current| current.0 < queues.partition_count());
        let partition = current.unwrap_or_else(|| self.draw(topic, queues));
        self.turn(topic).sticky.produced(record_bytes);
        partition
    }

    #[cold]
    fn draw(&mut self, topic: usize, queues: &impl Queues) -> PartitionId {
        let next = draw(queues.queues(), self.adaptive, &mut self.rng);
        self.turn(topic).sticky.change(next);
        next
    }

    fn next_in_turn(&mut self, topic: usize, partition_count: i32) -> PartitionId {
        let next = &mut self.turn(topic).round_robin;
        let partition = if *next < partition_count { *next } else { 0 };
        *next = partition + 1;
        PartitionId(partition)
    }

    #[inline]
    fn turn(&mut self, topic: usize) -> &mut Turn {
        if topic >= self.topics.len() {
            self.topics.resize(topic + 1, Turn::default());
        }
        &mut self.topics[topic]
    }
}

impl fmt::Debug for CustomPartitioner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomPartitioner")
    }
}

impl PartialEq for CustomPartitioner {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for CustomPartitioner {}

#[cfg(test)]
mod tests {
    use super::*;

    /// A topic whose partitions have batches of 1,000 bytes.
    struct Topic {
        filled: Vec<usize>,
    }

    impl Queues for Topic {
        fn partition_count(&self) -> i32 {
            i32::try_from(self.filled.len()).unwrap()
        }

        fn has_room(&self, partition: PartitionId) -> bool {
            !self.filled[usize::try_from(partition.0).unwrap()].is_multiple_of(1_000)
        }

        fn queues(&self) -> impl ExactSizeIterator<Item = Queue> + Clone {
            self.filled.iter().map(|_| Queue { batches: 0, is_available: true })
        }
    }

    fn choices(partitioning: Partitioning, keys: &[Option<&[u8]>], count: usize) -> Vec<i32> {
        let mut chooser = Chooser::new(partitioning, 1_000, true, 5);
        let mut topic = Topic { filled: vec![0; 4] };
        let mut choose = |key| {
            let partition = chooser.choose(0, &topic, key, 100);
            topic.filled[usize::try_from(partition.0).unwrap()] += 100;
            partition.0
        };
        keys.iter().cycle().take(count).map(|key| choose(*key)).collect()
    }

    #[test]
    fn records_without_a_key_fill_a_batch_before_they_go_elsewhere() {
        let chosen = choices(Partitioning::ByKey, &[None], 4_000);
        let runs: Vec<usize> = chosen.chunk_by(|one, other| one == other).map(<[i32]>::len).collect();
        assert!(runs.iter().all(|run| run % 10 == 0), "{runs:?}");
        for partition in 0..4 {
            let share = chosen.iter().filter(|chosen| **chosen == partition).count();
            assert!((700..1_300).contains(&share), "{partition}: {share}");
        }
    }

    #[test]
    fn keys_decide_unless_they_are_ignored() {
        let keys: [Option<&[u8]>; 2] = [Some(b"a"), Some(b"foobar")];
        let expected = keys.map(|key| partition_for_key(key.unwrap(), 4).0);
        assert_eq!(choices(Partitioning::ByKey, &keys, 2), expected);
        let expected = keys.map(|key| partition_by_crc32(key.unwrap(), 4).0);
        assert_eq!(choices(Partitioning::ByCrc32, &keys, 2), expected);
        let expected = keys.map(|key| partition_by_fnv1a(key.unwrap(), 4).0);
        assert_eq!(choices(Partitioning::ByFnv1a, &keys, 2), expected);
        let empty: [Option<&[u8]>; 2] = [Some(b""), None];
        let chosen = choices(Partitioning::ByCrc32, &empty, 10);
        assert!(
            chosen.iter().all(|partition| *partition == chosen[0]),
            "librdkafka spreads empty keys, too: {chosen:?}"
        );
        let chosen = choices(Partitioning::Sticky, &keys, 10);
        assert!(chosen.iter().all(|partition| *partition == chosen[0]), "{chosen:?}");
    }

    #[test]
    fn records_without_a_key_leave_a_partition_that_is_gone() {
        let mut chooser = Chooser::new(Partitioning::Sticky, 1_000, true, 5);
        let mut topic = Topic { filled: vec![0; 4] };
        // Begins with each of several partitions.
        for _ in 0..20 {
            topic.filled = vec![0; 4];
            let partition = chooser.choose(0, &topic, None, 600);
            topic.filled.truncate(1);
            assert_eq!(chooser.choose(0, &topic, None, 600), PartitionId(0), "it was at {partition}");
        }
    }

    #[test]
    fn round_robin_takes_each_partition_in_turn() {
        assert_eq!(choices(Partitioning::RoundRobin, &[Some(b"a"), None], 6), [0, 1, 2, 3, 0, 1]);
    }
}
