//! The steps of a job, as methods.

use std::marker::PhantomData;

use kafka_wire::types::TimestampMs;

use super::builder::{Builder, Draft};
use super::windowed::WindowedBy;
use super::{BuildError, SinkKind, SinkSpec, SourceKind, SourceSpec};
use crate::operator::{Chain, Filter, FlatMap, KeyBy, Map, Outputs, RecordTime, Source, To};
use crate::serde::Serde;
use crate::types::{Partitions, Reborrow, Rec, View};
use crate::watermark::Watermark;
use crate::window::Windows;

/// A stream under declaration: records with keys of `KS`, as they come out of the chain `C`.
///
/// Steps without state need no name. Those with state, or with a topic, have one as their first argument: it is in the name
/// of the topic, so that a job can be changed around it. Closures are cloned for each task and called on its thread only.
#[must_use = "a stream does nothing until it ends in .to(topic, ..)"]
pub struct Stream<'j, KS, C> {
    pub(super) job: &'j mut Builder,
    pub(super) draft: Draft,
    pub(super) key_serde: KS,
    pub(super) chain: C,
}

impl<'j, KS: Serde, VS: Serde> Stream<'j, KS, Source<KS, VS, RecordTime>> {
    pub(super) fn new(job: &'j mut Builder, draft: Draft, source: Source<KS, VS, RecordTime>) -> Self {
        Self { job, draft, key_serde: source.key.clone(), chain: source }
    }

    /// Takes event time from the record, in place of its timestamp.
    ///
    /// Also what the record has as its timestamp from here on: across shuffles, and in the output.
    pub fn timestamp<T>(self, event_time: T) -> Stream<'j, KS, Source<KS, VS, T>>
    where
        T: FnMut(&Rec<'_, KS::View, VS::View>) -> TimestampMs + Clone + Send + Sync + 'static,
    {
        let Source { key, value, .. } = self.chain;
        let chain = Source { key, value, event_time };
        Stream { job: self.job, draft: self.draft, key_serde: self.key_serde, chain }
    }
}

impl<KS: Serde, VS: Serde, T> Stream<'_, KS, Source<KS, VS, T>> {
    /// How event time advances on each partition of this source.
    pub const fn watermark(mut self, watermark: Watermark) -> Self {
        self.draft.watermark = watermark;
        self
    }
}

impl<'j, KS: Serde, C: Chain<Key = KS::View>> Stream<'j, KS, C> {
    /// Another value for each record.
    pub fn map<B, F>(mut self, map: F) -> Stream<'j, KS, Map<C, F>>
    where
        B: 'static,
        F: FnMut(&Rec<'_, KS::View, C::Value>) -> B + Clone + Send + Sync + 'static,
    {
        self.job.stateless(&mut self.draft, "map");
        self.then(|previous| Map { previous, map })
    }

    /// Only the records for which `keep` is true.
    pub fn filter<F>(mut self, keep: F) -> Stream<'j, KS, Filter<C, F>>
    where
        F: FnMut(&Rec<'_, KS::View, C::Value>) -> bool + Clone + Send + Sync + 'static,
    {
        self.job.stateless(&mut self.draft, "filter");
        self.then(|previous| Filter { previous, keep })
    }

    /// Any number of values for each record: the closure pushes them.
    ///
    /// `output` is the view of what is pushed: [`Utf8`](crate::serde::Utf8) for `&str`, which may lie in the record or in a
    /// buffer that the closure uses again, [`Owned::new()`](crate::types::Owned::new) for values of a type of your own.
    pub fn flat_map<B, F>(mut self, _output: B, flat_map: F) -> Stream<'j, KS, FlatMap<C, B, F>>
    where
        KS::View: Reborrow,
        B: View,
        F: FnMut(&Rec<'_, KS::View, C::Value>, &mut Outputs<'_, B>) + Clone + Send + Sync + 'static,
    {
        self.job.stateless(&mut self.draft, "flat_map");
        self.then(|previous| FlatMap { previous, output: PhantomData, flat_map })
    }

    /// The shuffle: records under another key, in a topic of their own, `<application id>-<name>-repartition`.
    ///
    /// All records of a key are behind it in one task. `select` returns the new key and the value that crosses; every byte
    /// of both is written and read once more, so this is the place to leave things out (`()` is no value at all). Event
    /// time, headers and watermarks cross by themselves.
    pub fn key_by<K2, V2, F>(
        self,
        name: &str,
        partitions: Partitions,
        (key_serde, value_serde): (K2, V2),
        select: F,
    ) -> Stream<'j, K2, Source<K2, V2, RecordTime>>
    where
        K2: Serde,
        V2: Serde,
        F: for<'a> FnMut(Rec<'a, KS::View, C::Value>) -> (<K2::View as View>::Ref<'a>, <V2::View as View>::Ref<'a>)
            + Clone
            + Send
            + Sync
            + 'static,
    {
        let Self { job, draft, chain, .. } = self;
        if key_serde.has_null() {
            job.error(BuildError::NullableKey { name: name.to_owned() });
        }
        let spec = job.repartition(name, partitions);
        let topic = spec.topic.clone();
        let sink = job.sink(spec);
        let (key, value) = (key_serde.clone(), value_serde.clone());
        let last = KeyBy { sink, topic: topic.clone(), select, key_serde, value_serde, scratch: <_>::default() };
        let upstream = job.finish(draft, (name, sink), Box::new(move || Box::new(chain.build(last.clone()))));
        let draft = job.draft(SourceSpec {
            topic,
            kind: SourceKind::Repartition { upstream, partitions },
            watermark: Watermark::default(),
        });
        Stream::new(job, draft, Source { key, value, event_time: RecordTime })
    }

    /// Divides each key's records into windows of event time, to be aggregated.
    pub fn window<W: Windows>(self, windows: W) -> WindowedBy<'j, KS, C, W> {
        WindowedBy { stream: self, windows }
    }

    /// Ends the stream in a topic, which must exist. Keys are partitioned by murmur2, as Java's producer does; timestamps and
    /// headers are those of the records.
    pub fn to<K2, V2>(self, topic: &str, key_serde: K2, value_serde: V2)
    where
        K2: Serde<View = KS::View>,
        V2: Serde<View = C::Value>,
    {
        let Self { job, draft, chain, .. } = self;
        let topic = topic.to_owned();
        let sink = job.sink(SinkSpec { topic: topic.clone(), kind: SinkKind::External });
        let name = format!("sink-{topic}");
        let last = To { sink, topic, key_serde, value_serde, scratch: <_>::default() };
        job.finish(draft, (&name, sink), Box::new(move || Box::new(chain.build(last.clone()))));
    }

    pub(super) fn then<D>(self, step: impl FnOnce(C) -> D) -> Stream<'j, KS, D> {
        let Self { job, draft, key_serde, chain } = self;
        Stream { job, draft, key_serde, chain: step(chain) }
    }
}
