//! The epochs of a transactional id are used up: its producer goes on under another producer id, nothing is lost or
//! doubled, and no producer of the id takes itself for a zombie.
//!
//! A producer id has 32,767 epochs, and every transaction of version 2 takes one, as does every start of a producer and
//! every failed transaction. As many InitProducerId requests, one behind the other on one connection, bring an id near
//! the end within seconds.

use std::collections::BTreeSet;
use std::time::Duration;

use conformance::reader::{Tail, create_topic, read_to_end, until_stable};
use conformance::{TestBroker, client_config, eventually, on_every_broker, within};
use kafka_wire::client::{CallOptions, Client, ExclusiveProducer, GroupOffsets, Lane, Node, fetch_offsets};
use kafka_wire::cluster::{CommittedOffset, CoordinatorKind, GroupMetadata, TopicPartition};
use kafka_wire::consumer::IsolationLevel::ReadCommitted;
use kafka_wire::producer::{CommitError, NewRecord, ProducerConfig, TopicHandle, TransactionError};
use kafka_wire::protocol::init_producer_id::InitProducerIdRequest;
use kafka_wire::protocol::{ApiKey, ErrorCode};
use kafka_wire::types::{Offset, PartitionId, ProducerId, TimestampMs};
use kafka_wire::wire::Str;
use testkit::fault::{Action, Rule};
use testkit::proxy::Proxy;

on_every_broker!(a_producer_goes_on_when_its_epochs_are_used_up);

const WAIT: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 3;
/// The epoch to which the coordinator is brought; the last one that it gives to a client is 32,766.
const NEAR_THE_END: i16 = 32_758;
/// Requests on their way at a time.
const AT_ONCE: usize = 500;
/// Rounds after the one in which the producer id changes.
const ROUNDS_AFTER: usize = 4;

async fn a_producer_goes_on_when_its_epochs_are_used_up(broker: TestBroker) {
    let proxy = Proxy::default();
    let client = Client::connect_with(client_config(broker.bootstrap()), proxy.connector()).await;
    let client = client.expect("the broker listens");
    let (topic, id) = (broker.unique("out"), broker.unique("tx"));
    create_topic(&client, &topic, PARTITIONS).await;
    let live = Tail::start(&client, &topic, ReadCommitted).await;
    raise_epoch(&client, &id, NEAR_THE_END).await;
    let first_id = producer_id(&client, &id).await;

    let mut older = Writer::open(&client, &id, &topic).await;
    older.write("zombie").await;
    let mut writer = Writer::open(&client, &id, &topic).await;
    let group = GroupMetadata::without_membership(broker.unique("g").as_str());
    let offset_of = TopicPartition::new(topic.as_str(), PartitionId(0));
    let (mut kept, mut rounds_left, mut round) = (BTreeSet::new(), usize::MAX, 0_i64);
    while rounds_left > 0 {
        assert!(round < 60, "the producer id is still {first_id:?}");
        round += 1;
        // An answer is lost in each round: without that, a commit of version 1 raises no epoch.
        let apis = [ApiKey::AddPartitionsToTxn, ApiKey::EndTxn, ApiKey::Produce];
        let api = apis[usize::try_from(round % 3).expect("small")];
        proxy.inject(Rule { api_key: api.into(), nth: 1, action: Action::ApplyThenDisconnect });
        let is_kept = round % 4 != 0;
        let name = format!("{round}");
        writer.write(&name).await;
        if is_kept {
            let offsets = [(offset_of.clone(), CommittedOffset::new(Offset(round)))];
            let offsets = GroupOffsets { group: &group, offsets: &offsets };
            let committed = within("a commit", WAIT, writer.producer.commit(Some(offsets))).await;
            committed.unwrap_or_else(|error| panic!("round {round}: {error}"));
            kept.insert((name, round));
        } else {
            within("an abort", WAIT, writer.producer.abort()).await.expect("it is aborted");
        }
        let has_changed = producer_id(&client, &id).await != first_id;
        rounds_left = if has_changed { rounds_left.min(ROUNDS_AFTER + 1) - 1 } else { rounds_left };
    }

    // The zombie has a producer id that the coordinator does not know any more, and is told what that means at once.
    let refused = within("a refusal", WAIT, older.producer.commit(None)).await;
    assert!(matches!(refused, Err(CommitError::Fenced(_))), "{refused:?}");
    let refused = older.producer.begin();
    assert!(matches!(refused, Err(TransactionError::Fenced(_))), "{refused:?}");
    let mut next = Writer::open(&client, &id, &topic).await;
    let refused = writer.try_write("zombie").await;
    assert!(refused.is_err(), "the next producer has the id");
    next.write("last").await;
    within("a commit", WAIT, next.producer.commit(None)).await.expect("it holds the id");
    kept.insert(("last".to_owned(), 0));

    until_stable(&client, &topic).await;
    let mut expected: Vec<&str> = kept.iter().flat_map(|(name, _)| [name.as_str(); 3]).collect();
    expected.sort_unstable();
    let records = read_to_end(&client, &topic, ReadCommitted).await;
    let mut found: Vec<&str> = records.iter().map(|record| record.text().1).collect();
    found.sort_unstable();
    assert_eq!(found, expected);
    let count = expected.len();
    eventually("every record", WAIT, || std::future::ready((live.look(<[_]>::len) >= count).then_some(()))).await;
    live.look(|arrived| assert_eq!(arrived.len(), count, "a live reader saw something else"));
    let last = kept.iter().map(|(_, round)| *round).max().expect("some are kept");
    let committed = fetch_offsets(&client, &group.group_id, &[offset_of]).await.expect("the coordinator answers");
    assert_eq!(committed[0].1.as_ref().map(|committed| committed.offset), Some(Offset(last)));
}

/// Takes hold of a transactional id again and again, until its epoch is this one.
async fn raise_epoch(client: &Client, id: &str, target: i16) {
    let coordinator = client.coordinator(CoordinatorKind::Transaction, id).await.expect("there is a coordinator");
    let request = InitProducerIdRequest {
        transactional_id: Some(Str::from(id)),
        transaction_timeout_ms: 60_000,
        ..InitProducerIdRequest::default()
    };
    let mut epoch = -1;
    while epoch < target {
        let count = usize::try_from(target - epoch).expect("it grows").min(AT_ONCE);
        let start = |_| {
            let to = Node::Broker(coordinator);
            client.start(to, Lane::Transaction, request.clone(), CallOptions::default())
        };
        for answer in (0..count).map(start).collect::<Vec<_>>() {
            let response = within("an answer", WAIT, answer).await.expect("the coordinator answers").response;
            match ErrorCode(response.error_code) {
                ErrorCode::NONE => epoch = epoch.max(response.producer_epoch),
                code => assert!(code.is_retriable(), "{code}"),
            }
        }
    }
}

/// The producer id that holds a transactional id.
async fn producer_id(client: &Client, id: &str) -> ProducerId {
    let described = client.describe_transactions(&[Str::from(id)]).await.expect("the coordinator answers");
    described[0].1.as_ref().expect("it is there").producer_id
}

struct Writer {
    producer: ExclusiveProducer,
    topic: TopicHandle,
}

impl Writer {
    async fn open(client: &Client, id: &str, topic: &str) -> Self {
        let opened = ExclusiveProducer::open(client, ProducerConfig::transactional(id));
        let mut producer = within("a producer id", WAIT, opened).await.expect("a producer id");
        let topic = producer.topic(topic).await.expect("the topic is there");
        Self { producer, topic }
    }

    /// Begins a transaction, and writes a record of this value to each partition.
    async fn write(&mut self, value: &str) {
        self.try_write(value).await.unwrap_or_else(|error| panic!("{value}: {error}"));
    }

    async fn try_write(&mut self, value: &str) -> Result<(), Box<dyn std::error::Error>> {
        self.producer.begin()?;
        for partition in 0..PARTITIONS {
            let (key, value) = (Some(&b"key"[..]), Some(value.as_bytes()));
            let record = NewRecord { timestamp: TimestampMs(1), key, value, ..NewRecord::default() };
            self.producer.append(self.topic, PartitionId(partition), record)?;
        }
        within("every acknowledgement", WAIT, self.producer.flush()).await?;
        Ok(())
    }
}
