//! Windows of a number of records: one open window a key, with the number of its records since the last result.

use kafka_wire::types::TimestampMs;

use super::{Gathering, Show, Windowing};
use crate::error::ProcessError;
use crate::serde::{Serde, SerdeError};
use crate::state::KeyValueStore;
use crate::types::{Owned, Window};
use crate::window::Count;

/// The value gathered in the open window of a key.
#[derive(Clone, Debug)]
pub struct Counted<A> {
    /// Number of records since the last result.
    pub(super) count: u64,
    /// The span of the times of the records.
    pub(super) window: Window,
    pub(super) kept: A,
}

impl<A> Counted<A> {
    /// A value without records.
    pub(super) const fn new(kept: A) -> Self {
        Self { count: 0, window: Window { start: i64::MAX, end: i64::MIN }, kept }
    }

    /// Notes a record of this time.
    pub(super) fn note(&mut self, at: i64) {
        self.count += 1;
        self.window = hull(self.window, Window { start: at, end: at.saturating_add(1) });
    }
}

/// The span of both windows.
pub(super) fn hull(one: Window, other: Window) -> Window {
    Window { start: one.start.min(other.start), end: one.end.max(other.end) }
}

/// Encodes such values: count, start and end of the window (8 bytes each, big endian), then the value.
#[derive(Clone)]
pub(super) struct CountedSerde<S>(pub(super) S);

impl<A: 'static, S: Serde<View = Owned<A>>> Serde for CountedSerde<S> {
    type View = Owned<Counted<A>>;

    fn decode(&self, bytes: &[u8]) -> Result<Counted<A>, SerdeError> {
        let wrong = SerdeError::Length { expected: HEAD_BYTES, actual: bytes.len() };
        let (head, value) = bytes.split_at_checked(HEAD_BYTES).ok_or(wrong)?;
        let number = |at: usize| <[u8; 8]>::try_from(&head[at..at + 8]).expect("8 bytes of 24");
        let (start, end) = (i64::from_be_bytes(number(8)), i64::from_be_bytes(number(16)));
        let (count, window) = (u64::from_be_bytes(number(0)), Window { start, end });
        Ok(Counted { count, window, kept: self.0.decode(value)? })
    }

    fn encode(&self, value: &Counted<A>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        let Counted { count, window, kept } = value;
        out.extend_from_slice(&count.to_be_bytes());
        out.extend_from_slice(&window.start.to_be_bytes());
        out.extend_from_slice(&window.end.to_be_bytes());
        self.0.encode(kept, out)
    }
}

const HEAD_BYTES: usize = 24;

impl Windowing for Count {
    type Store<A: Clone + Send + 'static> = KeyValueStore<Counted<A>>;

    no_time!();

    fn store<A: Clone + Send + 'static, S: Serde<View = Owned<A>>>(&self, values: S) -> Self::Store<A> {
        KeyValueStore::new(CountedSerde(values))
    }

    fn is_valid(&self) -> bool {
        self.size > 0
    }

    fn describe(&self) -> String {
        let kind = if self.purges { "count" } else { "all, at each count of" };
        format!("{kind} {}", self.size)
    }

    /// The size may change between two runs: a window that is full by then is complete with its next record.
    fn version(&self) -> String {
        "count".to_owned()
    }

    fn add<A: Clone + Send + 'static>(
        &self,
        store: &mut Self::Store<A>,
        key: &[u8],
        TimestampMs(at): TimestampMs,
        init: &mut impl FnMut() -> A,
        gathering: &mut impl Gathering<A>,
    ) -> bool {
        store.update(
            key,
            || Counted::new(init()),
            |open| {
                open.note(at);
                gathering.add(&mut open.kept);
            },
        );
        true
    }

    fn complete<A: Clone + Send + 'static>(
        &self,
        store: &mut Self::Store<A>,
        key: &[u8],
        _merge: &mut dyn FnMut(&mut A, &A),
        show: &mut Show<'_, A>,
    ) -> Result<(), ProcessError> {
        let Some(full) = store.get(key).filter(|open| open.count >= self.size) else { return Ok(()) };
        show(full.window, key, &full.kept)?;
        if self.purges {
            store.remove(key);
        } else {
            store.update(key, || unreachable!("it was found"), |open| open.count = 0);
        }
        Ok(())
    }

    fn is_complete<A: Clone + Send + 'static>(&self, store: &Self::Store<A>, key: &[u8]) -> bool {
        store.get(key).is_some_and(|open| open.count == 0)
    }

    fn containing<A: Clone + Send + 'static>(
        &self,
        store: &Self::Store<A>,
        key: &[u8],
        _at: TimestampMs,
        wanted: &mut dyn FnMut(Window) -> bool,
        _merge: &mut dyn FnMut(&mut A, &A),
        show: &mut Show<'_, A>,
    ) -> Result<(), ProcessError> {
        store.get(key).filter(|open| wanted(open.window)).map_or(Ok(()), |open| show(open.window, key, &open.kept))
    }

    fn changed<A: Clone + Send + 'static>(
        &self,
        store: &Self::Store<A>,
        _merge: &mut dyn FnMut(&mut A, &A),
        show: &mut Show<'_, A>,
    ) -> Result<(), ProcessError> {
        let mut changed = store.changed().filter(|(_, open)| open.count > 0);
        changed.try_for_each(|(key, open)| show(open.window, key, &open.kept))
    }
}
