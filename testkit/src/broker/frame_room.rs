//! The memory of frames in flight, over all connections together.
//!
//! A connection is charged for a request that does not fit its small read buffer, from before the rest of it is
//! read until it is answered; then for its answer, until that is written. Records that an answer shares with a log
//! are charged to the log. Only when the log has no room left because deleted records are still being sent is the
//! connection that shares the most bytes closed, if it has held them for [`PATIENCE`].
//!
//! A connection that finds no room is not read until there is room; waiting connections are served in the order
//! of arrival. A waiting connection holds no memory, and one that holds memory waits only for its own client or for
//! the broker. When a connection has waited for [`PATIENCE`], the one that holds the most memory and has held it for as
//! long is closed. So every wait ends.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use kafka_wire::time::Moment;

use super::ConnectionId;

/// The bytes that each connection holds.
#[derive(Debug)]
pub(super) struct FrameRoom {
    limit_bytes: usize,
    used_bytes: usize,
    held: BTreeMap<ConnectionId, Held>,
    /// Connections that wait for room, in the order of arrival.
    waiting: VecDeque<ConnectionId>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    bytes: usize,
    /// Bytes of an answer being sent that lie in a log.
    shared_bytes: usize,
    since: Moment,
}

impl FrameRoom {
    /// Room for `limit_bytes`.
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, used_bytes: 0, held: BTreeMap::new(), waiting: VecDeque::new() }
    }

    /// Bytes that no connection holds.
    pub(super) fn left_bytes(&self) -> usize {
        self.limit_bytes.saturating_sub(self.used_bytes)
    }

    /// Charges a connection that holds nothing for a request, if there is room and no connection waits in front of it;
    /// otherwise the connection waits from now on. A request of 0 bytes needs some room for its answer at least.
    pub(super) fn take(&mut self, now: Moment, connection: ConnectionId, bytes: usize) -> bool {
        let is_next = self.waiting.front().is_none_or(|&first| first == connection);
        if !is_next || self.left_bytes() < bytes.max(1) {
            if !self.waiting.contains(&connection) {
                self.waiting.push_back(connection);
            }
            return false;
        }
        self.waiting.pop_front();
        self.charge(now, connection, bytes, 0);
        true
    }

    /// Replaces the charge of a connection by what it holds now, and notes the bytes that it shares with logs.
    /// This cannot be refused.
    pub(super) fn charge(&mut self, now: Moment, connection: ConnectionId, bytes: usize, shared_bytes: usize) {
        self.release(connection);
        if bytes > 0 || shared_bytes > 0 {
            self.used_bytes += bytes;
            self.held.insert(connection, Held { bytes, shared_bytes, since: now });
        }
    }

    /// Removes the charge of a connection. Returns whether it had one, so that waiting connections can go on.
    pub(super) fn release(&mut self, connection: ConnectionId) -> bool {
        let held = self.held.remove(&connection);
        self.used_bytes -= held.map_or(0, |held| held.bytes);
        held.is_some()
    }

    /// Removes a connection that was closed.
    pub(super) fn forget(&mut self, connection: ConnectionId) {
        self.release(connection);
        self.waiting.retain(|&waiting| waiting != connection);
    }

    /// The connection that holds the most bytes, among those that have held theirs for [`PATIENCE`],
    /// and the number of bytes.
    pub(super) fn largest(&self, now: Moment) -> Option<(ConnectionId, usize)> {
        self.largest_by(now, |held| held.bytes)
    }

    /// The same for the bytes that answers share with logs.
    pub(super) fn largest_shared(&self, now: Moment) -> Option<(ConnectionId, usize)> {
        self.largest_by(now, |held| held.shared_bytes)
    }

    fn largest_by(&self, now: Moment, bytes: impl Fn(&Held) -> usize) -> Option<(ConnectionId, usize)> {
        let old = self.held.iter().filter(|(_, held)| now >= held.since + PATIENCE && bytes(held) > 0);
        old.map(|(&connection, held)| (connection, bytes(held))).max_by_key(|&(_, bytes)| bytes)
    }
}

/// Time for which a connection may hold memory while another one waits for it.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    #[test]
    fn who_finds_no_room_waits_in_line() {
        let [a, b, c, d] = [1, 2, 3, 4].map(ConnectionId);
        let mut room = FrameRoom::new(100);
        assert!(room.take(at(0), a, 60) && !room.take(at(0), b, 60));
        // There is room for so little, but a connection that waits is in front.
        assert!(!room.take(at(0), c, 10));
        assert!(room.release(a) && !room.release(a));
        assert!(!room.take(at(0), c, 10) && room.take(at(0), b, 60) && room.take(at(0), c, 10));
        assert_eq!(room.left_bytes(), 30);
        // A waiting connection that was closed no longer blocks the others.
        assert!(!room.take(at(0), d, 70));
        room.forget(d);
        assert!(room.take(at(0), a, 30));
    }

    #[test]
    fn answers_may_go_beyond_and_then_nothing_is_read() {
        let [a, b] = [1, 2].map(ConnectionId);
        let mut room = FrameRoom::new(100);
        room.charge(at(0), a, 40, 0);
        room.charge(at(0), a, 150, 9);
        assert_eq!(room.left_bytes(), 0);
        assert!(!room.take(at(0), b, 0));
        room.charge(at(0), a, 0, 0);
        assert!(room.take(at(0), b, 0));
        assert_eq!(room.left_bytes(), 100);
    }

    #[test]
    fn the_largest_of_those_that_have_held_for_long_is_named() {
        let [a, b, c] = [1, 2, 3].map(ConnectionId);
        let mut room = FrameRoom::new(100);
        assert!(room.take(at(0), a, 10) && room.take(at(0), b, 20) && room.take(at(2), c, 70));
        assert_eq!(room.largest(at(2)), None);
        assert_eq!(room.largest(at(3)), Some((b, 20)));
        assert_eq!(room.largest(at(5)), Some((c, 70)));
        room.charge(at(5), a, 0, 1_000);
        assert_eq!((room.largest_shared(at(7)), room.largest_shared(at(8))), (None, Some((a, 1_000))));
        assert_eq!(room.largest(at(8)), Some((c, 70)));
    }
}
