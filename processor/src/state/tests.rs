//! The store against a model: a map, and a copy of it made when the transaction began.

use std::collections::{BTreeMap, BTreeSet};

use kafka_wire::types::TimestampMs;
use proptest::prelude::*;

use super::*;
use crate::types::Window;

const SIZE: i64 = 10;

fn window(start: i64) -> Window {
    Window { start, end: start + SIZE }
}

#[derive(Clone, Debug)]
enum Operation {
    Add { start: i64, key: Vec<u8>, amount: u64 },
    Close { watermark: i64 },
    Commit,
    RollBack,
}

fn operation() -> impl Strategy<Value = Operation> {
    let add = (-3_i64..4, prop::collection::vec(0_u8..3, 0..3), 1_u64..5)
        .prop_map(|(window, key, amount)| Operation::Add { start: window * SIZE, key, amount });
    prop_oneof![
        12 => add,
        2 => (-30_i64..50).prop_map(|watermark| Operation::Close { watermark }),
        1 => Just(Operation::Commit),
        1 => Just(Operation::RollBack),
    ]
}

type Entries = BTreeMap<(i64, Vec<u8>), u64>;

/// The store, a model of it, and the changelog that commits have written.
#[derive(Default)]
struct Checked {
    store: WindowStore<u64>,
    model: Entries,
    committed: Entries,
    changelog: Entries,
}

impl Checked {
    fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Add { start, key, amount } => {
                self.store.update(window(start), &key, || 0, |sum| *sum += amount);
                *self.model.entry((start, key)).or_default() += amount;
            }
            Operation::Close { watermark } => self.close(watermark),
            Operation::Commit => self.commit(),
            Operation::RollBack => {
                self.store.roll_back();
                self.model.clone_from(&self.committed);
            }
        }
        self.check();
    }

    fn close(&mut self, watermark: i64) {
        let mut last = i64::MIN;
        while let Some(closed) = self.store.close_next(TimestampMs(watermark)) {
            assert!(
                closed.window.end <= watermark && closed.window.start > last,
                "closed in order, and only the closed"
            );
            last = closed.window.start;
            let entries: Entries = closed.iter().map(|(key, sum)| ((last, key.to_vec()), *sum)).collect();
            let expected: Entries = self.model.range((last, vec![])..(last + 1, vec![])).map(owned).collect();
            assert_eq!(entries, expected);
            for (key, sum) in closed.dirty() {
                assert_eq!(self.model.get(&(last, key.to_vec())), Some(sum), "what is dirty is there");
            }
        }
        self.model.retain(|(start, _), _| start + SIZE > watermark);
    }

    fn commit(&mut self) {
        let deleted: Vec<_> = self.store.deleted().map(|(window, key)| (window.start, key.to_vec())).collect();
        for place in deleted {
            assert!(self.changelog.remove(&place).is_some(), "a tombstone only for what the changelog has");
        }
        let mut seen = BTreeSet::new();
        for (window, key, sum) in self.store.dirty() {
            assert!(seen.insert((window.start, key.to_vec())), "each dirty entry once");
            self.changelog.insert((window.start, key.to_vec()), *sum);
        }
        self.store.commit();
        assert!(!self.store.is_dirty());
        self.committed.clone_from(&self.model);
        assert_eq!(self.changelog, self.committed);
    }

    fn check(&self) {
        let entries: Entries =
            self.store.iter().map(|(window, key, sum)| ((window.start, key.to_vec()), *sum)).collect();
        assert_eq!(entries, self.model);
        assert_eq!(self.store.entry_count(), self.model.len());
        for ((start, key), sum) in &self.model {
            assert_eq!(self.store.find(*start, key), Some(sum));
        }
        assert_eq!(self.store.last_end(), self.model.keys().map(|(start, _)| start + SIZE).max());
        let starts: BTreeSet<_> = self.model.keys().map(|(start, _)| start).collect();
        assert_eq!(self.store.window_count(), starts.len());
    }
}

fn owned((place, sum): (&(i64, Vec<u8>), &u64)) -> ((i64, Vec<u8>), u64) {
    (place.clone(), *sum)
}

proptest! {
    #[test]
    fn the_store_is_a_map_with_transactions(operations in prop::collection::vec(operation(), 0..200)) {
        let mut checked = Checked::default();
        operations.into_iter().for_each(|operation| checked.apply(operation));
    }

    #[test]
    fn a_restored_store_goes_on_like_the_one_that_was_lost(
        before in prop::collection::vec(operation(), 0..100),
        after in prop::collection::vec(operation(), 0..100),
    ) {
        let mut lost = Checked::default();
        before.into_iter().for_each(|operation| lost.apply(operation));
        lost.apply(Operation::RollBack);
        let mut checked = Checked { changelog: lost.changelog.clone(), committed: lost.committed.clone(), model: lost.committed, ..Checked::default() };
        for ((start, key), sum) in &lost.changelog {
            // As a log has it: an older value first, and something that was deleted since.
            checked.store.restore(window(*start), key, Some(sum + 1));
            checked.store.restore(window(*start), b"deleted", Some(1));
            checked.store.restore(window(*start), key, Some(*sum));
            checked.store.restore(window(*start), b"deleted", None);
        }
        checked.check();
        after.into_iter().for_each(|operation| checked.apply(operation));
    }
}

#[test]
fn an_entry_born_and_closed_in_one_transaction_leaves_no_trace() {
    let mut store = WindowStore::default();
    store.update(window(0), b"a", || 0_u64, |sum| *sum += 1);
    assert!(store.close_next(TimestampMs(10)).is_some());
    assert!(store.close_next(TimestampMs(10)).is_none());
    assert_eq!(store.deleted().count() + store.dirty().count(), 0);
    assert!(store.is_dirty(), "a rollback has to bring it back to nothing");
    store.roll_back();
    assert_eq!(store.window_count(), 0);
}
