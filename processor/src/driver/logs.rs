//! Topics in memory, with transactions as a broker has them: markers take an offset, and readers stop
//! at undecided records.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use kafka_wire::producer::partition_for_key;
use kafka_wire::record::{HeadersBuf, RawHeaders};
use kafka_wire::types::{Offset, PartitionId, TimestampMs};

use crate::output::{OutRecord, Route, numbered};

/// A record as a reader gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestRecord {
    /// The partition.
    pub partition: PartitionId,
    /// Its offset. Aborted records and markers leave gaps.
    pub offset: Offset,
    /// Event time.
    pub timestamp: TimestampMs,
    /// `None` is Kafka's null.
    pub key: Option<Vec<u8>>,
    /// `None` is Kafka's null.
    pub value: Option<Vec<u8>>,
    /// Headers in order.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl TestRecord {
    /// The key as text; empty if it is null or not UTF-8.
    #[must_use]
    pub fn key_str(&self) -> &str {
        self.key.as_deref().and_then(|key| std::str::from_utf8(key).ok()).unwrap_or_default()
    }

    /// The value as text; empty if it is null or not UTF-8.
    #[must_use]
    pub fn value_str(&self) -> &str {
        self.value.as_deref().and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default()
    }

    pub(super) fn raw_headers(&self) -> HeadersBuf {
        let mut headers = HeadersBuf::new();
        for (key, value) in &self.headers {
            headers.push(key, value.as_deref());
        }
        headers
    }
}

/// A record to be written, whose partition is decided.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) topic: String,
    pub(super) record: TestRecord,
}

impl Pending {
    /// `keyless` is the partition for a record that has neither a key nor a partition.
    pub(super) fn new(topic: &str, partition_count: i32, record: &OutRecord<'_>, keyless: PartitionId) -> Self {
        let partition = match record.route {
            Route::Partition(partition) => partition,
            Route::Number(number) => numbered(number, partition_count),
            Route::ByKey => record.key.map_or(keyless, |key| partition_for_key(key, partition_count)),
        };
        let record = TestRecord {
            partition,
            offset: Offset(-1),
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: owned(record.headers),
        };
        Self { topic: topic.to_owned(), record }
    }
}

pub(super) fn owned(headers: RawHeaders<'_>) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    headers.iter().map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec))).collect()
}

/// The number of partitions of each topic, for those who cannot see the logs.
pub(super) type TopicCounts = Arc<Mutex<BTreeMap<String, i32>>>;

/// All topics.
#[derive(Debug, Default)]
pub(super) struct Logs {
    topics: BTreeMap<String, Vec<Log>>,
    counts: TopicCounts,
    /// Transactions by number.
    transactions: Vec<Transaction>,
}

/// One partition.
#[derive(Debug, Default)]
struct Log {
    entries: Vec<Entry>,
    /// First offset that can be read: what lay before it was deleted.
    start: usize,
    /// First offset of each undecided transaction.
    undecided: BTreeMap<usize, usize>,
}

#[derive(Debug)]
enum Entry {
    Data {
        record: TestRecord,
        transaction: Option<usize>,
    },
    Marker,
    /// A record that compaction has removed.
    Gone,
}

#[derive(Debug)]
struct Transaction {
    fate: Fate,
    /// The partitions that it wrote to.
    partitions: BTreeSet<(String, PartitionId)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Open,
    Committed,
    Aborted,
}

impl Logs {
    pub(super) fn create(&mut self, topic: &str, partition_count: i32) {
        let partitions = (0..partition_count).map(|_| Log::default()).collect();
        self.topics.entry(topic.to_owned()).or_insert(partitions);
        self.note_count(topic);
    }

    pub(super) fn remove(&mut self, topic: &str) {
        self.topics.remove(topic);
        self.note_count(topic);
    }

    fn note_count(&self, topic: &str) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.insert(topic.to_owned(), self.partition_count(topic));
    }

    /// The number of partitions of each topic, now and later.
    pub(super) fn counts(&self) -> TopicCounts {
        Arc::clone(&self.counts)
    }

    /// Adds partitions to a topic.
    pub(super) fn grow(&mut self, topic: &str, partition_count: i32) {
        let partitions = self.topics.get_mut(topic).unwrap_or_else(|| panic!("no topic `{topic}` in this topology"));
        partitions.resize_with(usize::try_from(partition_count).unwrap_or_default(), Log::default);
        self.note_count(topic);
    }

    pub(super) fn partition_count(&self, topic: &str) -> i32 {
        self.topics.get(topic).map_or(0, |partitions| i32::try_from(partitions.len()).unwrap_or(i32::MAX))
    }

    /// The names of all topics, in order.
    pub(super) fn topics(&self) -> Vec<String> {
        self.topics.keys().cloned().collect()
    }

    pub(super) fn begin(&mut self) -> usize {
        self.transactions.push(Transaction { fate: Fate::Open, partitions: BTreeSet::new() });
        self.transactions.len() - 1
    }

    /// Appends a record. Returns its offset.
    pub(super) fn append(&mut self, pending: Pending, transaction: Option<usize>) -> Offset {
        let Pending { topic, mut record } = pending;
        let partition = record.partition;
        let log = self.log_mut(&topic, partition);
        let index = log.entries.len();
        record.offset = offset(index);
        log.entries.push(Entry::Data { record, transaction });
        if let Some(number) = transaction {
            log.undecided.entry(number).or_insert(index);
            self.transactions[number].partitions.insert((topic, partition));
        }
        offset(index)
    }

    /// Decides a transaction: a marker is written into each partition that it wrote to.
    pub(super) fn end(&mut self, transaction: usize, is_committed: bool) {
        self.transactions[transaction].fate = if is_committed { Fate::Committed } else { Fate::Aborted };
        for (topic, partition) in std::mem::take(&mut self.transactions[transaction].partitions) {
            let log = self.log_mut(&topic, partition);
            log.undecided.remove(&transaction);
            log.entries.push(Entry::Marker);
        }
    }

    /// The offset after the last decided entry up to which all are decided: the end for `read_committed` readers.
    pub(super) fn last_stable_offset(&self, topic: &str, partition: PartitionId) -> Offset {
        let log = self.log(topic, partition);
        offset(log.undecided.values().min().copied().unwrap_or(log.entries.len()))
    }

    /// The offset after the last entry, decided or not.
    pub(super) fn end_offset(&self, topic: &str, partition: PartitionId) -> Offset {
        offset(self.log(topic, partition).entries.len())
    }

    /// The offset of the first record that can be read.
    pub(super) fn start_offset(&self, topic: &str, partition: PartitionId) -> Offset {
        offset(self.log(topic, partition).start)
    }

    /// Carries out DeleteRecords: what lies before `before` cannot be read any more.
    pub(super) fn delete(&mut self, topic: &str, partition: PartitionId, before: Offset) {
        let end = self.end_offset(topic, partition).min(before);
        let log = self.log_mut(topic, partition);
        log.start = log.start.max(usize::try_from(end.0).unwrap_or(0));
    }

    /// Compacts a partition as a broker does, which leaves the records from `before` on as they are, and undecided
    /// ones: aborted records go, and of each key all but the last. Tombstones stay, as they do for a day.
    pub(super) fn compact(&mut self, topic: &str, partition: PartitionId, before: Offset) {
        let stable = self.last_stable_offset(topic, partition).min(before);
        let mut seen = BTreeSet::new();
        let Self { topics, transactions, .. } = self;
        let log = topics.get_mut(topic).and_then(|partitions| partitions.get_mut(usize::try_from(partition.0).ok()?));
        let log = log.unwrap_or_else(|| panic!("no partition {partition} of topic `{topic}` in this topology"));
        for entry in log.entries[..usize::try_from(stable.0).unwrap_or(0)].iter_mut().rev() {
            let Entry::Data { record, transaction } = entry else { continue };
            let is_aborted = transaction.is_some_and(|of| transactions[of].fate != Fate::Committed);
            if is_aborted || !seen.insert(record.key.clone()) {
                *entry = Entry::Gone;
            }
        }
    }

    /// The offset of the first record with this timestamp or a later one, decided or not.
    pub(super) fn first_at(&self, topic: &str, partition: PartitionId, timestamp: TimestampMs) -> Option<Offset> {
        let is_it = |entry: &Entry| matches!(entry, Entry::Data { record, .. } if record.timestamp >= timestamp);
        self.log(topic, partition).entries.iter().position(is_it).map(offset)
    }

    /// Committed records from `position` on.
    pub(super) fn read_committed(
        &self,
        topic: &str,
        partition: PartitionId,
        position: Offset,
    ) -> impl Iterator<Item = &TestRecord> {
        let end = usize::try_from(self.last_stable_offset(topic, partition).0).unwrap_or(0);
        let log = self.log(topic, partition);
        let start = usize::try_from(position.0).unwrap_or(0).max(log.start).min(end);
        log.entries[start..end].iter().filter_map(|entry| match entry {
            Entry::Data { record, transaction: None } => Some(record),
            Entry::Data { record, transaction: Some(of) } if self.transactions[*of].fate == Fate::Committed => {
                Some(record)
            }
            Entry::Data { .. } | Entry::Marker | Entry::Gone => None,
        })
    }

    fn log(&self, topic: &str, partition: PartitionId) -> &Log {
        let partitions = self.topics.get(topic).unwrap_or_else(|| panic!("no topic `{topic}` in this topology"));
        let index = usize::try_from(partition.0).unwrap_or(usize::MAX);
        partitions.get(index).unwrap_or_else(|| panic!("topic `{topic}` has no partition {partition}"))
    }

    fn log_mut(&mut self, topic: &str, partition: PartitionId) -> &mut Log {
        let partitions = self.topics.get_mut(topic).unwrap_or_else(|| panic!("no topic `{topic}` in this topology"));
        let index = usize::try_from(partition.0).unwrap_or(usize::MAX);
        partitions.get_mut(index).unwrap_or_else(|| panic!("topic `{topic}` has no partition {partition}"))
    }
}

fn offset(index: usize) -> Offset {
    Offset(i64::try_from(index).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(value: &str) -> Pending {
        let record = OutRecord {
            sink: crate::output::SinkId(0),
            route: Route::ByKey,
            timestamp: TimestampMs(0),
            key: None,
            value: Some(value.as_bytes()),
            headers: RawHeaders::EMPTY,
        };
        Pending::new("t", 1, &record, PartitionId(0))
    }

    fn visible(logs: &Logs) -> Vec<(i64, &str)> {
        logs.read_committed("t", PartitionId(0), Offset(0))
            .map(|record| (record.offset.0, record.value_str()))
            .collect()
    }

    #[test]
    fn readers_stop_at_the_first_undecided_record_and_skip_the_aborted() {
        let mut logs = Logs::default();
        logs.create("t", 1);
        let (first, second) = (logs.begin(), logs.begin());
        logs.append(pending("a"), Some(first));
        logs.append(pending("b"), Some(second));
        logs.append(pending("c"), None);
        logs.end(second, true);
        assert_eq!(visible(&logs), []);
        logs.end(first, false);
        assert_eq!(visible(&logs), [(1, "b"), (2, "c")]);
        logs.append(pending("d"), None);
        assert_eq!(visible(&logs), [(1, "b"), (2, "c"), (5, "d")], "both markers took an offset");
    }

    #[test]
    fn compaction_keeps_the_last_record_of_a_key_and_deletion_what_lies_behind() {
        let mut logs = Logs::default();
        logs.create("t", 1);
        let aborted = logs.begin();
        let keyed = |key: &str, value: &str| {
            let mut pending = pending(value);
            pending.record.key = Some(key.as_bytes().to_vec());
            pending
        };
        logs.append(keyed("k", "a"), None);
        logs.append(keyed("l", "b"), None);
        logs.append(keyed("k", "c"), None);
        logs.append(keyed("l", "aborted"), Some(aborted));
        logs.end(aborted, false);
        logs.append(keyed("k", "d"), None);
        let open = logs.begin();
        logs.append(keyed("l", "open"), Some(open));
        logs.compact("t", PartitionId(0), Offset(5));
        assert_eq!(visible(&logs), [(1, "b"), (2, "c"), (5, "d")], "what lies behind the bound stays");
        logs.compact("t", PartitionId(0), Offset(100));
        assert_eq!(visible(&logs), [(1, "b"), (5, "d")]);
        logs.end(open, true);
        assert_eq!(visible(&logs), [(1, "b"), (5, "d"), (6, "open")], "it was not decided yet");
        logs.delete("t", PartitionId(0), Offset(5));
        assert_eq!((visible(&logs), logs.start_offset("t", PartitionId(0))), (vec![(5, "d"), (6, "open")], Offset(5)));
    }
}
