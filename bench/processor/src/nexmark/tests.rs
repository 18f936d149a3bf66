//! Each query, compared with the plain computation.

use std::time::Duration;

use kafka_wire::record::RawHeaders;
use kafka_wire::types::{PartitionId, TimestampMs};
use processor::driver::TestDriver;
use processor::output::{OutRecord, Route, SinkId};

use super::alone;
use super::generator::Generator;
use super::plain::{self, Recorded};
use super::queries::Query;
use crate::check::Seen;

#[test]
fn results_in_the_processor_alone_are_those_of_the_plain_computation() {
    for query in Query::ALL {
        alone::check(query, 20_000).expect("right results");
    }
}

/// The events are in three partitions, which are not read in the order of time; tasks behind a shuffle are two.
#[test]
fn results_of_two_workers_that_crash_are_those_of_the_plain_computation() {
    for query in Query::ALL {
        let recorded = recorded();
        let topology = query.topology("nexmark", ("events", "results"), 2);
        let mut driver = TestDriver::with_partitions(topology, &[("events", 3), ("results", 2)]);
        driver.add_worker();
        let events: Vec<&[u8]> = recorded.each().collect();
        for (index, block) in events.chunks(150).enumerate() {
            for partition in 0..3 {
                let of_partition = block.iter().enumerate().filter(|(place, _)| place % 3 == partition);
                of_partition.for_each(|(place, event)| pipe(&mut driver, partition, event, index * 150 + place));
            }
            match index {
                7 | 15 => driver.crash(),
                _ if index % 2 == 0 => driver.commit(),
                _ => {}
            }
        }
        driver.settle();
        // Windows by the time of day are over by then.
        driver.advance_wall(Duration::from_secs(20));
        driver.end_of_input();
        assert_eq!(driver.fatal(), None, "{}", query.name());
        let expected = plain::expected(query, &recorded);
        let mut seen = Seen::nothing(&expected);
        for result in driver.read("results") {
            seen.take(result.key.as_deref().unwrap_or_default(), result.value.as_deref().unwrap_or_default());
        }
        assert_eq!(seen.verdict(), Ok(()), "{}", query.name());
    }
}

fn recorded() -> Recorded {
    let (mut generator, mut recorded) = (Generator::with_rate(0, RATE), Recorded::default());
    (0..EVENTS).for_each(|_| recorded.push(&generator.next()));
    recorded
}

fn pipe(driver: &mut TestDriver, partition: usize, event: &[u8], number: usize) {
    let route = Route::Partition(PartitionId(partition as i32));
    let timestamp = TimestampMs(number as i64 * 1_000 / RATE);
    let (sink, value, headers) = (SinkId(0), Some(event), RawHeaders::EMPTY);
    driver.pipe_record("events", &OutRecord { sink, route, timestamp, key: None, value, headers });
}

const EVENTS: usize = 4_000;
const RATE: i64 = 150;
