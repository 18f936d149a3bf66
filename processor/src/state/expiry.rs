//! Time to live: entries of a store that are forgotten some time after they were written.
//!
//! An entry is stamped by the first time of its clock that is known after it was written: a store is not told the
//! time of each record, but each advance of the watermark and of the time of day. It is removed when the clock has
//! reached the stamp and the time to live, by an ordinary removal in the open transaction. So an entry never goes
//! too early; by event time, it goes with the watermark that ends its time.
//!
//! In the changelog the stamp follows the value of the entry, as 8 bytes that sort.

use std::collections::{BTreeSet, HashMap};

use kafka_wire::types::TimestampMs;

use super::clock::{Clock, Ttl};
use super::window_store::{from_ordered, ordered};

/// The stamps of the entries of a store, by key.
#[derive(Debug)]
pub(super) struct Expiry {
    ttl: Ttl,
    stamps: HashMap<Box<[u8]>, i64>,
    /// The same, in the order of the stamps.
    order: BTreeSet<(i64, Box<[u8]>)>,
    /// Entries that have no stamp yet; some may have one by now, or be gone.
    unstamped: Vec<Box<[u8]>>,
    /// The stamps at the begin of the open transaction, or later; undone in reverse order.
    undo: Vec<(Box<[u8]>, Option<i64>)>,
}

/// The stamp of an entry that is younger than the last time that is known.
const UNSTAMPED: i64 = i64::MAX;

impl Expiry {
    pub(super) fn new(ttl: Ttl) -> Self {
        let (stamps, order) = (HashMap::new(), BTreeSet::new());
        Self { ttl, stamps, order, unstamped: Vec::new(), undo: Vec::new() }
    }

    /// Notes that an entry is written.
    pub(super) fn note(&mut self, key: &[u8]) {
        let known = self.stamps.get(key).copied();
        if known != Some(UNSTAMPED) {
            self.undo.push((key.into(), known));
            self.set(key, Some(UNSTAMPED));
        }
    }

    /// Notes that an entry is removed.
    pub(super) fn forget(&mut self, key: &[u8]) {
        if let Some(known) = self.stamps.get(key).copied() {
            self.undo.push((key.into(), Some(known)));
            self.set(key, None);
        }
    }

    /// Advances the clock: stamps what was written since the last call. Returns the entries whose time is over.
    pub(super) fn advance(&mut self, clock: Clock, now: TimestampMs) -> Vec<Box<[u8]>> {
        if clock != self.ttl.clock || now.0 == i64::MIN {
            return Vec::new();
        }
        for key in std::mem::take(&mut self.unstamped) {
            if self.stamps.get(&key) == Some(&UNSTAMPED) {
                self.set(&key, Some(now.0));
            }
        }
        let is_over = |(stamp, _): &&(i64, Box<[u8]>)| stamp.saturating_add(self.ttl.millis) <= now.0;
        self.order.iter().take_while(is_over).map(|(_, key)| key.clone()).collect()
    }

    /// The time at which the next entry is over, by the time of day.
    pub(super) fn next_wall_due(&self) -> Option<TimestampMs> {
        let first = self.order.first().filter(|_| self.ttl.clock == Clock::Wall)?;
        Some(TimestampMs(first.0.saturating_add(self.ttl.millis)))
    }

    /// Appends the stamp of an entry to its value.
    pub(super) fn encode(&self, key: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&ordered(self.stamps.get(key).copied().unwrap_or(UNSTAMPED)));
    }

    /// Restores the stamp of an entry, whose value is `None` for one that was deleted. Returns the value without
    /// its stamp; `None` if it has none.
    pub(super) fn restore<'v>(&mut self, key: &[u8], value: Option<&'v [u8]>) -> Option<Option<&'v [u8]>> {
        let Some(value) = value else {
            self.set(key, None);
            return Some(None);
        };
        let (value, stamp) = value.split_last_chunk()?;
        self.set(key, Some(from_ordered(*stamp)));
        Some(Some(value))
    }

    pub(super) fn commit(&mut self) {
        self.undo.clear();
    }

    pub(super) fn roll_back(&mut self) {
        while let Some((key, stamp)) = self.undo.pop() {
            self.set(&key, stamp);
        }
    }

    /// Memory in bytes, about.
    pub(super) fn bytes(&self) -> usize {
        self.stamps.len() * 2 * (size_of::<(i64, Box<[u8]>)>() + 16)
    }

    fn set(&mut self, key: &[u8], stamp: Option<i64>) {
        let before = match stamp {
            Some(stamp) => self.stamps.insert(key.into(), stamp),
            None => self.stamps.remove(key),
        };
        if let Some(before) = before.filter(|before| *before != UNSTAMPED) {
            self.order.remove(&(before, key.into()));
        }
        match stamp {
            Some(UNSTAMPED) => self.unstamped.push(key.into()),
            Some(stamp) => _ = self.order.insert((stamp, key.into())),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_entry_goes_when_its_time_has_passed_since_the_last_write() {
        let mut expiry = Expiry::new(Ttl::event(Duration::from_millis(10)));
        let over = |expiry: &mut Expiry, now| {
            let over = expiry.advance(Clock::Event, TimestampMs(now));
            over.iter().for_each(|key| expiry.forget(key));
            over.into_iter().map(|key| key[0]).collect::<Vec<u8>>()
        };
        expiry.note(b"a");
        assert!(over(&mut expiry, 100).is_empty());
        expiry.note(b"b");
        assert!(over(&mut expiry, 105).is_empty());
        assert!(over(&mut expiry, 109).is_empty());
        expiry.commit();
        assert_eq!(over(&mut expiry, 110), [b'a']);
        expiry.roll_back();
        assert_eq!(over(&mut expiry, 110), [b'a']);
        expiry.note(b"b");
        assert!(over(&mut expiry, 116).is_empty());
        assert_eq!(over(&mut expiry, 126), [b'b']);
        expiry.commit();
        assert_eq!((expiry.stamps.len(), expiry.order.len()), (0, 0));
    }
}
