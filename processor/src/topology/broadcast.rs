//! Streams of which every task gets every record, and steps over them, as methods.

use std::rc::Rc;

use super::graph::Shuffle;
use super::process::{Keys, declare_step};
use super::{BuildError, Declare, Stream};
use crate::operator::{ANY_JUMP, BroadcastProcess, BroadcastProcessing, Chain, Junction, RecordTime, Source, ToAll};
use crate::serde::Serde;
use crate::types::{Partitions, Reborrow, Rec, View};

/// A stream of which every task gets every record. Made by [`Stream::broadcast`].
#[must_use = "rules go nowhere before .with_rules(..)"]
pub struct Broadcast<RS: Serde, VS: Serde> {
    rules: Stream<RS, Source<RS, VS, RecordTime>>,
}

impl<KS: Serde, C: Chain<Key = KS::View>> Stream<KS, C> {
    /// Sends each record to all tasks of a step: rules, settings, models. They go through a topic of the job's own,
    /// `<application id>-<name>-repartition`, in each of whose partitions they are written once. `partitions` must be
    /// those of the stream that takes the rules ([`Stream::with_rules`]); `select` returns the key and the value that
    /// cross.
    ///
    /// ```
    /// use processor::driver::TestDriver;
    /// use processor::operator::{BroadcastProcess, BroadcastState, RuleScope, Scope, ValueState};
    /// use processor::output::Route;
    /// use processor::{Owned, Partitions, Rec, Topology, U64, Utf8};
    ///
    /// /// Puts out what is above the limit of its kind. A limit that is lowered holds for the last values, too.
    /// #[derive(Clone)]
    /// struct Limits {
    ///     limits: BroadcastState<Utf8, u64>,
    ///     last: ValueState<u64>,
    /// }
    ///
    /// impl BroadcastProcess<Utf8, Owned<u64>, Utf8, Owned<u64>> for Limits {
    ///     type Out = u64;
    ///
    ///     fn record(&mut self, reading: &Rec<'_, Utf8, Owned<u64>>, scope: &mut Scope<'_, Utf8, u64>) {
    ///         self.last.put(scope, reading.value);
    ///         if self.limits.get(scope, &"max").is_some_and(|limit| reading.value > *limit) {
    ///             scope.emit(reading.value);
    ///         }
    ///     }
    ///
    ///     fn rule(&mut self, rule: &Rec<'_, Utf8, Owned<u64>>, scope: &mut RuleScope<'_, Utf8, u64>) {
    ///         self.limits.put(scope, &rule.key, rule.value);
    ///         scope.each_key(&self.last, |_, scope| {
    ///             if let Some(last) = self.last.get(scope).copied().filter(|last| *last > rule.value) {
    ///                 scope.emit(last);
    ///             }
    ///         });
    ///     }
    /// }
    ///
    /// let mut job = Topology::builder("limits");
    /// let rules = job.keyed_stream("limits", Utf8, U64);
    /// let rules = rules.broadcast("rules", Partitions(2), (Utf8, U64), |rule| (rule.key, rule.value));
    /// job.keyed_stream("readings", Utf8, U64)
    ///     .with_rules(rules)
    ///     .process("alarms", |uses| Limits {
    ///         limits: uses.broadcast("limits", Utf8, U64),
    ///         last: uses.value("last", U64),
    ///     })
    ///     .to("alarms", Utf8, U64);
    ///
    /// let mut driver = TestDriver::with_partitions(job.build().expect("a sound job"), &[("readings", 2)]);
    /// let write = |driver: &mut TestDriver, topic: &str, key: &str, value: u64, at| {
    ///     driver.pipe_to(topic, Route::ByKey, Some(key.as_bytes()), Some(&value.to_be_bytes()), at);
    ///     driver.settle();
    /// };
    /// write(&mut driver, "limits", "max", 50, 1);
    /// for (sensor, value) in [("a", 40), ("b", 60), ("c", 30)] {
    ///     write(&mut driver, "readings", sensor, value, 2);
    /// }
    /// write(&mut driver, "limits", "max", 35, 3);
    /// assert_eq!(driver.read("alarms").len(), 3); // b by its record; a and b by the new limit.
    /// ```
    pub fn broadcast<K2, V2, F>(
        self,
        name: &str,
        partitions: Partitions,
        (key_serde, value_serde): (K2, V2),
        select: F,
    ) -> Broadcast<K2, V2>
    where
        K2: Serde,
        V2: Serde,
        F: for<'a> FnMut(Rec<'a, KS::View, C::Value>) -> (<K2::View as View>::Ref<'a>, <V2::View as View>::Ref<'a>)
            + Clone
            + Send
            + Sync
            + 'static,
    {
        let mut graph = self.graph.borrow_mut();
        graph.refuse_null_keys(&key_serde, name);
        let version = format!("to all, key: {}, value: {}", key_serde.name(), value_serde.name());
        let Shuffle { topic, sink, writer, source } = graph.shuffle((name, version), partitions, self.node);
        let (key, value) = (key_serde.clone(), value_serde.clone());
        let source = Source { node: source, key, value, event_time: RecordTime, jump_max_ms: ANY_JUMP };
        let last = ToAll { sink, topic, partitions, select, key_serde, value_serde, scratch: <_>::default() };
        let chain = self.junction(writer);
        graph.ends.push((writer, Box::new(move |stage| chain.build(last.clone(), stage))));
        drop(graph);
        Broadcast { rules: Stream::new(&self.graph, source) }
    }

    /// Connects this stream with rules that every task gets, for a step of your own. The stream may have no keys: then
    /// the step has what rules have told ([`Declare::broadcast`]), and neither stores of keys nor timers.
    pub fn with_rules<RS: Serde, VS: Serde>(self, rules: Broadcast<RS, VS>) -> Ruled<KS, C, RS, VS> {
        Ruled { records: self, rules: rules.rules }
    }
}

/// A stream, and rules that every task gets. Made by [`Stream::with_rules`].
#[must_use = "the records go nowhere before .process(..)"]
pub struct Ruled<KS, C, RS: Serde, VS: Serde> {
    records: Stream<KS, C>,
    rules: Stream<RS, Source<RS, VS, RecordTime>>,
}

/// The chain of rules, as it comes to the step that takes them.
type Rules<RS, VS> = Junction<Source<RS, VS, RecordTime>>;

impl<KS, C, RS, VS> Ruled<KS, C, RS, VS>
where
    KS: Serde<View: Reborrow>,
    C: Chain<Key = KS::View>,
    RS: Serde,
    VS: Serde,
{
    /// A step of your own, see [`BroadcastProcess`]. `declare` makes it, and declares what it uses. The store of its
    /// timers is `<name>-timers`.
    ///
    /// A task takes rules and records in the order of their event time, as far as they are in the topics. A rule has to
    /// go through a topic first, so when a job starts for the first time, records may come before rules that are older:
    /// a step that must not miss one keeps those records until the watermark has passed them, by a timer. Rules that
    /// come rarely hold the watermark back until their partitions are idle, as any input does.
    pub fn process<P>(
        self,
        name: &str,
        declare: impl FnOnce(&mut Declare<KS>) -> P,
    ) -> Stream<KS, BroadcastProcessing<Junction<C>, Rules<RS, VS>, KS, P>>
    where
        P: BroadcastProcess<KS::View, C::Value, RS::View, VS::View>,
    {
        self.process_with(name, |uses| (declare(uses), ())).0
    }

    /// As [`Ruled::process`]; also returns what `declare` returns besides the step: the streams of its further outputs.
    pub fn process_with<P, X>(
        self,
        name: &str,
        declare: impl FnOnce(&mut Declare<KS>) -> (P, X),
    ) -> (Stream<KS, BroadcastProcessing<Junction<C>, Rules<RS, VS>, KS, P>>, X)
    where
        P: BroadcastProcess<KS::View, C::Value, RS::View, VS::View>,
    {
        let Self { records, rules } = self;
        let mut parents = vec![records.node];
        if Rc::ptr_eq(&records.graph, &rules.graph) {
            parents.push(rules.node);
        } else {
            records.graph.borrow_mut().errors.push(BuildError::ForeignStream);
        }
        let (node, spec, (process, besides)) = declare_step((name, Keys::Optional), &records, &parents, declare);
        let rules = rules.junction(node);
        (records.then(node, |records| BroadcastProcessing { records, rules, spec, process, node }), besides)
    }
}
