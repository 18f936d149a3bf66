//! The records that a run writes, outside of transactions and within one at a time.

use kafka_wire::record::RawHeaders;
use kafka_wire::rng::Rng;
use kafka_wire::types::{PartitionId, TimestampMs};

use super::super::super::TestDriver;
use super::{Job, KEYS, Line, TOPICS};
use crate::driver::logs::Pending;
use crate::output::{OutRecord, Route, SinkId};

/// The writer of the input.
pub(super) struct Feed {
    job: Job,
    has_transactions: bool,
    /// The transaction that is open.
    open: Option<usize>,
    /// The records, but for those of transactions that were aborted.
    lines: Vec<Line>,
    /// Number of records so far.
    count: usize,
    /// Whether the last record outside of a transaction was an ordinary one, by topic and partition.
    is_ordinary: [[bool; 3]; 2],
}

/// The distance of a stray record from the others.
const AHEAD_MS: i64 = 3_600_000;

impl Feed {
    pub(super) const fn new(job: Job, has_transactions: bool) -> Self {
        Self { job, has_transactions, open: None, lines: Vec::new(), count: 0, is_ordinary: [[false; 3]; 2] }
    }

    /// Perhaps begins or ends a transaction, and perhaps writes a record.
    pub(super) fn step(&mut self, driver: &mut TestDriver, rng: &mut Rng, step: u64) {
        if self.has_transactions && rng.below(20) == 0 {
            match self.open.take() {
                Some(open) => self.end_transaction(driver, open, rng.below(2) == 0),
                None => self.open = Some(driver.cluster.logs.begin()),
            }
        }
        if rng.below(5) == 0 {
            self.write(driver, rng, step);
        }
    }

    /// Ends the input. Returns its records, in the order of each log.
    pub(super) fn end(mut self, driver: &mut TestDriver, rng: &mut Rng) -> Vec<Line> {
        if let Some(open) = self.open.take() {
            self.end_transaction(driver, open, rng.below(2) == 0);
        }
        self.lines
    }

    fn end_transaction(&mut self, driver: &mut TestDriver, transaction: usize, is_committed: bool) {
        driver.cluster.logs.end(transaction, is_committed);
        self.lines.retain(|line| is_committed || line.transaction != Some(transaction));
    }

    /// Writes a record, and perhaps copies of it that must not count.
    fn write(&mut self, driver: &mut TestDriver, rng: &mut Rng, step: u64) {
        let (index, topic) = (rng.below(KEYS), usize::try_from(rng.below(2)).expect("small"));
        let at = i64::try_from(4_000 + step * 50 - rng.below(4_000)).expect("small");
        let number = i64::try_from(rng.below(1_000)).expect("small");
        let transaction = self.open.filter(|_| rng.below(2) == 0);
        let (key, id) = (format!("k{index}"), format!("i{}", self.count));
        let mut line = Line { topic, key, id, number, at, transaction };
        let copies = if self.job.has_copies { 1 + rng.below(3) } else { 1 };
        for copy in 0..copies {
            let topic = (topic + usize::try_from(copy).expect("few")) % 2;
            let (name, count) = TOPICS[topic];
            // The records of a key are in one partition of a topic.
            let partition = usize::try_from(index).expect("small") % count;
            let is_ordinary = &mut self.is_ordinary[topic][partition];
            if self.job.has_strays && transaction.is_none() {
                // Of two strays that follow each other, event time believes the second one.
                *is_ordinary = !(*is_ordinary && rng.below(6) == 0);
                line.at += if *is_ordinary { 0 } else { AHEAD_MS };
            }
            append(driver, (name, partition), &line);
        }
        self.count += 1;
        self.lines.push(line);
    }
}

fn append(driver: &mut TestDriver, (topic, partition): (&str, usize), line: &Line) {
    let partition = PartitionId(i32::try_from(partition).expect("small"));
    let Some(transaction) = line.transaction else {
        driver.write_partition(topic, partition.0, None, &line.value(), line.at);
        return;
    };
    let value = line.value();
    let record = OutRecord {
        sink: SinkId(0),
        route: Route::Partition(partition),
        timestamp: TimestampMs(line.at),
        key: None,
        value: Some(value.as_bytes()),
        headers: RawHeaders::EMPTY,
    };
    let logs = &mut driver.cluster.logs;
    let pending = Pending::new(topic, logs.partition_count(topic), &record, partition);
    logs.append(pending, Some(transaction));
}
