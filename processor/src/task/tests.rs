//! Single tasks, with their records and output under the control of the test.

use std::time::Duration;

use kafka_wire::compression::Decompressed;
use kafka_wire::record::{Batch, BatchBuilder, RawHeaders, Seal, with_base_offset};
use kafka_wire::types::{LeaderEpoch, PartitionId};

use super::*;
use crate::error::SinkError;
use crate::operator::{Emit, SinkPlace, SinkWriter, TwoPhaseSink};
use crate::output::{OutRecord, Route};
use crate::serde::{Raw as RawBytes, U64, Utf8};
use crate::state::ChangelogKey;
use crate::topology::SubTopologyId;
use crate::types::Partitions;
use crate::watermark::{IdleAt, NO_WATERMARK, Watermark, encode_marks};
use crate::window::Tumbling;

/// An output record: topic, partition (-1 by key), key, value.
type Recorded = (usize, i32, Option<Vec<u8>>, Option<Vec<u8>>);

/// Collects output records.
#[derive(Default)]
struct Recorder(Vec<Recorded>);

impl Output for Recorder {
    fn emit(&mut self, record: OutRecord<'_>) {
        let partition = match record.route {
            Route::Number(number) => number as i32,
            Route::ByKey => -1,
            Route::Partition(partition) => partition.0,
        };
        let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        self.0.push((record.sink.0, partition, owned(record.key), owned(record.value)));
    }
}

impl Recorder {
    /// The marks in topic 0, with their partitions, since the last call.
    fn marks(&mut self) -> Vec<(i32, Mark)> {
        let records = self.0.drain(..).filter(|(sink, _, key, _)| *sink == 0 && key.is_none());
        let marks = |(_, partition, _, value): Recorded| {
            let marks = decode_marks(&value.expect("a value")).expect("marks");
            marks.into_iter().map(move |mark| (partition, mark))
        };
        records.flat_map(marks).collect()
    }
}

fn topology() -> Topology {
    let mut job = Topology::builder("app");
    job.stream("in", Utf8)
        .watermark(Watermark::default().idle_after(Duration::from_secs(30)))
        .key_by("by-value", Partitions(2), (Utf8, ()), |record| (record.value, ()))
        .window(Tumbling::of(Duration::from_secs(1)))
        .count("counts", Emit::OnClose)
        .map(|counted| *counted.value)
        .to("out", Utf8, U64);
    job.build().expect("a valid job")
}

const SOURCE: SubTopologyId = SubTopologyId(0);
const COUNT: SubTopologyId = SubTopologyId(1);

fn task(id: SubTopologyId) -> Task {
    Task::new(&topology(), TaskId { sub_topology: id, partition: PartitionId(1) }, &[2])
}

type Raw<'a> = (i64, Option<&'a [u8]>, Option<&'a [u8]>);

/// Processes records of (timestamp, key, value) from `base_offset` on.
fn process(task: &mut Task, base_offset: i64, records: &[Raw<'_>], output: &mut Recorder) -> Result<(), ProcessError> {
    let mut builder = BatchBuilder::new(64);
    for (timestamp, key, value) in records {
        builder.append(*timestamp, *key, *value, RawHeaders::EMPTY).expect("it fits");
    }
    let sealed = builder.seal(Seal::default()).expect("not compressed");
    let batch = Batch::from_bytes(with_base_offset(&sealed, base_offset, LeaderEpoch(0))).expect("just sealed");
    let mut buffer = Decompressed::default();
    let records_of_batch = batch.open(&mut buffer).expect("not corrupt");
    let processed = task.process(0, records_of_batch, Offset(base_offset), Moment::ZERO, output);
    task.set_position(0, Offset(batch.header.next_offset()));
    processed
}

/// Calls everything that writes the task's output at a commit.
fn before_commit(task: &mut Task, output: &mut Recorder) -> Result<(), ProcessError> {
    task.before_commit(output)?;
    write_marks([task], output);
    Ok(())
}

fn mark(upstream: i32, watermark: i64, ended: Option<i64>) -> Vec<u8> {
    let (upstream, watermark, ended) = (PartitionId(upstream), TimestampMs(watermark), ended.map(Offset));
    let idle = ended.map(|Offset(own)| IdleAt { own, above: 0 });
    let mut bytes = Vec::new();
    encode_marks(&[Mark { upstream, upstream_count: 2, watermark, idle, ended }], &mut bytes);
    bytes
}

#[test]
fn a_mark_goes_into_every_partition_when_it_says_something_new() {
    let (mut task, mut output) = (task(SOURCE), Recorder::default());
    before_commit(&mut task, &mut output).expect("no error");
    assert_eq!(output.marks(), [], "nothing is known");
    task.committed();
    assert!(!task.has_uncommitted());

    process(&mut task, 0, &[(700, None, Some(b"a"))], &mut output).expect("no error");
    before_commit(&mut task, &mut output).expect("no error");
    let mark =
        Mark { upstream: PartitionId(1), upstream_count: 2, watermark: TimestampMs(700), idle: None, ended: None };
    assert_eq!(output.marks(), [(0, mark), (1, mark)]);
    task.committed();

    process(&mut task, 1, &[(600, None, Some(b"a"))], &mut output).expect("no error");
    before_commit(&mut task, &mut output).expect("no error");
    assert_eq!(output.marks(), [], "time did not advance");
    task.committed();

    task.tick(Moment::from_millis(30_000), &mut output).expect("no error");
    assert!(task.has_uncommitted(), "idleness alone is worth a commit");
    before_commit(&mut task, &mut output).expect("no error");
    assert_eq!(output.marks()[0].1, Mark { idle: Some(IdleAt { own: 2, above: 0 }), ..mark });
    task.rolled_back();
    assert_eq!(task.next_timeout(), Some(Moment::from_millis(30_000)), "the mark went with its transaction");
    task.end_of_input(0, Offset(2), &mut output).expect("no error");
    before_commit(&mut task, &mut output).expect("no error");
    assert_eq!(output.marks()[0].1, Mark { idle: Some(IdleAt { own: 2, above: 0 }), ended: Some(Offset(2)), ..mark });
    assert!(!task.is_finished(), "not before it is committed");
    task.committed();
    assert!(task.is_finished());
}

#[test]
fn the_marks_of_several_tasks_are_one_record_for_each_partition() {
    let named = |partition| TaskId { sub_topology: SOURCE, partition: PartitionId(partition) };
    let mut tasks = [0, 1].map(|partition| Task::new(&topology(), named(partition), &[2]));
    let mut output = Recorder::default();
    for (task, timestamp) in tasks.iter_mut().zip([700, 900]) {
        process(task, 0, &[(timestamp, None, Some(b"a"))], &mut output).expect("no error");
        assert!(task.has_mark() && !task.has_urgent_mark(), "that time has gone on may wait");
        task.before_commit(&mut output).expect("no error");
    }
    output.0.clear();
    write_marks(&mut tasks, &mut output);
    assert_eq!(output.0.len(), 2, "one for each partition");
    let marks = output.marks();
    let said = |(target, mark): &(i32, Mark)| (*target, mark.upstream.0, mark.watermark.0);
    assert_eq!(marks.iter().map(said).collect::<Vec<_>>(), [(0, 0, 700), (0, 1, 900), (1, 0, 700), (1, 1, 900)]);
    tasks.iter_mut().for_each(Task::committed);

    tasks[0].tick(Moment::from_millis(30_000), &mut output).expect("no error");
    assert!(tasks[0].has_urgent_mark() && !tasks[1].has_mark(), "one has fallen idle");
    write_marks(&mut tasks, &mut output);
    assert_eq!(output.marks().len(), 2, "the other has nothing new to say");
}

#[test]
fn the_end_of_a_partition_without_records_survives_a_rollback() {
    let (mut task, mut output) = (task(SOURCE), Recorder::default());
    task.end_of_input(0, Offset(0), &mut output).expect("no error");
    for _ in 0..2 {
        before_commit(&mut task, &mut output).expect("no error");
        assert_eq!(output.marks().len(), 2);
        task.rolled_back();
        assert_eq!(task.next_timeout(), Some(Moment::ZERO), "no record will come that says it again");
        task.tick(Moment::ZERO, &mut output).expect("no error");
    }
    before_commit(&mut task, &mut output).expect("no error");
    task.committed();
    assert!(task.is_finished() && output.marks().len() == 2);

    process(&mut task, 0, &[(700, None, Some(b"a"))], &mut output).expect("no error");
    task.end_of_input(0, Offset(1), &mut output).expect("no error");
    task.rolled_back();
    task.tick(Moment::ZERO, &mut output).expect("no error");
    before_commit(&mut task, &mut output).expect("no error");
    assert_eq!(output.marks(), [], "the record comes again, and the end after it");
}

#[test]
fn marks_close_windows_and_a_rollback_opens_them_again() {
    let (mut task, mut output) = (task(COUNT), Recorder::default());
    let heard = mark(0, 5_000, None);
    process(&mut task, 0, &[(100, Some(b"a"), Some(b"")), (0, None, Some(&heard))], &mut output).expect("no error");
    before_commit(&mut task, &mut output).expect("no error");
    task.committed();
    assert_eq!(task.status().watermark, NO_WATERMARK, "one upstream partition is unheard");
    assert_eq!(task.status().open_windows, 1);

    output.0.clear();
    for attempt in 0..2 {
        process(&mut task, 2, &[(0, None, Some(&mark(1, 1_000, None)))], &mut output).expect("no error");
        assert_eq!(task.status().watermark, TimestampMs(1_000));
        let closed = (2, -1, Some(b"a".to_vec()), Some(1_u64.to_be_bytes().to_vec()));
        assert_eq!(std::mem::take(&mut output.0), [closed], "attempt {attempt}");
        task.rolled_back();
        assert_eq!((task.status().watermark, task.status().open_windows), (NO_WATERMARK, 1));
    }
}

#[test]
fn an_end_that_was_heard_before_is_found_by_a_tick_and_again_after_a_rollback() {
    let (mut task, mut output) = (task(COUNT), Recorder::default());
    let (first, second) = (mark(0, 100, Some(7)), mark(1, 200, Some(0)));
    let records = [(100, Some(&b"a"[..]), Some(&b""[..])), (0, None, Some(&first[..])), (0, None, Some(&second[..]))];
    process(&mut task, 0, &records, &mut output).expect("no error");
    before_commit(&mut task, &mut output).expect("no error");
    task.committed();
    assert_eq!((task.next_timeout(), task.status().open_windows), (None, 1));

    task.expect_ends(0, vec![Offset(7), Offset(0)]);
    for _ in 0..2 {
        assert_eq!(task.next_timeout(), Some(Moment::ZERO));
        task.tick(Moment::ZERO, &mut output).expect("no error");
        assert_eq!((task.status().open_windows, task.status().watermark), (0, TimestampMs(1_000)));
        task.rolled_back();
    }
    task.tick(Moment::ZERO, &mut output).expect("no error");
    before_commit(&mut task, &mut output).expect("no error");
    task.committed();
    assert!(task.is_finished());
    task.expect_ends(0, vec![Offset(8), Offset(0)]);
    assert!(!task.is_finished(), "another run, and more input");
}

#[test]
fn what_is_no_mark_and_no_changelog_stops_the_job() {
    let (mut task, mut output) = (task(COUNT), Recorder::default());
    let origin = Origin { topic: "app-by-value-repartition".to_owned(), partition: PartitionId(1), offset: Offset(42) };
    let result = process(&mut task, 41, &[(0, Some(b"a"), Some(b"")), (0, None, Some(b"mark"))], &mut output);
    assert_eq!(result, Err(ProcessError::BadMark { origin: origin.clone() }));
    let result = process(&mut task, 42, &[(0, Some(b"\xff"), None)], &mut output);
    let cause = crate::serde::SerdeError::NotUtf8 { valid_up_to: 0 };
    assert_eq!(result, Err(ProcessError::Undecodable { origin, part: "key", cause }));

    let mut task = self::task(COUNT);
    let error = |key: &[u8], value| task_error(&mut self::task(COUNT), key, value);
    assert_eq!(error(b"\x07", b""), "changelog of store counts: not a key of a changelog");
    assert_eq!(error(b"\x03\0\0\0\0in", b"mark"), "changelog of store counts: not a key of a changelog");
    assert_eq!(error(b"\x02\0\0", b""), "changelog of store counts: not a key of a changelog");
    let entry = b"\x02\x80\0\0\0\0\0\0\0\x80\0\0\0\0\0\x03\xe8a";
    assert_eq!(error(entry, b"short"), "changelog of store counts: 5 bytes, not 8");
    assert_eq!(task.restore(StoreId(0), entry, Some(&7_u64.to_be_bytes())), Ok(()));
    assert_eq!(task.status().store_entries, 1);
}

fn task_error(task: &mut Task, key: &[u8], value: &[u8]) -> String {
    task.restore(StoreId(0), key, Some(value)).map_or_else(|error| error.to_string(), |()| String::new())
}

#[test]
fn progress_in_the_changelog_of_a_store_that_was_the_first_before_is_older() {
    let mut job = Topology::builder("app");
    let keyed = job.stream("in", Utf8).key_by("by-value", Partitions(2), (Utf8, ()), |record| (record.value, ()));
    for name in ["added", "counts"] {
        let counts = keyed.clone().window(Tumbling::of(Duration::from_secs(1))).count(name, Emit::OnClose);
        counts.map(|counted| *counted.value).to("out", Utf8, U64);
    }
    let topology = job.build().expect("a valid job");
    let mut key = Vec::new();
    let topic = b"app-by-value-repartition";
    ChangelogKey::Progress { topic, upstream: PartitionId(0) }.encode_into(&mut key);
    let marks = |ended: Option<i64>| {
        let (watermark, ended) = (TimestampMs(9), ended.map(Offset));
        let of = |upstream| Mark { upstream: PartitionId(upstream), upstream_count: 2, watermark, idle: None, ended };
        let mut bytes = Vec::new();
        encode_marks(&[of(0), of(1)], &mut bytes);
        bytes
    };
    let mut changelogs = [(StoreId(0), marks(Some(5))), (StoreId(1), marks(None))];
    for _ in 0..2 {
        let mut task = Task::new(&topology, TaskId { sub_topology: COUNT, partition: PartitionId(0) }, &[2]);
        for (store, marks) in &changelogs {
            task.restore(*store, &key, Some(marks)).expect("progress");
        }
        task.expect_ends(0, vec![Offset(5); 2]);
        assert_eq!(task.next_timeout(), Some(Moment::ZERO), "all have ended");
        changelogs.reverse();
    }
}

/// A job with another step in place of the count of `topology()`: with other windows, or with keys encoded in
/// another way.
fn changed(windows_ms: u64, is_raw: bool) -> Topology {
    let mut job = Topology::builder("app");
    let lines = job.stream("in", Utf8);
    let windows = Tumbling::of(Duration::from_millis(windows_ms));
    if is_raw {
        let keyed = lines.key_by("by-value", Partitions(2), (RawBytes, ()), |record| (record.value.as_bytes(), ()));
        keyed.window(windows).count("counts", Emit::OnUpdate).map(|counted| *counted.value).to("out", RawBytes, U64);
    } else {
        let keyed = lines.key_by("by-value", Partitions(2), (Utf8, ()), |record| (record.value, ()));
        let sums = keyed.window(windows).aggregate("counts", U64, Emit::OnClose, || 0, |sum, _| *sum += 2);
        sums.map(|sum| *sum.value).to("out", Utf8, U64);
    }
    job.build().expect("a valid job")
}

/// The records of the changelog of a task that has counted one word.
fn changelog_of_one_count() -> Vec<Recorded> {
    let (mut counted, mut output) = (task(COUNT), Recorder::default());
    process(&mut counted, 0, &[(100, Some(b"a"), Some(b""))], &mut output).expect("no error");
    before_commit(&mut counted, &mut output).expect("no error");
    output.0.into_iter().filter(|(sink, ..)| *sink == 1).collect()
}

fn restore_all(task: &mut Task, store: StoreId, changelog: &[Recorded]) -> Result<(), ProcessError> {
    let mut records = changelog.iter();
    records.try_for_each(|(_, _, key, value)| task.restore(store, key.as_deref().expect("a key"), value.as_deref()))
}

#[test]
fn state_of_a_step_that_was_changed_is_refused_with_the_way_out() {
    let changelog = changelog_of_one_count();
    let restored = |topology: &Topology| {
        let mut task = Task::new(topology, TaskId { sub_topology: COUNT, partition: PartitionId(1) }, &[2]);
        restore_all(&mut task, StoreId(0), &changelog).map(|()| task.status().store_entries)
    };
    assert_eq!(restored(&topology()), Ok(1));
    let error = |topology: &Topology| restored(topology).expect_err("refused").to_string();
    let way_out = "what is there cannot be read as that. Give the step another name to start it without state, or the job \
                   another application id to start anew, or change the step back";
    let windows = "`counts` was written as (count, windows: tumbling 1000 ms, key: Utf8, value: U64), and the job now says \
                   (aggregate, windows: tumbling 700 ms, key: Utf8, value: U64)";
    assert_eq!(error(&changed(700, false)), format!("{windows}: {way_out}"));
    assert!(error(&changed(1_000, false)).contains("(aggregate, windows: tumbling 1000 ms, key: Utf8, value: U64)"));
    let shuffled =
        "`app-by-value-repartition` was written as (key: Utf8, value: ()), and the job now says (key: Raw, value: ())";
    assert!(error(&changed(1_000, true)).starts_with(shuffled), "{}", error(&changed(1_000, true)));
}

/// The job of `topology()` with a second shuffle before its count, or with another store there and another format of
/// the shuffle.
fn extended(has_shuffle: bool) -> Topology {
    let mut job = Topology::builder("app");
    let lines = job.stream("in", Utf8);
    let windows = Tumbling::of(Duration::from_secs(1));
    if has_shuffle {
        let keyed = lines.key_by("by-value", Partitions(2), (Utf8, ()), |record| (record.value, ()));
        let others = job.stream("others", Utf8).key_by("by-other", Partitions(2), (Utf8, ()), |r| (r.value, ()));
        let counts = keyed.merge(others).window(windows).count("counts", Emit::OnClose);
        counts.map(|counted| *counted.value).to("out", Utf8, U64);
    } else {
        let keyed = lines.key_by("by-value", Partitions(2), (Utf8, U64), |record| (record.value, 1));
        let once = keyed.dedup("once", Duration::from_secs(1));
        once.window(windows).count("counts", Emit::OnClose).map(|counted| *counted.value).to("out", Utf8, U64);
    }
    job.build().expect("a valid job")
}

#[test]
fn formats_of_shuffles_are_remembered_though_steps_come_later() {
    let changelog = changelog_of_one_count();
    let restored = |topology: &Topology| {
        let reader = topology.reader_of("app-by-value-repartition").expect("a reader").id();
        let mut task = Task::new(topology, TaskId { sub_topology: reader, partition: PartitionId(1) }, &[2, 2]);
        let store = topology.stores().iter().position(|store| store.name == "counts").expect("a store");
        restore_all(&mut task, StoreId(store), &changelog).map(|()| task)
    };

    let mut output = Recorder::default();
    let mut merged = restored(&extended(true)).expect("the format of the first shuffle is what it was");
    let versions = |task: &mut Task, output: &mut Recorder| {
        process(task, 1, &[(100, Some(b"a"), Some(b""))], output).expect("no error");
        before_commit(task, output).expect("no error");
        let keys = output.0.drain(..).filter_map(|(_, _, key, _)| key.filter(|key| key.first() == Some(&4)));
        keys.map(|key| String::from_utf8(key[1..].to_vec()).expect("a name")).collect::<Vec<_>>()
    };
    for _ in 0..2 {
        assert_eq!(versions(&mut merged, &mut output), ["app-by-other-repartition"], "that of the other comes with it");
        merged.rolled_back();
    }
    assert_eq!(versions(&mut merged, &mut output), ["app-by-other-repartition"]);
    merged.committed();
    assert_eq!(versions(&mut merged, &mut output), [""; 0]);

    let refused = restored(&extended(false)).map(|_| ()).expect_err("refused").to_string();
    assert!(refused.starts_with("`app-by-value-repartition` was written as (key: Utf8, value: ())"), "{refused}");
}

#[test]
fn state_that_does_not_say_how_it_was_written_is_refused() {
    let unsaid =
        "`counts` was written as (by a version of this program that did not say how), and the job now says (count";
    assert!(task_error(&mut task(COUNT), b"\0\0\0\0\0\0\0\0\0a", b"\0\0\0\0\0\0\0\x07").starts_with(unsaid));
    let mut task = task(COUNT);
    let entry = b"\x02\x80\0\0\0\0\0\0\0\x80\0\0\0\0\0\x03\xe8a";
    assert_eq!(task.restore(StoreId(0), entry, Some(&7_u64.to_be_bytes())), Ok(()));
    let refused = task.tick(Moment::ZERO, &mut Recorder::default()).expect_err("refused").to_string();
    assert!(refused.starts_with(unsaid), "{refused}");
}

#[test]
fn the_partition_that_event_time_waits_for_is_named() {
    let (mut task, mut output) = (task(COUNT), Recorder::default());
    process(&mut task, 0, &[(0, None, Some(&mark(0, 700, None)))], &mut output).expect("no error");
    assert_eq!(task.waits_for(), "the first record of in-1, or until that counts as idle");
    let by = Holder::Task(TaskId { sub_topology: SOURCE, partition: PartitionId(1) });
    assert_eq!(task.held_back(), Some(HeldBack { by: by.clone(), watermark: None }));
    process(&mut task, 1, &[(0, None, Some(&mark(1, 300, None)))], &mut output).expect("no error");
    assert_eq!(task.waits_for(), "a record of in-1 later than 300, or until that counts as idle");
    assert_eq!(task.held_back(), Some(HeldBack { by, watermark: Some(TimestampMs(300)) }));
    process(&mut task, 2, &[(0, None, Some(&mark(1, 700, None)))], &mut output).expect("no error");
    assert_eq!(task.waits_for(), "a record with a later event time in any partition of its sources");
    assert_eq!(task.held_back(), None);
}

/// An output whose state counts its commits.
#[derive(Clone)]
struct CountedCommits;

impl TwoPhaseSink for CountedCommits {
    type Writer = u8;

    fn writer(&self, _place: &SinkPlace) -> u8 {
        0
    }

    fn format(&self) -> String {
        String::new()
    }
}

impl SinkWriter for u8 {
    fn open(&mut self, _committed: Option<&[u8]>) -> Result<(), SinkError> {
        Ok(())
    }

    fn write(&mut self, _value: &[u8], _wall: TimestampMs) -> Result<(), SinkError> {
        Ok(())
    }

    fn prepare(&mut self, _wall: TimestampMs) -> Result<Vec<u8>, SinkError> {
        *self += 1;
        Ok(vec![*self])
    }

    fn committed(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn rolled_back(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// A task is committed without records of its own when only its position has moved, over markers.
#[test]
fn the_state_of_an_output_is_written_with_each_commit_that_changes_it() {
    let mut job = Topology::builder("app");
    job.stream("in", Utf8).to_sink("counted", Utf8, CountedCommits);
    let topology = job.build().expect("a valid job");
    let id = TaskId { sub_topology: SubTopologyId(0), partition: PartitionId(0) };
    let (mut task, mut output) = (Task::new(&topology, id, &[1]), Recorder::default());
    process(&mut task, 0, &[(0, None, Some(b"line"))], &mut output).expect("a record");
    let mut states = Vec::new();
    for _ in 0..3 {
        task.before_commit(&mut output).expect("it is prepared");
        task.committed();
        let entries = output.0.drain(..).filter_map(|(_, _, key, value)| key.filter(|key| key.len() == 1).and(value));
        states.extend(entries.filter(|value| value.len() == 1));
    }
    assert_eq!(states, [[1], [2], [3]]);
}
