//! The builder: the beginning of streams, and the check of the whole job.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use kafka_wire::client::TopicPattern;

use super::graph::{EndBuilder, Graph, Node, NodeKind, Reads};
use super::offsets::Extent;
use super::patterns::PatternSpec;
use super::{
    BuildError, BuildErrors, HeadSpec, SinkKind, SinkSpec, SourceKind, SourceSpec, StepText, StoreSpec, Stream,
    SubTopology, SubTopologyId, Topics, Topology,
};
use crate::error::{ErrorKind, ErrorPolicy};
use crate::operator::{ANY_JUMP, NodeId, RecordTime, Source};
use crate::output::StoreId;
use crate::serde::{Nullable, Raw, Serde};
use crate::state::Ttl;
use crate::types::Partitions;
use crate::watermark::Watermark;

/// A job under declaration. Made by [`Topology::builder`].
pub struct Builder {
    pub(super) graph: Rc<RefCell<Graph>>,
}

/// A stream whose keys stay bytes, or null.
pub type ValueStream<VS> = Stream<Nullable<Raw>, Source<Nullable<Raw>, VS, RecordTime>>;

impl Builder {
    pub(super) fn new(application_id: &str) -> Self {
        Self { graph: Rc::new(RefCell::new(Graph::new(application_id))) }
    }

    /// Sets the reaction to one kind of failure of records. By default the job stops, but with a topic of
    /// [dead letters](Self::dead_letters) the record goes there.
    ///
    /// A record that is left out has no effect at all, except that of a failure to *produce*, which leaves out one
    /// output record. In records of the job's own repartition topics a failure to decode always stops the job.
    pub fn on_error(&mut self, kind: ErrorKind, policy: ErrorPolicy) -> &mut Self {
        self.graph.borrow_mut().policies.set(kind, policy);
        self
    }

    /// Writes records that are left out because they fail into `topic`, which must exist. They are written as they were
    /// read, in the transaction that commits their offset, with the headers of KIP-1034 (`__streams.errors.exception`,
    /// `.message`, `.topic`, `.partition`, `.offset`). A result that fails while windows close or timers fire has no
    /// record: its key is written, and the value null. If several streams read one topic, each of them that
    /// fails for a record writes it.
    pub fn dead_letters(&mut self, topic: &str) -> &mut Self {
        let mut graph = self.graph.borrow_mut();
        let sink = graph.sink(SinkSpec { topic: topic.to_owned(), kind: SinkKind::External });
        graph.dead_letters = Some(sink);
        drop(graph);
        self
    }

    /// Lets a store forget its entries some time after they were last written: the table of an aggregation without
    /// windows, the rows of a table, or a store of a `process` step. `store` is the name of a step that was declared
    /// before, or `<step>-<name>` for a store of a `process` step. Nothing comes out when an entry is forgotten.
    /// Stores of windows and joins forget by themselves.
    pub fn ttl(&mut self, store: &str, ttl: Ttl) -> &mut Self {
        self.graph.borrow_mut().set_ttl(store, ttl);
        self
    }

    /// A stream of the values in `topics`: one topic, a list of them, or all that match a
    /// [`TopicPattern`](crate::TopicPattern), those that are created later included. Keys stay unchanged, bytes or
    /// null.
    ///
    /// The records of each partition keep their order; between partitions there is none. Each partition has a watermark
    /// of its own. Partitions with equal numbers of all the topics belong to one task. A topic may be read by several
    /// streams: each record then passes through one after the other.
    ///
    /// With a pattern, and for partitions that are added, the job looks every `partition.discovery.interval.ms`; what
    /// has come starts at its first record. Kafka's own topics and those of the job do not match, nor do those that
    /// have names as these, such as of a step that the job had before. From the look on,
    /// event time waits for the new partition until it has a record or is idle; records that were written into it
    /// before the look may be late, as far as event time has gone on meanwhile.
    pub fn stream<VS: Serde>(&mut self, topics: impl Into<Topics>, value: VS) -> ValueStream<VS> {
        self.keyed_stream(topics, Nullable(Raw), value)
    }

    /// A stream of the records in `topics`, which are already partitioned by that key: windows may follow without
    /// a shuffle, if all the topics have equal numbers of partitions. Otherwise as [`Builder::stream`].
    pub fn keyed_stream<KS: Serde, VS: Serde>(
        &mut self,
        topics: impl Into<Topics>,
        key: KS,
        value: VS,
    ) -> Stream<KS, Source<KS, VS, RecordTime>> {
        let mut graph = self.graph.borrow_mut();
        let (topics, watermark, extent) = (topics.into(), Watermark::default(), Extent::default());
        graph.errors.extend(topics.check());
        let node = graph.source(Reads { topics, shuffle: None, version: String::new(), watermark, extent });
        Stream::new(&self.graph, Source { node, key, value, event_time: RecordTime, jump_max_ms: ANY_JUMP })
    }

    /// Checks the job.
    ///
    /// # Errors
    /// All errors of the job, not only the first.
    pub fn build(self) -> Result<Topology, BuildErrors> {
        // Streams without a following step may still hold the graph.
        let mut graph = std::mem::take(&mut *self.graph.borrow_mut());
        if graph.nodes.is_empty() {
            graph.errors.push(BuildError::Empty);
        }
        graph.check_ends();
        graph.check_sources_of_tables();
        let places = graph.sub_topologies();
        let mut drafts = Drafts::new(&graph, places);
        graph.errors.append(&mut drafts.errors);
        graph.errors.extend(drafts.circle());
        drafts.add_progress(&mut graph);
        fix_stores(&mut graph, &drafts);
        graph.check_outputs();
        if !graph.errors.is_empty() {
            return Err(BuildErrors(graph.errors));
        }
        let patterns = std::mem::take(&mut drafts.patterns);
        let sub_topologies = drafts.finish(&mut graph);
        let Graph { application_id, sinks, stores, policies, dead_letters, globals, .. } = graph;
        let (stores, globals) = (Arc::new(stores), Arc::new(globals));
        Ok(Topology { application_id, sub_topologies, sinks, stores, patterns, policies, dead_letters, globals })
    }
}

/// Sub-topologies under construction.
struct Drafts {
    /// The sub-topology of each node.
    places: Vec<usize>,
    /// The sources of each sub-topology.
    sources: Vec<Vec<SourceSpec>>,
    heads: Vec<Vec<HeadSpec>>,
    patterns: Vec<PatternSpec>,
    errors: Vec<BuildError>,
}

impl SourceSpec {
    /// Takes the settings of a further reader. `false` if the two contradict each other.
    fn join(&mut self, reads: &Reads) -> bool {
        // All readers of a partition have one watermark, so that none of them finds a record late that its own
        // watermark would not.
        self.watermark = self.watermark.and(reads.watermark);
        self.extent.join(&reads.extent)
    }
}

impl Drafts {
    fn new(graph: &Graph, places: Vec<usize>) -> Self {
        let count = places.iter().max().map_or(0, |last| last + 1);
        let (sources, heads) = (vec![Vec::new(); count], vec![Vec::new(); count]);
        let mut drafts = Self { places, sources, heads, patterns: Vec::new(), errors: Vec::new() };
        for (index, node) in graph.nodes.iter().enumerate() {
            let NodeKind::Source(reads) = &node.kind else { continue };
            if node.is_replaced() {
                continue;
            }
            let place = drafts.places[index];
            let kind = match reads.shuffle {
                None => SourceKind::External,
                Some((writer, partitions)) => {
                    SourceKind::Repartition { upstream: SubTopologyId(drafts.places[writer.0]), partitions }
                }
            };
            let mut inputs = Vec::new();
            match &reads.topics {
                Topics::Matching(pattern) => drafts.pattern(place, pattern, kind, reads),
                Topics::Named(_) => {
                    for topic in reads.topics.declared() {
                        inputs.push(drafts.source(place, topic, kind, reads));
                    }
                }
            }
            drafts.heads[place].push(HeadSpec { node: NodeId(index), inputs });
        }
        drafts
    }

    /// Returns an error if records can come back to a sub-topology that they have left: event time would wait for
    /// itself.
    fn circle(&self) -> Option<BuildError> {
        let upstream = |place: usize| {
            self.sources[place].iter().filter_map(|source| match source.kind {
                SourceKind::Repartition { upstream, .. } => Some((upstream.0, &source.topic)),
                SourceKind::External => None,
            })
        };
        (0..self.sources.len()).find_map(|place| {
            let (mut seen, mut open) = (BTreeSet::new(), vec![place]);
            while let Some(next) = open.pop() {
                if let Some((_, topic)) = upstream(next).find(|(above, _)| *above == place) {
                    return Some(BuildError::Circle { topic: topic.clone() });
                }
                open.extend(upstream(next).map(|(above, _)| above).filter(|above| seen.insert(*above)));
            }
            None
        })
    }

    /// Adds the next head of a sub-topology to the readers of a pattern.
    fn pattern(&mut self, place: usize, pattern: &TopicPattern, kind: SourceKind, reads: &Reads) {
        let head = self.heads[place].len();
        let declared = reads.topics.declared().concat();
        let known = self.patterns.iter().position(|known| known.source.declared == declared);
        let Some(known) = known.map(|known| &mut self.patterns[known]) else {
            let source = self.new_source(declared, kind, reads);
            let (pattern, sub_topology, heads) = (pattern.clone(), SubTopologyId(place), vec![head]);
            return self.patterns.push(PatternSpec { pattern, sub_topology, heads, source });
        };
        known.heads.push(head);
        if !known.source.join(reads) {
            self.errors.push(BuildError::ExtentsDiffer { topic: declared });
        }
    }

    fn new_source(&mut self, topic: String, kind: SourceKind, reads: &Reads) -> SourceSpec {
        if !reads.extent.is_after_1970() {
            self.errors.push(BuildError::BadTimestamp { topic: topic.clone() });
        }
        let (version, watermark, extent) = (reads.version.clone(), reads.watermark, reads.extent.clone());
        SourceSpec { declared: topic.clone(), topic, kind, watermark, version, extent }
    }

    /// The index of a source in a sub-topology, which a further reader of its topic shares.
    fn source(&mut self, place: usize, topic: String, kind: SourceKind, reads: &Reads) -> usize {
        let Some(input) = self.sources[place].iter().position(|source| source.topic == topic) else {
            let source = self.new_source(topic, kind, reads);
            self.sources[place].push(source);
            return self.sources[place].len() - 1;
        };
        if !self.sources[place][input].join(reads) {
            self.errors.push(BuildError::ExtentsDiffer { topic });
        }
        input
    }

    /// Adds a store for progress to sub-topologies without a store of the user's, because upstream tasks do not repeat
    /// their marks for a task that starts anew. It has the name of the first shuffle that is read there, which stays
    /// when other streams of the job come and go.
    fn add_progress(&self, graph: &mut Graph) {
        for index in 0..self.sources.len() {
            let is_here = |store: &StoreSpec| self.places[store.node.0] == index;
            let has_store = graph.stores.iter().any(|store| is_here(store) && store.own_changelog().is_some());
            let shuffle = self.heads[index].iter().find_map(|head| match &graph.nodes[head.node.0].kind {
                NodeKind::Source(Reads { shuffle: Some((writer, _)), .. }) => Some((head.node, *writer)),
                NodeKind::Source(_) | NodeKind::Processor | NodeKind::Sink(_) => None,
            });
            if let (false, Some((reader, writer))) = (has_store, shuffle) {
                let name = format!("{}-progress", graph.nodes[writer.0].name);
                graph.claim(&name);
                graph.store(&name, reader, String::new(), None);
            }
        }
    }

    /// The number of its sources' partitions, if it is known.
    fn task_count(&self, place: usize) -> Option<Partitions> {
        if self.patterns.iter().any(|pattern| pattern.sub_topology.0 == place) {
            return None;
        }
        let counts = self.sources[place].iter().map(|source| match source.kind {
            SourceKind::External => None,
            SourceKind::Repartition { partitions, .. } => Some(partitions.0),
        });
        counts.collect::<Option<Vec<_>>>()?.into_iter().max().map(Partitions)
    }

    fn finish(self, graph: &mut Graph) -> Vec<SubTopology> {
        let uses: Arc<Vec<usize>> = Arc::new(graph.nodes.iter().map(|node| node.children.len()).collect());
        let names: Arc<Vec<String>> = Arc::new(graph.nodes.iter().map(|node| node.name.clone()).collect());
        let tees = Arc::new(std::mem::take(&mut graph.tees));
        let mut ends: BTreeMap<usize, Vec<EndBuilder>> = BTreeMap::new();
        for (node, end) in std::mem::take(&mut graph.ends) {
            ends.entry(self.places[node.0]).or_default().push(end);
        }
        let texts = texts(graph, &self.places);
        let stores = |place| graph.stores.iter().enumerate().filter(move |(_, store)| store.sub_topology.0 == place);
        let parts = self.sources.into_iter().zip(self.heads).zip(texts).enumerate();
        parts
            .map(|(place, ((sources, heads), steps))| SubTopology {
                id: SubTopologyId(place),
                sources,
                stores: stores(place).map(|(index, _)| StoreId(index)).collect(),
                shuffles: shuffles(graph, &self.places, place),
                heads,
                steps,
                ends: Arc::new(ends.remove(&place).unwrap_or_default()),
                uses: Arc::clone(&uses),
                names: Arc::clone(&names),
                tees: Arc::clone(&tees),
            })
            .collect()
    }
}

/// Assigns each store to its sub-topology and sets the number of its partitions, and checks that its sources
/// are partitioned alike.
fn fix_stores(graph: &mut Graph, drafts: &Drafts) {
    let Graph { stores, sinks, errors, .. } = graph;
    for store in stores {
        let place = drafts.places[store.node.0];
        store.sub_topology = SubTopologyId(place);
        if let Some(changelog) = store.own_changelog() {
            sinks[changelog.0].kind = SinkKind::Changelog { partitions: drafts.task_count(place) };
        }
        let known = drafts.sources[place].iter().filter_map(|source| match source.kind {
            SourceKind::Repartition { partitions, .. } if store.sources.contains(&source.declared) => {
                Some((source.topic.clone(), partitions.0))
            }
            SourceKind::Repartition { .. } | SourceKind::External => None,
        });
        errors.extend(store.check_counts(known.collect()).err().map(BuildError::NotCopartitioned));
        let is_part = |source: &&SourceSpec| source.extent.partitions.is_some() && store.is_reached_by(source);
        let by_pattern = drafts.patterns.iter().map(|pattern| &pattern.source);
        let mut sources = drafts.sources[place].iter().chain(by_pattern);
        if let Some(source) = sources.find(is_part).filter(|_| store.make.is_some()) {
            errors.push(BuildError::SomePartitions { step: store.name.clone(), topic: source.topic.clone() });
        }
    }
}

fn shuffles(graph: &Graph, places: &[usize], place: usize) -> Vec<crate::output::SinkId> {
    let mut shuffles = Vec::new();
    for (node, _) in graph.nodes.iter().zip(places).filter(|(_, its)| **its == place) {
        if let NodeKind::Sink(sink) = node.kind
            && matches!(graph.sinks[sink.0].kind, SinkKind::Repartition { .. })
        {
            shuffles.push(sink);
        }
    }
    shuffles
}

/// The steps of each sub-topology, as `describe()` prints them.
fn texts(graph: &Graph, places: &[usize]) -> Vec<Vec<StepText>> {
    let count = places.iter().max().map_or(0, |last| last + 1);
    let mut texts = vec![Vec::new(); count];
    // A further output that no step follows is not shown, nor is a source that others replace.
    let is_shown = |node: &Node| !(node.is_side && node.children.is_empty() || node.is_replaced());
    let names = |nodes: &[NodeId]| {
        let shown = nodes.iter().map(|node| &graph.nodes[node.0]).filter(|node| is_shown(node));
        shown.map(|node| node.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    for (index, node) in graph.nodes.iter().enumerate().filter(|(_, node)| is_shown(node)) {
        let (kind, detail) = match &node.kind {
            NodeKind::Source(Reads { topics, shuffle: None, .. }) => ("Source", topics.describe()),
            NodeKind::Source(Reads { topics, shuffle: Some((writer, _)), .. }) => {
                ("Source", format!("{}, from sub-topology {}", topics.describe(), places[writer.0]))
            }
            NodeKind::Processor => ("Processor", node.detail.clone()),
            NodeKind::Sink(_) => ("Sink", node.detail.clone()),
        };
        let after = [node.children.as_slice(), &node.sides].concat();
        let before = [node.parents.as_slice(), &node.looks_in].concat();
        let (name, before, after) = (node.name.clone(), names(&before), names(&after));
        texts[places[index]].push(StepText { kind, name, detail, before, after });
    }
    texts
}
