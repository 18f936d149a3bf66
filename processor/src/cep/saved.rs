//! Partial matches as bytes.
//!
//! Events are written apart from the rest, each once, by its number: they are large, and never change. The rest is the
//! version of the format, the number of the next event, the nodes (stage, number of the event, index of the parent plus
//! one), and the unfinished and the complete runs (state, index of the node plus one, number and time of the first
//! event). Numbers are unsigned LEB128; times are 8 bytes, big endian.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::partial::Partial;
use super::program::Program;
use super::queue::Queue;
use super::run::{Begin, NO_NODE, Run};

const VERSION: u8 = 1;

/// Events by number, each with its time.
pub type Events<E> = BTreeMap<u32, (i64, Arc<E>)>;

/// The bytes are not such partial matches, or an event of theirs is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl<E> Partial<E> {
    /// Appends everything but the events.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut order = Vec::new();
        let mut places = BTreeMap::new();
        for run in self.runs.runs.iter().chain(&self.complete.runs) {
            let begin = order.len();
            let mut node = run.node;
            while node != NO_NODE && !places.contains_key(&node) {
                order.push(node);
                places.insert(node, 0_u64);
                node = self.node(node).parent;
            }
            order[begin..].reverse();
            for (place, node) in order.iter().enumerate().skip(begin) {
                places.insert(*node, place as u64 + 1);
            }
        }
        let place = |node: &u32| places.get(node).copied().unwrap_or(0);
        out.push(VERSION);
        number(out, u64::from(self.next));
        number(out, order.len() as u64);
        for node in &order {
            let node = self.node(*node);
            number(out, u64::from(node.stage));
            number(out, u64::from(node.number));
            number(out, place(&node.parent));
        }
        for queue in [&self.runs, &self.complete] {
            number(out, queue.runs.len() as u64);
            for run in &queue.runs {
                number(out, u64::from(run.state));
                number(out, place(&run.node));
                number(out, u64::from(run.begin.number));
                out.extend_from_slice(&run.begin.time.to_be_bytes());
            }
        }
    }
}

impl<E> Program<E> {
    /// Reads partial matches of this pattern.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(&self, bytes: &[u8], events: &Events<E>) -> Result<Partial<E>, Malformed> {
        let mut reader = Reader { bytes };
        if reader.byte()? != VERSION {
            return Err(Malformed);
        }
        let mut partial = self.begin();
        partial.next = reader.number()?;
        let count: u32 = reader.number()?;
        for place in 0..count {
            let (stage, number, parent): (u16, u32, u32) = (reader.number()?, reader.number()?, reader.number()?);
            if parent > place || usize::from(stage) >= self.stages.len() {
                return Err(Malformed);
            }
            let (time, event) = events.get(&number).ok_or(Malformed)?;
            partial.add((stage, number, *time), Arc::clone(event), parent.checked_sub(1).unwrap_or(NO_NODE));
        }
        partial.runs = self.runs(&mut reader, count)?;
        partial.complete = self.runs(&mut reader, count)?;
        let nodes: Vec<u32> = partial.runs.runs.iter().chain(&partial.complete.runs).map(|run| run.node).collect();
        nodes.into_iter().for_each(|node| partial.lock(node));
        if reader.bytes.is_empty() { Ok(partial) } else { Err(Malformed) }
    }

    fn runs(&self, reader: &mut Reader<'_>, nodes: u32) -> Result<Queue, Malformed> {
        let count: u32 = reader.number()?;
        let mut queue = Queue::default();
        for _ in 0..count {
            let (state, node, number): (u16, u32, u32) = (reader.number()?, reader.number()?, reader.number()?);
            let time = reader.time()?;
            if node > nodes || usize::from(state) >= self.states.len() {
                return Err(Malformed);
            }
            let node = node.checked_sub(1).unwrap_or(NO_NODE);
            // The array is a heap already, so that adding its elements in order leaves them where they are.
            queue.push(Run { state, node, begin: Begin { time, number } });
        }
        Ok(queue)
    }
}

fn number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap_or(0));
}

struct Reader<'b> {
    bytes: &'b [u8],
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.bytes.split_first().ok_or(Malformed)?;
        self.bytes = rest;
        Ok(*first)
    }

    fn number<N: TryFrom<u64>>(&mut self) -> Result<N, Malformed> {
        let mut number = 0_u64;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return N::try_from(number).map_err(|_| Malformed);
            }
        }
        Err(Malformed)
    }

    fn time(&mut self) -> Result<i64, Malformed> {
        let (time, rest) = self.bytes.split_first_chunk().ok_or(Malformed)?;
        self.bytes = rest;
        Ok(i64::from_be_bytes(*time))
    }
}
