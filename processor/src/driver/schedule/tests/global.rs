//! A stream that is joined with a global table, while rows are written: whatever happens, each record has one result,
//! and its row is no older than those that were there when the job started.

use std::collections::BTreeMap;

use kafka_wire::record::RawHeaders;
use kafka_wire::rng::Rng;
use kafka_wire::types::TimestampMs;

use super::super::{Faults, TestDriver};
use super::{finish, seeds};
use crate::output::{OutRecord, Route, SinkId};
use crate::serde::{Raw, Text, Utf8};
use crate::topology::Topology;

fn topology() -> Topology {
    let mut job = Topology::builder("job");
    let rows = job.global_table("rows", Utf8, Text);
    job.stream("lines", Utf8)
        .left_join_global(
            &rows,
            |line| line.value.split(' ').next(),
            |line, row| format!("{} {}", line.value, row.map_or("-", String::as_str)),
        )
        .to("out", Raw, Utf8);
    job.build().expect("a valid job")
}

/// Writes a row of a random key, whose value is `number`.
fn write_row(driver: &mut TestDriver, rng: &mut Rng, number: u64) -> String {
    let (key, value) = (format!("k{}", rng.below(4)), number.to_string());
    let (sink, route, headers) = (SinkId(0), Route::ByKey, RawHeaders::EMPTY);
    let (of_key, of_value) = (Some(key.as_bytes()), Some(value.as_bytes()));
    let row = OutRecord { sink, route, timestamp: TimestampMs(0), key: of_key, value: of_value, headers };
    driver.append("rows", &row);
    key
}

fn check(seed: u64) {
    let mut rng = Rng::from_seed(seed);
    let mut driver = TestDriver::with_partitions(topology(), &[("rows", 2), ("lines", 3), ("out", 2)]);
    driver.kill_worker(0);
    driver.set_can_fence(rng.below(2) == 0);
    let mut first = BTreeMap::new();
    for number in 0..rng.below(20) {
        first.insert(write_row(&mut driver, &mut rng, number), number);
    }
    (0..=rng.below(2)).for_each(|_| _ = driver.add_worker());
    let (steps, mut lines) = (100 + rng.below(400), Vec::new());
    for step in 0..steps {
        match rng.below(8) {
            0 => _ = write_row(&mut driver, &mut rng, 100 + step),
            1 => {
                let line = format!("k{} {step}", rng.below(4));
                let partition = i32::try_from(rng.below(3)).expect("small");
                driver.write_partition("lines", partition, None, &line, i64::try_from(step).expect("small"));
                lines.push(line);
            }
            _ => {}
        }
        driver.step(&mut rng, Faults::All);
    }
    let replay = format!("replay with WATERWHEEL_SEED={seed} cargo test -p processor --lib global");
    finish(&mut driver, &replay);
    let mut found = Vec::new();
    for record in driver.read("out") {
        let (line, row) = record.value_str().rsplit_once(' ').expect("a line and a row");
        let oldest = first.get(line.split(' ').next().expect("a key"));
        let row = row.parse::<u64>().ok();
        assert!(row >= oldest.copied(), "{line}: {row:?} is older than {oldest:?}; {replay}");
        found.push(line.to_owned());
    }
    lines.sort();
    found.sort();
    assert_eq!(found, lines, "{replay}");
}

#[test]
fn under_random_schedules_a_global_table_is_whole_before_it_is_joined() {
    seeds(120_000, 300).for_each(check);
}
