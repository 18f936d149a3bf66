//! The builder: collects sub-topologies, names topics, and checks the whole.

use std::collections::BTreeSet;

use super::error::check_name;
use super::{
    BuildError, BuildErrors, Node, NodeKind, SinkKind, SinkSpec, SourceKind, SourceSpec, StageBuilder, StoreSpec,
    Stream, SubTopology, SubTopologyId, Topology,
};
use crate::operator::{RecordTime, Source, Undecodable};
use crate::output::{SinkId, StoreId};
use crate::serde::{Nullable, Raw, Serde};
use crate::types::Partitions;
use crate::watermark::Watermark;

/// A job under declaration. Made by [`Topology::builder`].
pub struct Builder {
    application_id: String,
    /// `None` while its stream is still being declared.
    sub_topologies: Vec<Option<SubTopology>>,
    sources: Vec<SourceSpec>,
    sinks: Vec<SinkSpec>,
    stores: Vec<StoreSpec>,
    names: BTreeSet<String>,
    stateless_count: usize,
    undecodable: Undecodable,
    errors: Vec<BuildError>,
}

/// A sub-topology that a stream is about to complete.
pub(super) struct Draft {
    id: SubTopologyId,
    pub(super) watermark: Watermark,
    nodes: Vec<Node>,
    stores: Vec<StoreId>,
}

/// A stream whose key stays bytes, or null.
pub type ValueStream<'j, VS> = Stream<'j, Nullable<Raw>, Source<Nullable<Raw>, VS, RecordTime>>;

impl Builder {
    pub(super) fn new(application_id: &str) -> Self {
        Self {
            application_id: application_id.to_owned(),
            sub_topologies: Vec::new(),
            sources: Vec::new(),
            sinks: Vec::new(),
            stores: Vec::new(),
            names: BTreeSet::new(),
            stateless_count: 0,
            undecodable: Undecodable::default(),
            errors: check_name("application id", application_id).into_iter().collect(),
        }
    }

    /// What happens to records of source topics that cannot be decoded: by default they are counted and skipped.
    pub fn on_undecodable(&mut self, undecodable: Undecodable) -> &mut Self {
        self.undecodable = undecodable;
        self
    }

    /// A stream of the values in `topic`; keys stay as they are, bytes or null.
    pub fn stream<VS: Serde>(&mut self, topic: &str, value: VS) -> ValueStream<'_, VS> {
        self.keyed_stream(topic, Nullable(Raw), value)
    }

    /// A stream of the records in `topic`, which is partitioned by that key already: windows may follow without a shuffle.
    pub fn keyed_stream<KS: Serde, VS: Serde>(
        &mut self,
        topic: &str,
        key: KS,
        value: VS,
    ) -> Stream<'_, KS, Source<KS, VS, RecordTime>> {
        self.errors.extend(check_name("topic", topic));
        if self.sources.iter().any(|source| source.topic == topic) {
            self.errors.push(BuildError::DuplicateSource { topic: topic.to_owned() });
        }
        let draft = self.draft(SourceSpec {
            topic: topic.to_owned(),
            kind: SourceKind::External,
            watermark: Watermark::default(),
        });
        Stream::new(self, draft, Source { key, value, event_time: RecordTime })
    }

    /// Checks the job.
    ///
    /// # Errors
    /// All that is wrong with it, not only the first.
    pub fn build(mut self) -> Result<Topology, BuildErrors> {
        if self.sub_topologies.is_empty() {
            self.errors.push(BuildError::Empty);
        }
        for (sub_topology, source) in self.sub_topologies.iter().zip(&self.sources) {
            if sub_topology.is_none() {
                self.errors.push(BuildError::Unfinished { topic: source.topic.clone() });
            }
        }
        if !self.errors.is_empty() {
            return Err(BuildErrors(self.errors));
        }
        Ok(Topology {
            application_id: self.application_id,
            sub_topologies: self.sub_topologies.into_iter().flatten().collect(),
            sinks: self.sinks,
            stores: self.stores,
            undecodable: self.undecodable,
        })
    }

    /// Begins a sub-topology.
    pub(super) fn draft(&mut self, source: SourceSpec) -> Draft {
        let id = SubTopologyId(self.sub_topologies.len());
        let detail = match source.kind {
            SourceKind::External => format!("topic: {}", source.topic),
            SourceKind::Repartition { upstream, .. } => {
                format!("topic: {}, from sub-topology {}", source.topic, upstream.0)
            }
        };
        let node = Node { kind: NodeKind::Source, name: format!("source-{}", id.0), detail };
        self.sub_topologies.push(None);
        self.sources.push(source);
        Draft { id, watermark: Watermark::default(), nodes: vec![node], stores: Vec::new() }
    }

    /// Names a step that has no state.
    pub(super) fn stateless(&mut self, draft: &mut Draft, operator: &str) {
        self.stateless_count += 1;
        let name = format!("{operator}-{}", self.stateless_count);
        draft.nodes.push(Node { kind: NodeKind::Processor, name, detail: String::new() });
    }

    /// A step with a store, and the store's changelog.
    pub(super) fn stateful(&mut self, draft: &mut Draft, name: &str, detail: &str) -> (StoreId, SinkId) {
        self.claim(name);
        let detail = format!("stores: [{name}], {detail}");
        draft.nodes.push(Node { kind: NodeKind::Processor, name: name.to_owned(), detail });
        self.store(draft, name)
    }

    /// The repartition topic of a `key_by`.
    pub(super) fn repartition(&mut self, name: &str, partitions: Partitions) -> SinkSpec {
        self.claim(name);
        if partitions.0 < 1 {
            self.errors.push(BuildError::BadPartitions { name: name.to_owned(), partitions: partitions.0 });
        }
        let topic = self.internal_topic(name, "repartition");
        SinkSpec { topic, kind: SinkKind::Repartition { partitions } }
    }

    /// The index of a topic that the job writes; a topic of the user's may be written from several places.
    pub(super) fn sink(&mut self, sink: SinkSpec) -> SinkId {
        if sink.kind == SinkKind::External {
            self.errors.extend(check_name("topic", &sink.topic));
        }
        let known = self.sinks.iter().position(|known| *known == sink);
        SinkId(known.unwrap_or_else(|| {
            self.sinks.push(sink);
            self.sinks.len() - 1
        }))
    }

    /// Completes a sub-topology that ends in `sink`.
    pub(super) fn finish(
        &mut self,
        mut draft: Draft,
        (name, sink): (&str, SinkId),
        stage: StageBuilder,
    ) -> SubTopologyId {
        let id = draft.id;
        let source = SourceSpec { watermark: draft.watermark, ..self.sources[id.0].clone() };
        if draft.stores.is_empty() && matches!(source.kind, SourceKind::Repartition { .. }) {
            // Without a store of the user's, what the upstream tasks have said needs one: they do not say it again to a
            // task that starts anew.
            let name = format!("progress-{}", id.0);
            self.store(&mut draft, &name);
        }
        let SinkSpec { topic, kind } = &self.sinks[sink.0];
        let (detail, shuffles) = match kind {
            SinkKind::Repartition { partitions } => {
                (format!("topic: {topic}, {} partitions", partitions.0), vec![sink])
            }
            SinkKind::External | SinkKind::Changelog { .. } => (format!("topic: {topic}"), Vec::new()),
        };
        draft.nodes.push(Node { kind: NodeKind::Sink, name: name.to_owned(), detail });
        let Draft { nodes, stores, .. } = draft;
        self.sub_topologies[id.0] = Some(SubTopology { id, sources: vec![source], stores, shuffles, nodes, stage });
        id
    }

    pub(super) fn error(&mut self, error: BuildError) {
        self.errors.push(error);
    }

    fn store(&mut self, draft: &mut Draft, name: &str) -> (StoreId, SinkId) {
        let partitions = match self.sources[draft.id.0].kind {
            SourceKind::External => None,
            SourceKind::Repartition { partitions, .. } => Some(partitions),
        };
        let topic = self.internal_topic(name, "changelog");
        let changelog = self.sink(SinkSpec { topic, kind: SinkKind::Changelog { partitions } });
        let store = StoreId(self.stores.len());
        self.stores.push(StoreSpec { name: name.to_owned(), changelog, sub_topology: draft.id });
        draft.stores.push(store);
        (store, changelog)
    }

    fn internal_topic(&mut self, name: &str, purpose: &str) -> String {
        let topic = format!("{}-{name}-{purpose}", self.application_id);
        // Names that are wrong by themselves have been reported as such.
        if check_name("step", name).is_none() && check_name("application id", &self.application_id).is_none() {
            self.errors.extend(check_name("internal topic", &topic));
        }
        topic
    }

    /// Takes the name of a stateful step.
    fn claim(&mut self, name: &str) {
        self.errors.extend(check_name("step", name));
        if !name.is_empty() && !self.names.insert(name.to_owned()) {
            self.errors.push(BuildError::DuplicateName { name: name.to_owned() });
        }
    }
}
