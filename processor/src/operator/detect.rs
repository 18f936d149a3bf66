//! Patterns of events: each match of a [`Pattern`](crate::cep::Pattern) in the events of a key becomes one value.
//!
//! Events wait until the watermark has passed their times, and are then shown to the pattern in the order of their
//! times; of equal times, in the order of arrival. An event behind the watermark is late: it is counted, and handed to
//! the stream of late events if there is one. A match comes out with the time of the event, or the end of the time of a
//! partial match, that let it out; matches of all keys come in the order of these times. A partial match whose time is
//! over is handed to the stream of those, if there is one, at the end of its time. A crash undoes the events, the
//! partial matches and the results of the open transaction together.

use std::sync::Arc;

use kafka_wire::record::RawHeaders;
use kafka_wire::types::TimestampMs;

use super::{Chain, Context, NodeId, Operator, SideOutlet, Signals, StageBuilder};
use crate::cep::{Found, Malformed, Match, Matcher, Outcome, Program};
use crate::error::ProcessError;
use crate::serde::Serde;
use crate::state::{Due, Handle, PatternStore};
use crate::types::{Owned, Rec, Window};

/// The declaration of the detection of a pattern, after the chain `C`.
#[derive(Clone)]
pub struct Detect<C, KS, E, F, G> {
    pub(crate) previous: C,
    pub(crate) spec: DetectSpec<KS, E>,
    /// Makes a value of a match, and of a partial match that timed out.
    pub(crate) of_match: F,
    pub(crate) of_timed_out: G,
}

/// The parts of a detection, besides its closures.
pub struct DetectSpec<KS, E> {
    pub(crate) name: String,
    pub(crate) key_serde: KS,
    pub(crate) store: Handle<PatternStore<E>>,
    pub(crate) program: Arc<Program<E>>,
    /// The streams of late events, and of partial matches that timed out.
    pub(crate) late: NodeId,
    pub(crate) timed_out: NodeId,
}

// A derived implementation would require `E: Clone`.
impl<KS: Clone, E> Clone for DetectSpec<KS, E> {
    fn clone(&self) -> Self {
        let (name, key_serde, program) = (self.name.clone(), self.key_serde.clone(), Arc::clone(&self.program));
        Self { name, key_serde, program, ..*self }
    }
}

impl<C, KS, E, B, T, F, G> Chain for Detect<C, KS, E, F, G>
where
    KS: Serde,
    C: Chain<Key = KS::View, Value = Owned<E>>,
    E: Clone + Send + Sync + 'static,
    B: 'static,
    T: 'static,
    F: FnMut(&Match<'_, E>) -> B + Clone + Send + Sync + 'static,
    G: FnMut(&Match<'_, E>) -> T + Clone + Send + Sync + 'static,
{
    type Key = KS::View;
    type Value = Owned<B>;

    fn build<N: Operator<KS::View, Owned<B>>>(&self, next: N, stage: &mut StageBuilder<'_>) {
        let matcher = Matcher::new(Arc::clone(&self.spec.program));
        let (late, timed_out) = (SideOutlet::new(self.spec.late, stage), SideOutlet::new(self.spec.timed_out, stage));
        let (of_match, of_timed_out) = (self.of_match.clone(), self.of_timed_out.clone());
        let results = Results { spec: self.spec.clone(), of_match, of_timed_out, timed_out, next };
        self.previous.build(DetectOperator { matcher, late, results }, stage);
    }
}

/// The operator of a detection. Its state is in the store of the task.
struct DetectOperator<KS, E, F, G, N> {
    matcher: Matcher<E>,
    late: SideOutlet,
    results: Results<KS, E, F, G, N>,
}

/// The output side of a detection.
struct Results<KS, E, F, G, N> {
    spec: DetectSpec<KS, E>,
    of_match: F,
    of_timed_out: G,
    timed_out: SideOutlet,
    next: N,
}

impl<KS, E, B, T, F, G, N> Results<KS, E, F, G, N>
where
    KS: Serde,
    E: Send + Sync + 'static,
    B: 'static,
    T: 'static,
    F: FnMut(&Match<'_, E>) -> B,
    G: FnMut(&Match<'_, E>) -> T,
    N: Operator<KS::View, Owned<B>>,
{
    /// Puts out what was found for a key at a time.
    fn emit(
        &mut self,
        found: &Found<E>,
        raw_key: &[u8],
        timestamp: TimestampMs,
        context: &mut Context<'_>,
    ) -> Result<(), ProcessError> {
        let bad = |cause| ProcessError::BadChangelog { store: self.spec.name.clone(), cause: Some(cause) };
        let key = self.spec.key_serde.decode(raw_key).map_err(bad)?;
        let events = found.events(&self.spec.program);
        let (headers, raw_key) = (RawHeaders::EMPTY, Some(raw_key));
        match found.outcome {
            Outcome::Match => {
                let value = (self.of_match)(&events);
                self.next.push(Rec { key, value, timestamp, headers, raw_key }, context)
            }
            Outcome::TimedOut { .. } if !self.timed_out.is_used() => Ok(()),
            Outcome::TimedOut { at } => {
                let (value, timestamp) = ((self.of_timed_out)(&events), TimestampMs(at));
                self.timed_out.push::<KS::View, Owned<T>>(Rec { key, value, timestamp, headers, raw_key }, context)
            }
        }
    }
}

impl<KS, E, B, T, F, G, N> Signals for DetectOperator<KS, E, F, G, N>
where
    KS: Serde,
    E: Clone + Send + Sync + 'static,
    B: 'static,
    T: 'static,
    F: FnMut(&Match<'_, E>) -> B + Send + 'static,
    G: FnMut(&Match<'_, E>) -> T + Send + 'static,
    N: Operator<KS::View, Owned<B>>,
{
    fn next(&mut self) -> Option<&mut dyn Signals> {
        Some(&mut self.results.next)
    }

    fn watermark(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let Self { matcher, results, .. } = self;
        let (watermark, id) = (context.watermark, results.spec.store.id());
        context.with_store(results.spec.store, |store, context| {
            let name = &results.spec.name;
            store.link().map_err(|Malformed| ProcessError::BadChangelog { store: name.clone(), cause: None })?;
            while let Some((at, slot, due)) = store.pop_due(watermark) {
                // An event at which the user's code has failed is left out.
                if let Due::Event(..) = due
                    && !context.begin_result(id, at, store.key(slot))
                {
                    continue;
                }
                // Events have numbers from 0 on. A match is known by the time, the event at which it is found, if there
                // is one, and its place among the matches of that.
                let event = if matches!(due, Due::Event(..)) { at.end.saturating_add(1) } else { 0 };
                store.update((at, slot, due), matcher);
                for (index, found) in (1..).zip(matcher.found()) {
                    let (key, time) = (store.key(slot), at.start);
                    let name = event.saturating_mul(1 << 20).saturating_add(index).saturating_neg();
                    if context.begin_result(id, Window { start: time, end: name }, key) {
                        results.emit(&found, key, TimestampMs(time), context)?;
                    }
                }
            }
            store.close_up_to(watermark);
            Ok(())
        })?;
        self.results.next.watermark(context)
    }
}

impl<KS, E, B, T, F, G, N> Operator<KS::View, Owned<E>> for DetectOperator<KS, E, F, G, N>
where
    KS: Serde,
    E: Clone + Send + Sync + 'static,
    B: 'static,
    T: 'static,
    F: FnMut(&Match<'_, E>) -> B + Send + 'static,
    G: FnMut(&Match<'_, E>) -> T + Send + 'static,
    N: Operator<KS::View, Owned<B>>,
{
    fn push(&mut self, record: Rec<'_, KS::View, Owned<E>>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let time = record.timestamp;
        if time.0 < 0 {
            return context.leave_out_untimed(time);
        }
        let store = context.stores.get_mut(self.results.spec.store);
        let closed_up_to = store.closed_up_to();
        if time < closed_up_to {
            context.counters.count_late(time, closed_up_to);
            return self.late.push(record, context);
        }
        store.add(record.raw_key.unwrap_or_default(), time.0, record.value);
        Ok(())
    }
}
