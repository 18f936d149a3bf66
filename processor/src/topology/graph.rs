//! The declared job: steps, their order, and the sub-topologies that they form.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::check_name;
use super::offsets::Extent;
use super::{BuildError, ChangelogTopic, GlobalSpec, SinkKind, SinkSpec, StoreMaker, StoreSpec, SubTopologyId, Topics};
use crate::error::ErrorPolicies;
use crate::operator::{NodeId, StageBuilder, TeeMaker};
use crate::output::{SinkId, StoreId};
use crate::serde::Serde;
use crate::state::{Clock, Ttl};
use crate::types::Partitions;
use crate::watermark::Watermark;

/// A job under declaration, shared by all its streams.
#[derive(Default)]
pub(super) struct Graph {
    pub(super) application_id: String,
    pub(super) nodes: Vec<Node>,
    pub(super) sinks: Vec<SinkSpec>,
    pub(super) stores: Vec<StoreSpec>,
    /// The joiners for steps that are used more than once.
    pub(super) tees: BTreeMap<NodeId, TeeMaker>,
    /// For each step that ends a chain, a function that builds the chain for one task.
    pub(super) ends: Vec<(NodeId, EndBuilder)>,
    pub(super) policies: ErrorPolicies,
    pub(super) dead_letters: Option<SinkId>,
    pub(super) globals: Vec<GlobalSpec>,
    pub(super) errors: Vec<BuildError>,
    /// Whether stores forget entries, for steps that ask.
    forgetting: BTreeMap<StoreId, Arc<AtomicBool>>,
    names: BTreeSet<String>,
    source_count: usize,
    stateless_count: usize,
}

/// A store that a step wants: the suffix of its name behind that of the step, the text that identifies its format,
/// and the function that makes it.
pub(super) type WantedStore<'n> = (&'n str, String, StoreMaker);

/// Builds a chain from its end on.
pub(super) type EndBuilder = Box<dyn Fn(&mut StageBuilder<'_>) + Send + Sync>;

/// A step.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) kind: NodeKind,
    pub(super) name: String,
    /// Details for `describe()`.
    pub(super) detail: String,
    pub(super) parents: Vec<NodeId>,
    /// The tables in which it looks rows up. They belong to its sub-topology, but no record comes from them.
    pub(super) looks_in: Vec<NodeId>,
    pub(super) children: Vec<NodeId>,
    /// The streams of its further outputs. It is their parent, but they do not get the records of its other children.
    pub(super) sides: Vec<NodeId>,
    /// Whether the step may have no following step.
    pub(super) may_end: bool,
    /// Whether the node is the stream of a further output of a step.
    pub(super) is_side: bool,
    /// Whether records after it have another key, without a shuffle.
    pub(super) rekeys: bool,
    /// Whether it puts out results when a commit has begun.
    pub(super) emits_at_commits: bool,
    /// Whether it puts out results when their record is not at hand any more, and while others are.
    pub(super) emits_later: bool,
    /// Whether it puts out a result at this or at that record of several inputs, as they come.
    pub(super) emits_by_order: bool,
}

impl Node {
    /// Whether it is a source in whose place others are used, which read its topics.
    pub(super) fn is_replaced(&self) -> bool {
        matches!(self.kind, NodeKind::Source(_)) && self.may_end && self.children.is_empty()
    }
}

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a job has few steps, and they are kept only until it is built")]
pub(super) enum NodeKind {
    Source(Reads),
    Processor,
    Sink(SinkId),
}

/// A shuffle: the step that writes its topic, and the source that reads it.
pub(super) struct Shuffle {
    pub(super) topic: String,
    pub(super) sink: SinkId,
    pub(super) writer: NodeId,
    pub(super) source: NodeId,
}

/// The topics that a source reads.
#[derive(Clone, Debug)]
pub(super) struct Reads {
    pub(super) topics: Topics,
    /// The step that writes the topic, and its number of partitions, if it is one of the job's own.
    pub(super) shuffle: Option<(NodeId, Partitions)>,
    /// The version in which its records are written, for a topic of the job's own.
    pub(super) version: String,
    pub(super) watermark: Watermark,
    pub(super) extent: Extent,
}

impl Graph {
    pub(super) fn new(application_id: &str) -> Self {
        let errors = check_name("application id", application_id).into_iter().collect();
        Self { application_id: application_id.to_owned(), errors, ..Self::default() }
    }

    /// Adds a source.
    pub(super) fn source(&mut self, reads: Reads) -> NodeId {
        let name = format!("source-{}", self.source_count);
        self.source_count += 1;
        self.node(NodeKind::Source(reads), name, String::new(), &[])
    }

    /// Adds a step without state.
    pub(super) fn stateless(&mut self, operator: &str, parents: &[NodeId]) -> NodeId {
        self.stateless_count += 1;
        let name = format!("{operator}-{}", self.stateless_count);
        self.node(NodeKind::Processor, name, "stores: []".to_owned(), parents)
    }

    /// Adds the stream of a further output of a step.
    pub(super) fn side(&mut self, output: &str, of: NodeId) -> NodeId {
        let name = format!("{}-{output}", self.nodes[of.0].name);
        let id = self.node(NodeKind::Processor, name, "stores: []".to_owned(), &[]);
        self.nodes[id.0].parents.push(of);
        self.nodes[id.0].may_end = true;
        self.nodes[id.0].is_side = true;
        self.nodes[of.0].sides.push(id);
        id
    }

    /// Adds a step with stores, which have the step's name, or that and a suffix.
    pub(super) fn stateful(
        &mut self,
        (name, detail): (&str, &str),
        stores: Vec<WantedStore<'_>>,
        parents: &[NodeId],
    ) -> Vec<StoreId> {
        let names: Vec<_> = stores.iter().map(|(suffix, ..)| format!("{name}{suffix}")).collect();
        let detail = format!("stores: [{}], {detail}", names.join(", "));
        let node = self.node(NodeKind::Processor, name.to_owned(), detail, parents);
        if self.is_rekeyed(node) {
            self.errors.push(BuildError::Rekeyed { name: name.to_owned() });
        }
        let add = |(name, (_, version, make)): (String, WantedStore<'_>)| {
            self.claim(&name);
            self.store(&name, node, version, Some(make))
        };
        names.into_iter().zip(stores).map(add).collect()
    }

    /// Adds one more store to a step.
    pub(super) fn further_store(&mut self, name: &str, node: NodeId, version: String, make: StoreMaker) -> StoreId {
        self.claim(name);
        self.store(name, node, version, Some(make))
    }

    /// Adds a sink.
    pub(super) fn end(&mut self, name: &str, sink: SinkId, parent: NodeId) -> NodeId {
        self.end_of(name, sink, &[parent])
    }

    /// Adds a sink after any number of steps.
    pub(super) fn end_of(&mut self, name: &str, sink: SinkId, parents: &[NodeId]) -> NodeId {
        let SinkSpec { topic, kind } = &self.sinks[sink.0];
        let detail = match kind {
            SinkKind::Repartition { partitions } => format!("topic: {topic}, {} partitions", partitions.0),
            SinkKind::External | SinkKind::Changelog { .. } => format!("topic: {topic}"),
        };
        self.node(NodeKind::Sink(sink), name.to_owned(), detail, parents)
    }

    /// The node that was added last.
    pub(super) fn last(&self) -> NodeId {
        NodeId(self.nodes.len() - 1)
    }

    /// A second source like this one, to be used beside it.
    pub(super) fn source_again(&mut self, node: NodeId) -> NodeId {
        match self.nodes[node.0].kind.clone() {
            NodeKind::Source(reads) => {
                // Each clone may get a source of its own, so that none is left for this one.
                self.nodes[node.0].may_end = true;
                self.source(reads)
            }
            NodeKind::Processor | NodeKind::Sink(_) => unreachable!("the chain of a source is at a source"),
        }
    }

    fn node(&mut self, kind: NodeKind, name: String, detail: String, parents: &[NodeId]) -> NodeId {
        let id = NodeId(self.nodes.len());
        for parent in parents {
            self.nodes[parent.0].children.push(id);
        }
        let (parents, children) = (parents.to_vec(), Vec::new());
        let node = Node {
            kind,
            name,
            detail,
            parents,
            looks_in: Vec::new(),
            children,
            sides: Vec::new(),
            may_end: false,
            is_side: false,
            rekeys: false,
            emits_at_commits: false,
            emits_later: false,
            emits_by_order: false,
        };
        self.nodes.push(node);
        id
    }

    /// Adds a shuffle behind a step. `version` is that of its records.
    pub(super) fn shuffle(&mut self, (name, version): (&str, String), partitions: Partitions, from: NodeId) -> Shuffle {
        let spec = self.repartition(name, partitions);
        let topic = spec.topic.clone();
        let sink = self.sink(spec);
        let writer = self.end(name, sink, from);
        let (shuffle, watermark) = (Some((writer, partitions)), Watermark::default());
        let (topics, extent) = (Topics::from(&topic), Extent::default());
        let source = self.source(Reads { topics, shuffle, version, watermark, extent });
        Shuffle { topic, sink, writer, source }
    }

    /// The repartition topic of a shuffle.
    fn repartition(&mut self, name: &str, partitions: Partitions) -> SinkSpec {
        self.claim(name);
        if partitions.0 < 1 {
            self.errors.push(BuildError::BadPartitions { name: name.to_owned(), partitions: partitions.0 });
        }
        let topic = self.internal_topic(name, "repartition");
        SinkSpec { topic, kind: SinkKind::Repartition { partitions } }
    }

    /// The index of a topic that the job writes; a topic of the user's may be written by several steps.
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

    /// Adds a store and its changelog; `build()` fills in what depends on the whole graph.
    pub(super) fn store(&mut self, name: &str, node: NodeId, version: String, make: Option<StoreMaker>) -> StoreId {
        let topic = self.internal_topic(name, "changelog");
        let changelog =
            ChangelogTopic::Own(self.sink(SinkSpec { topic, kind: SinkKind::Changelog { partitions: None } }));
        let sources = self.sources_before(node);
        let sub_topology = SubTopologyId(usize::MAX);
        self.stores.push(StoreSpec { name: name.to_owned(), changelog, sub_topology, node, sources, version, make });
        StoreId(self.stores.len() - 1)
    }

    /// Makes a source topic the changelog of the store that was added last.
    pub(super) fn restore_from(&mut self, topic: &str) {
        if let Some((store, others)) = self.stores.split_last_mut()
            && let ChangelogTopic::Own(sink) = store.changelog
        {
            // Another store of that name has the same one, which is an error of the job.
            if others.iter().all(|other| other.own_changelog() != Some(sink)) {
                debug_assert_eq!(sink.0 + 1, self.sinks.len(), "its changelog was added with it");
                self.sinks.truncate(sink.0);
            }
            store.changelog = ChangelogTopic::Source(topic.to_owned());
        }
    }

    /// Lets a store forget its entries some time after they were written.
    pub(super) fn set_ttl(&mut self, name: &str, ttl: Ttl) {
        // A store without a changelog of its own could not tell after a restart what it had forgotten.
        let mut stores = self.stores.iter_mut().enumerate();
        let store = stores.find(|(_, store)| store.name == name && store.own_changelog().is_some());
        let made = store.and_then(|(id, store)| store.make.take().map(|make| (StoreId(id), store, make)));
        let Some((id, store, make)) = made else {
            return self.errors.push(BuildError::NoTtl { store: name.to_owned() });
        };
        if !make().set_ttl(ttl) || ttl.millis < 1 {
            self.errors.push(BuildError::NoTtl { store: name.to_owned() });
        }
        store.version.push_str(match ttl.clock {
            Clock::Event => ", forgotten by event time",
            Clock::Wall => ", forgotten by the time of day",
        });
        store.make = Some(Box::new(move || {
            let mut store = make();
            store.set_ttl(ttl);
            store
        }));
        self.forgets(id).store(true, Ordering::Relaxed);
    }

    /// Whether a store forgets entries, to be asked when the job runs: a time to live may still be set.
    pub(super) fn forgets(&mut self, store: StoreId) -> Arc<AtomicBool> {
        Arc::clone(self.forgetting.entry(store).or_default())
    }

    fn internal_topic(&mut self, name: &str, purpose: &str) -> String {
        let topic = format!("{}-{name}-{purpose}", self.application_id);
        // Names that are invalid by themselves have been reported already.
        if check_name("step", name).is_none() && check_name("application id", &self.application_id).is_none() {
            self.errors.extend(check_name("internal topic", &topic));
        }
        topic
    }

    /// Registers the name of a store or of a repartition topic.
    pub(super) fn claim(&mut self, name: &str) {
        self.errors.extend(check_name("step", name));
        if !name.is_empty() && !self.names.insert(name.to_owned()) {
            self.errors.push(BuildError::DuplicateName { name: name.to_owned() });
        }
    }

    /// A step and all steps before it, up to the sources of its sub-topology.
    pub(super) fn steps_before(&self, node: NodeId) -> BTreeSet<NodeId> {
        let mut before = BTreeSet::from([node]);
        // Parents are declared before their children.
        for index in (0..=node.0).rev() {
            if before.contains(&NodeId(index)) {
                before.extend(&self.nodes[index].parents);
            }
        }
        before
    }

    /// Notes an error for a step that needs a key of each record, if the serde has null keys.
    pub(super) fn refuse_null_keys(&mut self, key_serde: &impl Serde, step: &str) {
        if key_serde.has_null() {
            self.errors.push(BuildError::NullableKey { name: step.to_owned() });
        }
    }

    /// Returns whether records have got another key on the way to a step, without a shuffle.
    pub(super) fn is_rekeyed(&self, node: NodeId) -> bool {
        self.steps_before(node).into_iter().any(|node| self.nodes[node.0].rekeys)
    }

    /// Returns whether records reach a step that are put out when a commit has begun.
    pub(super) fn gets_results_at_commits(&self, node: NodeId) -> bool {
        self.steps_before(node).into_iter().any(|node| self.nodes[node.0].emits_at_commits)
    }

    /// Returns whether records reach a step that are put out when those that they are made of are not at hand any more.
    pub(super) fn gets_results_later(&self, node: NodeId) -> bool {
        self.steps_before(node).into_iter().any(|node| self.nodes[node.0].emits_later)
    }

    /// Returns whether records reach a step that are put out at this or at that record of several topics, as they come:
    /// the next time at another one.
    pub(super) fn gets_results_by_order(&self, node: NodeId) -> bool {
        let mut steps = self.steps_before(node).into_iter().filter(|step| self.nodes[step.0].emits_by_order);
        steps.any(|step| {
            let has_pattern = self.steps_before(step).into_iter().any(|before| {
                matches!(&self.nodes[before.0].kind, NodeKind::Source(Reads { topics: Topics::Matching(_), .. }))
            });
            has_pattern || self.sources_before(step).len() > 1
        })
    }

    /// The topics, or their patterns, whose records reach a step without a shuffle in between, in the order of their
    /// declaration.
    pub(super) fn sources_before(&self, node: NodeId) -> Vec<String> {
        let mut topics = Vec::new();
        for node in self.steps_before(node) {
            if let NodeKind::Source(reads) = &self.nodes[node.0].kind {
                let declared = reads.topics.declared().into_iter();
                topics.extend(declared.filter(|topic| !topics.contains(topic)).collect::<Vec<_>>());
            }
        }
        topics
    }

    /// Reports the topics that are read as changelogs, or as global tables, for more than one table.
    pub(super) fn check_sources_of_tables(&mut self) {
        let changelogs: Vec<&str> = self.stores.iter().filter_map(StoreSpec::source_changelog).collect();
        let global = |topic: &str| self.globals.iter().any(|global| global.topic == topic);
        let is_shared = |(index, topic): &(usize, &&str)| changelogs[..*index].contains(topic) || global(topic);
        let shared = changelogs.iter().enumerate().filter(is_shared);
        let errors: Vec<_> =
            shared.map(|(_, topic)| BuildError::SharedChangelog { topic: (*topic).to_owned() }).collect();
        self.errors.extend(errors);
    }

    /// Reports the outputs that are topics of the job's own, whose records a restore or a shuffle would misread.
    pub(super) fn check_outputs(&mut self) {
        let is_own = |topic: &str| self.sinks.iter().any(|own| own.kind != SinkKind::External && own.topic == topic);
        let outputs = self.sinks.iter().filter(|sink| sink.kind == SinkKind::External && is_own(&sink.topic));
        let errors: Vec<_> = outputs.map(|sink| BuildError::OwnTopic { topic: sink.topic.clone() }).collect();
        self.errors.extend(errors);
    }

    /// Reports the streams without a following step.
    pub(super) fn check_ends(&mut self) {
        let mut topics = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            if node.children.is_empty() && !node.may_end && !matches!(node.kind, NodeKind::Sink(_)) {
                topics.extend(self.sources_before(NodeId(index)).into_iter().next());
            }
        }
        topics.dedup();
        self.errors.extend(topics.into_iter().map(|topic| BuildError::Unfinished { topic }));
    }

    /// The sub-topology of each node: steps that follow each other belong together, and so do the readers of one topic,
    /// because a group gives each partition to one member. They are numbered in the order of their first steps.
    pub(super) fn sub_topologies(&self) -> Vec<usize> {
        let mut links: Vec<(usize, usize)> = Vec::new();
        let mut readers = BTreeMap::new();
        for (index, node) in self.nodes.iter().enumerate() {
            links.extend(node.parents.iter().chain(&node.looks_in).map(|before| (before.0, index)));
            if let NodeKind::Source(reads) = &node.kind {
                let declared = reads.topics.declared().into_iter();
                links.extend(declared.map(|topic| (*readers.entry(topic).or_insert(index), index)));
            }
        }
        let mut first: Vec<usize> = (0..self.nodes.len()).collect();
        let mut has_changed = true;
        while has_changed {
            has_changed = false;
            for (one, other) in &links {
                let least = first[*one].min(first[*other]);
                has_changed |= first[*one] != least || first[*other] != least;
                first[*one] = least;
                first[*other] = least;
            }
        }
        let numbers: Vec<usize> = first.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        first.iter().map(|first| numbers.binary_search(first).expect("it is among them")).collect()
    }
}
