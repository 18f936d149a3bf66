//! Records in an output that is written in two phases, in memory: each is there once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use kafka_wire::types::{PartitionId, TimestampMs};

use super::{Inputs, Job, Line, Outside, Results, THREE, gathered, part};
use crate::error::SinkError;
use crate::operator::{SinkPlace, SinkWriter, TwoPhaseSink};
use crate::serde::Utf8;
use crate::topology::Builder;

pub(super) const JOB: Job = Job::new("to_sink", declare, expected);

fn declare(_: &mut Builder, inputs: Inputs) {
    let Inputs { a, b, outside, .. } = inputs;
    let shelves = Shelves { prepared: Arc::default(), count: Arc::default(), outside };
    a.merge(b)
        .key_by("by-key", THREE, (Utf8, Utf8), |line| (part(line.value, 0), line.value))
        .to_sink("shelf", Utf8, shelves);
}

/// The output. What is final is in `outside`.
#[derive(Clone)]
struct Shelves {
    /// Records by task and number of the batch, which no other batch has.
    prepared: Arc<Mutex<BTreeMap<(PartitionId, u64), Vec<String>>>>,
    /// Number of batches so far.
    count: Arc<AtomicU64>,
    outside: Outside,
}

impl TwoPhaseSink for Shelves {
    type Writer = Shelf;

    fn writer(&self, place: &SinkPlace) -> Shelf {
        Shelf { shelves: self.clone(), task: place.partition, open: Vec::new(), last: None, is_open: false }
    }

    fn format(&self) -> String {
        "shelves".to_owned()
    }
}

/// The writer of a task.
struct Shelf {
    shelves: Shelves,
    task: PartitionId,
    /// Records since the last commit.
    open: Vec<String>,
    /// The batch that was prepared last.
    last: Option<u64>,
    is_open: bool,
}

impl Shelf {
    /// Makes a batch final, unless it is.
    fn show(&self, batch: u64) {
        let lines = self.shelves.prepared.lock().expect("no test has panicked").remove(&(self.task, batch));
        let mut outside = self.shelves.outside.lock().expect("no test has panicked");
        outside.entry("all".to_owned()).or_default().extend(lines.into_iter().flatten());
    }
}

impl SinkWriter for Shelf {
    fn open(&mut self, committed: Option<&[u8]>) -> Result<(), SinkError> {
        let batch = committed.map(|state| u64::from_be_bytes(state.try_into().expect("a number of a batch")));
        batch.into_iter().for_each(|batch| self.show(batch));
        // The last writer may be alive: what it prepares from now on is never committed.
        let mut prepared = self.shelves.prepared.lock().expect("no test has panicked");
        prepared.retain(|(task, _), _| *task != self.task);
        (self.last, self.is_open) = (batch, true);
        Ok(())
    }

    fn write(&mut self, value: &[u8], _: TimestampMs) -> Result<(), SinkError> {
        assert!(self.is_open, "a writer is opened first");
        self.open.push(String::from_utf8(value.to_vec()).expect("text"));
        Ok(())
    }

    fn prepare(&mut self, _: TimestampMs) -> Result<Vec<u8>, SinkError> {
        let batch = self.shelves.count.fetch_add(1, Ordering::Relaxed);
        let lines = std::mem::take(&mut self.open);
        self.shelves.prepared.lock().expect("no test has panicked").insert((self.task, batch), lines);
        self.last = Some(batch);
        Ok(batch.to_be_bytes().to_vec())
    }

    fn committed(&mut self) -> Result<(), SinkError> {
        self.last.into_iter().for_each(|batch| self.show(batch));
        Ok(())
    }

    fn rolled_back(&mut self) -> Result<(), SinkError> {
        self.open.clear();
        Ok(())
    }
}

fn expected(lines: &[Line]) -> Results {
    gathered(lines.iter().map(|line| ("all", line.value())))
}
