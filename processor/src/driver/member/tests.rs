//! Several workers, long restores, and refusals of a worker, in virtual time.

use std::time::Duration;

use kafka_wire::cluster::TopicPartition;
use kafka_wire::types::{Offset, PartitionId};

use super::ROOM_RECORDS;
use crate::commit::{CommitPolicy, OffsetMetadata};
use crate::driver::plan::Plan;
use crate::driver::{TestClock, TestDriver};
use crate::operator::{CallOptions, Emit};
use crate::serde::{Raw, Text, U64, Utf8};
use crate::topology::{StoppingOffsets, Topology};
use crate::types::Partitions;
use crate::watermark::Watermark;
use crate::window::Tumbling;
use crate::worker::{End, Fatal, Life, MissingTopic, Operation};

const SECOND: Duration = Duration::from_secs(1);

/// Counts keys of a topic of the user's: its state is in the task that reads the input.
fn count(emit: Emit) -> Topology {
    let mut job = Topology::builder("job");
    job.keyed_stream("keys", Utf8, Utf8)
        .watermark(Watermark::default().never_idle())
        .window(Tumbling::of(10 * SECOND))
        .count("counts", emit)
        .map(|key| *key.value)
        .to("out", Utf8, U64);
    job.build().expect("a valid job")
}

fn counts(driver: &TestDriver) -> Vec<u64> {
    let count = |value: Vec<u8>| u64::from_be_bytes(value.try_into().expect("8 bytes"));
    driver.read("out").into_iter().filter_map(|record| record.value).map(count).collect()
}

/// A driver with records in partitions 0 and 1 of two.
fn filled() -> TestDriver {
    let mut driver = TestDriver::with_partitions(count(Emit::OnUpdate), &[("keys", 2)]);
    for number in 0..100 {
        for partition in 0..2 {
            driver.write_partition("keys", partition, Some(&format!("k{number}")), "", 1_000);
        }
    }
    driver.settle();
    driver
}

#[test]
fn tasks_are_restored_one_after_the_other_and_run_while_others_wait() {
    let mut driver = TestDriver::with_partitions(count(Emit::OnUpdate), &[("keys", 4)]);
    for number in 0..20 {
        (0..4).for_each(|partition| driver.write_partition("keys", partition, Some(&format!("k{number}")), "", 1_000));
    }
    driver.settle();
    driver.set_restore_pace(Some(1));
    driver.crash();
    let mut seen = [false; 3];
    for _ in 0..120 {
        driver.write_partition("keys", 0, Some("first"), "", 1_000);
        driver.advance_wall(SECOND);
        let reports = driver.reports();
        let has_begun = |life: Life| matches!(life, Life::Restoring { done, end } if 0 < done && done < end);
        let waits = |life: Life| matches!(life, Life::Restoring { done: 0, .. });
        let count = |is: &dyn Fn(Life) -> bool| reports[0].iter().filter(|task| is(task.life)).count();
        let running = |life: Life| life == Life::Running;
        assert!(count(&has_begun) <= 2, "two side by side");
        seen[0] |= (count(&has_begun), count(&waits)) == (2, 2);
        seen[1] |= count(&running) > 0 && count(&waits) > 0;
        seen[2] |= counts(&driver).len() > 81 && count(&running) < 4;
    }
    assert_eq!(seen, [true; 3], "two begin, one runs while others wait, and has new results before all are restored");
    assert!(driver.reports()[0].iter().all(|task| task.life == Life::Running));
    let first = driver.store("counts").iter().find(|entry| entry.key == b"first").map(|entry| entry.value.clone());
    assert_eq!(first, Some(120_u64.to_be_bytes().to_vec()));
}

#[test]
fn a_restore_longer_than_every_timeout_loses_nothing_while_others_run() {
    let mut driver = filled();
    // The second worker takes one task over, and restores it at one record per second: longer than a session,
    // a transaction and a rebalance may take.
    driver.set_restore_pace(Some(1));
    let slow = driver.add_worker();
    driver.advance_wall(SECOND);
    let mut ran_beside_it = 0;
    for _ in 0..60 {
        driver.write_partition("keys", 0, Some("beside"), "", 1_000);
        driver.advance_wall(SECOND);
        let reports = driver.reports();
        let restoring = |life: Life| matches!(life, Life::Restoring { done, end } if done < end);
        ran_beside_it += usize::from(reports[slow].iter().any(|task| restoring(task.life)));
    }
    assert!(ran_beside_it > 40, "it took its time");
    assert_eq!(counts(&driver).last(), Some(&60), "the other task counted and committed all the while");
    assert_eq!(driver.crash_count(), 0);

    driver.set_restore_pace(None);
    driver.write_partition("keys", 1, Some("k0"), "", 1_000);
    driver.advance_wall(SECOND);
    driver.settle();
    assert!(driver.reports().iter().flatten().all(|task| task.life == Life::Running));
    let entries = driver.store("counts");
    assert_eq!(entries.len(), 201);
    let k0 = entries.iter().find(|entry| entry.partition.0 == 1 && entry.key == b"k0").expect("restored");
    assert_eq!(k0.value, 2_u64.to_be_bytes());
}

#[test]
fn a_paused_worker_that_comes_back_commits_nothing() {
    let mut driver = filled();
    let other = driver.add_worker();
    driver.settle();
    driver.write_partition("keys", 0, Some("late"), "", 1_000);
    driver.write_partition("keys", 1, Some("late"), "", 1_000);
    driver.run();
    driver.pause_worker(other);
    driver.advance_wall(20 * SECOND);
    driver.settle();
    assert_eq!(driver.reports()[0].len(), 2, "the one that lives has all tasks");
    driver.resume_worker(other);
    driver.advance_wall(20 * SECOND);
    driver.settle();
    assert!(driver.reports().iter().all(|tasks| tasks.len() == 1), "both have one again");
    assert_eq!(counts(&driver).len(), 202, "each record is in one result");
}

#[test]
fn an_input_that_outgrows_its_state_ends_the_job_and_says_what_to_do() {
    let mut driver = filled();
    driver.grow_topic("keys", 3);
    driver.advance_wall(10 * SECOND);
    let fatal = driver.fatal().expect("the keys moved");
    assert_eq!(
        *fatal,
        Fatal::PartitionsGrew {
            topic: "keys".to_owned(),
            changelog: "job-counts-changelog".to_owned(),
            old: 2,
            new: 3
        }
    );
    let told = fatal.to_string();
    assert!(told.contains("key_by") && told.contains("another application id"), "{told}");
}

#[test]
fn an_offset_of_another_program_is_refused_with_its_place() {
    let mut driver = filled();
    driver.commit_foreign_offset("keys", 1, 42);
    driver.crash();
    let fatal = driver.fatal().expect("somebody else was here").to_string();
    for part in ["offset 42", "topic keys, partition 1", "group job"] {
        assert!(fatal.contains(part), "{part} is missing in: {fatal}");
    }
}

#[test]
fn a_backlog_commits_at_the_longest_interval_and_the_head_at_once() {
    let mut driver = TestDriver::with_partitions(count(Emit::OnUpdate), &[("keys", 1)]);
    driver.set_commit_policy(CommitPolicy::adaptive(Duration::from_millis(5), Duration::from_millis(500)));
    driver.settle();
    let commits_before = driver.commit_count();
    for number in 0..1_000 {
        driver.write_partition("keys", 0, Some(&format!("k{number}")), "", 1_000);
    }
    // A fetch of 8 records every 10 ms, with nothing fetched in between.
    for _ in 0..125 {
        driver.trickle(8);
        driver.wait(Duration::from_millis(10));
    }
    let backlog = driver.commit_count() - commits_before;
    assert!((2..=4).contains(&backlog), "{backlog} commits in 1.25 s of backlog");
    for _ in 0..5 {
        driver.write_partition("keys", 0, Some("head"), "", 1_000);
        driver.trickle(8);
        driver.wait(Duration::from_millis(10));
    }
    assert!(driver.commit_count() - commits_before - backlog >= 5, "at the head each record is committed at once");
}

#[test]
fn a_worker_that_slept_in_its_take_over_begins_anew_and_does_not_end_the_job() {
    let mut driver = TestDriver::unstarted(count(Emit::OnUpdate), &[]);
    driver.add_worker();
    while driver.choose(0) {}
    driver.cluster.handle_time(driver.now);
    // It has read the offsets, of which there are none, and is about to read the changelogs.
    let is_about_to_list = |operation: &Operation| matches!(operation, Operation::ListOffsets { .. });
    while !driver.slots[0].active().expect("it is alive").operations.iter().any(|it| is_about_to_list(&it.operation)) {
        let now = driver.now;
        let member = driver.slots[0].active().expect("it is alive");
        member.hear(&mut driver.cluster, now);
        if member.operation_count() > 0 {
            assert!(member.operate(0, (&mut driver.cluster, now), &mut None, false).is_ok_and(|is_done| is_done));
        }
    }
    driver.pause_worker(0);
    driver.add_worker();
    driver.advance_wall(20 * SECOND);
    driver.pipe("keys", Some("k"), "", 1_000);
    driver.settle();
    assert_eq!(counts(&driver), [1], "the other worker has the task");
    // It goes on before it hears that its session has ended.
    driver.resume_worker(0);
    let now = driver.now;
    let member = driver.slots[0].active().expect("it is alive");
    while member.operation_count() > 0 {
        assert!(member.operate(0, (&mut driver.cluster, now), &mut None, false).is_ok_and(|is_done| is_done));
        for changelog in member.changelogs() {
            member.restore(&mut driver.cluster, now, &changelog, usize::MAX);
        }
    }
    assert!(matches!(member.end, Some(End::Restart(_))), "{:?}", member.end);
    driver.pipe("keys", Some("k"), "", 1_100);
    driver.settle();
    driver.advance_wall(20 * SECOND);
    assert_eq!((driver.fatal(), counts(&driver).last()), (None, Some(&2)));
}

#[test]
fn a_transaction_that_fails_while_its_commit_waits_for_calls_is_done_again() {
    let clock = TestClock::default();
    let of_job = clock.clone();
    let mut job = Topology::builder("asking");
    job.keyed_stream("in", Utf8, Utf8)
        .map(|record| record.value.to_owned())
        .async_map("ask", CallOptions::unordered(1_000), move |value: String| {
            let clock = of_job.clone();
            async move {
                clock.sleep(SECOND / 2).await;
                Ok::<_, String>(value)
            }
        })
        .to("out", Utf8, Text);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.use_clock(&clock);
    // More results than there is room for.
    let count = ROOM_RECORDS + 1;
    (0..count).for_each(|number| driver.write_partition("in", 0, Some("k"), &number.to_string(), 0));
    driver.run();
    driver.commit();
    assert_eq!(driver.slots[0].active().expect("it runs").operation_count(), 0, "the commit waits for calls");
    driver.plan = Some(Plan::Failed);
    driver.wait(SECOND / 2);
    assert_eq!((driver.plan, driver.commit_count()), (None, 0), "the results have found no room");
    driver.advance_wall(3 * SECOND);
    driver.settle();
    assert_eq!((driver.read("out").len(), driver.crash_count(), driver.fatal()), (count, 0, None));
}

#[test]
fn a_worker_that_is_stopped_between_two_assignments_commits_nothing_of_a_task_it_has_lost() {
    let folder = std::env::temp_dir().join(format!("waterwheel-lost-task-{}", std::process::id()));
    let mut job = Topology::builder("archive");
    job.stream("lines", Utf8).to_sink("files", Utf8, crate::FileSink::new(&folder));
    let mut driver = TestDriver::with_partitions(job.build().expect("a valid job"), &[("lines", 2)]);
    driver.pipe_partition("lines", 0, None, "0: one", 0);
    driver.pipe_partition("lines", 1, None, "1: one", 0);
    driver.commit();
    // The first worker gives its tasks back, and hears late of the next assignment.
    let second = driver.add_worker();
    while driver.choose(second) {}
    let now = driver.now;
    let member = driver.slots[0].active().expect("it runs");
    member.hear(&mut driver.cluster, now);
    assert_eq!((member.generation, member.operation_count()), (None, 0));
    driver.pause_worker(0);
    driver.settle();
    driver.pipe_partition("lines", 1, None, "1: two", 0);
    driver.settle();
    // It ends its files for a stop when the other has one of its tasks.
    driver.resume_worker(0);
    let member = driver.slots[0].active().expect("it is alive");
    member.worker.stop();
    member.turn(&mut driver.cluster, now);
    assert_eq!(member.operation_count(), 1, "the flush");
    member.hear(&mut driver.cluster, now);
    assert_eq!(member.inputs().len(), 1, "it has lost the other task");
    driver.pump();
    assert_eq!(driver.live_workers(), [second]);
    driver.start_worker(second);
    driver.pipe_partition("lines", 1, None, "1: three", 0);
    driver.end_of_input();
    assert!(driver.is_finished(), "{:?}", driver.reports());
    let files = std::fs::read_dir(&folder).expect("the job has made it").map(|entry| entry.expect("it is there"));
    let shown = files.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    let text = shown.map(|entry| std::fs::read_to_string(entry.path()).expect("text")).collect::<String>();
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["0: one", "1: one", "1: three", "1: two"]);
    std::fs::remove_dir_all(&folder).expect("it is ours");
}

#[test]
fn a_commit_without_an_answer_is_found_though_one_of_its_topics_was_deleted() {
    let mut job = Topology::builder("job");
    for topic in ["a", "b"] {
        job.stream(topic, Utf8).map(|line| line.value.to_owned()).to("out", Raw, Text);
    }
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.pipe("a", None, "of a", 0);
    driver.pipe("b", None, "of b", 0);
    driver.lose_answer(true);
    let now = driver.now;
    let member = driver.slots[0].active().expect("it runs");
    assert!(member.request_commit(now));
    member.turn(&mut driver.cluster, now);
    let asked = loop {
        let asked = member.operations.iter().find_map(|it| match &it.operation {
            Operation::ReadOffsets { partitions, .. } => Some(partitions.clone()),
            _ => None,
        });
        if let Some(asked) = asked {
            break asked;
        }
        assert!(member.operate(0, (&mut driver.cluster, now), &mut driver.plan, false).is_ok_and(|is_done| is_done));
    };
    // Brokers forget the offsets of a topic with it.
    assert!(driver.cluster.offsets.remove(&asked[0]).is_some());
    driver.settle();
    let mut lines: Vec<_> = driver.read("out").iter().map(|record| record.value_str().to_owned()).collect();
    lines.sort();
    assert_eq!(lines, ["of a", "of b"], "each once");
}

#[test]
fn a_table_whose_log_was_cut_does_not_wait_for_what_it_has_lost() {
    let mut job = Topology::builder("job");
    let rows = job.compacted_table("table", "rows", Utf8, Text);
    rows.changes().map(|row| format!("{:?}", row.value.new)).to("out", Utf8, Text);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.pipe("table", Some("k"), "v", 0);
    driver.settle();
    let input = TopicPartition::new("table", PartitionId(0));
    let committed = driver.cluster.offsets.get_mut(&input).expect("it was committed");
    committed.offset = Offset(committed.offset.0 + 10);
    let committed = committed.offset;
    driver.crash();
    driver.advance_wall(SECOND);
    assert!(driver.reports()[0].iter().all(|task| task.life == Life::Running), "{:?}", driver.reports());
    let member = driver.slots[0].active().expect("it runs");
    assert_eq!(member.inputs[&input].next, committed, "a broker tells then that the log has been cut");
}

/// Counts records of two topics in windows, before or behind a shuffle.
fn merged(is_shuffled: bool, partitions: &[(&str, i32)]) -> TestDriver {
    let mut job = Topology::builder("job");
    let watermark = Watermark::default().idle_after(SECOND);
    let [a, b] = ["a", "b"].map(|topic| job.keyed_stream(topic, Utf8, Utf8).watermark(watermark));
    let both = a.merge(b);
    if is_shuffled {
        let keyed = both.key_by("by-value", Partitions(1), (Utf8, ()), |record| (record.value, ()));
        let counts = keyed.window(Tumbling::of(10 * SECOND)).count("counts", Emit::OnClose);
        counts.map(|count| *count.value).to("out", Utf8, U64);
    } else {
        let counts = both.window(Tumbling::of(10 * SECOND)).count("counts", Emit::OnClose);
        counts.map(|count| *count.value).to("out", Utf8, U64);
    }
    TestDriver::with_partitions(job.build().expect("a valid job"), partitions)
}

#[test]
fn an_input_that_is_deleted_holds_event_time_back_no_longer() {
    for (is_shuffled, of_b) in [(false, 1), (true, 1), (true, 2)] {
        let mut driver = merged(is_shuffled, &[("a", 1), ("b", of_b)]);
        driver.pipe("a", Some("k"), "v", 1_000);
        for partition in 0..of_b {
            driver.pipe_partition("b", partition, Some("k"), "v", 1_000);
        }
        driver.settle();
        driver.delete_topic("b");
        driver.pipe("a", Some("k"), "v", 20_000);
        driver.settle();
        assert_eq!(counts(&driver), [0_u64; 0], "nobody knows yet");
        driver.advance_wall(20 * SECOND);
        driver.settle();
        assert_eq!(counts(&driver), [1 + u64::from(of_b.unsigned_abs())], "shuffled: {is_shuffled}");
    }
}

#[test]
fn a_task_that_has_waited_begins_at_the_first_record_that_is_left() {
    let mut job = Topology::builder("job");
    let rows = job.global_table("rows", Utf8, Text);
    let orders = job.stream("orders", Utf8);
    let joined = orders.left_join_global(&rows, |order| Some(order.value), |order, _| order.value.to_owned());
    joined.to("out", Raw, Utf8);
    let mut driver = TestDriver::unstarted(job.build().expect("a valid job"), &[]);
    (0..40).for_each(|number| driver.write_partition("rows", 0, Some(&format!("{number}")), "row", 0));
    ["a", "b", "c"].into_iter().for_each(|order| driver.write_partition("orders", 0, None, order, 0));
    driver.set_restore_pace(Some(10));
    driver.add_worker();
    driver.advance_wall(2 * SECOND);
    driver.cluster.logs.delete("orders", PartitionId(0), Offset(2));
    assert_eq!(driver.read("out"), [], "it waits for the table");
    driver.advance_wall(10 * SECOND);
    driver.settle();
    let out: Vec<_> = driver.read("out").iter().map(|record| record.value_str().to_owned()).collect();
    assert_eq!(out, ["c"]);
}

#[test]
fn a_place_that_was_chosen_long_ago_moves_to_the_first_record_that_is_left() {
    let mut job = Topology::builder("job");
    job.stream("orders", Utf8).bounded(StoppingOffsets::Latest).to("out", Raw, Utf8);
    let mut driver = TestDriver::unstarted(job.build().expect("a valid job"), &[]);
    ["a", "b", "c", "d"].into_iter().for_each(|order| driver.write_partition("orders", 0, None, order, 0));
    driver.add_worker();
    assert!(driver.choose(0), "the process looks for the offsets of the group");
    while driver.choose(0) {}
    driver.cluster.logs.delete("orders", PartitionId(0), Offset(2));
    driver.settle();
    let out: Vec<_> = driver.read("out").iter().map(|record| record.value_str().to_owned()).collect();
    assert_eq!((out, driver.fatal(), driver.is_finished()), (vec!["c".to_owned(), "d".to_owned()], None, true));
}

#[test]
fn each_commit_tells_the_end_that_was_chosen_for_the_job() {
    for (stop, chosen) in
        [(StoppingOffsets::Latest, Some(Offset(2))), (StoppingOffsets::offsets([("keys", 0, 2)]), None)]
    {
        let mut job = Topology::builder("job");
        job.keyed_stream("keys", Utf8, Utf8).bounded(stop).to("out", Utf8, Utf8);
        let mut driver = TestDriver::unstarted(job.build().expect("a valid job"), &[]);
        ["a", "b"].into_iter().for_each(|key| driver.write_partition("keys", 0, Some(key), "", 1_000));
        driver.add_worker();
        driver.settle();
        let committed = &driver.cluster.offsets[&TopicPartition::new("keys", PartitionId(0))];
        let metadata = OffsetMetadata::parse(&committed.metadata).expect("a worker has committed it");
        assert_eq!((committed.offset, &*metadata.transactional_id), (Offset(2), "job-test-0"));
        assert_eq!(metadata.end, chosen);
    }
}

#[test]
fn a_bounded_run_fails_if_an_input_is_deleted_before_its_end() {
    let bounded = |ends: [(&'static str, i64); 2]| {
        let mut job = Topology::builder("job");
        let [a, b] = ends.map(|(topic, end)| {
            job.keyed_stream(topic, Utf8, Utf8).bounded(StoppingOffsets::offsets([(topic, 0, end)]))
        });
        let counts = a.merge(b).window(Tumbling::of(10 * SECOND)).count("counts", Emit::OnClose);
        counts.map(|count| *count.value).to("out", Utf8, U64);
        let mut driver = TestDriver::new(job.build().expect("a valid job"));
        ["a", "b"].into_iter().for_each(|topic| driver.pipe(topic, Some("k"), "v", 1_000));
        driver.settle();
        driver.delete_topic("b");
        driver
    };
    for is_shared_anew in [false, true] {
        let mut driver = bounded([("a", 1), ("b", 2)]);
        if is_shared_anew {
            driver.rebalance();
        }
        driver.advance_wall(20 * SECOND);
        let topic = "b".to_owned();
        assert_eq!(driver.fatal(), Some(&Fatal::UnreadDeleted { topic }), "shared anew: {is_shared_anew}");
    }
    let mut driver = bounded([("a", 2), ("b", 1)]);
    driver.advance_wall(20 * SECOND);
    assert_eq!((driver.fatal(), driver.is_finished()), (None, false));
    driver.pipe("a", Some("k"), "v", 2_000);
    driver.settle();
    assert_eq!((driver.fatal(), driver.is_finished(), counts(&driver)), (None, true, vec![3]));
}

#[test]
fn an_input_that_a_worker_has_read_after_it_was_given_back_may_be_deleted() {
    let mut job = Topology::builder("job");
    let [a, b] = [("a", 2), ("b", 1)].map(|(topic, end)| {
        let ends = StoppingOffsets::offsets([(topic, 0, end), (topic, 1, end)]);
        job.keyed_stream(topic, Utf8, Utf8).bounded(ends)
    });
    let counted = a.merge(b).window(Tumbling::of(10 * SECOND)).count("counts", Emit::OnClose);
    counted.map(|count| *count.value).to("out", Utf8, U64);
    let mut driver = TestDriver::with_partitions(job.build().expect("a valid job"), &[("a", 2), ("b", 2)]);
    let write = |driver: &mut TestDriver, topic| {
        (0..2).for_each(|partition| driver.pipe_partition(topic, partition, Some("k"), "v", 1_000));
        driver.settle();
    };
    write(&mut driver, "a");
    let other = driver.add_worker();
    driver.settle();
    driver.stop_worker(other);
    driver.settle();
    write(&mut driver, "b");
    driver.delete_topic("b");
    driver.advance_wall(20 * SECOND);
    assert_eq!((driver.fatal(), driver.is_finished()), (None, false));
    write(&mut driver, "a");
    assert_eq!((driver.fatal(), driver.is_finished(), counts(&driver)), (None, true, vec![3, 3]));
}

#[test]
fn a_job_that_needs_its_inputs_ends_without_one_though_no_worker_has_it() {
    let mut job = Topology::builder("job");
    job.stream("in", Utf8).map(|line| line.value.to_owned()).to("out", Raw, Text);
    let mut driver = TestDriver::unstarted(job.build().expect("a valid job"), &[]);
    driver.missing_topic = MissingTopic::Fail;
    driver.add_worker();
    driver.settle();
    driver.delete_topic("in");
    driver.rebalance();
    driver.settle();
    assert_eq!(driver.fatal(), None);
    assert_eq!(driver.status(), [], "the group has shared out nothing");
    driver.advance_wall(20 * SECOND);
    assert_eq!(driver.fatal(), Some(&Fatal::TopicDeleted { topic: "in".to_owned() }));
}

#[test]
fn upstream_tasks_that_are_no_more_hold_event_time_back_no_longer() {
    let mut driver = merged(true, &[("a", 1), ("b", 3)]);
    driver.pipe("a", Some("k"), "v", 1_000);
    for partition in 0..3 {
        driver.pipe_partition("b", partition, Some("k"), "v", 1_000);
    }
    driver.settle();
    driver.kill_worker(0);
    driver.delete_topic("b");
    driver.rebalance();
    driver.start_worker(0);
    driver.pipe("a", Some("k"), "v", 20_000);
    driver.advance_wall(4 * SECOND);
    assert_eq!(counts(&driver), [0_u64; 0], "their marks are in the changelog");
    driver.advance_wall(20 * SECOND);
    driver.settle();
    assert_eq!((counts(&driver), driver.fatal()), (vec![4], None));
}

#[test]
fn a_rebalance_is_told_at_once_to_whoever_waits_for_the_end() {
    let mut driver = filled();
    driver.end_of_input();
    let worker = &mut driver.slots[0].active().expect("it runs").worker;
    assert!(worker.is_finished() && worker.take_totals().is_some() && worker.take_totals().is_none());
    worker.handle_rebalancing();
    assert_eq!(worker.take_totals().map(|totals| totals.is_finished), Some(false));
}

#[test]
fn nothing_is_due_by_time_while_a_worker_waits_for_a_commit_or_for_its_partitions() {
    let mut driver = filled();
    driver.write_partition("keys", 0, Some("a"), "", 1_000);
    driver.run();
    let (now, later) = (driver.now, driver.now + SECOND);
    let member = driver.slots[0].member.as_mut().expect("it lives");
    assert!(member.worker.next_timeout().is_some_and(|next| now < next && next < later), "its tasks have a clock");
    assert!(member.request_commit(now));
    member.turn(&mut driver.cluster, now);
    assert!(!member.worker.needs_outbox(), "the flush is under way");
    assert_eq!(member.worker.next_timeout(), None, "the clock stands still");
    driver.settle();
    let member = driver.slots[0].member.as_mut().expect("it lives");
    member.worker.handle_rebalancing();
    member.turn(&mut driver.cluster, later);
    assert_eq!(member.generation, None, "it has joined again");
    assert_eq!(member.worker.next_timeout(), None);
}
