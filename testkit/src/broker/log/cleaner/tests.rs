//! Compaction in scripts, and against a model of the records that every reader has to find.

use std::collections::BTreeSet;

use kafka_wire::compression::Compression;
use kafka_wire::protocol::ErrorCode;
use kafka_wire::record::{BatchBuilder, Batches, ControlRecord, RawHeaders, Seal};
use kafka_wire::types::ProducerEpoch;
use proptest::prelude::*;

use super::*;
use crate::broker::log::{ReadBounds, Write};

/// A record in the model.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    offset: i64,
    timestamp: i64,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Plain,
    Open,
    Committed,
    Aborted,
}

/// A log, its clock, and every record that was ever written to it.
struct World {
    log: Log,
    settings: LogSettings,
    now: i64,
    written: Vec<(Kept, i64, State)>,
    sequences: [i32; PRODUCERS],
    open: [bool; PRODUCERS],
}

const PRODUCERS: usize = 3;

impl World {
    fn new(settings: LogSettings) -> Self {
        Self {
            log: Log::default(),
            settings,
            now: 1_000,
            written: Vec::new(),
            sequences: [0; PRODUCERS],
            open: [false; PRODUCERS],
        }
    }

    /// Appends a batch of keys and values, in a transaction of a producer or outside of any.
    fn append(&mut self, producer: Option<usize>, records: &[(u8, Option<u8>)], compression: Compression) {
        let mut builder = BatchBuilder::new(256);
        for &(key, value) in records {
            let value = value.map(|value| vec![value; 20]);
            builder.append(self.now, Some(&[key]), value.as_deref(), RawHeaders::EMPTY).unwrap();
        }
        let mut seal = Seal { compression, ..Seal::default() };
        if let Some(producer) = producer {
            seal.producer_id = ProducerId(i64::try_from(producer).unwrap());
            seal.producer_epoch = ProducerEpoch(0);
            seal.base_sequence = self.sequences[producer];
            seal.transactional = true;
            self.sequences[producer] += i32::try_from(records.len()).unwrap();
            self.open[producer] = true;
        }
        let batch = Batch::from_bytes(builder.seal(seal).unwrap()).unwrap();
        let write = Write { now: TimestampMs(self.now), log_append_time: false, settings: &self.settings };
        let base_offset = self.log.append(&batch, &write).unwrap().base_offset.0;
        let state = if producer.is_some() { State::Open } else { State::Plain };
        for (offset, &(key, value)) in (base_offset..).zip(records) {
            let value = value.map(|value| vec![value; 20]);
            let kept = Kept { offset, timestamp: self.now, key: vec![key], value };
            self.written.push((kept, seal.producer_id.0, state));
        }
    }

    fn plain(&mut self, records: &[(u8, Option<u8>)]) {
        self.append(None, records, Compression::None);
    }

    fn end(&mut self, producer: usize, is_commit: bool) {
        if !std::mem::take(&mut self.open[producer]) {
            return;
        }
        let id = i64::try_from(producer).unwrap();
        let write = Write { now: TimestampMs(self.now), log_append_time: false, settings: &self.settings };
        self.log.end_transaction(ProducerId(id), ProducerEpoch(0), is_commit, &write);
        for (_, writer, state) in &mut self.written {
            if *writer == id && *state == State::Open {
                *state = if is_commit { State::Committed } else { State::Aborted };
            }
        }
    }

    fn compact(&mut self) -> u64 {
        self.log.compact(&self.settings, TimestampMs(self.now))
    }

    /// Every record below `end`, read as clients read; those of aborted transactions are dropped as Java's client
    /// does it.
    fn read(&self, end: Offset, is_committed_only: bool) -> Vec<Kept> {
        let mut position = self.log.start_offset();
        let mut records = Vec::new();
        let mut buffer = Decompressed::default();
        while position < end {
            let read = self.log.read(position, ReadBounds { end_offset: end, size_bytes: 100, is_first_whole: true });
            assert!(read.next_offset > position, "a reader at {position:?} is stuck before {end:?}");
            let mut aborted = self.log.aborted_between(position, read.next_offset);
            let mut hidden = BTreeSet::new();
            for batch in Batches::new(read.records).map(Result::unwrap) {
                let producer_id = batch.header.producer_id;
                let begun = aborted.extract_if(.., |aborted| aborted.first_offset.0 <= batch.header.last_offset());
                hidden.extend(begun.map(|aborted| aborted.producer_id));
                let is_hidden = batch.header.is_transactional() && hidden.contains(&producer_id);
                for record in batch.open(&mut buffer).unwrap().map(Result::unwrap) {
                    if batch.header.is_control() {
                        if matches!(ControlRecord::decode(&record), Ok(ControlRecord::Abort { .. })) {
                            hidden.remove(&producer_id);
                        }
                    } else if !(is_hidden && is_committed_only) {
                        records.push(Kept {
                            offset: record.offset,
                            timestamp: record.timestamp,
                            key: record.key.unwrap().to_vec(),
                            value: record.value.map(<[u8]>::to_vec),
                        });
                    }
                }
            }
            position = read.next_offset;
        }
        records
    }

    /// The records that a reader of committed data would see if nothing were ever compacted.
    fn committed(&self, end: Offset) -> impl Iterator<Item = &Kept> {
        let is_committed = |state: State| matches!(state, State::Plain | State::Committed);
        self.written.iter().filter(move |(kept, _, state)| is_committed(*state) && kept.offset < end.0).map(|it| &it.0)
    }

    fn check(&self) {
        let (stable, end) = (self.log.last_stable_offset(), self.log.end_offset());
        let all = self.read(end, false);
        assert!(all.is_sorted_by_key(|record| record.offset));
        // Every record that is found was written at that offset.
        for record in &all {
            let (kept, ..) = self.written.iter().find(|(kept, ..)| kept.offset == record.offset).expect("written");
            assert_eq!(record, kept);
        }
        // From the first segment on that no pass may touch, all records are found, aborted ones too.
        let active = self.log.segments.back().map_or(end, |segment| segment.base_offset);
        let untouched = stable.min(active);
        let expected: Vec<_> =
            self.written.iter().filter(|(kept, ..)| kept.offset >= untouched.0).map(|it| &it.0).collect();
        assert_eq!(all.iter().filter(|record| record.offset >= untouched.0).collect::<Vec<_>>(), expected);
        // Readers of committed data get the same value for each key, and find its last record at its old offset.
        let found = self.read(stable, true);
        assert_eq!(replay(found.iter()), replay(self.committed(stable)));
        for (key, record) in last_of_each_key(self.committed(stable)) {
            let is_there = found.iter().any(|found| found == record);
            assert!(is_there || record.value.is_none(), "the last record of key {key:?} is gone: {record:?}");
        }
        // Below the border each key occurs once, and there is no aborted record.
        let clean = all.iter().filter(|record| record.offset < self.log.clean_until.0);
        let mut keys = BTreeSet::new();
        assert!(clean.clone().all(|record| keys.insert(record.key.clone())), "a key is twice in {clean:?}");
        let aborted: BTreeSet<_> =
            self.written.iter().filter(|it| it.2 == State::Aborted).map(|it| it.0.offset).collect();
        assert!(clean.clone().all(|record| !aborted.contains(&record.offset)));
        assert_eq!(self.log.size_bytes, self.log.segments.iter().map(Segment::size_bytes).sum::<u64>());
        assert_eq!(self.log.memory_bytes, self.log.segments.iter().map(Segment::memory_bytes).sum::<u64>());
    }
}

fn replay<'a>(records: impl Iterator<Item = &'a Kept>) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut table = BTreeMap::new();
    for record in records {
        match &record.value {
            Some(value) => table.insert(record.key.clone(), value.clone()),
            None => table.remove(&record.key),
        };
    }
    table
}

fn last_of_each_key<'a>(records: impl Iterator<Item = &'a Kept>) -> BTreeMap<&'a [u8], &'a Kept> {
    records.map(|record| (&record.key[..], record)).collect()
}

/// Settings that compact at once, with segments of few batches; tombstones stay for a second.
fn settings() -> LogSettings {
    LogSettings {
        is_deleted: false,
        is_compacted: true,
        segment_bytes: 400,
        delete_retention_ms: 1_000,
        min_cleanable_dirty_ratio: 0.0,
        ..LogSettings::default()
    }
}

/// Appends a batch that does not fit the active segment, so that this is closed from now on.
fn roll(world: &mut World) {
    world.plain(&[(99, Some(0)); 12]);
}

fn offsets(world: &World) -> Vec<i64> {
    world.read(world.log.end_offset(), false).iter().map(|record| record.offset).filter(|&it| it < 1_000).collect()
}

#[derive(Clone, Debug)]
enum Step {
    Append(Option<usize>, Vec<(u8, Option<u8>)>, Compression),
    End(usize, bool),
    Pass(i64),
    Compact,
}

fn step() -> impl Strategy<Value = Step> {
    let records = prop::collection::vec((0..6_u8, prop::option::weighted(0.8, any::<u8>())), 1..5);
    let codecs = Compression::ALL.into_iter().filter(|codec| codec.is_supported()).collect::<Vec<_>>();
    prop_oneof![
        5 => (prop::option::of(0..PRODUCERS), records, prop::sample::select(codecs))
            .prop_map(|(producer, records, codec)| Step::Append(producer, records, codec)),
        2 => (0..PRODUCERS, any::<bool>()).prop_map(|(producer, is_commit)| Step::End(producer, is_commit)),
        1 => (0..700_i64).prop_map(Step::Pass),
        2 => Just(Step::Compact),
    ]
}

proptest! {
    #[test]
    fn every_reader_finds_what_it_has_to_find(
        steps in prop::collection::vec(step(), 1..80),
        lag in prop::sample::select(vec![0, 500]),
        ratio in prop::sample::select(vec![0.0, 0.5]),
    ) {
        let settings = LogSettings { min_compaction_lag_ms: lag, min_cleanable_dirty_ratio: ratio, ..settings() };
        let mut world = World::new(settings);
        for step in steps {
            match step {
                Step::Append(producer, records, codec) => world.append(producer, &records, codec),
                Step::End(producer, is_commit) => world.end(producer, is_commit),
                Step::Pass(ms) => world.now += ms,
                Step::Compact => {
                    world.compact();
                    world.check();
                    // After the work that is due, the next time that is named lies ahead.
                    let next = world.log.next_upkeep(&world.settings, TimestampMs(world.now));
                    prop_assert!(next.is_none_or(|next| next.0 > world.now));
                }
            }
        }
        world.check();
    }
}

#[test]
fn the_last_record_of_each_key_stays_where_it_was() {
    let mut world = World::new(settings());
    world.plain(&[(1, Some(1)), (2, Some(1))]);
    world.plain(&[(1, Some(2)), (3, Some(1)), (1, Some(3))]);
    roll(&mut world);
    assert!(world.compact() > 0);
    assert_eq!(offsets(&world)[..3], [1, 3, 4]);
    assert_eq!((world.log.start_offset(), world.log.end_offset()), (Offset(0), Offset(17)));
    // Without new records there is nothing to do.
    assert_eq!(world.compact(), 0);
    world.check();
}

#[test]
fn a_tombstone_stays_for_its_time_and_then_goes_unasked() {
    let mut world = World::new(settings());
    world.plain(&[(1, Some(1)), (2, Some(1)), (1, None)]);
    roll(&mut world);
    world.compact();
    assert_eq!(offsets(&world)[..2], [1, 2]);
    assert_eq!(world.log.next_upkeep(&world.settings, TimestampMs(world.now)), Some(TimestampMs(2_000)));
    world.now = 1_999;
    assert_eq!(world.compact(), 0);
    world.now = 2_000;
    assert!(world.compact() > 0);
    assert_eq!(offsets(&world)[..2], [1, 3]);
    assert_eq!(world.log.next_upkeep(&world.settings, TimestampMs(world.now)), None);
    world.check();
}

#[test]
fn an_open_transaction_holds_compaction_back() {
    let mut world = World::new(settings());
    world.plain(&[(1, Some(1)), (1, Some(2))]);
    roll(&mut world);
    world.append(Some(0), &[(1, Some(3)); 8], Compression::None);
    roll(&mut world);
    roll(&mut world);
    world.compact();
    assert_eq!(offsets(&world)[..3], [1, 13, 14]);
    let before = offsets(&world);
    world.end(0, false);
    world.compact();
    // The aborted records are gone, and the last record from before the transaction is there.
    let after = offsets(&world);
    assert!(after.len() < before.len() && after[0] == 1 && !after.contains(&14));
    world.check();
}

#[test]
fn a_marker_stays_until_its_data_are_gone_and_its_time_has_passed() {
    let mut world = World::new(settings());
    let markers = |world: &World| {
        let bounds = ReadBounds { end_offset: world.log.end_offset(), size_bytes: 1 << 20, is_first_whole: true };
        let mut count = 0;
        let mut position = world.log.start_offset();
        while position < world.log.end_offset() {
            let read = world.log.read(position, bounds);
            for batch in Batches::new(read.records).map(Result::unwrap).filter(|batch| batch.header.is_control()) {
                let mut buffer = Decompressed::default();
                let records = batch.open(&mut buffer).unwrap().map(Result::unwrap);
                count += records.filter(|record| ControlRecord::decode(record).is_ok()).count();
            }
            position = read.next_offset;
        }
        count
    };
    world.append(Some(0), &[(1, Some(1))], Compression::None);
    world.end(0, true);
    roll(&mut world);
    world.compact();
    assert_eq!(markers(&world), 1);
    // The key of its record gets a new value; the pass that removes the record still meets it, the next one gives
    // the marker its deletion time.
    world.plain(&[(1, Some(2))]);
    for _ in 0..2 {
        roll(&mut world);
        world.compact();
    }
    world.now += 999;
    roll(&mut world);
    world.compact();
    assert_eq!(markers(&world), 1);
    world.now += 1;
    world.compact();
    assert_eq!(markers(&world), 0);
    world.check();
}

#[test]
fn what_is_young_waits_and_what_is_old_does_not() {
    let mut world = World::new(LogSettings { min_compaction_lag_ms: 500, ..settings() });
    world.plain(&[(1, Some(1)), (1, Some(2))]);
    roll(&mut world);
    assert_eq!(world.compact(), 0);
    assert_eq!(world.log.next_upkeep(&world.settings, TimestampMs(world.now)), Some(TimestampMs(1_500)));
    world.now = 1_500;
    assert!(world.compact() > 0);

    let mut world =
        World::new(LogSettings { min_cleanable_dirty_ratio: 1.0, max_compaction_lag_ms: Some(700), ..settings() });
    world.plain(&[(1, Some(1)), (1, Some(2))]);
    roll(&mut world);
    assert_eq!(world.compact(), 0);
    assert_eq!(world.log.next_upkeep(&world.settings, TimestampMs(world.now)), Some(TimestampMs(1_701)));
    world.now = 1_701;
    assert!(world.compact() > 0);
}

#[test]
fn the_ratio_of_new_to_all_decides() {
    let mut world = World::new(LogSettings { min_cleanable_dirty_ratio: 0.5, segment_bytes: 400, ..settings() });
    world.plain(&[(1, Some(1)), (2, Some(1))]);
    roll(&mut world);
    assert!(world.compact() > 0);
    // The clean part has a record or two; the next records are more than half of all.
    roll(&mut world);
    assert!(world.compact() > 0);
}

#[test]
fn shrunken_segments_are_joined_and_a_reader_crosses_the_gaps() {
    let mut world = World::new(LogSettings { segment_bytes: 2_000, ..settings() });
    for value in 0..60 {
        world.plain(&[(value % 3, Some(value)), (7, Some(value)), (8, Some(value))]);
    }
    let before = world.log.segments.len();
    let (removed_before, memory_before) = (world.log.take_removed().len(), world.log.memory_bytes());
    world.compact();
    world.check();
    assert!(world.log.segments.len() <= before && removed_before == 0);
    assert!(world.log.memory_bytes() < memory_before);
    assert!(!world.log.take_removed().is_empty());
    assert_eq!(world.log.end_offset(), Offset(180));
}

#[test]
fn producers_are_known_after_their_batches_are_gone() {
    let mut world = World::new(settings());
    world.append(Some(0), &[(1, Some(1)), (1, Some(2))], Compression::None);
    world.end(0, true);
    world.plain(&[(1, Some(3))]);
    roll(&mut world);
    roll(&mut world);
    world.compact();
    assert!(!offsets(&world).contains(&1));
    let mut builder = BatchBuilder::new(256);
    builder.append(0, Some(b"k"), None, RawHeaders::EMPTY).unwrap();
    let seal = |base_sequence| Seal {
        producer_id: ProducerId(0),
        producer_epoch: ProducerEpoch(0),
        base_sequence,
        transactional: true,
        compression: Compression::None,
    };
    let batch = |sequence| Batch::from_bytes(builder.clone().seal(seal(sequence)).unwrap()).unwrap();
    assert_eq!(world.log.check(&batch(5).header), Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
    assert!(world.log.check(&batch(2).header).is_ok());
}

#[test]
fn records_without_keys_and_nothing_else_go() {
    let mut world = World::new(settings());
    let mut builder = BatchBuilder::new(256);
    builder.append(1_000, None, Some(b"value"), RawHeaders::EMPTY).unwrap();
    let batch = Batch::from_bytes(builder.seal(Seal::default()).unwrap()).unwrap();
    let write = Write { now: TimestampMs(1_000), log_append_time: false, settings: &world.settings };
    world.log.append(&batch, &write).unwrap();
    world.plain(&[(1, Some(1))]);
    roll(&mut world);
    world.compact();
    assert_eq!(offsets(&world)[0], 1);
}
