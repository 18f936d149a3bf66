//! Session windows: a value is kept under the time at which its session began, together with the time at which
//! the session will end.

use std::collections::VecDeque;

use kafka_wire::types::TimestampMs;

use super::{Expected, Gathering, Show, Windowing};
use crate::error::ProcessError;
use crate::serde::{I64, Serde, SerdeError};
use crate::state::{At, Item, TimedStore, Timing};
use crate::types::{Owned, Window};
use crate::window::SessionWindow;

/// A session: the time at which it ends unless another record comes, and the value gathered in it.
#[derive(Clone, Debug)]
pub struct Activity<A> {
    end: i64,
    kept: A,
}

/// The serde of a session: the end, then the kept value.
#[derive(Clone)]
struct ActivitySerde<S>(S);

impl<A: 'static, S: Serde<View = Owned<A>>> Serde for ActivitySerde<S> {
    type View = Owned<Activity<A>>;

    fn decode(&self, bytes: &[u8]) -> Result<Activity<A>, SerdeError> {
        let length = SerdeError::Length { expected: 8, actual: bytes.len() };
        let (end, kept) = bytes.split_at_checked(8).ok_or(length)?;
        Ok(Activity { end: I64.decode(end)?, kept: self.0.decode(kept)? })
    }

    fn encode(&self, value: &Activity<A>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        I64.encode(&value.end, out)?;
        self.0.encode(&value.kept, out)
    }
}

/// The timing of sessions: each is due behind its end, since a record at the end still belongs to it.
pub struct SessionWindowTiming;

const fn due(end: i64) -> i64 {
    end.saturating_add(1)
}

impl<A> Timing<Activity<A>> for SessionWindowTiming {
    fn due(&self, sessions: &VecDeque<Item<Activity<A>>>, _closed_up_to: TimestampMs) -> Option<i64> {
        // Sessions of a key do not overlap, so the first one ends first.
        sessions.front().map(|session| due(session.value.end))
    }

    fn last_due(&self, sessions: &VecDeque<Item<Activity<A>>>, _closed_up_to: TimestampMs) -> Option<i64> {
        sessions.back().map(|session| due(session.value.end))
    }

    fn span(&self, session: &Item<Activity<A>>) -> Window {
        window(session)
    }
}

const fn window<A>(session: &Item<Activity<A>>) -> Window {
    Window { start: session.at.0, end: session.value.end }
}

/// Returns the open sessions that a record at `at` belongs to, as positions in the list.
fn touched<A>(sessions: &VecDeque<Item<Activity<A>>>, at: i64, end: i64) -> std::ops::Range<usize> {
    // Most records belong to the last session or begin one behind it.
    match sessions.back() {
        Some(last) if at > last.value.end => return sessions.len()..sessions.len(),
        Some(last) if at >= last.at.0 => return sessions.len() - 1..sessions.len(),
        _ => {}
    }
    let first = sessions.partition_point(|session| session.value.end < at);
    first..sessions.partition_point(|session| session.at.0 <= end).max(first)
}

impl Windowing for SessionWindow {
    type Store<A: Clone + Send + 'static> = TimedStore<Activity<A>>;

    never_apart!();

    const MERGES: bool = true;
    const TAKES_TRIGGERS: bool = true;
    const LOOKS_AHEAD: bool = true;

    fn expect<A: Clone + Send + 'static>(&self, store: &Self::Store<A>, ahead: &[Expected<'_>]) {
        store.expect(ahead.iter().map(|expected| expected.key));
    }

    fn store<A: Clone + Send + 'static, S: Serde<View = Owned<A>>>(&self, values: S) -> Self::Store<A> {
        TimedStore::new(ActivitySerde(values), SessionWindowTiming)
    }

    fn is_valid(&self) -> bool {
        Self::is_valid(*self)
    }

    fn describe(&self) -> String {
        Self::describe(*self)
    }

    fn closed_up_to<A: Clone + Send + 'static>(store: &Self::Store<A>) -> TimestampMs {
        store.closed_up_to()
    }

    /// A session is open at its end, so a step behind it may have seen that watermark when the result comes.
    fn last_time(window: Window) -> TimestampMs {
        TimestampMs(window.end)
    }

    fn add<A: Clone + Send + 'static>(
        &self,
        store: &mut Self::Store<A>,
        key: &[u8],
        TimestampMs(at): TimestampMs,
        init: &mut impl FnMut() -> A,
        gathering: &mut impl Gathering<A>,
    ) -> bool {
        let end = at.saturating_add(self.gap_ms());
        let has_ended = due(end) <= store.closed_up_to().0;
        if has_ended && store.slot(key).is_none() {
            // A key without a session must not get a place in the store for a late record.
            return false;
        }
        let slot = store.slot_for(key);
        let sessions = store.items(slot);
        let touched = touched(sessions, at, end);
        let joined: Vec<At> = match touched.len() {
            0 | 1 => Vec::new(),
            _ => sessions.range(touched.start + 1..touched.end).map(|session| session.at).collect(),
        };
        let first = sessions.get(touched.start).filter(|_| !touched.is_empty()).map(|session| session.at);
        let Some(first) = first else {
            // The record would be in a session that has ended, so it is late, unless an open session takes it in.
            if has_ended {
                return false;
            }
            let begin = || Activity { end, kept: init() };
            store.update(slot, (at, 0), begin, |session| gathering.add(&mut session.kept));
            return true;
        };
        let begin = first.0.min(at);
        if begin < first.0 {
            let later = store.remove(slot, first).expect("it is in the list");
            let make = || Activity { end, kept: init() };
            store.update(slot, (begin, 0), make, |session| {
                gathering.add(&mut session.kept);
                gathering.merge(&mut session.kept, &later.kept);
                session.end = session.end.max(later.end);
            });
        } else {
            let is_there = || unreachable!("it is in the list");
            store.update(slot, first, is_there, |session| {
                gathering.add(&mut session.kept);
                session.end = session.end.max(end);
            });
        }
        for at in joined {
            let later = store.remove(slot, at).expect("it is in the list");
            let is_there = || unreachable!("it is in the list");
            store.update(slot, (begin, 0), is_there, |session| {
                gathering.merge(&mut session.kept, &later.kept);
                session.end = session.end.max(later.end);
            });
        }
        true
    }

    fn begin_anew<A: Clone + Send + 'static>(&self, store: &mut Self::Store<A>, window: Window, key: &[u8], value: A) {
        if let Some(slot) = store.slot(key) {
            let session = || Activity { end: window.end, kept: value.clone() };
            store.update(slot, (window.start, 0), session, |session| session.kept = value.clone());
        }
    }

    fn anchor<A: Clone + Send + 'static>(&self, store: &Self::Store<A>, key: &[u8], at: TimestampMs) -> TimestampMs {
        let sessions = store.slot(key).map(|slot| store.items(slot));
        let session = sessions.and_then(|sessions| sessions.iter().rfind(|session| session.at.0 <= at.0));
        session.map_or(at, |session| TimestampMs(session.at.0))
    }

    fn containing<A: Clone + Send + 'static>(
        &self,
        store: &Self::Store<A>,
        key: &[u8],
        TimestampMs(at): TimestampMs,
        wanted: &mut dyn FnMut(Window) -> bool,
        _merge: &mut dyn FnMut(&mut A, &A),
        show: &mut Show<'_, A>,
    ) -> Result<(), ProcessError> {
        let Some(slot) = store.slot(key) else { return Ok(()) };
        let session = store.items(slot).iter().find(|session| session.at.0 <= at && at < session.value.end);
        session
            .filter(|session| wanted(window(session)))
            .map_or(Ok(()), |session| show(window(session), key, &session.value.kept))
    }

    fn close<A: Clone + Send + 'static>(
        &self,
        store: &mut Self::Store<A>,
        watermark: TimestampMs,
        _merge: &mut dyn FnMut(&mut A, &A),
        show: &mut dyn FnMut(Window, &[u8], &A, bool) -> Result<(), ProcessError>,
    ) -> Result<(), ProcessError> {
        while let Some((end, slot)) = store.pop_due(watermark) {
            if let Some(session) = store.items(slot).front() {
                let (window, at, is_changed) = (window(session), session.at, store.is_changed(session));
                show(window, store.key(slot), &session.value.kept, is_changed)?;
                store.remove(slot, at);
            }
            store.done(slot, end);
        }
        store.close_up_to(watermark);
        Ok(())
    }

    fn changed<A: Clone + Send + 'static>(
        &self,
        store: &Self::Store<A>,
        _merge: &mut dyn FnMut(&mut A, &A),
        show: &mut Show<'_, A>,
    ) -> Result<(), ProcessError> {
        store.changed().try_for_each(|(slot, session)| show(window(session), store.key(slot), &session.value.kept))
    }
}
