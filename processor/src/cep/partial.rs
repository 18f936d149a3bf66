//! The partial matches of one key: runs, and the tree of the events that they have taken.

use std::sync::Arc;

use super::queue::Queue;
use super::run::{NO_NODE, NOT_BEGUN, Run};

/// An event that a run took at a stage, after the events of the parent and those before that.
#[derive(Debug)]
pub(super) struct Node<E> {
    pub(super) stage: u16,
    /// Number of the event.
    pub(super) number: u32,
    pub(super) parent: u32,
    /// Number of runs that took this event last, and of nodes after it.
    uses: u32,
    pub(super) time: i64,
    /// `None` for a node that is free.
    pub(super) event: Option<Arc<E>>,
}

// A derived implementation would require `E: Clone`.
impl<E> Clone for Node<E> {
    fn clone(&self) -> Self {
        Self { event: self.event.clone(), ..*self }
    }
}

/// The partial matches of one key. Cloning them does not clone events.
#[derive(Debug)]
pub struct Partial<E> {
    /// Unfinished runs, with the one that has taken nothing.
    pub(super) runs: Queue,
    /// Runs that are matches and wait for runs that began before them.
    pub(super) complete: Queue,
    nodes: Vec<Node<E>>,
    free: Vec<u32>,
    /// Number of the next event that is taken.
    pub(super) next: u32,
}

// A derived implementation would require `E: Clone`.
impl<E> Clone for Partial<E> {
    fn clone(&self) -> Self {
        let Self { runs, complete, nodes, free, next } = self;
        let (runs, complete, nodes, free) = (runs.clone(), complete.clone(), nodes.clone(), free.clone());
        Self { runs, complete, nodes, free, next: *next }
    }
}

impl<E> Partial<E> {
    /// Makes the state in which nothing has been taken.
    pub(super) fn begin(start: u16) -> Self {
        let nothing = Run { state: start, node: NO_NODE, begin: NOT_BEGUN };
        let runs = Queue { runs: vec![nothing] };
        Self { runs, complete: Queue::default(), nodes: Vec::new(), free: Vec::new(), next: 0 }
    }

    /// Whether nothing has been taken, so that the key needs no memory.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.runs.len() <= 1 && self.complete.runs.is_empty()
    }

    /// The time of the event at which the oldest unfinished run began.
    #[must_use]
    pub fn first_begin(&self) -> Option<i64> {
        self.runs.first().filter(|run| run.node != NO_NODE).map(|run| run.begin.time)
    }

    /// The time of the event at which the youngest unfinished run began.
    #[must_use]
    pub fn last_begin(&self) -> Option<i64> {
        let begun = self.runs.runs.iter().filter(|run| run.node != NO_NODE);
        begun.map(|run| run.begin.time).max()
    }

    /// The events that are kept, by number, each with its time. An event may come more than once.
    pub fn events(&self) -> impl Iterator<Item = (u32, i64, &Arc<E>)> {
        self.nodes.iter().filter_map(|node| Some((node.number, node.time, node.event.as_ref()?)))
    }

    /// Memory in bytes, without that of the events.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let runs = self.runs.runs.capacity() + self.complete.runs.capacity();
        size_of::<Self>() + runs * size_of::<Run>() + self.nodes.capacity() * size_of::<Node<E>>()
    }

    /// The number of an event that is taken now.
    pub(super) fn take_number(&mut self) -> u32 {
        self.next += 1;
        self.next - 1
    }

    /// Begins anew, with the memory that there is, when nothing is kept.
    pub fn reset(&mut self) {
        debug_assert!(self.is_empty(), "runs would lose their nodes");
        self.nodes.clear();
        self.free.clear();
        self.next = 0;
    }

    pub(super) fn node(&self, node: u32) -> &Node<E> {
        &self.nodes[node as usize]
    }

    /// Adds a node after `parent`. No run uses it yet.
    pub(super) fn add(&mut self, (stage, number, time): (u16, u32, i64), event: Arc<E>, parent: u32) -> u32 {
        self.lock(parent);
        let node = Node { stage, number, parent, uses: 0, time, event: Some(event) };
        match self.free.pop() {
            Some(place) => {
                self.nodes[place as usize] = node;
                place
            }
            None => {
                self.nodes.push(node);
                u32::try_from(self.nodes.len() - 1).expect("memory ends before 2^32 nodes of a key")
            }
        }
    }

    /// Notes one more user of a node.
    pub(super) fn lock(&mut self, node: u32) {
        if node != NO_NODE {
            self.nodes[node as usize].uses += 1;
        }
    }

    /// Notes one user less of a node, and frees it, and those before it, if it was the last.
    pub(super) fn release(&mut self, mut node: u32) {
        while node != NO_NODE {
            let entry = &mut self.nodes[node as usize];
            entry.uses -= 1;
            if entry.uses > 0 {
                return;
            }
            entry.event = None;
            self.free.push(node);
            node = entry.parent;
        }
    }

    /// The nodes of a run, last first.
    pub(super) fn path(&self, last: u32) -> impl Iterator<Item = &Node<E>> {
        let mut node = last;
        std::iter::from_fn(move || {
            let entry = self.nodes.get(node as usize)?;
            node = entry.parent;
            Some(entry)
        })
    }
}
