//! The sums of values in spans of time that move on, such as those of sliding windows.
//!
//! Two stacks make the queue of values: of the older ones, the sum from each of them on is kept, and of the newer ones
//! the sum of all. When a span has left all of the older ones behind, the newer ones become the older ones. So each
//! value is added twice in all, however many spans contain it, and nothing has to be subtracted.

use crate::types::Window;

/// The sums of the last span.
pub(super) struct Sums<A> {
    /// The sum from each of the older values on, the earliest value last.
    before: Vec<(i64, A)>,
    /// The sum of the newer values.
    after: Option<A>,
    /// The end of the span.
    end: i64,
}

impl<A> Default for Sums<A> {
    fn default() -> Self {
        Self { before: Vec::new(), after: None, end: i64::MIN }
    }
}

impl<A: Clone> Sums<A> {
    /// The time before which values must stay as they are, but for those that no later span contains.
    pub(super) const fn end(&self) -> i64 {
        self.end
    }

    /// Returns the sum of the values in `span`, the earliest first; `None` if there is none. `inside` returns the
    /// values of a span by time. Work is saved if the span begins and ends no earlier than the last one.
    pub(super) fn move_on<'v, I>(
        &mut self,
        span: Window,
        inside: impl Fn(Window) -> I,
        merge: &mut dyn FnMut(&mut A, &A),
    ) -> Option<A>
    where
        A: 'v,
        I: DoubleEndedIterator<Item = (i64, &'v A)>,
    {
        while self.before.last().is_some_and(|(at, _)| *at < span.start) {
            self.before.pop();
        }
        if self.before.is_empty() || span.end < self.end {
            self.begin(inside(span), merge);
        } else {
            for (_, value) in inside(Window { start: self.end, ..span }) {
                match &mut self.after {
                    Some(sum) => merge(sum, value),
                    None => self.after = Some(value.clone()),
                }
            }
        }
        self.end = span.end;
        let mut sum = self.before.last()?.1.clone();
        self.after.iter().for_each(|after| merge(&mut sum, after));
        Some(sum)
    }

    /// Makes all values older ones.
    fn begin<'v>(&mut self, values: impl DoubleEndedIterator<Item = (i64, &'v A)>, merge: &mut dyn FnMut(&mut A, &A))
    where
        A: 'v,
    {
        self.before.clear();
        self.after = None;
        for (at, value) in values.rev() {
            let mut sum = value.clone();
            self.before.last().into_iter().for_each(|(_, later)| merge(&mut sum, later));
            self.before.push((at, sum));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Compares with plain sums, of texts, so that the order shows. Returns how many were merged.
    fn merged(values: &[(i64, u8)], spans: impl Iterator<Item = Window>) -> usize {
        let (count, mut sums) = (Cell::new(0), Sums::default());
        let values: Vec<(i64, Vec<u8>)> = values.iter().map(|(at, value)| (*at, vec![*value])).collect();
        for span in spans {
            let inside = |span: Window| {
                let in_span = move |(at, _): &&(i64, Vec<u8>)| span.start <= *at && *at < span.end;
                values.iter().filter(in_span).map(|(at, value)| (*at, value))
            };
            let mut merge = |sum: &mut Vec<u8>, later: &Vec<u8>| {
                count.set(count.get() + 1);
                sum.extend_from_slice(later);
            };
            let expected: Vec<u8> = inside(span).flat_map(|(_, value)| value.clone()).collect();
            let sum = sums.move_on(span, inside, &mut merge);
            assert_eq!(sum, (!expected.is_empty()).then_some(expected), "{span:?}");
        }
        count.get()
    }

    #[test]
    fn spans_that_move_on_add_each_value_twice() {
        let values: Vec<(i64, u8)> = (0..1_000).map(|at| (at, at as u8)).collect();
        let spans = |size: i64| (0..1_100).map(move |end| Window { start: end - size, end });
        for size in [1, 2, 7, 100, 600] {
            let count = merged(&values, spans(size));
            assert!(count <= 3 * 1_100, "{count} merges of spans of {size}");
        }
    }

    #[test]
    fn spans_may_jump_go_back_and_be_empty() {
        let values = [(0, 1), (5, 2), (6, 3), (20, 4), (21, 5), (22, 6), (40, 7)];
        let spans = [(0, 10), (4, 21), (4, 21), (20, 23), (23, 30), (30, 41), (0, 22), (5, 50), (41, 60)];
        merged(&values, spans.into_iter().map(|(start, end)| Window { start, end }));
    }
}
