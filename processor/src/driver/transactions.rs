//! The transaction coordinator: who may write under which transactional id, and what is open.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_wire::cluster::{CommittedOffset, TopicPartition};
use kafka_wire::time::Moment;

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
}

#[derive(Debug, Default)]
struct Producer {
    epoch: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    number: usize,
    since: Moment,
    /// To be committed with it.
    offsets: Offsets,
}

impl Transactions {
    /// InitProducerId: aborts what is open, and fences whoever had the id. Returns the new epoch.
    pub(super) fn init(&mut self, id: &str, logs: &mut Logs) -> u32 {
        let producer = self.producers.entry(id.to_owned()).or_default();
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
        logs: &mut Logs,
    ) -> Result<(), Fenced> {
        let open = self.producer(id, epoch)?.open(now, logs);
        let number = open.number;
        logs.append(pending, Some(number));
        Ok(())
    }

    pub(super) fn add_offsets(
        &mut self,
        (id, epoch): (&str, u32),
        now: Moment,
        offsets: impl IntoIterator<Item = (TopicPartition, CommittedOffset)>,
        logs: &mut Logs,
    ) -> Result<(), Fenced> {
        self.producer(id, epoch)?.open(now, logs).offsets.extend(offsets);
        Ok(())
    }

    /// EndTxn.
    pub(super) fn end(
        &mut self,
        (id, epoch): (&str, u32),
        is_committed: bool,
        logs: &mut Logs,
        committed: &mut Offsets,
    ) -> Result<(), Fenced> {
        if let Some(open) = self.producer(id, epoch)?.open.take() {
            logs.end(open.number, is_committed);
            if is_committed {
                committed.extend(open.offsets);
            }
        }
        Ok(())
    }

    /// Aborts what has been open for too long, and fences its producers.
    pub(super) fn expire(&mut self, now: Moment, timeout: Duration, logs: &mut Logs) {
        for producer in self.producers.values_mut() {
            if let Some(open) = producer.open.take_if(|open| now.since(open.since) >= timeout) {
                logs.end(open.number, false);
                producer.epoch += 1;
            }
        }
    }

    /// Whether an open transaction is about to change the committed offset.
    pub(super) fn is_unstable(&self, partition: &TopicPartition) -> bool {
        let open = self.producers.values().filter_map(|producer| producer.open.as_ref());
        open.into_iter().any(|open| open.offsets.contains_key(partition))
    }

    fn producer(&mut self, id: &str, epoch: u32) -> Result<&mut Producer, Fenced> {
        self.producers.get_mut(id).filter(|producer| producer.epoch == epoch).ok_or(Fenced)
    }
}

impl Producer {
    fn open(&mut self, now: Moment, logs: &mut Logs) -> &mut Open {
        let number = || Open { number: logs.begin(), since: now, offsets: Offsets::new() };
        self.open.get_or_insert_with(number)
    }
}
