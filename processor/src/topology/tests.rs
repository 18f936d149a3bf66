//! What `describe()` prints and what `build()` refuses.

use std::time::Duration;

use super::*;
use crate::operator::Emit;
use crate::serde::{Nullable, Raw, U64, Utf8};
use crate::window::Tumbling;

fn tumbling(millis: u64) -> Tumbling {
    Tumbling::of(Duration::from_millis(millis))
}

fn word_count(application_id: &str, key_by: &str, count: &str, sink: &str) -> Result<Topology, BuildErrors> {
    let mut job = Topology::builder(application_id);
    job.stream("lines", Utf8)
        .flat_map(Utf8, |line, words| line.value.split(' ').for_each(|word| words.push(word)))
        .filter(|word| !word.value.is_empty())
        .key_by(key_by, Partitions(6), (Utf8, ()), |word| (word.value, ()))
        .window(tumbling(10_000))
        .count(count, Emit::OnClose)
        .filter(|counted| *counted.value > 1)
        .map(|counted| *counted.value)
        .to(sink, Utf8, U64);
    job.build()
}

#[test]
fn describe_prints_steps_stores_and_topics() {
    let topology = word_count("word-count", "by-word", "counts", "counts-out").expect("a valid job");
    let expected = "\
Topology: word-count
  Sub-topology: 0
    Source: source-0 (topic: lines)
      --> flat_map-1
    Processor: flat_map-1 (stores: [])
      --> filter-2
      <-- source-0
    Processor: filter-2 (stores: [])
      --> by-word
      <-- flat_map-1
    Sink: by-word (topic: word-count-by-word-repartition, 6 partitions)
      <-- filter-2
  Sub-topology: 1
    Source: source-1 (topic: word-count-by-word-repartition, from sub-topology 0)
      --> counts
    Processor: counts (stores: [counts], windows: tumbling 10000 ms, emit: on close)
      --> filter-3
      <-- source-1
    Processor: filter-3 (stores: [])
      --> map-4
      <-- counts
    Processor: map-4 (stores: [])
      --> sink-counts-out
      <-- filter-3
    Sink: sink-counts-out (topic: counts-out)
      <-- map-4
";
    assert_eq!(topology.describe(), expected);
}

#[test]
fn topics_are_named_after_application_and_step() {
    let topology = word_count("app", "by-word", "counts", "out").expect("a valid job");
    let sinks: Vec<_> = topology.sinks().iter().map(|sink| (sink.topic.as_str(), sink.kind)).collect();
    let partitions = Partitions(6);
    assert_eq!(
        sinks,
        [
            ("app-by-word-repartition", SinkKind::Repartition { partitions }),
            ("app-counts-changelog", SinkKind::Changelog { partitions: Some(partitions) }),
            ("out", SinkKind::External),
        ]
    );
    let reader = topology.reader_of("app-by-word-repartition").expect("sub-topology 1");
    assert_eq!(reader.sources()[0].kind, SourceKind::Repartition { upstream: SubTopologyId(0), partitions });
    assert_eq!(reader.stores(), [StoreId(0)]);
    assert_eq!(topology.sub_topologies()[0].shuffles(), [SinkId(0)]);
}

#[test]
fn a_stage_behind_a_shuffle_has_a_store_for_progress_in_any_case() {
    let mut job = Topology::builder("app");
    job.keyed_stream("in", Utf8, Utf8)
        .key_by("by-value", Partitions(2), (Utf8, Utf8), |record| (record.value, record.key))
        .to("out", Utf8, Utf8);
    let topology = job.build().expect("a valid job");
    assert_eq!(topology.sub_topologies()[0].stores(), []);
    let store = &topology.stores()[topology.sub_topologies()[1].stores()[0].0];
    assert_eq!(topology.sinks()[store.changelog.0].topic, "app-progress-1-changelog");
}

fn errors(result: Result<Topology, BuildErrors>) -> Vec<String> {
    match result {
        Ok(_) => Vec::new(),
        Err(BuildErrors(errors)) => errors.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn names_that_no_topic_can_have_are_refused() {
    assert_eq!(
        errors(word_count("app", "", "counts", "out")),
        ["step ``: a name is needed: topics are named after it"]
    );
    let illegal = "only ASCII letters, digits, '.', '_' and '-' are allowed";
    assert_eq!(errors(word_count("a b", "by", "counts", "out")), [format!("application id `a b`: {illegal}")]);
    assert_eq!(errors(word_count("app", "by", "counts/x", "out")), [format!("step `counts/x`: {illegal}")]);
    assert_eq!(errors(word_count("app", "by", "counts", "o\u{fc}t")), [format!("topic `o\u{fc}t`: {illegal}")]);
    assert_eq!(errors(word_count("app", "by", "counts", "..")), ["topic `..`: not a name that Kafka allows"]);
    let long = "n".repeat(240);
    let too_long = format!("internal topic `app-{long}-repartition`: longer than the 249 characters that Kafka allows");
    assert_eq!(errors(word_count("app", &long, "counts", "out")), [too_long]);
}

#[test]
fn steps_of_one_name_are_refused() {
    let expected = "two steps are named `same`: names of topics come from them";
    assert_eq!(errors(word_count("app", "same", "same", "out")), [expected]);
}

#[test]
fn all_that_is_wrong_is_reported_at_once() {
    let mut job = Topology::builder("app");
    job.stream("in", Utf8).window(tumbling(0)).count("null-key", Emit::OnUpdate).map(|c| *c.value).to(
        "out",
        Nullable(Raw),
        U64,
    );
    job.stream("in", Utf8).key_by("by", Partitions(0), (Nullable(Raw), ()), |_| (None, ())).to(
        "out",
        Nullable(Raw),
        (),
    );
    let _leads_nowhere = job.stream("other", Utf8).filter(|_| true);
    assert_eq!(
        errors(job.build()),
        [
            "step `null-key`: windows `tumbling 0 ms`, at least 1 ms is needed",
            "step `null-key`: its key can be null; use a key serde that has no null, or key_by",
            "two streams read topic `in`: they would share its committed offsets",
            "step `by`: its key can be null; use a key serde that has no null, or key_by",
            "step `by`: 0 partitions, at least 1 is needed",
            "the stream from topic `other` leads nowhere: end it with .to(topic, ..)",
        ]
    );
    assert_eq!(errors(Topology::builder("app").build()), ["the job has no stream"]);
}

#[test]
fn a_keyed_topic_is_windowed_without_a_shuffle() {
    let mut job = Topology::builder("app");
    job.keyed_stream("in", Utf8, ())
        .window(tumbling(10))
        .count("counts", Emit::OnUpdate)
        .map(|counted| *counted.value)
        .to("out", Utf8, U64);
    let topology = job.build().expect("a valid job");
    assert_eq!(topology.sinks()[0].kind, SinkKind::Changelog { partitions: None });
    assert_eq!(topology.sub_topologies().len(), 1);
}
