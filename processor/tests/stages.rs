//! Commits that take the stages of a job one after the other, in memory.

use std::time::Duration;

use kafka_wire::rng::Rng;
use processor::driver::{CommitPoint, Faults, TestDriver};
use processor::error::{ErrorKind, ErrorPolicy};
use processor::{Emit, Partitions, Topology, U64, Utf8};

/// Longer than the shortest time between two commits.
const A_MOMENT: Duration = Duration::from_millis(50);

/// Counts the lines in which each word is, and then the words of each count.
fn topology() -> Topology {
    let mut job = Topology::builder("app");
    let words = job.stream("lines", Utf8).key_by("by-word", Partitions(3), (Utf8, ()), |line| (line.value, ()));
    let counts = words.count("counts", Emit::EveryUpdate).map(|count| count.value);
    let by_count = counts.key_by("by-count", Partitions(2), (U64, ()), |count| (count.value, ()));
    by_count.count("counts-of-counts", Emit::EveryUpdate).to("out", U64, U64);
    job.build().expect("a valid job")
}

/// The last value of each count.
fn out(driver: &TestDriver) -> std::collections::BTreeMap<u64, u64> {
    let number = |bytes: Option<&[u8]>| u64::from_be_bytes(bytes.expect("no null").try_into().expect("8 bytes"));
    let record =
        |record: &processor::driver::TestRecord| (number(record.key.as_deref()), number(record.value.as_deref()));
    driver.read("out").iter().map(record).collect()
}

#[test]
fn a_shuffle_costs_no_commit_of_its_own() {
    let mut driver = TestDriver::new(topology());
    for round in 1..=5 {
        let before = driver.commit_count();
        for word in ["a", "b", "c", "d"] {
            driver.write_partition("lines", 0, None, word, 1);
        }
        driver.trickle(10);
        driver.wait(A_MOMENT);
        assert_eq!(driver.commit_count(), before + 1, "round {round}");
        assert_eq!(out(&driver), (1..=round).map(|count| (count, 4)).collect(), "round {round}");
        // Nothing is read once more.
        driver.settle();
        assert_eq!(driver.read("out").len() as u64, 4 * round);
    }
}

#[test]
fn workers_that_share_the_tasks_fetch_from_each_other() {
    let mut driver = TestDriver::with_partitions(topology(), &[("lines", 2)]);
    driver.add_worker();
    driver.settle();
    for partition in [0, 1] {
        driver.write_partition("lines", partition, None, "a", 1);
    }
    driver.trickle(10);
    driver.wait(A_MOMENT);
    assert!(out(&driver).is_empty());
    driver.settle();
    assert_eq!(out(&driver), [(1, 1), (2, 1)].into());
}

#[test]
fn a_crash_in_any_stage_repeats_nothing_and_loses_nothing() {
    for point in CommitPoint::ALL {
        let mut driver = TestDriver::new(topology());
        for round in 1..=6 {
            driver.write_partition("lines", 0, None, "a", 1);
            driver.write_partition("lines", 0, None, "b", 1);
            driver.trickle(10);
            if round % 2 == 0 {
                driver.crash_at(point);
            }
            driver.wait(A_MOMENT);
            driver.settle();
            // Longer than commits take all stages at once after an abort.
            driver.wait(Duration::from_secs(10));
            assert_eq!(out(&driver), (1..=round).map(|count| (count, 2)).collect(), "{point:?}, round {round}");
            assert_eq!(driver.read("out").len() as u64, 2 * round, "{point:?}");
        }
        assert!(driver.crash_count() >= 3, "{point:?}");
    }
}

/// A record is left out by its offset, and an attempt that writes it again gives it another one.
#[test]
fn a_record_behind_a_shuffle_that_fails_after_effects_is_left_out() {
    let mut job = Topology::builder("app");
    job.on_error(ErrorKind::Process, ErrorPolicy::Skip);
    let words = job.stream("lines", Utf8).key_by("by-word", Partitions(1), (Utf8, ()), |line| (line.value, ()));
    let counts = words.count("counts", Emit::EveryUpdate);
    counts.map_or_fail(|count| if count.value == 2 { Err("the second") } else { Ok(count.value) }).to("out", Utf8, U64);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    for word in ["a", "b", "a", "c", "a"] {
        driver.write_partition("lines", 0, None, word, 1);
        driver.trickle(10);
        for _ in 0..20 {
            driver.trickle(10);
            driver.wait(A_MOMENT);
        }
    }
    assert_eq!(driver.failure(), None);
    let keys: Vec<_> = driver.read("out").iter().map(|record| record.key_str().to_owned()).collect();
    assert_eq!(keys, ["a", "b", "c"], "the second and later ones of `a` fail");
}

#[test]
fn under_random_schedules_of_one_worker_every_word_counts_once() {
    for seed in 0..500 {
        let mut driver = TestDriver::with_partitions(topology(), &[("lines", 2)]);
        let mut rng = Rng::from_seed(seed);
        let mut written = 0;
        for _ in 0..600 {
            if rng.below(8) == 0 {
                let partition = i32::from(rng.below(2) == 0);
                driver.write_partition("lines", partition, None, ["a", "b", "c"][written % 3], 1);
                written += 1;
            }
            let faults = if rng.below(10) == 0 { Faults::All } else { Faults::None };
            driver.step(&mut rng, faults);
        }
        driver.finish();
        assert!(driver.fatal().is_none(), "seed {seed}: {:?}", driver.fatal());
        let expected = (1..=written.div_ceil(3)).map(|count| (count as u64, (written - 3 * (count - 1)).min(3) as u64));
        assert_eq!(out(&driver), expected.collect(), "seed {seed}");
        assert_eq!(driver.read("out").len(), written, "seed {seed}");
    }
}
