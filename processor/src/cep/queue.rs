//! Runs in the order of the events at which they began: a binary heap in an array.
//!
//! Which of several runs that began at the same event comes first depends on the array, and the order of matches and
//! the choice of those that a skip strategy lets out depend on that in turn. So the heap is one of a fixed kind, that
//! of
//! `java.util.PriorityQueue`, which Flink uses here; the heap of the standard library sifts in another way.

use super::run::Run;

/// A heap of runs. Its array is what is iterated, and what is saved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Queue {
    pub(super) runs: Vec<Run>,
}

impl Queue {
    /// The run that began first.
    pub(super) fn first(&self) -> Option<&Run> {
        self.runs.first()
    }

    /// Adds a run.
    pub(super) fn push(&mut self, run: Run) {
        self.runs.push(run);
        let mut place = self.runs.len() - 1;
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.runs[parent].begin <= run.begin {
                break;
            }
            self.runs[place] = self.runs[parent];
            place = parent;
        }
        self.runs[place] = run;
    }

    /// Removes the run that began first.
    pub(super) fn pop(&mut self) -> Option<Run> {
        let last = self.runs.pop()?;
        let Some(first) = self.runs.first().copied() else { return Some(last) };
        self.sift_down(0, last);
        Some(first)
    }

    /// Removes the runs for which `is_out` holds, and hands them to `removed`.
    pub(super) fn remove(&mut self, is_out: impl Fn(&Run) -> bool, mut removed: impl FnMut(Run)) {
        let before = self.runs.len();
        self.runs.retain(|run| {
            let is_out = is_out(run);
            if is_out {
                removed(*run);
            }
            !is_out
        });
        if self.runs.len() < before {
            (0..self.runs.len() / 2).rev().for_each(|place| self.sift_down(place, self.runs[place]));
        }
    }

    fn sift_down(&mut self, mut place: usize, run: Run) {
        let count = self.runs.len();
        while place < count / 2 {
            let mut child = 2 * place + 1;
            if child + 1 < count && self.runs[child].begin > self.runs[child + 1].begin {
                child += 1;
            }
            if run.begin <= self.runs[child].begin {
                break;
            }
            self.runs[place] = self.runs[child];
            place = child;
        }
        self.runs[place] = run;
    }
}

#[cfg(test)]
mod tests {
    use super::super::run::{Begin, NO_NODE};
    use super::*;

    fn run(number: u32, state: u16) -> Run {
        Run { state, node: NO_NODE, begin: Begin { time: 0, number } }
    }

    fn order(queue: &Queue) -> Vec<(u32, u16)> {
        queue.runs.iter().map(|run| (run.begin.number, run.state)).collect()
    }

    #[test]
    fn equal_runs_have_the_places_of_javas_queue() {
        let mut queue = Queue::default();
        for (number, state) in [(5, 0), (3, 1), (3, 2), (1, 3), (3, 4), (1, 5)] {
            queue.push(run(number, state));
        }
        assert_eq!(order(&queue), [(1, 3), (3, 1), (1, 5), (5, 0), (3, 4), (3, 2)]);
        assert_eq!(queue.pop().map(|run| run.state), Some(3));
        assert_eq!(order(&queue), [(1, 5), (3, 1), (3, 2), (5, 0), (3, 4)]);
        let mut removed = Vec::new();
        queue.remove(|run| run.begin.number == 1, |run| removed.push(run.state));
        assert_eq!((order(&queue), removed), (vec![(3, 1), (3, 2), (5, 0), (3, 4)], vec![5]));
    }
}
