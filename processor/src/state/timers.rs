//! Keyed timers: callbacks for a key at a time of the event clock or of the wall clock.

use kafka_wire::types::TimestampMs;

use super::sorted::SortedStore;
use super::store::{Changelog, RestoreError, Store, StoreSizes, Visit};
use super::window_store::{from_ordered, ordered};
use crate::serde::{Serde, SerdeError};
use crate::types::Owned;

/// The clock that a timer runs by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Clock {
    /// Event time: the timer is due once the watermark has reached its time.
    Event,
    /// The time of day: the timer is due once that has come, with records or without.
    Wall,
}

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
pub struct TimerStore {
    timers: SortedStore<()>,
}

impl Default for TimerStore {
    fn default() -> Self {
        Self { timers: SortedStore::new(Set) }
    }
}

impl TimerStore {
    /// Sets a timer.
    pub fn set(&mut self, clock: Clock, at: TimestampMs, key: &[u8]) {
        self.timers.put(&encode(clock, at, key), ());
    }

    /// Cancels a timer. Returns whether it was set.
    pub fn cancel(&mut self, clock: Clock, at: TimestampMs, key: &[u8]) -> bool {
        self.timers.remove(&encode(clock, at, key)).is_some()
    }

    /// Removes the earliest timer of a clock that is due at `now`.
    pub fn pop_due(&mut self, clock: Clock, now: TimestampMs) -> Option<Timer> {
        let prefix = [tag(clock)];
        let key = self.timers.prefix(&prefix).next()?.0.to_vec();
        let timer = decode(&key)?;
        if timer.at > now {
            return None;
        }
        self.timers.remove(&key);
        Some(timer)
    }
}

impl Store for TimerStore {
    fn restore(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), RestoreError> {
        decode(key).ok_or(RestoreError::Key)?;
        self.timers.restore(key, value)
    }

    fn write_changes(&self, changelog: &mut Changelog<'_>) -> Result<(), SerdeError> {
        self.timers.write_changes(changelog)
    }

    fn commit(&mut self) {
        self.timers.commit();
    }

    fn roll_back(&mut self) {
        self.timers.roll_back();
    }

    fn is_dirty(&self) -> bool {
        self.timers.is_dirty()
    }

    fn sizes(&self) -> StoreSizes {
        self.timers.sizes()
    }

    fn visit(&self, visit: &mut Visit<'_>) -> Result<(), SerdeError> {
        self.timers.visit(visit)
    }

    fn last_due(&self) -> Option<TimestampMs> {
        let end = vec![tag(Clock::Event) + 1];
        let (key, ()) = self.timers.range(vec![tag(Clock::Event)]..end).next_back()?;
        decode(key).map(|timer| timer.at)
    }

    fn next_wall_due(&self) -> Option<TimestampMs> {
        let prefix = [tag(Clock::Wall)];
        let (key, ()) = self.timers.prefix(&prefix).next()?;
        decode(key).map(|timer| timer.at)
    }
}

const fn tag(clock: Clock) -> u8 {
    match clock {
        Clock::Event => 0,
        Clock::Wall => 1,
    }
}

fn encode(clock: Clock, at: TimestampMs, key: &[u8]) -> Vec<u8> {
    [&[tag(clock)], &ordered(at.0)[..], key].concat()
}

fn decode(bytes: &[u8]) -> Option<Timer> {
    let (tag, rest) = bytes.split_first()?;
    let clock = match tag {
        0 => Clock::Event,
        1 => Clock::Wall,
        _ => return None,
    };
    let (at, key) = rest.split_first_chunk()?;
    Some(Timer { clock, at: TimestampMs(from_ordered(*at)), key: key.to_vec() })
}

/// The value of a timer that is set: empty bytes, because null would mean that it is not set.
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
