//! Checks of the store against a model, under random changes, commits, rollbacks and restores.

use std::collections::BTreeMap;

use kafka_wire::rng::Rng;

use super::*;
use crate::serde::U64;

/// A timing by which each value is due 10 ms after its time.
#[derive(Clone, Copy)]
struct TenLater;

impl Timing<u64> for TenLater {
    fn due(&self, items: &VecDeque<Item<u64>>, closed_up_to: TimestampMs) -> Option<i64> {
        items.iter().map(|item| item.at.0 + 10).find(|due| *due > closed_up_to.0)
    }

    fn last_due(&self, items: &VecDeque<Item<u64>>, _closed_up_to: TimestampMs) -> Option<i64> {
        items.back().map(|item| item.at.0 + 10)
    }

    fn span(&self, item: &Item<u64>) -> Window {
        Window { start: item.at.0, end: item.at.0 + 10 }
    }
}

type Model = BTreeMap<(Vec<u8>, At), u64>;

fn contents(store: &TimedStore<u64>) -> Model {
    let of_slot = |slot: &Slot<u64>| {
        let key = slot.key.as_slice().to_vec();
        slot.items.iter().map(|item| ((key.clone(), item.at), item.value)).collect::<Vec<_>>()
    };
    store.slots.iter().flat_map(of_slot).collect()
}

/// Writes the changes into a log, as a changelog topic keeps it: the last value of each key.
fn write(store: &TimedStore<u64>, log: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
    let (mut key, mut value) = (Vec::new(), Vec::new());
    let mut write = |key: &[u8], value: Option<&[u8]>| {
        match value {
            Some(value) => log.insert(key[1..].to_vec(), value.to_vec()),
            None => log.remove(&key[1..]),
        };
    };
    let mut changelog = Changelog::new(2, (&mut key, &mut value), &mut write);
    store.write_changes(&mut changelog).expect("numbers can be encoded");
}

fn restored(log: &BTreeMap<Vec<u8>, Vec<u8>>) -> TimedStore<u64> {
    let mut store = TimedStore::new(U64, TenLater);
    log.iter().for_each(|(key, value)| store.restore(key, Some(value)).expect("written by such a store"));
    store
}

fn change(store: &mut TimedStore<u64>, model: &mut Model, rng: &mut Rng) {
    let key = vec![b'a' + rng.below(5) as u8];
    let at = (rng.below(40) as i64, rng.below(2) as u32);
    let slot = store.slot_for(&key);
    match rng.below(6) {
        0 => {
            store.remove(slot, at);
            model.remove(&(key, at));
        }
        1 => {
            store.remove_before(slot, at.0);
            model.retain(|(of, (time, _)), _| *of != key || *time >= at.0);
        }
        2 => {
            store.add(slot, at.0, 7);
            let numbers = model.keys().filter(|(of, (time, _))| *of == key && *time == at.0);
            let next = numbers.map(|(_, (_, number))| number + 1).max().unwrap_or(0);
            model.insert((key, (at.0, next)), 7);
        }
        _ => {
            store.update(slot, at, || 0, |value| *value += 1);
            *model.entry((key, at)).or_default() += 1;
        }
    }
}

/// Closes the store up to a time and returns what was due. The caller checks that each key was due exactly once.
fn close(store: &mut TimedStore<u64>, up_to: i64) -> Vec<(i64, Vec<u8>)> {
    let mut found = Vec::new();
    while let Some((due, slot)) = store.pop_due(TimestampMs(up_to)) {
        found.push((due, store.key(slot).to_vec()));
        store.done(slot, due);
    }
    store.close_up_to(TimestampMs(up_to));
    found
}

#[test]
fn commits_rollbacks_and_restores_keep_what_they_should() {
    for seed in 0..300 {
        let mut rng = Rng::from_seed(seed);
        let (mut store, mut model) = (TimedStore::new(U64, TenLater), Model::new());
        let (mut committed, mut log) = (model.clone(), BTreeMap::new());
        for _ in 0..40 {
            (0..rng.below(12)).for_each(|_| change(&mut store, &mut model, &mut rng));
            assert_eq!(contents(&store), model, "seed {seed}");
            match rng.below(3) {
                0 => {
                    store.roll_back();
                    model.clone_from(&committed);
                }
                1 => {
                    write(&store, &mut log);
                    store.commit();
                    committed.clone_from(&model);
                    assert_eq!(contents(&restored(&log)), model, "seed {seed}");
                }
                _ => {}
            }
            assert_eq!(contents(&store), model, "seed {seed}");
            assert_eq!(store.sizes().entries, model.len(), "seed {seed}");
        }
    }
}

#[test]
fn what_is_due_comes_in_order_of_time_and_again_after_a_rollback() {
    let mut store = TimedStore::new(U64, TenLater);
    for (key, time) in [(b"b", 3), (b"a", 5), (b"a", 1), (b"c", 30)] {
        let slot = store.slot_for(key);
        store.add(slot, time, 0);
    }
    assert_eq!(store.first_due(), Some(TimestampMs(11)));
    store.commit();
    let expected = vec![(11, b"a".to_vec()), (13, b"b".to_vec()), (15, b"a".to_vec())];
    assert_eq!(close(&mut store, 20), expected);
    store.roll_back();
    assert_eq!(close(&mut store, 20), expected, "although no value had changed");
    let mut log = BTreeMap::new();
    write(&store, &mut log);
    store.commit();
    assert_eq!((close(&mut store, 39), store.last_due()), (vec![], Some(TimestampMs(40))));

    // The time up to which it is closed is in the changelog; the rest was written before this test wrote any.
    assert_eq!(log.len(), 1);
    let mut again = restored(&log);
    let slot = again.slot_for(b"a");
    again.add(slot, 1, 0);
    assert_eq!((again.closed_up_to(), close(&mut again, 30)), (TimestampMs(20), vec![]));
}

#[test]
fn keys_in_the_changelog_are_as_documented() {
    let mut key = encode((-2, 1)).to_vec();
    key.extend(b"ab");
    assert_eq!(key, b"\x7f\xff\xff\xff\xff\xff\xff\xfe\0\0\0\x01ab");
    assert_eq!(decode(&key), Some(((-2, 1), &b"ab"[..])));
    assert_eq!(decode(&key[..11]), None);
}

/// Windows of 30 ms that move on, over values that come late, are removed, and are changed back by rollbacks.
#[test]
fn what_is_gathered_is_what_the_span_holds() {
    for seed in 0..200 {
        let (mut store, mut rng) = (TimedStore::new(U64, TenLater), Rng::from_seed(seed));
        let (mut committed, mut start) = (0, 0);
        for _ in 0..300 {
            // A slot without values is freed by a commit or a rollback.
            let slot = store.slot_for(b"k");
            match rng.below(12) {
                0..=5 => {
                    // Most values come at the end, and some late.
                    let ahead = if rng.below(5) == 0 { 0 } else { 25 };
                    let at = (start + ahead + rng.below(8) as i64, 0);
                    let number = rng.below(100);
                    store.update(slot, at, || 0, |value| *value = value.wrapping_mul(3).wrapping_add(number));
                }
                6 => store.remove_before(slot, start),
                7 => _ = store.remove(slot, (start + rng.below(30) as i64, 0)),
                8 if rng.below(3) == 0 => {
                    store.commit();
                    committed = start;
                }
                9 if rng.below(3) == 0 => {
                    store.roll_back();
                    start = committed;
                }
                8.. => start += rng.below(4) as i64,
            }
            let slot = store.slot_for(b"k");
            let span = Window { start, end: start + 30 };
            let inside: Vec<_> =
                store.items(slot).iter().filter(|item| span.contains(TimestampMs(item.at.0))).collect();
            let sum = inside.iter().map(|item| item.value).reduce(u64::wrapping_add);
            let expected = sum.map(|sum| (sum, inside.iter().any(|item| store.is_changed(item))));
            let gathered = store.gather(slot, span, &mut |sum, later| *sum = sum.wrapping_add(*later));
            assert_eq!(gathered, expected, "seed {seed}");
        }
    }
}

#[test]
fn places_are_found_from_both_ends() {
    for len in 0..40 {
        let items: VecDeque<_> =
            (0..len).map(|at| Item { at: (at / 2 * 2, at as u32 % 2), value: 0, touched: 0 }).collect();
        for time in -1..len + 2 {
            let expected = items.partition_point(|item: &Item<u64>| item.at.0 < time);
            assert_eq!(first_from(&items, (time, 0)), expected, "{time} of {len}");
            let found = items.get(expected).is_some_and(|item| item.at.0 == time);
            assert_eq!(search(&items, (time, 0)).is_ok(), found);
        }
    }
}
