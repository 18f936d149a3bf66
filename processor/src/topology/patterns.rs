//! Inputs whose topics are found by a pattern, at the start and while the job runs.
//!
//! A topology is data that all workers share, so topics that are found make another one: the same steps, with more
//! sources. A task of a sub-topology reads its partition of each of them.

use std::fmt;
use std::sync::Arc;

use kafka_wire::client::TopicPattern;

use super::{SourceSpec, SubTopologyId, Topology};

/// An input that reads all topics whose names match a pattern.
#[derive(Clone)]
pub(super) struct PatternSpec {
    pub(super) pattern: TopicPattern,
    pub(super) sub_topology: SubTopologyId,
    /// The streams that read it, as indexes of the sub-topology's heads.
    pub(super) heads: Vec<usize>,
    /// The source that each topic becomes, with the pattern in place of its name.
    pub(super) source: SourceSpec,
}

/// A topic that two inputs would read, at least one of them by a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadTwice {
    /// The topic.
    pub topic: String,
    /// The inputs: the topic itself, or a pattern between slashes.
    pub inputs: Vec<String>,
}

impl fmt::Display for ReadTwice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, inputs } = self;
        write!(
            f,
            "topic {topic} would be read by two inputs, {}: a record is read once, so let one pattern leave it out, or give \
             both streams the same topics",
            inputs.join(" and ")
        )
    }
}

impl std::error::Error for ReadTwice {}

impl Topology {
    /// Whether topics are found by patterns.
    #[must_use]
    pub fn has_patterns(&self) -> bool {
        !self.patterns.is_empty()
    }

    /// The patterns that no topic matches so far, each between slashes; and whether steps with state read it without a
    /// shuffle.
    pub fn unmatched(&self) -> impl Iterator<Item = (&str, bool)> {
        let unmatched = self.patterns.iter().filter(|spec| {
            let sources = &self.sub_topologies[spec.sub_topology.0].sources;
            sources.iter().all(|source| source.declared != spec.source.declared)
        });
        unmatched.map(|spec| {
            let has_state = self.stores.iter().any(|store| store.sources.contains(&spec.source.declared));
            (spec.source.declared.as_str(), has_state)
        })
    }

    /// The same job with the topics among `names` that match its patterns and are not known yet. `None` if there is
    /// none. The job's own topics do not match.
    ///
    /// # Errors
    /// Another input reads the topic.
    pub fn with_topics<'t>(&self, names: impl IntoIterator<Item = &'t str>) -> Result<Option<Self>, ReadTwice> {
        self.with_topics_of(names, |_| true)
    }

    /// As [`Topology::with_topics`], for topics that are found while the job runs: an input that has an end keeps the
    /// topics of its start.
    ///
    /// # Errors
    /// As there.
    pub fn with_later_topics<'t>(&self, names: impl IntoIterator<Item = &'t str>) -> Result<Option<Self>, ReadTwice> {
        self.with_topics_of(names, |source| source.extent.stop.is_none())
    }

    fn with_topics_of<'t>(
        &self,
        names: impl IntoIterator<Item = &'t str>,
        takes: impl Fn(&SourceSpec) -> bool,
    ) -> Result<Option<Self>, ReadTwice> {
        let mut found: Option<Self> = None;
        for name in names {
            let known = found.as_ref().unwrap_or(self);
            let Some(spec) = known.pattern_of(name)?.filter(|spec| takes(&spec.source)) else { continue };
            if known.source(name).is_none() {
                let spec = spec.clone();
                found.get_or_insert_with(|| self.clone()).add(&spec, name);
            }
        }
        Ok(found)
    }

    /// The pattern that a topic matches.
    fn pattern_of(&self, topic: &str) -> Result<Option<&PatternSpec>, ReadTwice> {
        // Also those of steps that an earlier version of the job had.
        let of_job = topic.strip_prefix(&self.application_id).and_then(|rest| rest.strip_prefix('-'));
        if of_job.is_some_and(|rest| rest.ends_with("-changelog") || rest.ends_with("-repartition")) {
            return Ok(None);
        }
        let mut matching = self.patterns.iter().filter(|spec| spec.pattern.matches(topic));
        let Some(spec) = matching.next() else { return Ok(None) };
        let of_another = self.source(topic).map(|source| source.declared.clone());
        let of_another = of_another.filter(|declared| *declared != spec.source.declared);
        match of_another.or_else(|| matching.next().map(|other| other.source.declared.clone())) {
            Some(other) => {
                Err(ReadTwice { topic: topic.to_owned(), inputs: vec![spec.source.declared.clone(), other] })
            }
            None => Ok(Some(spec)),
        }
    }

    fn add(&mut self, spec: &PatternSpec, topic: &str) {
        let sub_topology = &mut self.sub_topologies[spec.sub_topology.0];
        sub_topology.sources.push(SourceSpec { topic: topic.to_owned(), ..spec.source.clone() });
        let input = sub_topology.sources.len() - 1;
        for head in &spec.heads {
            sub_topology.heads[*head].inputs.push(input);
        }
    }
}

/// A copy that shares the steps.
impl Clone for Topology {
    fn clone(&self) -> Self {
        Self {
            application_id: self.application_id.clone(),
            sub_topologies: self.sub_topologies.clone(),
            sinks: self.sinks.clone(),
            stores: Arc::clone(&self.stores),
            patterns: self.patterns.clone(),
            globals: Arc::clone(&self.globals),
            policies: self.policies,
            dead_letters: self.dead_letters,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serde::{Raw, Utf8};
    use crate::types::Partitions;

    fn pattern(text: &str) -> TopicPattern {
        TopicPattern::regex(text).expect("a regular expression")
    }

    fn topics(topology: &Topology) -> Vec<&str> {
        topology.external_sources().map(|source| source.topic.as_str()).collect()
    }

    #[test]
    fn topics_that_match_become_sources_of_all_readers_of_the_pattern() {
        let mut job = Topology::builder("app");
        let lines = job.stream(pattern("lines-.*"), Utf8);
        lines.clone().to("one", Raw, Utf8);
        lines.key_by("by", Partitions(2), (Utf8, ()), |line| (line.value, ())).to("two", Utf8, ());
        let declared = job.build().expect("a valid job");
        assert_eq!(topics(&declared), [""; 0]);
        assert_eq!(declared.unmatched().collect::<Vec<_>>(), [("/lines-.*/", false)]);
        let names = ["app-by-repartition", "lines-a", "lines-b", "other"];
        let found = declared.with_topics(names).expect("read once").expect("there are some");
        assert_eq!(topics(&found), ["lines-a", "lines-b"]);
        assert_eq!(found.together(), [["lines-a", "lines-b"]]);
        assert!(found.sub_topologies()[0].heads().iter().all(|head| head.inputs == [0, 1]));
        assert!(found.with_topics(names).expect("read once").is_none(), "nothing is new");
        let more = found.with_later_topics(["lines-0"]).expect("read once").expect("one");
        assert_eq!(topics(&more), ["lines-a", "lines-b", "lines-0"], "those that are known keep their places");
        assert_eq!(topics(&found), ["lines-a", "lines-b"], "the other one is as it was");
    }

    #[test]
    fn a_topic_for_two_inputs_is_refused() {
        let mut job = Topology::builder("app");
        job.stream(pattern("lines-.*"), Utf8).to("one", Raw, Utf8);
        job.stream("lines-a", Utf8).to("two", Raw, Utf8);
        job.stream(pattern(".*-b"), Utf8).to("three", Raw, Utf8);
        let declared = job.build().expect("a valid job");
        for (topic, other) in [("lines-a", "lines-a"), ("lines-b", "/.*-b/")] {
            let error = declared.with_topics([topic]).expect_err("two inputs");
            assert_eq!(error.inputs, ["/lines-.*/", other]);
            assert!(error.to_string().contains(topic), "{error}");
        }
    }

    #[test]
    fn an_input_with_an_end_takes_no_later_topics() {
        let mut job = Topology::builder("app");
        job.stream(pattern("lines-.*"), Utf8).bounded(crate::topology::StoppingOffsets::Latest).to("one", Raw, Utf8);
        let declared = job.build().expect("a valid job");
        assert!(declared.with_later_topics(["lines-a"]).expect("read once").is_none());
        assert!(declared.with_topics(["lines-a"]).expect("read once").is_some());
    }
}
