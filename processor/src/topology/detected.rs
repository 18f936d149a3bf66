//! `pattern`, and the steps after it, as methods.

use std::sync::Arc;

use super::{BuildError, Stream};
use crate::cep::{Match, Pattern, Program};
use crate::operator::{Chain, Detect, DetectSpec, Junction, Side};
use crate::serde::Serde;
use crate::state::{Handle, PatternStore};
use crate::types::Owned;

/// A stream in which a pattern is looked for, which has to be detected.
#[must_use = "a pattern does nothing until it is detected"]
pub struct PatternStream<KS: Serde, C: Chain, E, G = fn(&Match<'_, E>), T = ()> {
    stream: Stream<KS, C>,
    pattern: Pattern<E>,
    of_timed_out: G,
    /// The steps for late events, and for partial matches that time out.
    late: Option<Steps<KS, E>>,
    timed_out: Option<Steps<KS, T>>,
}

/// A closure that declares the steps for values of type `T`.
type Steps<KS, T> = Box<dyn FnOnce(Stream<KS, Side<<KS as Serde>::View, Owned<T>>>)>;

impl<KS: Serde, C: Chain<Key = KS::View>> Stream<KS, C> {
    /// Looks for a pattern in the events of each key, in the order of their times.
    pub fn pattern<E>(self, pattern: Pattern<E>) -> PatternStream<KS, C, E>
    where
        C: Chain<Value = Owned<E>>,
        E: Clone + Send + Sync + 'static,
    {
        PatternStream { stream: self, pattern, of_timed_out: |_| (), late: None, timed_out: None }
    }
}

impl<KS, C, E, G, T> PatternStream<KS, C, E, G, T>
where
    KS: Serde,
    C: Chain<Key = KS::View, Value = Owned<E>>,
    E: Clone + Send + Sync + 'static,
    T: 'static,
    G: FnMut(&Match<'_, E>) -> T + Clone + Send + Sync + 'static,
{
    /// Declares the steps for late events, which come behind the watermark: `steps` gets the stream of them, which must
    /// end in an output. They are counted as late in any case.
    pub fn on_late(self, steps: impl FnOnce(Stream<KS, Side<KS::View, Owned<E>>>) + 'static) -> Self {
        Self { late: Some(Box::new(steps)), ..self }
    }

    /// Declares the steps for partial matches that have not become a match within the time of the pattern: `of` makes a
    /// value of each, and `steps` gets the stream of these, which must end in an output.
    pub fn on_timed_out<U, H>(
        self,
        of: H,
        steps: impl FnOnce(Stream<KS, Side<KS::View, Owned<U>>>) + 'static,
    ) -> PatternStream<KS, C, E, H, U>
    where
        U: 'static,
        H: FnMut(&Match<'_, E>) -> U + Clone + Send + Sync + 'static,
    {
        let Self { stream, pattern, late, .. } = self;
        PatternStream { stream, pattern, of_timed_out: of, late, timed_out: Some(Box::new(steps)) }
    }

    /// Makes a value of each match, under the key of its events.
    ///
    /// A match has the time of its last event; one that had to wait for a partial match that began before it has the
    /// time at which that ended. Events and partial matches are in the store `name`, written by `event_serde`, whose
    /// changelog is `<application id>-<name>-changelog`.
    pub fn detect<S, B, F>(self, name: &str, event_serde: S, of: F) -> Stream<KS, Detect<Junction<C>, KS, E, F, G>>
    where
        S: Serde<View = Owned<E>>,
        B: 'static,
        F: FnMut(&Match<'_, E>) -> B + Clone + Send + Sync + 'static,
    {
        let Self { stream, pattern, of_timed_out, late, timed_out } = self;
        let mut graph = stream.graph.borrow_mut();
        let program = Arc::new(pattern.compile().unwrap_or_else(|errors| {
            let bad = |cause| BuildError::BadPattern { name: name.to_owned(), cause };
            graph.errors.extend(errors.into_iter().map(bad));
            Program::nothing()
        }));
        graph.refuse_null_keys(&stream.key_serde, name);
        let (key, event) = (stream.key_serde.name(), event_serde.name());
        let detail = format!("pattern: {}", program.describe());
        let version = format!("{detail}, key: {key}, event: {event}");
        let (of_store, timing_out_counts) = (Arc::clone(&program), timed_out.is_some() || program.waits_for_time());
        let make = move || PatternStore::new(Arc::clone(&of_store), event_serde.clone(), timing_out_counts);
        let stores =
            graph.stateful((name, &detail), vec![("", version, Box::new(move || Box::new(make())))], &[stream.node]);
        let node = graph.last();
        drop(graph);
        let (late_side, timed_out_side) = (stream.side(node, "late"), stream.side(node, "timed-out"));
        let spec = DetectSpec {
            name: name.to_owned(),
            key_serde: stream.key_serde.clone(),
            store: Handle::new(stores[0]),
            program,
            late: late_side.node,
            timed_out: timed_out_side.node,
        };
        if let Some(steps) = late {
            steps(late_side);
        }
        if let Some(steps) = timed_out {
            steps(timed_out_side);
        }
        stream.then(node, |previous| Detect { previous, spec, of_match: of, of_timed_out })
    }
}
