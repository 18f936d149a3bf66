//! The fetches in flight, at most two for each broker.
//!
//! ```text
//!                  sent               a partition is resumed       both end together: all go by one fetch again
//! regular fetch    |------------ waits for records -------------------------|
//! extra fetches                       |-10 ms-||-20 ms-||--40 ms--||-- .. --|
//! ```
//! A broker answers a fetch when it has records of its partitions, or when the wait is over; nothing calls it back
//! before. So a partition that comes up in the middle would wait for that long. It goes by an extra fetch of its own
//! instead, on another connection. The first of them waits briefly, because partitions often come up one by one, and
//! the next one has to wait for it; later ones wait longer.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::time::Moment;
use crate::types::BrokerId;

/// The kinds of fetches that may be in flight to one broker at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FetchKind {
    /// The fetch of all partitions of the broker, in a fetch session.
    Regular,
    /// A fetch of partitions that came up while the regular one waits for records, without a session. It needs another
    /// connection, because a broker works on one request of a connection at a time.
    Extra,
}

/// The fetches in flight, and the times before which there is no next one.
#[derive(Debug, Default)]
pub(super) struct Flights {
    flights: BTreeMap<(BrokerId, FetchKind), Flight>,
    /// The moments before which a broker gets no regular fetch: see [`super::ConsumerConfig::pause_per_partition`].
    resting: BTreeMap<BrokerId, Moment>,
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    /// Bytes of the buffer that the response may fill.
    reserved_bytes: usize,
    /// The end of the broker's wait for records.
    ends: Moment,
    /// Number of extra fetches since this regular one was sent.
    extra_count: u32,
}

impl Flights {
    /// Returns the kind of fetch that may go to a broker now, and the longest time for which it may wait there.
    pub(super) fn next(&self, broker: BrokerId, now: Moment, max_wait: Duration) -> Option<(FetchKind, Duration)> {
        let regular = self.flights.get(&(broker, FetchKind::Regular));
        let extra = self.flights.get(&(broker, FetchKind::Extra));
        match (regular, extra) {
            (None, extra) => {
                let is_resting = self.resting.get(&broker).is_some_and(|until| *until > now);
                // It ends with the extra one, whose partitions then go by regular fetches, too.
                let wait = extra.map_or(max_wait, |extra| max_wait.min((extra.ends - now).max(BRIEF_WAIT)));
                (!is_resting).then_some((FetchKind::Regular, wait))
            }
            (Some(regular), None) if regular.ends > now + BRIEF_WAIT => {
                let wait = (BRIEF_WAIT * (1 << regular.extra_count.min(8))).min(EXTRA_WAIT_MAX);
                Some((FetchKind::Extra, wait.min(regular.ends - now)))
            }
            (Some(_), _) => None,
        }
    }

    /// Notes that a fetch is sent, for whose response so many bytes are kept free.
    pub(super) fn begin(&mut self, broker: BrokerId, kind: FetchKind, ends: Moment, reserved_bytes: usize) {
        self.flights.insert((broker, kind), Flight { reserved_bytes, ends, extra_count: 0 });
        if kind == FetchKind::Extra
            && let Some(regular) = self.flights.get_mut(&(broker, FetchKind::Regular))
        {
            regular.extra_count += 1;
        }
    }

    /// Notes the end of a fetch.
    pub(super) fn end(&mut self, broker: BrokerId, kind: FetchKind) {
        self.flights.remove(&(broker, kind));
    }

    /// Lets a broker rest until this moment.
    pub(super) fn rest(&mut self, broker: BrokerId, until: Moment) {
        self.resting.insert(broker, until);
    }

    /// Ends the rest of a broker.
    pub(super) fn wake(&mut self, broker: BrokerId) {
        self.resting.remove(&broker);
    }

    /// The ends of the rests.
    pub(super) fn rests(&self) -> impl Iterator<Item = Moment> {
        self.resting.values().copied()
    }

    /// Number of brokers with a regular fetch in flight.
    pub(super) fn regular_count(&self) -> usize {
        self.flights.keys().filter(|(_, kind)| *kind == FetchKind::Regular).count()
    }

    /// Bytes that are kept free for responses.
    pub(super) fn reserved_bytes(&self) -> usize {
        self.flights.values().map(|flight| flight.reserved_bytes).sum()
    }
}

/// Longest wait of a fetch for which others wait, and first wait of an extra fetch.
pub(super) const BRIEF_WAIT: Duration = Duration::from_millis(10);
/// Longest wait of an extra fetch: bounds how long partitions wait that come up after it was sent.
const EXTRA_WAIT_MAX: Duration = Duration::from_millis(80);

#[cfg(test)]
mod tests {
    use super::*;

    const BROKER: BrokerId = BrokerId(1);
    const MAX_WAIT: Duration = Duration::from_millis(500);

    fn next(flights: &Flights, now_ms: u64) -> Option<(FetchKind, u128)> {
        let next = flights.next(BROKER, Moment::from_millis(now_ms), MAX_WAIT);
        next.map(|(kind, wait)| (kind, wait.as_millis()))
    }

    #[test]
    fn extra_fetches_wait_longer_and_longer_and_end_with_the_regular_one() {
        let mut flights = Flights::default();
        assert_eq!(next(&flights, 0), Some((FetchKind::Regular, 500)));
        flights.begin(BROKER, FetchKind::Regular, Moment::from_millis(500), 10);
        let (mut now_ms, mut waits) = (100, Vec::new());
        while let Some((kind, wait_ms)) = next(&flights, now_ms) {
            assert_eq!(kind, FetchKind::Extra);
            waits.push(wait_ms);
            let until_ms = now_ms + u64::try_from(wait_ms).unwrap();
            flights.begin(BROKER, kind, Moment::from_millis(until_ms), 1);
            assert_eq!((next(&flights, now_ms), flights.reserved_bytes()), (None, 11), "one of each kind");
            flights.end(BROKER, kind);
            now_ms = until_ms;
        }
        assert_eq!(waits, [10, 20, 40, 80, 80, 80, 80]);
        assert_eq!(next(&flights, now_ms), None, "the regular one is about to end");
    }

    #[test]
    fn a_regular_fetch_ends_with_the_extra_one_beside_it() {
        let mut flights = Flights::default();
        flights.begin(BROKER, FetchKind::Extra, Moment::from_millis(80), 0);
        for (now_ms, wait_ms) in [(0, 80), (50, 30), (75, 10), (90, 10)] {
            assert_eq!(next(&flights, now_ms), Some((FetchKind::Regular, wait_ms)), "at {now_ms}");
        }
        flights.end(BROKER, FetchKind::Extra);
        assert_eq!(next(&flights, 90), Some((FetchKind::Regular, 500)));
    }
}
