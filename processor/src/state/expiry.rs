//! Time to live: entries of a store that are forgotten some time after they were written.
//!
//! An entry is stamped by the time of its clock at which it was written. By event time that is the time of the record
//! that was processed then, and an earlier record, one out of order, does not take anything off. It is over for a
//! record whose time is the time to live or more after the stamp, whether or not the watermark has come that far: so
//! what a record finds, unless it is late, does not depend on how records were cut into batches. It is removed, by an
//! ordinary removal in the open transaction, when the clock itself has come that far: by event time the watermark, and
//! not before the commit, because timers and changed results that are older than the watermark still ask for entries.
//!
//! In the changelog the stamp follows the value of the entry, as 8 bytes that sort.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kafka_wire::types::TimestampMs;

use super::clock::{Clock, Ttl};
use super::window_store::{from_ordered, ordered};

/// The stamps of the entries of a store, by key.
#[derive(Debug)]
pub(super) struct Expiry {
    ttl: Ttl,
    /// The time of the record at hand, by the clock; `UNKNOWN` before the first one.
    now: i64,
    stamps: HashMap<Box<[u8]>, Stamp>,
    /// The keys, in the order in which they have to be looked at: by [`Stamp::queued`].
    queue: BTreeSet<(i64, Box<[u8]>)>,
    /// The stamps at the begin of the open transaction, of the entries that it has changed.
    undo: BTreeMap<Box<[u8]>, Option<i64>>,
}

/// The stamp of an entry.
#[derive(Clone, Copy, Debug)]
struct Stamp {
    at: i64,
    /// Its place in the queue, which is not later than `at`: a write does not move the entry there.
    queued: i64,
}

/// No record had a time yet.
const UNKNOWN: i64 = i64::MIN;
/// The stamp of an entry that was written before any time was known.
const UNSTAMPED: i64 = i64::MAX;

impl Expiry {
    pub(super) fn new(ttl: Ttl) -> Self {
        let (stamps, queue, undo) = (HashMap::new(), BTreeSet::new(), BTreeMap::new());
        Self { ttl, now: UNKNOWN, stamps, queue, undo }
    }

    /// Sets the time of the record at hand, by both clocks. A record without a timestamp leaves event time as it is.
    pub(super) const fn set_time(&mut self, event: TimestampMs, wall: TimestampMs) {
        match self.ttl.clock {
            Clock::Event if event.0 < 0 => {}
            Clock::Event => self.now = event.0,
            Clock::Wall => self.now = wall.0,
        }
    }

    /// Whether the time of an entry is over at the record at hand. It may still be in the store then.
    pub(super) fn is_over(&self, key: &[u8]) -> bool {
        self.stamps.get(key).is_some_and(|stamp| self.is_due(stamp.at, self.now))
    }

    /// Notes that an entry is written.
    pub(super) fn note(&mut self, key: &[u8]) {
        let known = self.stamps.get(key).map(|stamp| stamp.at);
        let at = match (self.now, known.filter(|known| *known != UNSTAMPED), self.ttl.clock) {
            (UNKNOWN, known, _) => known.unwrap_or(UNSTAMPED),
            (now, Some(known), Clock::Event) => now.max(known),
            (now, ..) => now,
        };
        if known != Some(at) {
            if !self.undo.contains_key(key) {
                self.undo.insert(key.into(), known);
            }
            self.set(key, at);
        }
    }

    /// Notes that an entry is removed.
    pub(super) fn forget(&mut self, key: &[u8]) {
        if let Some(stamp) = self.remove(key) {
            self.undo.entry(key.into()).or_insert(Some(stamp.at));
        }
    }

    /// Advances the clock. Returns the entries whose time is over, which the store has to remove.
    pub(super) fn advance(&mut self, clock: Clock, now: TimestampMs) -> Vec<Box<[u8]>> {
        let mut over = Vec::new();
        if clock != self.ttl.clock || now.0 == i64::MIN {
            return over;
        }
        while let Some((UNSTAMPED, _)) = self.queue.last() {
            let (_, key) = self.queue.pop_last().expect("it was seen");
            self.set(&key, now.0);
        }
        while let Some((queued, _)) = self.queue.first()
            && self.is_due(*queued, now.0)
        {
            let (_, key) = self.queue.pop_first().expect("it was seen");
            match self.stamps.get_mut(&key) {
                Some(stamp) if stamp.at.saturating_add(self.ttl.millis) > now.0 => {
                    stamp.queued = stamp.at;
                    self.queue.insert((stamp.at, key));
                }
                _ => over.push(key),
            }
        }
        over
    }

    /// The time at which the next entry may be over, by the time of day.
    pub(super) fn next_wall_due(&self) -> Option<TimestampMs> {
        let first = self.queue.first().filter(|_| self.ttl.clock == Clock::Wall)?;
        Some(TimestampMs(first.0.saturating_add(self.ttl.millis)))
    }

    /// Appends the stamp of an entry to its value.
    pub(super) fn encode(&self, key: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&ordered(self.stamps.get(key).map_or(UNSTAMPED, |stamp| stamp.at)));
    }

    /// Restores the stamp of an entry, whose value is `None` for one that was deleted. Returns the value without
    /// its stamp; `None` if it has none.
    pub(super) fn restore<'v>(&mut self, key: &[u8], value: Option<&'v [u8]>) -> Option<Option<&'v [u8]>> {
        let Some(value) = value else {
            self.remove(key);
            return Some(None);
        };
        let (value, stamp) = value.split_last_chunk()?;
        self.set(key, from_ordered(*stamp));
        Some(Some(value))
    }

    pub(super) fn commit(&mut self) {
        self.undo.clear();
    }

    pub(super) fn roll_back(&mut self) {
        for (key, stamp) in std::mem::take(&mut self.undo) {
            match stamp {
                Some(at) => self.set(&key, at),
                None => _ = self.remove(&key),
            }
        }
    }

    /// Memory in bytes, about.
    pub(super) fn bytes(&self) -> usize {
        self.stamps.len() * (size_of::<(Box<[u8]>, Stamp)>() + size_of::<(i64, Box<[u8]>)>() + 2 * 16)
    }

    const fn is_due(&self, stamp: i64, now: i64) -> bool {
        stamp != UNSTAMPED && stamp.saturating_add(self.ttl.millis) <= now
    }

    /// Sets the stamp of an entry. The place in the queue changes only if it would be too late.
    fn set(&mut self, key: &[u8], at: i64) {
        if let Some(stamp) = self.stamps.get_mut(key) {
            stamp.at = at;
            if stamp.queued <= at {
                return;
            }
        }
        self.remove(key);
        self.stamps.insert(key.into(), Stamp { at, queued: at });
        self.queue.insert((at, key.into()));
    }

    fn remove(&mut self, key: &[u8]) -> Option<Stamp> {
        let stamp = self.stamps.remove(key)?;
        self.queue.remove(&(stamp.queued, key.into()));
        Some(stamp)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn expiry() -> Expiry {
        Expiry::new(Ttl::event(Duration::from_millis(10)))
    }

    fn write(expiry: &mut Expiry, key: &[u8], at: i64) {
        expiry.set_time(TimestampMs(at), TimestampMs(0));
        expiry.note(key);
    }

    /// The entries that are removed when the watermark has come to `now`.
    fn removed(expiry: &mut Expiry, now: i64) -> Vec<u8> {
        let over = expiry.advance(Clock::Event, TimestampMs(now));
        over.iter().for_each(|key| expiry.forget(key));
        over.into_iter().map(|key| key[0]).collect()
    }

    #[test]
    fn an_entry_goes_when_its_time_has_passed_since_the_last_write() {
        let mut expiry = expiry();
        write(&mut expiry, b"a", 100);
        write(&mut expiry, b"b", 105);
        assert!(removed(&mut expiry, 109).is_empty());
        expiry.commit();
        assert_eq!(removed(&mut expiry, 110), [b'a']);
        expiry.roll_back();
        assert_eq!(removed(&mut expiry, 110), [b'a']);
        write(&mut expiry, b"b", 116);
        assert!(removed(&mut expiry, 125).is_empty());
        assert_eq!(removed(&mut expiry, 126), [b'b']);
        expiry.commit();
        assert_eq!((expiry.stamps.len(), expiry.queue.len(), expiry.undo.len()), (0, 0, 0));
    }

    #[test]
    fn an_entry_is_over_for_a_later_record_before_the_watermark_comes() {
        let mut expiry = expiry();
        write(&mut expiry, b"a", 100);
        let is_over = |expiry: &mut Expiry, at| {
            expiry.set_time(TimestampMs(at), TimestampMs(0));
            expiry.is_over(b"a")
        };
        assert_eq!([109, 110, 90, -1].map(|at| is_over(&mut expiry, at)), [false, true, false, false]);
        // A record out of order does not take anything off; an aborted write does not add anything.
        write(&mut expiry, b"a", 95);
        expiry.commit();
        write(&mut expiry, b"a", 108);
        assert!(!is_over(&mut expiry, 112));
        assert!(removed(&mut expiry, 111).is_empty());
        expiry.roll_back();
        assert!(is_over(&mut expiry, 112));
        assert_eq!(removed(&mut expiry, 110), [b'a']);
    }

    #[test]
    fn what_was_written_before_any_time_was_known_lives_from_the_first_time_on() {
        let mut expiry = expiry();
        expiry.note(b"a");
        let mut stamp = Vec::new();
        expiry.encode(b"a", &mut stamp);
        expiry.commit();
        let mut restored = self::expiry();
        assert_eq!(restored.restore(b"a", Some(&stamp)), Some(Some(&[][..])));
        for mut expiry in [expiry, restored] {
            assert!(!expiry.is_over(b"a"));
            assert!(removed(&mut expiry, 100).is_empty() && removed(&mut expiry, 109).is_empty());
            assert_eq!(removed(&mut expiry, 110), [b'a']);
        }
    }
}
