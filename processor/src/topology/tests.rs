//! The output of `describe()`, and the errors of `build()`.

use std::time::Duration;

use kafka_wire::client::TopicPattern;

use super::*;
use crate::operator::Emit;
use crate::serde::{Nullable, Raw, Text, U64, Utf8};
use crate::watermark::Watermark;
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
    let store = topology.sub_topologies()[1].stores()[0];
    assert_eq!(topology.changelog_topic(store), "app-by-value-progress-changelog");
}

#[test]
fn progress_keeps_its_topic_when_other_streams_come_and_go() {
    let topic = |has_other: bool| {
        let mut job = Topology::builder("app");
        let mut shuffled = |from: &str, by: &str, to: &str| {
            job.keyed_stream(from, Utf8, Utf8)
                .key_by(by, Partitions(2), (Utf8, Utf8), |record| (record.value, record.key))
                .to(to, Utf8, Utf8);
        };
        if has_other {
            shuffled("other", "by-other", "out-other");
        }
        shuffled("in", "by", "out");
        let topology = job.build().expect("a valid job");
        let store = topology.reader_of("app-by-repartition").expect("its reader").stores()[0];
        topology.changelog_topic(store).to_owned()
    };
    assert_eq!(topic(false), topic(true));
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
    let mut job = Topology::builder("app");
    job.stream("in", Utf8)
        .key_by("by", Partitions(2), (Utf8, ()), |record| (record.value, ()))
        .key_by("by-progress", Partitions(2), (Utf8, ()), |record| (record.key, ()))
        .count("counts", Emit::OnUpdate)
        .to("out", Utf8, U64);
    let of_topics = "two steps are named `by-progress`: names of topics come from them";
    assert_eq!(errors(job.build()), [of_topics], "event time behind a shuffle is in a topic of that name");
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

/// A job in which one stream has two sinks, one topic two readers, and two topics one count.
fn graph() -> Result<Topology, BuildErrors> {
    let mut job = Topology::builder("app");
    let left = job.keyed_stream("left", Utf8, Utf8);
    let right = job.keyed_stream("right", Utf8, Utf8);
    left.clone().to("copy", Utf8, Utf8);
    let (long, short) = left.merge(right).split(|record| record.value.len() > 3);
    short.to("short", Utf8, Utf8);
    let counts = long.window(tumbling(10)).count("counts", Emit::OnClose);
    counts.clone().map(|counted| *counted.value).to("first", Utf8, U64);
    counts.map(|counted| *counted.value).key_by("by", Partitions(2), (U64, ()), |c| (c.value, ())).to("third", U64, ());
    job.keyed_stream("left", Raw, ()).filter(|_| true).to("keys", Raw, ());
    job.keyed_stream("alone", Utf8, Utf8).to("copy", Utf8, Utf8);
    job.build()
}

#[test]
fn describe_prints_forks_merges_and_which_steps_belong_together() {
    let expected = "\
Topology: app
  Sub-topology: 0
    Source: source-0 (topic: left)
      --> sink-copy, merge-1
    Source: source-1 (topic: right)
      --> merge-1
    Sink: sink-copy (topic: copy)
      <-- source-0
    Processor: merge-1 (stores: [])
      --> split-2, split-3
      <-- source-0, source-1
    Processor: split-2 (stores: [])
      --> counts
      <-- merge-1
    Processor: split-3 (stores: [])
      --> sink-short
      <-- merge-1
    Sink: sink-short (topic: short)
      <-- split-3
    Processor: counts (stores: [counts], windows: tumbling 10 ms, emit: on close)
      --> map-4, map-5
      <-- split-2
    Processor: map-4 (stores: [])
      --> sink-first
      <-- counts
    Sink: sink-first (topic: first)
      <-- map-4
    Processor: map-5 (stores: [])
      --> by
      <-- counts
    Sink: by (topic: app-by-repartition, 2 partitions)
      <-- map-5
    Source: source-3 (topic: left)
      --> filter-6
    Processor: filter-6 (stores: [])
      --> sink-keys
      <-- source-3
    Sink: sink-keys (topic: keys)
      <-- filter-6
  Sub-topology: 1
    Source: source-2 (topic: app-by-repartition, from sub-topology 0)
      --> sink-third
    Sink: sink-third (topic: third)
      <-- source-2
  Sub-topology: 2
    Source: source-4 (topic: alone)
      --> sink-copy
    Sink: sink-copy (topic: copy)
      <-- source-4
";
    let topology = graph().unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(topology.describe(), expected);
    let sources: Vec<_> = topology.sub_topologies()[0].sources().iter().map(|source| source.topic.as_str()).collect();
    assert_eq!(sources, ["left", "right"]);
    assert_eq!(topology.together(), [["left", "right"]]);
    assert_eq!(topology.sub_topologies()[0].shuffles().len(), 1);
}

#[test]
fn a_step_with_state_needs_topics_of_equal_numbers_of_partitions() {
    let topology = graph().unwrap_or_else(|errors| panic!("{errors}"));
    let counts =
        |left, right| BTreeMap::from([("left".to_owned(), left), ("right".to_owned(), right), ("alone".to_owned(), 9)]);
    assert_eq!(topology.check_partitions(&counts(3, 3)), Ok(()));
    assert_eq!(topology.task_count(SubTopologyId(0), &counts(3, 5)), 5);
    let expected = "step `counts` is reached by topics with different numbers of partitions: `left` has 3, `right` has 4; \
                    send one of them through key_by, with as many partitions as the other has";
    assert_eq!(topology.check_partitions(&counts(3, 4)).expect_err("refused").to_string(), expected);

    let mut job = Topology::builder("app");
    let one = job.stream("in", Utf8).key_by("one", Partitions(2), (Utf8, ()), |record| (record.value, ()));
    let other = job.stream("in", Utf8).key_by("other", Partitions(3), (Utf8, ()), |record| (record.value, ()));
    one.merge(other).window(tumbling(10)).count("counts", Emit::OnClose).map(|c| *c.value).to("out", Utf8, U64);
    let found = errors(job.build());
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("`app-one-repartition` has 2, `app-other-repartition` has 3"), "{found:?}");
}

#[test]
fn what_a_store_and_a_shuffle_hold_is_said_in_words() {
    let topology = word_count("app", "by-word", "counts", "out").expect("a valid job");
    assert_eq!(topology.stores()[0].version, "count, windows: tumbling 10000 ms, key: Utf8, value: U64");
    assert_eq!(topology.sub_topologies()[1].sources()[0].version, "key: Utf8, value: ()");
    assert_eq!(topology.sub_topologies()[0].sources()[0].version, "");
}

#[test]
fn a_stream_of_another_job_is_refused() {
    let (mut job, mut other) = (Topology::builder("app"), Topology::builder("other"));
    let foreign = other.stream("in", Utf8);
    job.stream("in", Utf8).merge(foreign).to("out", Nullable(Raw), Utf8);
    assert_eq!(errors(job.build()), ["a stream of another job was merged into this one"]);
}

#[test]
fn no_stream_is_written_to_a_topic_of_the_jobs_own() {
    for own in ["app-counts-changelog", "app-by-word-repartition"] {
        let found = errors(word_count("app", "by-word", "counts", own));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(&format!("`{own}` is the job's own")), "{found:?}");
    }
    word_count("app", "by-word", "counts", "other-counts-changelog").expect("the changelog of another job");
}

/// `main` prints the error that it returns by `Debug`.
#[test]
fn errors_are_text_for_main_too() {
    let Err(errors) = Topology::builder("empty").build() else { panic!("there is no stream") };
    assert_eq!(errors.0, [BuildError::Empty]);
    assert_eq!(format!("{errors:?}"), format!("BuildErrors: {errors}"));
}

#[test]
fn a_table_with_the_name_of_another_one_is_an_error_also_if_its_topic_is_its_changelog() {
    for has_sink_between in [false, true] {
        let mut job = Topology::builder("app");
        let rows = job.table("a", "rows", Utf8, Text);
        if has_sink_between {
            rows.changes().map(|change| change.value.new.clone()).to("out", Utf8, Nullable(Text));
        }
        job.compacted_table("b", "rows", Utf8, Text);
        let BuildErrors(errors) = job.build().expect_err("two tables with one name");
        assert_eq!(errors, [BuildError::DuplicateName { name: "rows".to_owned() }]);
    }
}

#[test]
fn each_clone_of_a_source_may_have_settings_of_its_own() {
    let mut job = Topology::builder("app");
    let one = job.keyed_stream("in", Utf8, Utf8);
    let other = one.clone().timestamp(|record| record.timestamp);
    let one = one.watermark(Watermark::default().never_idle());
    one.to("one", Utf8, Utf8);
    other.to("other", Utf8, Utf8);
    let topology = job.build().expect("both lead somewhere");
    assert_eq!(topology.sub_topologies()[0].heads().len(), 2);
    assert_eq!(topology.describe().matches("Source: ").count(), 2, "{}", topology.describe());
}

#[test]
fn topics_of_steps_that_the_job_had_before_match_no_pattern() {
    let mut job = Topology::builder("orders-app");
    let pattern = TopicPattern::regex("orders-.*").expect("a regular expression");
    job.stream(pattern, Utf8).to("out", Nullable(Raw), Utf8);
    let topology = job.build().expect("a valid job");
    for of_job in ["orders-app-counts-changelog", "orders-app-by-user-repartition"] {
        assert!(topology.with_topics([of_job]).expect("read once").is_none(), "{of_job}");
    }
    for of_others in ["orders-eu", "orders-app-eu", "orders-changelog"] {
        assert!(topology.with_topics([of_others]).expect("read once").is_some(), "{of_others}");
    }
}
