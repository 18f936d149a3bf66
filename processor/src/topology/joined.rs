//! The joins of two streams within a span of event time, and deduplication, as methods.

use std::rc::Rc;
use std::time::Duration;

use super::graph::WantedStore;
use super::{BuildError, Stream};
use crate::operator::{Chain, Dedup, JoinSpec, Junction, Memory, Retention, StreamJoin, WaitingSerde};
use crate::serde::Serde;
use crate::state::{Handle, Set, TimedStore};
use crate::types::Owned;
use crate::window::JoinWindow;

/// The sides of a join whose records come out alone if they have found no partner.
#[derive(Clone, Copy)]
struct Alone {
    left: bool,
    right: bool,
}

impl<KS: Serde, C: Chain<Key = KS::View>> Stream<KS, C> {
    /// Joins each record with those of `other` that have its key and lie within `window` of its event time.
    /// Each pair comes out once, at the greater of the two times.
    ///
    /// Records wait for partners in the stores `name-left` and `name-right`, written by `serdes`; the changelogs are
    /// `<application id>-<name>-left-changelog` and `..-right-changelog`. A record behind the watermark is late.
    pub fn join<D, SL, SR, L, R, B, F>(
        self,
        name: &str,
        other: Stream<KS, D>,
        window: JoinWindow,
        serdes: (SL, SR),
        mut join: F,
    ) -> Stream<KS, impl Chain<Key = KS::View, Value = Owned<B>> + use<KS, C, D, SL, SR, L, R, B, F>>
    where
        C: Chain<Value = Owned<L>>,
        D: Chain<Key = KS::View, Value = Owned<R>>,
        SL: Serde<View = Owned<L>>,
        SR: Serde<View = Owned<R>>,
        L: Clone + Send + 'static,
        R: Clone + Send + 'static,
        B: 'static,
        F: FnMut(&L, &R) -> B + Clone + Send + Sync + 'static,
    {
        let both = move |left: Option<&L>, right: Option<&R>| match (left, right) {
            (Some(left), Some(right)) => join(left, right),
            _ => unreachable!("no side comes out alone"),
        };
        self.pair((name, "inner join", Alone { left: false, right: false }), other, window, serdes, both)
    }

    /// As [`Stream::join`]; in addition, a record of this stream that has found no partner comes out with `None` at
    /// its own time, as soon as no partner can come any more. A windowed step behind the join needs the span of the
    /// join as its lateness.
    pub fn left_join<D, SL, SR, L, R, B, F>(
        self,
        name: &str,
        other: Stream<KS, D>,
        window: JoinWindow,
        serdes: (SL, SR),
        mut join: F,
    ) -> Stream<KS, impl Chain<Key = KS::View, Value = Owned<B>> + use<KS, C, D, SL, SR, L, R, B, F>>
    where
        C: Chain<Value = Owned<L>>,
        D: Chain<Key = KS::View, Value = Owned<R>>,
        SL: Serde<View = Owned<L>>,
        SR: Serde<View = Owned<R>>,
        L: Clone + Send + 'static,
        R: Clone + Send + 'static,
        B: 'static,
        F: FnMut(&L, Option<&R>) -> B + Clone + Send + Sync + 'static,
    {
        let left = move |left: Option<&L>, right: Option<&R>| match left {
            Some(left) => join(left, right),
            None => unreachable!("the right side does not come out alone"),
        };
        self.pair((name, "left join", Alone { left: true, right: false }), other, window, serdes, left)
    }

    /// As [`Stream::left_join`], for records of either stream.
    pub fn outer_join<D, SL, SR, L, R, B, F>(
        self,
        name: &str,
        other: Stream<KS, D>,
        window: JoinWindow,
        serdes: (SL, SR),
        join: F,
    ) -> Stream<KS, impl Chain<Key = KS::View, Value = Owned<B>> + use<KS, C, D, SL, SR, L, R, B, F>>
    where
        C: Chain<Value = Owned<L>>,
        D: Chain<Key = KS::View, Value = Owned<R>>,
        SL: Serde<View = Owned<L>>,
        SR: Serde<View = Owned<R>>,
        L: Clone + Send + 'static,
        R: Clone + Send + 'static,
        B: 'static,
        F: FnMut(Option<&L>, Option<&R>) -> B + Clone + Send + Sync + 'static,
    {
        self.pair((name, "outer join", Alone { left: true, right: true }), other, window, serdes, join)
    }

    fn pair<D, SL, SR, L, R, F>(
        self,
        (name, kind, alone): (&str, &str, Alone),
        other: Stream<KS, D>,
        window: JoinWindow,
        (left_serde, right_serde): (SL, SR),
        join: F,
    ) -> Stream<KS, StreamJoin<Junction<C>, Junction<D>, KS, L, R, F>>
    where
        D: Chain<Key = KS::View>,
        SL: Serde<View = Owned<L>>,
        SR: Serde<View = Owned<R>>,
        L: Clone + Send + 'static,
        R: Clone + Send + 'static,
    {
        let mut graph = self.graph.borrow_mut();
        let is_foreign = !Rc::ptr_eq(&self.graph, &other.graph);
        if is_foreign {
            graph.errors.push(BuildError::ForeignStream);
        }
        graph.refuse_null_keys(&self.key_serde, name);
        let (before_ms, after_ms) = (window.before_ms(), window.after_ms());
        let key = self.key_serde.name();
        let version = |side: &str, value: String| format!("join, {side}, key: {key}, value: {value}");
        let (of_left, of_right) = (version("left", left_serde.name()), version("right", right_serde.name()));
        let make_left = move || Retention { ahead_ms: after_ms, may_be_alone: alone.left };
        let make_right = move || Retention { ahead_ms: before_ms, may_be_alone: alone.right };
        let (left_serde, right_serde) = (WaitingSerde(left_serde), WaitingSerde(right_serde));
        let wanted: Vec<WantedStore<'_>> = vec![
            ("-left", of_left, Box::new(move || Box::new(TimedStore::new(left_serde.clone(), make_left())))),
            ("-right", of_right, Box::new(move || Box::new(TimedStore::new(right_serde.clone(), make_right())))),
        ];
        let parents = if is_foreign { vec![self.node] } else { vec![self.node, other.node] };
        let stores = graph.stateful((name, &format!("{kind}, {}", window.describe())), wanted, &parents);
        let node = graph.last();
        graph.nodes[node.0].emits_by_order = true;
        drop(graph);
        let spec = JoinSpec {
            name: name.to_owned(),
            key_serde: self.key_serde.clone(),
            left: Handle::new(stores[0]),
            right: Handle::new(stores[1]),
            before_ms,
            after_ms,
            left_alone: alone.left,
            right_alone: alone.right,
        };
        let chain = StreamJoin { left: self.junction(node), right: other.junction(node), spec, join, node };
        Stream { graph: self.graph, node, key_serde: self.key_serde, chain }
    }

    /// Passes on only the first record of each key; those less than `within` of event time away from it are left out.
    /// The name of the store is `name`.
    pub fn dedup(self, name: &str, within: Duration) -> Stream<KS, Dedup<Junction<C>>> {
        let mut graph = self.graph.borrow_mut();
        graph.refuse_null_keys(&self.key_serde, name);
        let within_ms = i64::try_from(within.as_millis()).unwrap_or(i64::MAX);
        let version = format!("dedup, key: {}", self.key_serde.name());
        let wanted: Vec<WantedStore<'_>> =
            vec![("", version, Box::new(move || Box::new(TimedStore::new(Set, Memory(within_ms)))))];
        let stores = graph.stateful((name, &format!("within {within_ms} ms")), wanted, &[self.node]);
        let node = graph.last();
        graph.nodes[node.0].emits_by_order = true;
        drop(graph);
        let seen = Handle::new(stores[0]);
        self.then(node, |previous| Dedup { previous, seen, within_ms })
    }
}
