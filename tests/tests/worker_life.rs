//! A worker's duties on a cluster besides processing: it waits for brokers at its start, keeps other members out of its
//! group, and checks the topics that it reads.

use std::time::Duration;

use conformance::bench::{Bench, until};
use conformance::reader::{create_topic, read_to_end, until_stable};
use conformance::{TestBroker, connect, eventually, on_both_brokers, reserve_port, skip, within};
use kafka_wire::client::{CallOptions, Client, GroupMember, Lane, Node, commit_offsets, fetch_offsets};
use kafka_wire::cluster::{CommittedOffset, CoordinatorKind, GroupMetadata, TopicPartition};
use kafka_wire::group::{GroupConfig, GroupError, GroupEvent};
use kafka_wire::producer::partition_for_key;
use kafka_wire::protocol::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
use kafka_wire::protocol::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use kafka_wire::protocol::{ApiKey, ErrorCode};
use kafka_wire::record::{BatchBuilder, RawHeaders, Seal};
use kafka_wire::types::{IsolationLevel, Offset, PartitionId};
use processor::{App, Config, Emit, Partitions, Running, Topology, Tumbling, U64, Utf8, Watermark};
use testkit::broker::{Broker, BrokerConfig};
use testkit::fault::{Action, Rule};
use testkit::real::{RealConfig, RealKafka};
use tokio::time::{Instant, timeout};

on_both_brokers!(
    a_consumer_with_the_same_group_id_is_refused,
    a_consumer_of_the_new_protocol_with_the_same_group_id_is_refused,
    an_offset_of_another_program_ends_the_job_and_names_its_place,
    an_input_that_grows_ends_a_job_whose_state_depends_on_it,
    an_input_that_is_deleted_ends_the_job_where_that_is_asked,
    an_input_that_is_deleted_holds_up_no_other,
    an_input_that_is_deleted_holds_event_time_back_no_longer,
    partitions_that_outputs_gain_are_written_to,
);

/// A broker makes the logs of new partitions one after the other, and workers need the coordinators first.
#[tokio::test]
async fn a_new_cluster_makes_the_coordinators_topics_before_those_of_the_job() {
    let node = match RealKafka::start(RealConfig::default()).await {
        Ok(node) => node,
        Err(unavailable) => return skip("the start on a new cluster", &unavailable.to_string()),
    };
    let client = connect(node.bootstrap()).await;
    create_topic(&client, "input", 8).await;
    create_topic(&client, "output", 1).await;
    let mut job = Topology::builder("first-job");
    let words = job.stream("input", Utf8).key_by("by-word", Partitions(8), (Utf8, ()), |word| (word.value, ()));
    words.count("counts", Emit::OnUpdate).to("output", Utf8, U64);
    let mut config = Config::new(node.bootstrap());
    config.state_dir = std::env::temp_dir().join("waterwheel-worker-life");
    let running = App::new(job.build().expect("the topology is sound"), config).start().await.expect("the job starts");
    let running = until(running, "all tasks", |running| running.status().tasks == 16).await;
    running.stop().await.expect("the job stops");
    let log = node.log();
    let first = |topic: &str| log.find(&format!("Created log for partition {topic}")).expect("its logs are there");
    let of_job = first("first-job-by-word-repartition").min(first("first-job-counts-changelog"));
    assert!(first("__transaction_state") < of_job && first("__consumer_offsets") < of_job, "{log}");
}

async fn a_consumer_with_the_same_group_id_is_refused(broker: TestBroker) {
    let bench = Bench::new(&broker, "worker-life", [4, 1]).await;
    let running = start(&bench, bench.config()).await;
    let running =
        until(running, "all tasks", |running| running.status().tasks == 4 && running.status().running_workers == 1)
            .await;
    let config = GroupConfig::new(bench.application_id.as_str(), vec![bench.input.as_str().into()]);
    let mut stranger = GroupMember::join(bench.client.clone(), config);
    let event = within("an answer to the stranger", PATIENCE, stranger.next_event()).await;
    assert!(matches!(event, GroupEvent::Fatal(GroupError::NoCommonAssignor { .. })), "{event:?}");
    assert_eq!(running.status().tasks, 4, "the job has kept all partitions");
    running.stop().await.expect("the job stops");

    // The reverse case: a job does not join a group of other members.
    let other = Bench::new(&broker, "worker-life", [1, 1]).await;
    let config = GroupConfig::new(other.application_id.as_str(), vec![other.input.as_str().into()]);
    let mut stranger = GroupMember::join(other.client.clone(), config);
    let event = within("the stranger's assignment", PATIENCE, stranger.next_event()).await;
    assert!(matches!(event, GroupEvent::Assigned { .. }), "{event:?}");
    let mut running = start(&other, other.config()).await;
    let error = within("the end of the job", PATIENCE, running.finished()).await.expect_err("strangers are there");
    assert!(error.to_string().contains("not of this job"), "{error}");
}

/// KIP-848: a coordinator turns a group of classic consumers into one of the new protocol when a member of that kind
/// joins, but not if its members send user data, as the workers of a job do.
async fn a_consumer_of_the_new_protocol_with_the_same_group_id_is_refused(broker: TestBroker) {
    let bench = Bench::new(&broker, "worker-life", [4, 1]).await;
    let running = start(&bench, bench.config()).await;
    let running =
        until(running, "all tasks", |running| running.status().tasks == 4 && running.status().running_workers == 1)
            .await;
    let coordinator =
        bench.client.coordinator(CoordinatorKind::Group, &bench.application_id).await.expect("there is one");
    let join = ConsumerGroupHeartbeatRequest {
        group_id: bench.application_id.as_str().into(),
        member_id: "AAAAAAAAAAAAAAAAAAAAAQ".into(),
        member_epoch: 0,
        rebalance_timeout_ms: 60_000,
        subscribed_topic_names: Some(vec![bench.input.as_str().into()]),
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    };
    let options = CallOptions::default();
    let answer = bench.client.request(Node::Broker(coordinator), Lane::General, join, options).await;
    assert_eq!(answer.expect("an answer").error_code, ErrorCode::GROUP_ID_NOT_FOUND.0);
    assert_eq!(running.status().tasks, 4, "the job has kept all partitions");
    running.stop().await.expect("the job stops");
}

async fn an_offset_of_another_program_ends_the_job_and_names_its_place(broker: TestBroker) {
    let bench = Bench::new(&broker, "worker-life", [2, 1]).await;
    let group = GroupMetadata::without_membership(bench.application_id.as_str());
    let partition = TopicPartition::new(bench.input.as_str(), PartitionId(1));
    let offset = (partition, CommittedOffset::new(Offset(7)));
    commit_offsets(&bench.client, &group, &[offset]).await.expect("the group is empty");
    let mut running = start(&bench, bench.config()).await;
    let error = within("the end of the job", PATIENCE, running.finished()).await.expect_err("somebody was here");
    let place = format!("offset 7 of topic {}, partition 1", bench.input);
    assert!(error.to_string().contains(&place), "{error}");
}

async fn an_input_that_grows_ends_a_job_whose_state_depends_on_it(broker: TestBroker) {
    let bench = Bench::new(&broker, "worker-life", [1, 1]).await;
    let running = start(&bench, bench.config()).await;
    let mut running = until(running, "its task", |running| running.status().running_workers == 1).await;
    let topic =
        CreatePartitionsTopic { name: bench.input.as_str().into(), count: 3, assignments: None, ..Default::default() };
    let request = CreatePartitionsRequest { topics: vec![topic], timeout_ms: 5_000, ..Default::default() };
    let grown = bench.client.request(Node::Any, Lane::General, request, CallOptions::default()).await;
    assert_eq!(grown.expect("an answer").results[0].error_code, 0);
    let error = within("the end of the job", PATIENCE, running.finished()).await.expect_err("its keys moved");
    let parts = [&format!("topic {} had 1 partitions", bench.input), "has 3 now", "key_by", "another application id"];
    for part in parts {
        assert!(error.to_string().contains(part), "{part} is missing in: {error}");
    }
    // The next start fails in the same way.
    let error = App::new(topology(&bench), bench.config()).start().await.expect_err("its keys moved").to_string();
    assert!(error.contains("has 3 now"), "{error}");
}

async fn an_input_that_is_deleted_ends_the_job_where_that_is_asked(broker: TestBroker) {
    let bench = Bench::new(&broker, "worker-life", [1, 1]).await;
    let mut config = bench.config();
    config.set("missing.topic.policy", "fail").expect("a known key");
    config.set("metadata.max.age.ms", "1000").expect("a known key");
    let running = start(&bench, config).await;
    let mut running = until(running, "its task", |running| running.status().running_workers == 1).await;
    bench.client.delete_topics(&[bench.input.as_str().into()]).await.expect("the cluster answers");
    let error = within("the end of the job", PATIENCE, running.finished()).await.expect_err("its input is gone");
    assert!(error.to_string().contains(&bench.input), "{error}");
}

/// By default the other inputs go on, also in transactions that began before the deletion was known.
async fn an_input_that_is_deleted_holds_up_no_other(broker: TestBroker) {
    let bench = Bench::new(&broker, "worker-life", [1, 1]).await;
    let other = broker.unique("other");
    create_topic(&bench.client, &other, 1).await;
    let mut job = Topology::builder(&bench.application_id);
    let lines = job.keyed_stream(&bench.input, Utf8, Utf8);
    lines.map(|line| line.value.to_owned()).to(&bench.output, Utf8, processor::serde::Text);
    let lines = job.keyed_stream(&other, Utf8, Utf8);
    lines.map(|line| line.value.to_owned()).to(&bench.output, Utf8, processor::serde::Text);
    let mut config = bench.config();
    config.set("metadata.max.age.ms", "500").expect("a known key");
    let running = App::new(job.build().expect("a valid job"), config).start().await.expect("the job starts");
    let mut running =
        until(running, "its tasks", |running| running.status().tasks == 2 && running.status().running_workers == 1)
            .await;
    let input = TopicPartition::new(bench.input.as_str(), PartitionId(0));
    let other = TopicPartition::new(other.as_str(), PartitionId(0));
    write_line(&bench.client, &input, "before").await;
    running =
        until(running, "the first record", |running| running.status().commits > 0 && running.status().records_out >= 1)
            .await;
    bench.client.delete_topics(&[bench.input.as_str().into()]).await.expect("the cluster answers");
    for count in 2..12 {
        write_line(&bench.client, &other, "after").await;
        running = until(running, "a record of the other", |running| running.status().records_out >= count).await;
        if let Ok(end) = timeout(Duration::from_millis(300), running.finished()).await {
            end.expect("the job goes on");
        }
    }
    write_line(&bench.client, &other, "last").await;
    // The next commit may be that of the records before it.
    let last = async || {
        let read = read_to_end(&bench.client, &bench.output, IsolationLevel::ReadCommitted).await;
        read.iter().any(|record| record.value.as_deref() == Some(&b"last"[..])).then_some(())
    };
    eventually("the last record", PATIENCE, last).await;
    running.stop().await.expect("the job stops");
    until_stable(&bench.client, &bench.output).await;
    let read = read_to_end(&bench.client, &bench.output, IsolationLevel::ReadCommitted).await;
    let count = |word: &str| read.iter().filter(|record| record.value.as_deref() == Some(word.as_bytes())).count();
    assert_eq!((count("before"), count("after"), count("last")), (1, 10, 1), "each once");
}

async fn an_input_that_is_deleted_holds_event_time_back_no_longer(broker: TestBroker) {
    let bench = Bench::new(&broker, "worker-life", [1, 1]).await;
    let other = broker.unique("other");
    create_topic(&bench.client, &other, 1).await;
    let mut job = Topology::builder(&bench.application_id);
    let watermark = Watermark::default().idle_after(Duration::from_millis(200));
    let [lines, others] = [&bench.input, &other].map(|topic| job.keyed_stream(topic, Utf8, Utf8).watermark(watermark));
    let counts = lines.merge(others).window(Tumbling::of(Duration::from_secs(10))).count("counts", Emit::OnClose);
    counts.map(|count| *count.value).to(&bench.output, Utf8, U64);
    let mut config = bench.config();
    config.set("metadata.max.age.ms", "500").expect("a known key");
    let mut running = App::new(job.build().expect("a valid job"), config).start().await.expect("the job starts");
    let partition = |topic: &str| TopicPartition::new(topic, PartitionId(0));
    for topic in [&bench.input, &other] {
        write_line_at(&bench.client, &partition(topic), "line", 1_000).await;
    }
    let both = [partition(&bench.input), partition(&other)];
    let committed = async || {
        let found = fetch_offsets(&bench.client, &bench.application_id, &both).await.ok()?;
        let is_committed = |found: &Option<CommittedOffset>| found.as_ref().is_some_and(|it| it.offset == Offset(1));
        found.iter().all(|(_, found)| is_committed(found)).then_some(())
    };
    eventually("a commit of both records", PATIENCE, committed).await;
    bench.client.delete_topics(&[bench.input.as_str().into()]).await.expect("the cluster answers");
    let by = Instant::now() + PATIENCE;
    for seconds in 20.. {
        write_line_at(&bench.client, &partition(&other), "line", seconds * 1_000).await;
        if let Ok(end) = timeout(Duration::from_millis(200), running.finished()).await {
            end.expect("the job goes on");
        }
        let read = read_to_end(&bench.client, &bench.output, IsolationLevel::ReadCommitted).await;
        if let Some(first) = read.first() {
            assert_eq!(first.value.as_deref(), Some(&2_u64.to_be_bytes()[..]));
            break;
        }
        assert!(Instant::now() < by, "the window stays open: {:?}", running.tasks());
    }
    running.stop().await.expect("the job stops");
}

async fn partitions_that_outputs_gain_are_written_to(broker: TestBroker) {
    let bench = Bench::new(&broker, "worker-life", [1, 1]).await;
    let named = broker.unique("named");
    create_topic(&bench.client, &named, 1).await;
    let mut job = Topology::builder(&bench.application_id);
    let lines = job.keyed_stream(&bench.input, Utf8, Utf8);
    lines.clone().to(&bench.output, Utf8, Utf8);
    let name = named.clone();
    lines.to_named(Utf8, Utf8, move |_| name.clone().into());
    let mut config = bench.config();
    config.set("metadata.max.age.ms", "200").expect("a known key");
    let running = App::new(job.build().expect("a valid job"), config).start().await.expect("the job starts");
    let input = TopicPartition::new(bench.input.as_str(), PartitionId(0));
    write_line(&bench.client, &input, "before").await;
    let mut running =
        until(running, "the first record", |running| running.status().commits > 0 && running.status().records_out == 2)
            .await;
    let topics = [&bench.output, &named];
    let grown = topics.map(|topic| (topic.as_str().into(), 3));
    let outcomes = bench.client.create_partitions(&grown).await.expect("the cluster answers");
    outcomes.into_iter().for_each(|(_, outcome)| outcome.expect("the topic grows"));
    let partition = partition_for_key(b"key", 3);
    assert_ne!(partition, PartitionId(0), "else nothing would be seen");
    let by = Instant::now() + PATIENCE;
    for topic in topics {
        loop {
            write_line(&bench.client, &input, "after").await;
            if let Ok(end) = timeout(Duration::from_millis(200), running.finished()).await {
                end.expect("the job goes on");
            }
            bench.client.invalidate(topic);
            let read = read_to_end(&bench.client, topic, IsolationLevel::ReadCommitted).await;
            if read.iter().any(|record| record.partition == partition) {
                break;
            }
            assert!(Instant::now() < by, "{topic} has {} records, all in its first partition", read.len());
        }
    }
    running.stop().await.expect("the job stops");
}

/// A right that is refused is not asked for again and again: the job ends and says which.
#[tokio::test]
async fn a_right_that_is_missing_ends_the_job() {
    let broker = Broker::start_on_thread(BrokerConfig::default()).expect("a port is free");
    let client = connect(&broker.address()).await;
    for topic in ["in", "out"] {
        create_topic(&client, topic, 1).await;
    }
    let refusals = [
        (ApiKey::AddPartitionsToTxn, ErrorCode::TOPIC_AUTHORIZATION_FAILED),
        (ApiKey::TxnOffsetCommit, ErrorCode::GROUP_AUTHORIZATION_FAILED),
    ];
    for (api, code) in refusals {
        let mut config = Config::new(&broker.address());
        config.state_dir = std::env::temp_dir().join("waterwheel-worker-life");
        let mut job = Topology::builder("unauthorized");
        job.keyed_stream("in", Utf8, Utf8).map(|line| line.value.to_owned()).to("out", Utf8, processor::serde::Text);
        let running = App::new(job.build().expect("a valid job"), config).start().await.expect("the job starts");
        let mut running = until(running, "its task", |running| running.status().running_workers == 1).await;
        broker.inject(Rule { api_key: api.into(), nth: 1, action: Action::Error(code.0) });
        write_line(&client, &TopicPartition::new("in", PartitionId(0)), "line").await;
        let error = within("the end of the job", PATIENCE, running.finished()).await.expect_err("a right is missing");
        assert!(error.to_string().contains("AUTHORIZATION_FAILED"), "{error}");
        assert!(broker.faults_are_spent());
    }
}

async fn write_line(client: &Client, partition: &TopicPartition, line: &str) {
    write_line_at(client, partition, line, 1_000).await;
}

async fn write_line_at(client: &Client, partition: &TopicPartition, line: &str, at: i64) {
    let mut builder = BatchBuilder::new(256);
    builder.append(at, Some(b"key"), Some(line.as_bytes()), RawHeaders::EMPTY).expect("it fits");
    let batch = builder.seal(Seal::default()).expect("not compressed");
    conformance::writer::write_batch(client, partition, batch).await;
}

#[tokio::test]
async fn a_start_waits_for_a_broker_that_is_not_up_yet() {
    let (_reserved, port) = reserve_port();
    let address = format!("127.0.0.1:{port}");
    let mut config = Config::new(&address);
    config.state_dir = std::env::temp_dir().join("waterwheel-worker-life");
    let mut job = Topology::builder("late-broker");
    job.keyed_stream("in", Utf8, Utf8).map(|line| line.value.to_owned()).to("out", Utf8, processor::serde::Text);
    let app = App::new(job.build().expect("the topology is sound"), config.clone());
    let starting = tokio::spawn(app.start());
    timeout(Duration::from_millis(600), std::future::pending::<()>()).await.expect_err("time passes");
    assert!(!starting.is_finished(), "it waits");
    let broker = Broker::start_on_thread(BrokerConfig { port, ..BrokerConfig::default() });
    let _broker = broker.expect("the port is reserved");
    let client = connect(&address).await;
    // The topics do not exist, which needs the attention of a person.
    let error = within("the end of the start", PATIENCE, starting).await.expect("no panic").expect_err("no topic");
    assert!(error.to_string().contains("does not exist"), "{error}");
    for topic in ["in", "out"] {
        create_topic(&client, topic, 1).await;
    }
}

/// A count of keys whose state lies where the input does.
fn topology(bench: &Bench) -> Topology {
    let mut job = Topology::builder(&bench.application_id);
    job.keyed_stream(&bench.input, Utf8, Utf8)
        .watermark(Watermark::default())
        .window(Tumbling::of(Duration::from_secs(10)))
        .count("counts", Emit::OnUpdate)
        .map(|key| *key.value)
        .to(&bench.output, Utf8, U64);
    job.build().expect("the topology is sound")
}

async fn start(bench: &Bench, config: Config) -> Running {
    App::new(topology(bench), config).start().await.expect("the job starts")
}

const PATIENCE: Duration = Duration::from_secs(60);
