//! Processes that start at the same time, with inputs that start at a place of their own: whatever happens, the first
//! choice of a place holds for all partitions, and what is added later is read from its first record.

use std::collections::BTreeMap;

use kafka_wire::rng::Rng;
use kafka_wire::types::TimestampMs;

use super::super::{Faults, TestDriver, pick};
use super::{finish, seeds};
use crate::serde::{Raw, Utf8};
use crate::topology::{StartingOffsets, Topology};

const PARTITIONS: i32 = 3;

fn copy(start: StartingOffsets) -> Topology {
    let mut job = Topology::builder("job");
    job.stream("lines", Utf8).starting_offsets(start).to("out", Raw, Utf8);
    job.build().expect("a valid job")
}

/// Whether the place of any partition is committed.
fn is_chosen(driver: &TestDriver) -> bool {
    driver.cluster.offsets.keys().any(|partition| &*partition.topic == "lines")
}

fn check(seed: u64) {
    let mut rng = Rng::from_seed(seed);
    let start =
        if seed.is_multiple_of(2) { StartingOffsets::Latest } else { StartingOffsets::Timestamp(TimestampMs(5_000)) };
    let mut driver = TestDriver::unstarted(copy(start), &[("lines", PARTITIONS), ("out", 2)]);
    driver.set_can_fence(rng.below(2) == 0);
    let (mut number, mut expected, mut partitions) = (0, BTreeMap::new(), PARTITIONS);
    let mut write = |driver: &mut TestDriver, partition, time| {
        number += 1;
        driver.write_partition("lines", partition, None, &number.to_string(), time);
        number.to_string()
    };
    for partition in 0..PARTITIONS {
        (0..rng.below(4)).for_each(|_| _ = write(&mut driver, partition, 1_000));
    }
    (0..1 + rng.below(3)).for_each(|_| _ = driver.add_worker());
    for _ in 0..200 + rng.below(300) {
        // From the choice on all lines count; those before it lie behind no place.
        if rng.below(6) == 0 && is_chosen(&driver) {
            let partition = i32::try_from(pick(&mut rng, partitions as usize)).expect("few");
            expected.insert(write(&mut driver, partition, 9_000), 1);
        }
        if rng.below(80) == 0 && is_chosen(&driver) {
            partitions += 1;
            // The new partition counts from its first record on.
            driver.cluster.logs.grow("lines", partitions);
            expected.insert(write(&mut driver, partitions - 1, 1_000), 1);
            driver.rebalance();
        }
        driver.step(&mut rng, Faults::All);
    }
    let replay = format!("replay with WATERWHEEL_SEED={seed} cargo test -p processor --lib starts");
    finish(&mut driver, &replay);
    let mut found = BTreeMap::new();
    driver.read("out").iter().for_each(|record| *found.entry(record.value_str().to_owned()).or_default() += 1);
    assert_eq!(found, expected, "{replay}");
}

#[test]
fn under_random_schedules_the_first_choice_of_a_place_holds() {
    seeds(130_000, 500).for_each(check);
}
