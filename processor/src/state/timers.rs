//! Keyed timers: callbacks for a key at a time of the event clock or of the wall clock.
//!
//! The timers of a clock are in one ordered set, by time and key. A timer with a key of up to 14 bytes takes 24 bytes
//! there, and a node of the set is a little more than half full at worst. A changelog key is the clock (0 for event
//! time, 1 for the time of day), the time as a sortable number, and the key.

use std::collections::BTreeSet;

use kafka_wire::types::TimestampMs;

use super::clock::Clock;
use super::small_key::SmallKey;
use super::store::{Changelog, RestoreError, Store, StoreSizes, Visit};
use super::window_store::{from_ordered, ordered};
use crate::serde::{Serde, SerdeError};
use crate::types::{FOR_EVER, Owned};

/// A timer that was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    /// Its clock.
    pub clock: Clock,
    /// The time at which it is due.
    pub at: TimestampMs,
    /// The key that it was set for.
    pub key: Vec<u8>,
}

/// Timers, by clock, time and key. Setting the same timer twice sets one.
#[derive(Default)]
pub struct TimerStore {
    /// The timers of each clock.
    timers: [BTreeSet<Place>; 2],
    /// The changes of the open transaction.
    undo: Vec<Change>,
    long_key_bytes: usize,
    is_quiet: bool,
    /// Timers of event time that a timer has set while a bounded run ended.
    echoes: BTreeSet<Place>,
    /// Whether a timer fires now while a bounded run ends.
    is_echoing: bool,
}

/// A change of the open transaction.
struct Change {
    clock: Clock,
    place: Place,
    /// Whether the timer was set; it was removed otherwise.
    is_set: bool,
    /// Whether it was one of the echoes when it was removed.
    was_echo: bool,
}

impl TimerStore {
    /// Makes a store of timers at which nothing comes out: a bounded run does not wait for them.
    pub fn quiet() -> Self {
        Self { is_quiet: true, ..Self::default() }
    }

    /// Sets a timer.
    pub fn set(&mut self, clock: Clock, at: TimestampMs, key: &[u8]) {
        let place = Place { at: at.0, key: SmallKey::new(key) };
        if clock == Clock::Event && !self.is_echoing && self.echoes.contains(&place) {
            self.cancel(clock, at, key);
        }
        if self.put(clock, place.clone(), true) {
            if clock == Clock::Event && self.is_echoing {
                self.echoes.insert(place.clone());
            }
            self.undo.push(Change { clock, place, is_set: true, was_echo: false });
        }
    }

    /// Cancels a timer. Returns whether it was set.
    pub fn cancel(&mut self, clock: Clock, at: TimestampMs, key: &[u8]) -> bool {
        let place = Place { at: at.0, key: SmallKey::new(key) };
        let was_echo = clock == Clock::Event && self.echoes.contains(&place);
        let was_set = self.put(clock, place.clone(), false);
        if was_set {
            self.undo.push(Change { clock, place, is_set: false, was_echo });
        }
        was_set
    }

    /// Says whether a timer fires from now on while a bounded run ends: the timers that it sets may repeat without an
    /// end.
    pub(crate) const fn set_echoing(&mut self, is_echoing: bool) {
        self.is_echoing = is_echoing;
    }

    /// Removes the earliest timer of a clock that is due at `now`.
    pub fn pop_due(&mut self, clock: Clock, now: TimestampMs) -> Option<Timer> {
        let mut key = Vec::new();
        let at = self.pop_due_into(clock, now, &mut key)?;
        Some(Timer { clock, at, key })
    }

    /// As [`TimerStore::pop_due`]; returns the time of the timer, and replaces the content of `key` by its key.
    pub fn pop_due_into(&mut self, clock: Clock, now: TimestampMs, key: &mut Vec<u8>) -> Option<TimestampMs> {
        let timers = &mut self.timers[clock as usize];
        timers.first().filter(|place| place.at <= now.0)?;
        let place = timers.pop_first()?;
        let was_echo = clock == Clock::Event && self.echoes.remove(&place);
        self.long_key_bytes -= place.key.heap_bytes();
        key.clear();
        key.extend_from_slice(place.key.as_slice());
        let at = TimestampMs(place.at);
        self.undo.push(Change { clock, place, is_set: false, was_echo });
        Some(at)
    }

    /// Adds or removes a timer. Returns whether that changed anything.
    fn put(&mut self, clock: Clock, place: Place, is_set: bool) -> bool {
        if clock == Clock::Event && !is_set {
            self.echoes.remove(&place);
        }
        let timers = &mut self.timers[clock as usize];
        let bytes = place.key.heap_bytes();
        let has_changed = if is_set { timers.insert(place) } else { timers.remove(&place) };
        match (has_changed, is_set) {
            (true, true) => self.long_key_bytes += bytes,
            (true, false) => self.long_key_bytes -= bytes,
            (false, _) => {}
        }
        has_changed
    }
}

impl Store for TimerStore {
    fn restore(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), RestoreError> {
        let (clock, place) = decode(key).ok_or(RestoreError::Key)?;
        self.put(clock, place, value.is_some());
        Ok(())
    }

    fn write_changes(&self, changelog: &mut Changelog<'_>) -> Result<(), SerdeError> {
        // The changes of a timer take turns, so the first and the last of them tell what it was and what it is.
        let mut changes: Vec<&Change> = self.undo.iter().collect();
        changes.sort_by(|one, other| (one.clock, &one.place).cmp(&(other.clock, &other.place)));
        for of_one in changes.chunk_by(|one, other| (one.clock, &one.place) == (other.clock, &other.place)) {
            let (first, last) = (of_one[0], of_one[of_one.len() - 1]);
            let head = head(last.clock, last.place.at);
            match (first.is_set, last.is_set) {
                (true, true) => changelog.put([&head, last.place.key.as_slice()], |_| Ok(()))?,
                (false, false) => changelog.delete([&head, last.place.key.as_slice()]),
                (true, false) | (false, true) => {}
            }
        }
        Ok(())
    }

    fn commit(&mut self) {
        let changes = self.undo.len().max(UNDO_KEPT);
        self.undo.clear();
        self.undo.shrink_to(2 * changes);
    }

    fn roll_back(&mut self) {
        // The code of a timer may have panicked.
        self.is_echoing = false;
        while let Some(Change { clock, place, is_set, was_echo }) = self.undo.pop() {
            if was_echo {
                self.echoes.insert(place.clone());
            }
            self.put(clock, place, !is_set);
        }
    }

    fn is_dirty(&self) -> bool {
        !self.undo.is_empty()
    }

    fn sizes(&self) -> StoreSizes {
        let entries = self.timers.iter().map(BTreeSet::len).sum();
        // Nodes are full by two thirds on average.
        let bytes = entries * size_of::<Place>() * 3 / 2 + self.long_key_bytes;
        StoreSizes { entries, windows: 0, bytes: bytes + self.undo.capacity() * size_of::<Change>() }
    }

    fn visit(&self, visit: &mut Visit<'_>) -> Result<(), SerdeError> {
        for (clock, timers) in [Clock::Event, Clock::Wall].into_iter().zip(&self.timers) {
            for Place { at, key } in timers {
                visit(FOR_EVER, &[&head(clock, *at), key.as_slice()].concat(), &[]);
            }
        }
        Ok(())
    }

    fn last_due(&self) -> Option<TimestampMs> {
        let mut latest_first = self.timers[Clock::Event as usize].iter().rev();
        let last = latest_first.find(|place| !self.echoes.contains(place));
        last.filter(|_| !self.is_quiet).map(|place| TimestampMs(place.at))
    }

    fn last_echo(&self) -> Option<TimestampMs> {
        self.echoes.last().map(|place| TimestampMs(place.at))
    }

    fn next_event_due(&self) -> Option<TimestampMs> {
        self.timers[Clock::Event as usize].first().map(|place| TimestampMs(place.at))
    }

    fn next_wall_due(&self) -> Option<TimestampMs> {
        self.timers[Clock::Wall as usize].first().map(|place| TimestampMs(place.at))
    }
}

/// The time and the key of a timer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    at: i64,
    key: SmallKey,
}

/// Number of changes for which the undo log keeps its memory.
const UNDO_KEPT: usize = 1_000;

/// The beginning of the changelog key of a timer.
fn head(clock: Clock, at: i64) -> [u8; 9] {
    let mut head = [0; 9];
    head[0] = clock as u8;
    head[1..].copy_from_slice(&ordered(at));
    head
}

fn decode(bytes: &[u8]) -> Option<(Clock, Place)> {
    let (tag, rest) = bytes.split_first()?;
    let clock = match tag {
        0 => Clock::Event,
        1 => Clock::Wall,
        _ => return None,
    };
    let (at, key) = rest.split_first_chunk()?;
    Some((clock, Place { at: from_ordered(*at), key: SmallKey::new(key) }))
}

/// The value of an entry that only is there: empty bytes, because null would mean that it is not.
#[derive(Clone)]
pub(crate) struct Set;

impl Serde for Set {
    type View = Owned<()>;

    fn decode(&self, _bytes: &[u8]) -> Result<(), SerdeError> {
        Ok(())
    }

    fn encode(&self, (): &(), _out: &mut Vec<u8>) -> Result<(), SerdeError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_takes_three_words() {
        assert_eq!(size_of::<Place>(), 24);
    }

    #[test]
    fn long_and_short_keys_are_in_the_order_of_their_bytes() {
        let mut timers = TimerStore::default();
        let keys: [&[u8]; 4] = [b"", b"a", b"a long key that is on the heap", b"b"];
        keys.iter().rev().for_each(|key| timers.set(Clock::Event, TimestampMs(5), key));
        let mut due = || timers.pop_due(Clock::Event, TimestampMs(5)).map(|timer| timer.key);
        assert_eq!(keys.map(|_| due()), keys.map(|key| Some(key.to_vec())));
        timers.commit();
        assert_eq!(timers.sizes().entries, 0);
        assert_eq!(timers.long_key_bytes, 0);
    }

    #[test]
    fn a_rollback_brings_an_echo_back_as_one() {
        let mut timers = TimerStore::default();
        timers.set_echoing(true);
        timers.set(Clock::Event, TimestampMs(5), b"k");
        timers.set_echoing(false);
        timers.commit();
        let is_echo = |timers: &TimerStore| (timers.last_echo(), timers.last_due()) == (Some(TimestampMs(5)), None);
        assert!(is_echo(&timers));
        let fire = |timers: &mut TimerStore| _ = timers.pop_due(Clock::Event, TimestampMs(5));
        let cancel = |timers: &mut TimerStore| _ = timers.cancel(Clock::Event, TimestampMs(5), b"k");
        // A record that sets the timer makes it an ordinary one.
        let set = |timers: &mut TimerStore| timers.set(Clock::Event, TimestampMs(5), b"k");
        for change in [fire, cancel, set] as [fn(&mut TimerStore); 3] {
            change(&mut timers);
            assert!(!is_echo(&timers));
            timers.roll_back();
            assert!(is_echo(&timers) && !timers.is_dirty());
        }
    }

    #[test]
    fn a_timer_that_is_set_and_fires_in_one_transaction_is_in_no_changelog() {
        let mut timers = TimerStore::default();
        timers.set(Clock::Wall, TimestampMs(1), b"kept");
        timers.commit();
        timers.set(Clock::Event, TimestampMs(1), b"gone");
        timers.set(Clock::Event, TimestampMs(2), b"new");
        assert!(timers.cancel(Clock::Event, TimestampMs(1), b"gone"));
        assert!(timers.cancel(Clock::Wall, TimestampMs(1), b"kept"));
        timers.set(Clock::Wall, TimestampMs(1), b"kept");
        let (mut written, mut buffers) = (Vec::new(), (Vec::new(), Vec::new()));
        let mut write = |key: &[u8], value: Option<&[u8]>| written.push((key.to_vec(), value.is_some()));
        let mut changelog = Changelog::new(2, (&mut buffers.0, &mut buffers.1), &mut write);
        timers.write_changes(&mut changelog).expect("nothing to encode");
        assert_eq!(written, [([&[2][..], &head(Clock::Event, 2), b"new"].concat(), true)]);
    }
}
