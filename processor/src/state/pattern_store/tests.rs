//! The store against a model that keeps everything in plain lists, and replays.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_wire::rng::Rng;

use super::*;
use crate::cep::{Outcome, Pattern};
use crate::serde::Text;

type Log = Vec<(Vec<u8>, Option<Vec<u8>>)>;

fn program() -> Arc<Program<String>> {
    let a = Pattern::begin("a", |event: &String| event.starts_with('a'));
    let b = a.followed_by("b", |event| event.starts_with('b')).one_or_more();
    let c = b.followed_by("c", |event| event.starts_with('c')).within(Duration::from_millis(50));
    Arc::new(c.compile().expect("a pattern with a meaning"))
}

/// A store with its changelog, and the results of each transaction that was committed.
struct Tested {
    store: PatternStore<String>,
    matcher: Matcher<String>,
    log: Log,
    compacted: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Tested {
    fn new() -> Self {
        let store = PatternStore::new(program(), Text, true);
        Self { store, matcher: Matcher::new(program()), log: Vec::new(), compacted: BTreeMap::new() }
    }

    /// Advances the watermark; returns what came out: key, time, and events.
    fn advance(&mut self, watermark: i64) -> Vec<String> {
        let mut out = Vec::new();
        while let Some((at, slot, due)) = self.store.pop_due(TimestampMs(watermark)) {
            let time = at.start;
            self.store.update((at, slot, due), &mut self.matcher);
            let key = String::from_utf8_lossy(self.store.key(slot)).into_owned();
            let program = Arc::clone(self.matcher.program());
            for found in self.matcher.found() {
                let events: Vec<_> = found.events(&program).iter().map(|(_, event)| event.clone()).collect();
                let is_match = if found.outcome == Outcome::Match { "match" } else { "timed out" };
                out.push(format!("{key} {time} {is_match} {}", events.join(" ")));
            }
        }
        self.store.close_up_to(TimestampMs(watermark));
        out
    }

    fn commit(&mut self) {
        let Self { store, log, compacted, .. } = self;
        let mut write = |key: &[u8], value: Option<&[u8]>| {
            log.push((key.to_vec(), value.map(<[u8]>::to_vec)));
            match value {
                Some(value) => _ = compacted.insert(key.to_vec(), value.to_vec()),
                None => assert!(compacted.remove(key).is_some(), "a tombstone only for what the changelog has"),
            }
        };
        let (mut key, mut value) = (Vec::new(), Vec::new());
        store.write_changes(&mut Changelog::new(2, (&mut key, &mut value), &mut write)).expect("encodes");
        store.commit();
        assert!(!store.is_dirty());
    }

    fn shown(&self) -> Vec<(Window, Vec<u8>, Vec<u8>)> {
        let mut shown = Vec::new();
        self.store
            .visit(&mut |window, key, value| shown.push((window, key.to_vec(), value.to_vec())))
            .expect("encodes");
        shown.sort();
        shown
    }

    /// Another store, restored from the changelog as it was written, or from what compaction leaves of it.
    fn restored(&self, is_compacted: bool) -> Self {
        let mut restored = Self::new();
        let log = self.log.clone();
        let rest = self.compacted.iter().map(|(key, value)| (key.clone(), Some(value.clone())));
        for (key, value) in if is_compacted { rest.collect() } else { log } {
            assert_eq!(restored.store.restore(&key[1..], value.as_deref()), Ok(()));
        }
        assert_eq!(restored.store.link(), Ok(()));
        restored.compacted.clone_from(&self.compacted);
        restored.log.clone_from(&self.log);
        assert_eq!(restored.shown(), self.shown());
        assert_eq!(restored.store.last_due(), self.store.last_due());
        restored
    }
}

/// Adds some events and advances the watermark; returns what came out, by key: a restart may change the order of keys
/// that are due at the same time.
fn step(tested: &mut Tested, rng: &mut Rng, now: &mut i64) -> Vec<String> {
    for number in 0..rng.below(8) {
        let letter = [b'a', b'b', b'c', b'x'][usize::try_from(rng.below(4)).expect("small")];
        let time = *now + i64::try_from(rng.below(30)).expect("small");
        let key = format!("k{}", rng.below(4));
        tested.store.add(key.as_bytes(), time, format!("{}{number}@{time}", char::from(letter)));
    }
    *now += i64::try_from(rng.below(20)).expect("small");
    let mut out = tested.advance(*now);
    out.sort_by(|one, other| one.split(' ').next().cmp(&other.split(' ').next()));
    out
}

#[test]
fn rolled_back_and_restored_stores_go_on_as_if_nothing_had_been() {
    for seed in 0..200 {
        // The same steps, once without any accident, and once with rollbacks and restarts in between.
        let (mut plain, mut tested) = (Tested::new(), Tested::new());
        let mut rng = Rng::from_seed(seed);
        let mut accidents = Rng::from_seed(seed + 1_000_000);
        let (mut now, mut later) = (0, 0);
        for _ in 0..30 {
            let mut again = rng.clone();
            let expected = step(&mut plain, &mut rng, &mut now);
            if accidents.below(3) == 0 {
                let mut lost = again.clone();
                let mut unused = later;
                step(&mut tested, &mut lost, &mut unused);
                if accidents.below(2) == 0 {
                    // The aborted transaction has no effect, however much was done in it.
                    step(&mut tested, &mut lost, &mut unused);
                }
                tested.store.roll_back();
            }
            assert_eq!(step(&mut tested, &mut again, &mut later), expected, "seed {seed}");
            tested.commit();
            assert_eq!(tested.shown(), plain.shown(), "seed {seed}");
            assert_eq!(tested.store.sizes().entries, plain.store.sizes().entries);
            match accidents.below(6) {
                0 => tested = tested.restored(true),
                1 => tested = tested.restored(false),
                _ => {}
            }
        }
        let [mut last, mut expected] = [&mut tested, &mut plain].map(|tested| tested.advance(now + 1_000));
        last.sort();
        expected.sort();
        assert_eq!(last, expected, "seed {seed}");
        tested.commit();
        assert_eq!((tested.shown(), tested.store.sizes().entries, tested.store.last_due()), (vec![], 0, None));
        assert_eq!(tested.compacted.len(), 1, "only the time up to which it is closed is left");
        assert_eq!(tested.store.index.len(), 0);
    }
}

#[test]
fn events_come_in_the_order_of_their_times_and_ends_before_them() {
    let mut tested = Tested::new();
    for (key, time, event) in [("x", 7, "c"), ("x", 5, "b"), ("y", 6, "a"), ("x", 5, "a"), ("y", 56, "b")] {
        tested.store.add(key.as_bytes(), time, event.to_owned());
    }
    // At 5, the `b` came first.
    assert_eq!(tested.advance(7), Vec::<String>::new());
    assert_eq!(tested.advance(8), Vec::<String>::new());
    assert_eq!(tested.store.last_due(), Some(TimestampMs(57)));
    assert_eq!(tested.advance(57), ["x 55 timed out a", "y 56 timed out a"]);
}

#[test]
fn an_event_that_comes_and_leaves_in_one_transaction_is_not_written() {
    let mut tested = Tested::new();
    tested.store.add(b"k", 1, "x".to_owned());
    assert_eq!(tested.advance(2), Vec::<String>::new());
    tested.commit();
    assert_eq!(tested.log.len(), 1, "only the time up to which it is closed");
}

#[test]
fn other_entries_are_refused() {
    let mut store = PatternStore::new(program(), Text, false);
    assert_eq!(store.restore(&[9, 1], None), Err(RestoreError::Key));
    assert_eq!(store.restore(&[WAITING, 0], None), Err(RestoreError::Key));
    assert_eq!(store.restore(&[TAKEN, 0, 0, 0, 1, b'k'], Some(b"short")), Err(RestoreError::Key));
    assert_eq!(store.restore(&[RUNS, b'k'], Some(b"?")), Ok(()));
    assert_eq!(store.link(), Err(Malformed));
}
