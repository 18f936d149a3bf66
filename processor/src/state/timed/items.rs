//! The values of a key in order of time, their places in the changelog, and the rule of when something is due for them.

use std::collections::VecDeque;

use kafka_wire::types::TimestampMs;

use crate::state::window_store::{from_ordered, ordered};
use crate::types::Window;

/// The rule that says when something is due for the values of a key.
pub trait Timing<A>: Send {
    /// Returns the earliest time at which something is due for a key with these values, given that everything up
    /// to `closed_up_to` is done; `None` for never. The change of a value may make the result later, but not earlier.
    fn due(&self, items: &VecDeque<Item<A>>, closed_up_to: TimestampMs) -> Option<i64>;

    /// Whether the change of a value never makes it later either, so that nothing has to be asked again.
    fn is_exact(&self) -> bool {
        false
    }

    /// Returns the greatest time at which something will be due, without new values: the end of a bounded run.
    fn last_due(&self, items: &VecDeque<Item<A>>, closed_up_to: TimestampMs) -> Option<i64>;

    /// Returns the span of time of a value, as it is shown.
    fn span(&self, item: &Item<A>) -> Window;
}

/// The position of a value in the list of its key: a time, and a number among values of that time.
pub type At = (i64, u32);

/// A value of a key.
#[derive(Clone, Debug)]
pub struct Item<A> {
    /// Position of the value.
    pub at: At,
    /// The value.
    pub value: A,
    /// Number of the transaction that last touched the value, and the flag [`BORN`].
    pub(super) touched: u64,
}

/// Flag: the value was added in the transaction that touched it last.
pub(super) const BORN: u64 = 1 << 63;

/// Returns the place of the first value that is not before a position. It is fast for positions before all values, and
/// for those among the last values.
pub(super) fn first_from<A>(items: &VecDeque<Item<A>>, at: At) -> usize {
    if items.front().is_none_or(|first| first.at >= at) {
        return 0;
    }
    let mut back = 1;
    while back < items.len() && items[items.len() - back].at >= at {
        back *= 2;
    }
    let (mut first, mut end) = (items.len().saturating_sub(back), items.len() - back / 2);
    while first < end {
        let middle = first.midpoint(end);
        if items[middle].at < at { first = middle + 1 } else { end = middle }
    }
    first
}

/// Returns the place of a value, or its place to be.
pub(super) fn search<A>(items: &VecDeque<Item<A>>, at: At) -> Result<usize, usize> {
    let place = first_from(items, at);
    if items.get(place).is_some_and(|item| item.at == at) { Ok(place) } else { Err(place) }
}

pub(super) fn encode((time, number): At) -> [u8; 12] {
    let mut bytes = [0; 12];
    let (at, among) = bytes.split_at_mut(8);
    at.copy_from_slice(&ordered(time));
    among.copy_from_slice(&number.to_be_bytes());
    bytes
}

pub(super) fn decode(bytes: &[u8]) -> Option<(At, &[u8])> {
    let (time, rest) = bytes.split_first_chunk()?;
    let (number, key) = rest.split_first_chunk()?;
    Some(((from_ordered(*time), u32::from_be_bytes(*number)), key))
}
