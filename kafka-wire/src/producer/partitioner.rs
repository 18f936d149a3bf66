//! The choice of a record's partition: by its key, as every Kafka client chooses, or such that batches are full.
//!
//! Java hashes the serialised key with MurmurHash2 (32 bit, seed `0x9747b28c`), clears the sign bit and takes the
//! remainder by the partition count. Records of one key stay in order only while every producer of the topic agrees
//! on this function and the partition count does not change.

mod choose;
mod sticky;

pub use choose::{Chooser, CustomPartitioner, Partitioner, Partitioning, Queues};
pub use sticky::Queue;

use crate::types::PartitionId;

/// The partition of `key` in a topic of `partition_count` partitions, the same as by Java's default partitioner.
///
/// Partition 0 if `partition_count` is not positive, so that a count from a broker cannot cause a panic.
///
/// Source: `BuiltInPartitioner.partitionForKey`.
#[must_use]
pub fn partition_for_key(key: &[u8], partition_count: i32) -> PartitionId {
    of_hash(murmur2(key) & 0x7FFF_FFFF, partition_count)
}

/// The partition of `key` in a topic of `partition_count` partitions, the same as by librdkafka's `consistent_random`
/// and `consistent`: by its CRC-32. Partition 0 if `partition_count` is not positive.
#[must_use]
pub fn partition_by_crc32(key: &[u8], partition_count: i32) -> PartitionId {
    of_hash(crc32fast::hash(key), partition_count)
}

/// The partition of `key` in a topic of `partition_count` partitions, the same as by librdkafka's `fnv1a_random` and by
/// Sarama's hash partitioner: by its FNV-1a hash of 32 bits. Partition 0 if `partition_count` is not positive.
#[must_use]
pub fn partition_by_fnv1a(key: &[u8], partition_count: i32) -> PartitionId {
    const OFFSET: u32 = 0x811c_9dc5;
    const PRIME: u32 = 0x0100_0193;

    let hash = key.iter().fold(OFFSET, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(PRIME));
    // Both take the absolute value of the hash as a signed number.
    of_hash(hash.cast_signed().unsigned_abs(), partition_count)
}

fn of_hash(hash: u32, partition_count: i32) -> PartitionId {
    match u32::try_from(partition_count) {
        // The remainder is below a count that came from an i32, so it fits one.
        Ok(count) if count > 0 => PartitionId((hash % count).cast_signed()),
        _ => PartitionId(0),
    }
}

/// MurmurHash2 of `data` with Kafka's seed.
///
/// Source: `Utils.murmur2`; Austin Appleby's MurmurHash2, read as little endian words.
#[must_use]
pub fn murmur2(data: &[u8]) -> u32 {
    const MULTIPLIER: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;

    // Java's arrays hold at most 2^31 - 1 bytes; a longer key cannot be a record's key either.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a key is shorter than 2 GiB: its length is an i32 on the wire"
    )]
    let mut hash = SEED ^ data.len() as u32;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        k = (k ^ (k >> 24)).wrapping_mul(MULTIPLIER);
        hash = hash.wrapping_mul(MULTIPLIER) ^ k;
    }
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with Kafka 4.3.1: key, `Utils.murmur2`, `BuiltInPartitioner.partitionForKey` of 7 and of 12 partitions.
    const VECTORS: &[(&str, i32, i32, i32)] = &[
        ("", 275_646_681, 2, 9),
        ("a", -1_563_381_124, 5, 4),
        ("ab", 316_155_434, 0, 2),
        ("abc", 479_470_107, 4, 3),
        ("abcd", -1_323_649_548, 5, 8),
        ("21", -973_932_308, 3, 0),
        ("foobar", -790_332_482, 0, 6),
        ("a-little-bit-long-string", -985_981_536, 1, 8),
        ("a-little-bit-longer-string", -1_486_304_829, 0, 11),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971, 3, 5),
        ("h\u{e9}llo \u{4e16}\u{754c}", -64_778_787, 6, 5),
    ];

    #[test]
    fn keys_hash_and_land_as_with_java() {
        for &(key, hash, of_seven, of_twelve) in VECTORS {
            assert_eq!(murmur2(key.as_bytes()), hash.cast_unsigned(), "{key}");
            assert_eq!(partition_for_key(key.as_bytes(), 7), PartitionId(of_seven), "{key}");
            assert_eq!(partition_for_key(key.as_bytes(), 12), PartitionId(of_twelve), "{key}");
        }
    }

    /// Made with librdkafka 2.16.0: key, `rd_kafka_msg_partitioner_consistent` of 7 and of 12 partitions, and
    /// `rd_kafka_msg_partitioner_fnv1a` of the same.
    const LIBRDKAFKA: &[(&str, [i32; 4])] = &[
        ("a", [4, 3, 6, 0]),
        ("ab", [5, 5, 2, 6]),
        ("abc", [5, 6, 5, 11]),
        ("abcd", [4, 1, 1, 3]),
        ("21", [6, 4, 3, 0]),
        ("foobar", [6, 5, 4, 0]),
        ("a-little-bit-long-string", [3, 6, 1, 4]),
        ("a-little-bit-longer-string", [0, 2, 4, 9]),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", [2, 1, 2, 10]),
        ("h\u{e9}llo \u{4e16}\u{754c}", [6, 5, 0, 2]),
        ("order-4711", [0, 7, 3, 7]),
    ];

    #[test]
    fn keys_land_as_with_the_partitioners_of_librdkafka() {
        for (key, expected) in LIBRDKAFKA {
            let key = key.as_bytes();
            let found = [
                partition_by_crc32(key, 7),
                partition_by_crc32(key, 12),
                partition_by_fnv1a(key, 7),
                partition_by_fnv1a(key, 12),
            ];
            assert_eq!(found.map(|partition| partition.0), *expected, "{key:?}");
        }
        assert_eq!([7, 12].map(|count| partition_by_fnv1a(b"", count).0), [2, 3]);
        assert_eq!(partition_by_crc32(b"key", 0), PartitionId(0));
    }

    #[test]
    fn every_length_and_byte_hashes_as_with_java() {
        // Java: x = 31 * x + murmur2(bytes 0..n) for n in 0..=256, with bytes 0, 1, 2, .. 255.
        let bytes: Vec<u8> = (0..=255).collect();
        let chained = (0..=256).fold(0u32, |x, n| x.wrapping_mul(31).wrapping_add(murmur2(&bytes[..n])));
        assert_eq!(chained, (-1_303_881_595_i32).cast_unsigned());
    }

    #[test]
    fn a_count_that_makes_no_sense_gives_partition_zero() {
        assert_eq!(partition_for_key(b"key", 0), PartitionId(0));
        assert_eq!(partition_for_key(b"key", -1), PartitionId(0));
    }
}
