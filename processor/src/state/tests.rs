//! Each store against a model: a map, and a copy of it made at the beginning of the transaction.

use std::collections::{BTreeMap, BTreeSet};

use kafka_wire::types::TimestampMs;
use proptest::prelude::*;

use super::*;
use crate::serde::U64;
use crate::types::Window;

/// A store under test.
trait Tested: Store + Sized {
    fn empty() -> Self;
    /// Adds to an entry, which begins as 0.
    fn add(&mut self, place: &Place, amount: u64);
    /// Removes an entry; no effect on a store that cannot.
    fn remove(&mut self, place: &Place, model: &mut Entries);
    /// Lets time pass.
    fn close(&mut self, _watermark: i64, _model: &mut Entries) {}
    /// The place of an entry in this store.
    fn place(window: Window, key: Vec<u8>) -> Place;
}

/// Window and key, in the order in which a store visits its entries.
type Place = (Window, Vec<u8>);
type Entries = BTreeMap<Place, u64>;

const ALL: Window = Window { start: i64::MIN, end: i64::MAX };

impl Tested for WindowStore<u64> {
    fn empty() -> Self {
        Self::new(U64)
    }

    fn add(&mut self, (window, key): &Place, amount: u64) {
        self.update(*window, key, || 0, |sum| *sum += amount);
        assert!(self.get(*window, key).is_some());
    }

    fn remove(&mut self, _place: &Place, _model: &mut Entries) {}

    fn close(&mut self, watermark: i64, model: &mut Entries) {
        let mut last = (i64::MIN, i64::MIN);
        let mut closed = Entries::new();
        loop {
            let dirty: BTreeSet<_> = self.changed().map(|(window, key, _)| (window, key.to_vec())).collect();
            let close = self.close_next(TimestampMs(watermark), |window, key, sum, is_changed| {
                assert!(
                    window.end <= watermark && (window.end, window.start) >= last,
                    "closed in order, and only the closed"
                );
                last = (window.end, window.start);
                assert_eq!(is_changed, dirty.contains(&(window, key.to_vec())));
                assert!(closed.insert((window, key.to_vec()), *sum).is_none());
                Ok::<(), ()>(())
            });
            if close == Ok(false) {
                break;
            }
        }
        let expected: Entries = model.extract_if(.., |(window, _), _| window.end <= watermark).collect();
        assert_eq!(closed, expected);
    }

    fn place(window: Window, key: Vec<u8>) -> Place {
        (window, key)
    }
}

impl Tested for KeyValueStore<u64> {
    fn empty() -> Self {
        Self::new(U64)
    }

    fn add(&mut self, (_, key): &Place, amount: u64) {
        match amount % 2 {
            0 => self.update(key, || 0, |sum| *sum += amount),
            _ => self.put(key, self.get(key).copied().unwrap_or(0) + amount),
        }
    }

    fn remove(&mut self, place: &Place, model: &mut Entries) {
        assert_eq!(KeyValueStore::remove(self, &place.1), model.remove(place).is_some());
    }

    fn place(_window: Window, key: Vec<u8>) -> Place {
        (ALL, key)
    }
}

impl Tested for SortedStore<u64> {
    fn empty() -> Self {
        Self::new(U64)
    }

    fn add(&mut self, (_, key): &Place, amount: u64) {
        let (group, key) = grouped(key);
        self.put(group, key, self.get(group, key).copied().unwrap_or(0) + amount);
    }

    fn remove(&mut self, place: &Place, model: &mut Entries) {
        let (group, key) = grouped(&place.1);
        assert_eq!(SortedStore::remove(self, group, key), model.remove(place));
        let found: Vec<_> = self.group(group).map(|(key, _)| key.to_vec()).collect();
        let of_group = model.keys().map(|(_, key)| grouped(key)).filter(|(known, _)| *known == group);
        assert_eq!(found, of_group.map(|(_, key)| key.to_vec()).collect::<Vec<_>>());
    }

    /// The first byte of a key is the group.
    fn place(_window: Window, key: Vec<u8>) -> Place {
        let length = u32::from(!key.is_empty());
        (ALL, [&length.to_be_bytes(), key.as_slice()].concat())
    }
}

/// The group and the key in a place.
fn grouped(place: &[u8]) -> (&[u8], &[u8]) {
    place[4..].split_at(usize::from(place[3]))
}

#[derive(Clone, Debug)]
enum Operation {
    Add { window: Window, key: Vec<u8>, amount: u64 },
    Remove { window: Window, key: Vec<u8> },
    Close { watermark: i64 },
    Commit,
    RollBack,
}

/// Aligned windows of length 10, and others.
fn window() -> impl Strategy<Value = Window> {
    let aligned = (-3_i64..4).prop_map(|index| Window { start: index * 10, end: (index + 1) * 10 });
    let any = (-30_i64..30, 1_i64..15).prop_map(|(start, size)| Window { start, end: start + size });
    prop_oneof![3 => aligned, 1 => any]
}

/// Few different short keys; and some that are too long to be stored in their entries.
fn key() -> impl Strategy<Value = Vec<u8>> {
    let short = prop::collection::vec(0_u8..3, 0..3);
    let long = (0_u8..3, 22_usize..25).prop_map(|(byte, length)| vec![byte; length]);
    prop_oneof![4 => short, 1 => long]
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        12 => (window(), key(), 1_u64..5).prop_map(|(window, key, amount)| Operation::Add { window, key, amount }),
        3 => (window(), key()).prop_map(|(window, key)| Operation::Remove { window, key }),
        2 => (-30_i64..50).prop_map(|watermark| Operation::Close { watermark }),
        1 => Just(Operation::Commit),
        1 => Just(Operation::RollBack),
    ]
}

type Record = (Vec<u8>, Option<Vec<u8>>);

/// A store, a model of it, and the changelog that its commits have written.
struct Checked<S> {
    store: S,
    model: Entries,
    committed: Entries,
    /// The changelog as it was written.
    log: Vec<Record>,
    /// The last value of each key.
    compacted: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl<S: Tested> Checked<S> {
    fn new() -> Self {
        let (model, committed) = (Entries::new(), Entries::new());
        Self { store: S::empty(), model, committed, log: Vec::new(), compacted: BTreeMap::new() }
    }

    fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Add { window, key, amount } => {
                let place = S::place(window, key);
                self.store.add(&place, amount);
                *self.model.entry(place).or_default() += amount;
            }
            Operation::Remove { window, key } => self.store.remove(&S::place(window, key), &mut self.model),
            Operation::Close { watermark } => self.store.close(watermark, &mut self.model),
            Operation::Commit => self.commit(),
            Operation::RollBack => {
                self.store.roll_back();
                assert!(!self.store.is_dirty());
                self.model.clone_from(&self.committed);
            }
        }
        self.check();
    }

    fn commit(&mut self) {
        let mut puts = BTreeSet::new();
        let (log, compacted) = (&mut self.log, &mut self.compacted);
        let mut write = |key: &[u8], value: Option<&[u8]>| {
            log.push((key.to_vec(), value.map(<[u8]>::to_vec)));
            match value {
                Some(value) => {
                    assert!(puts.insert(key.to_vec()), "each changed entry once");
                    compacted.insert(key.to_vec(), value.to_vec());
                }
                None => assert!(compacted.remove(key).is_some(), "a tombstone only for what the changelog has"),
            }
        };
        let (mut key, mut value) = (Vec::new(), Vec::new());
        self.store.write_changes(&mut Changelog::new(2, (&mut key, &mut value), &mut write)).expect("encodes");
        self.store.commit();
        assert!(!self.store.is_dirty());
        self.committed.clone_from(&self.model);
        assert_eq!(self.compacted.len(), self.committed.len());
    }

    fn check(&self) {
        let mut entries = Entries::new();
        let mut visit = |window, key: &[u8], value: &[u8]| {
            let value = u64::from_be_bytes(value.try_into().expect("8 bytes"));
            assert!(entries.insert((window, key.to_vec()), value).is_none(), "each entry once");
        };
        self.store.visit(&mut visit).expect("encodes");
        assert_eq!(entries, self.model);
        let keys: BTreeSet<_> = self.model.keys().map(|(_, key)| key.clone()).chain([b"none".to_vec()]).collect();
        for key in keys {
            let mut found = Vec::new();
            let mut visit = |window, found_key: &[u8], _: &[u8]| {
                assert_eq!(found_key, key);
                found.push(window);
            };
            self.store.visit_key(&key, &mut visit).expect("encodes");
            let expected = self.model.keys().filter(|(_, of)| *of == key).map(|(window, _)| *window);
            assert_eq!(found, expected.collect::<Vec<_>>(), "the windows of one key, in order");
        }
        let windows: BTreeSet<_> =
            self.model.keys().map(|(window, _)| *window).filter(|window| *window != ALL).collect();
        let sizes = self.store.sizes();
        assert_eq!((sizes.entries, sizes.windows), (self.model.len(), windows.len()));
        assert_eq!(self.store.last_due(), windows.iter().map(|window| TimestampMs(window.end)).max());
    }

    /// Another store, restored from `records`, with the changelog that this one has written.
    fn restored<'r>(&self, records: impl IntoIterator<Item = (&'r [u8], Option<&'r [u8]>)>) -> Self {
        let mut restored = Self::new();
        for (key, value) in records {
            assert_eq!(restored.store.restore(&key[1..], value), Ok(()));
        }
        restored.model.clone_from(&self.committed);
        restored.committed.clone_from(&self.committed);
        restored.compacted.clone_from(&self.compacted);
        restored.check();
        restored
    }
}

fn is_a_map_with_transactions<S: Tested>(operations: Vec<Operation>) {
    let mut checked = Checked::<S>::new();
    operations.into_iter().for_each(|operation| checked.apply(operation));
}

/// Restores from the changelog as it was written, and from the part that compaction leaves of it.
fn goes_on_after_a_restore<S: Tested>(before: Vec<Operation>, after: &[Operation]) {
    let mut lost = Checked::<S>::new();
    before.into_iter().for_each(|operation| lost.apply(operation));
    let whole = lost.restored(lost.log.iter().map(|(key, value)| (key.as_slice(), value.as_deref())));
    let compacted = lost.restored(lost.compacted.iter().map(|(key, value)| (key.as_slice(), Some(value.as_slice()))));
    for mut checked in [whole, compacted] {
        after.iter().for_each(|operation| checked.apply(operation.clone()));
    }
}

proptest! {
    #[test]
    fn a_store_is_a_map_with_transactions(operations in prop::collection::vec(operation(), 0..200)) {
        is_a_map_with_transactions::<WindowStore<u64>>(operations.clone());
        is_a_map_with_transactions::<KeyValueStore<u64>>(operations.clone());
        is_a_map_with_transactions::<SortedStore<u64>>(operations);
    }

    #[test]
    fn a_restored_store_goes_on_like_the_one_that_was_lost(
        before in prop::collection::vec(operation(), 0..100),
        after in prop::collection::vec(operation(), 0..100),
    ) {
        goes_on_after_a_restore::<WindowStore<u64>>(before.clone(), &after);
        goes_on_after_a_restore::<KeyValueStore<u64>>(before.clone(), &after);
        goes_on_after_a_restore::<SortedStore<u64>>(before, &after);
    }
}

#[test]
fn an_entry_born_and_closed_in_one_transaction_leaves_no_trace() {
    let mut store = WindowStore::new(U64);
    store.update(Window { start: 0, end: 10 }, b"a", || 0_u64, |sum| *sum += 1);
    let mut close = || store.close_next(TimestampMs(10), |_, _, _, _| Ok::<(), ()>(()));
    assert_eq!((close(), close()), (Ok(true), Ok(false)));
    let (mut key, mut value) = (Vec::new(), Vec::new());
    let mut write = |_: &[u8], _: Option<&[u8]>| panic!("nothing to write");
    assert_eq!(store.write_changes(&mut Changelog::new(2, (&mut key, &mut value), &mut write)), Ok(()));
    assert!(store.is_dirty(), "a rollback has to bring it back to nothing");
    store.roll_back();
    assert_eq!((store.sizes().windows, store.closed_up_to()), (0, TimestampMs(i64::MIN)));
}

#[test]
fn slots_of_closed_windows_are_used_again() {
    let mut store = WindowStore::new(U64);
    let mut bytes = 0;
    for round in 0..100 {
        for key in 0..2_000_u32 {
            store.update(Window { start: round, end: round + 1 }, &key.to_be_bytes(), || 0_u64, |sum| *sum += 1);
        }
        store.commit();
        while store.close_next(TimestampMs(round + 1), |_, _, _, _| Ok::<(), ()>(())) == Ok(true) {}
        store.commit();
        match round {
            1 => bytes = store.sizes().bytes,
            _ => assert!(round == 0 || store.sizes().bytes == bytes, "round {round}"),
        }
    }
}

#[test]
fn timers_come_out_in_order_and_come_back_after_a_rollback() {
    let mut timers = TimerStore::default();
    let at = |millis| TimestampMs(millis);
    timers.set(Clock::Event, at(20), b"b");
    timers.set(Clock::Event, at(-5), b"a");
    timers.set(Clock::Event, at(20), b"a");
    timers.set(Clock::Event, at(20), b"a");
    timers.set(Clock::Wall, at(7), b"w");
    timers.commit();
    assert_eq!((timers.last_due(), timers.next_wall_due()), (Some(at(20)), Some(at(7))));
    for _ in 0..2 {
        let mut due = |clock, now| timers.pop_due(clock, at(now)).map(|timer| (timer.at.0, timer.key));
        assert_eq!(due(Clock::Event, -6), None);
        assert_eq!(due(Clock::Event, 20), Some((-5, b"a".to_vec())));
        assert_eq!(due(Clock::Event, 20), Some((20, b"a".to_vec())));
        assert_eq!(due(Clock::Event, 20), Some((20, b"b".to_vec())));
        assert_eq!(due(Clock::Event, 20), None);
        assert_eq!(due(Clock::Wall, 7), Some((7, b"w".to_vec())));
        timers.roll_back();
    }
    assert!(timers.cancel(Clock::Event, at(20), b"b") && !timers.cancel(Clock::Event, at(21), b"b"));
    assert_eq!(timers.sizes().entries, 3);
}

#[test]
fn what_a_store_has_not_written_is_refused() {
    assert_eq!(WindowStore::new(U64).restore(&[0; 15], None), Err(RestoreError::Key));
    assert_eq!(TimerStore::default().restore(&[2, 0, 0, 0, 0, 0, 0, 0, 0], None), Err(RestoreError::Key));
    let refused = KeyValueStore::new(U64).restore(b"a", Some(b"short"));
    assert!(matches!(refused, Err(RestoreError::Value(_))));
}

#[test]
fn operators_reach_their_stores_by_handles() {
    let id = crate::output::StoreId(2);
    let (handle, mut stores) = (Handle::<KeyValueStore<u64>>::new(id), Stores::default());
    stores.insert(id, Box::new(KeyValueStore::new(U64)));
    stores.get_mut(handle).put(b"a", 1);
    let store = stores.take(handle);
    assert!(stores.get(id).is_none() && store.get(b"a") == Some(&1));
    stores.put_back(handle, store);
    assert_eq!(stores.iter().map(|(id, store)| (id.0, store.sizes().entries)).collect::<Vec<_>>(), [(2, 1)]);
}
