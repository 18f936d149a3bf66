//! The transaction coordinator: the producer that holds each transactional id, and the open transactions.
//!
//! EndTxn is answered when the end is decided. The markers, and the offsets that become visible with them,
//! may come later ([`Transactions::delay_markers`]), as on a broker: until then readers of the logs wait, and committed
//! offsets are unstable.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_wire::cluster::{CommittedOffset, TopicPartition};
use kafka_wire::time::Moment;
use kafka_wire::types::Offset;

use super::logs::{Logs, Pending};

/// Another producer has the transactional id now, or its transaction timed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fenced;

/// Committed offsets of the group.
pub(super) type Offsets = BTreeMap<TopicPartition, CommittedOffset>;

/// All transactional ids.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    producers: BTreeMap<String, Producer>,
    /// Whether markers are only written by [`Transactions::write_markers`], some time after the end is decided.
    is_slow: bool,
}

#[derive(Debug, Default)]
struct Producer {
    epoch: u32,
    open: Option<Open>,
    ending: Option<Ending>,
}

#[derive(Debug)]
struct Open {
    number: usize,
    since: Moment,
    /// Offsets to be committed with it.
    offsets: Offsets,
}

/// A transaction whose end is decided, but not yet visible everywhere.
#[derive(Debug)]
struct Ending {
    number: usize,
    is_committed: bool,
    /// Whether its markers are in the logs.
    has_markers: bool,
    /// Its offsets; empty once they are committed in the group.
    offsets: Offsets,
}

impl Transactions {
    /// From now on markers and offsets come later than the end of a transaction, or at once again.
    pub(super) fn delay_markers(&mut self, is_slow: bool, logs: &mut Logs, committed: &mut Offsets) {
        self.is_slow = is_slow;
        if !is_slow {
            self.producers.values_mut().for_each(|producer| producer.complete(logs, committed));
        }
    }

    /// Writes a missing half of one end: the markers into the logs, or the offsets into the group.
    /// `index` selects among the incomplete ends, modulo their number.
    pub(super) fn write_markers(&mut self, index: usize, logs: &mut Logs, committed: &mut Offsets) {
        let mut incomplete: Vec<&mut Producer> =
            self.producers.values_mut().filter(|producer| producer.ending.is_some()).collect();
        let count = incomplete.len();
        if count > 0 {
            incomplete[index % count].complete_half(logs, committed);
        }
    }

    /// Carries out InitProducerId: completes decided ends, aborts the open transaction, and fences the former holder
    /// of the id. Returns the new epoch.
    pub(super) fn init(&mut self, id: &str, logs: &mut Logs, committed: &mut Offsets) -> u32 {
        let producer = self.producers.entry(id.to_owned()).or_default();
        producer.complete(logs, committed);
        if let Some(open) = producer.open.take() {
            logs.end(open.number, false);
        }
        producer.epoch += 1;
        producer.epoch
    }

    pub(super) fn append(
        &mut self,
        (id, epoch): (&str, u32),
        now: Moment,
        pending: Pending,
        (logs, committed): (&mut Logs, &mut Offsets),
    ) -> Result<Offset, Fenced> {
        let open = self.producer(id, epoch)?.open(now, logs, committed);
        let number = open.number;
        Ok(logs.append(pending, Some(number)))
    }

    pub(super) fn add_offsets(
        &mut self,
        (id, epoch): (&str, u32),
        now: Moment,
        offsets: impl IntoIterator<Item = (TopicPartition, CommittedOffset)>,
        (logs, committed): (&mut Logs, &mut Offsets),
    ) -> Result<(), Fenced> {
        self.producer(id, epoch)?.open(now, logs, committed).offsets.extend(offsets);
        Ok(())
    }

    /// Carries out EndTxn.
    pub(super) fn end(
        &mut self,
        (id, epoch): (&str, u32),
        is_committed: bool,
        logs: &mut Logs,
        committed: &mut Offsets,
    ) -> Result<(), Fenced> {
        let is_slow = self.is_slow;
        let producer = self.producer(id, epoch)?;
        if let Some(Open { number, mut offsets, .. }) = producer.open.take() {
            if !is_committed {
                offsets.clear();
            }
            producer.ending = Some(Ending { number, is_committed, has_markers: false, offsets });
        }
        if !is_slow {
            producer.complete(logs, committed);
        }
        Ok(())
    }

    /// Aborts transactions that have been open for too long, and fences their producers.
    pub(super) fn expire(&mut self, now: Moment, timeout: Duration, logs: &mut Logs) {
        for producer in self.producers.values_mut() {
            if let Some(open) = producer.open.take_if(|open| now.since(open.since) >= timeout) {
                logs.end(open.number, false);
                producer.epoch += 1;
            }
        }
    }

    /// Whether a transaction is about to change the committed offset.
    pub(super) fn is_unstable(&self, partition: &TopicPartition) -> bool {
        self.producers.values().any(|producer| {
            let open = producer.open.as_ref().map(|open| &open.offsets);
            let ending = producer.ending.as_ref().map(|ending| &ending.offsets);
            open.into_iter().chain(ending).any(|offsets| offsets.contains_key(partition))
        })
    }

    fn producer(&mut self, id: &str, epoch: u32) -> Result<&mut Producer, Fenced> {
        self.producers.get_mut(id).filter(|producer| producer.epoch == epoch).ok_or(Fenced)
    }
}

impl Producer {
    /// The open transaction, or a new one, which waits for the end of the one before.
    fn open(&mut self, now: Moment, logs: &mut Logs, committed: &mut Offsets) -> &mut Open {
        self.complete(logs, committed);
        let number = || Open { number: logs.begin(), since: now, offsets: Offsets::new() };
        self.open.get_or_insert_with(number)
    }

    fn complete(&mut self, logs: &mut Logs, committed: &mut Offsets) {
        while self.ending.is_some() {
            self.complete_half(logs, committed);
        }
    }

    /// Every other transaction gets its markers before its offsets, because partitions learn of an end in any order.
    fn complete_half(&mut self, logs: &mut Logs, committed: &mut Offsets) {
        let Some(ending) = &mut self.ending else { return };
        let markers_first = ending.number.is_multiple_of(2);
        if !ending.has_markers && (markers_first || ending.offsets.is_empty()) {
            logs.end(ending.number, ending.is_committed);
            ending.has_markers = true;
        } else {
            committed.append(&mut ending.offsets);
        }
        if ending.has_markers && ending.offsets.is_empty() {
            self.ending = None;
        }
    }
}
