//! Decoding of the two responses that carry most: large metadata, and a fetch of many partitions.
//!
//! "decode" ends with the message and includes dropping it; "and read" reads every field as well.
//! The owned forms take megabytes in many pieces, so part of their time, and of kafka-protocol's, is the allocator's.

use std::hint::black_box;

use bytes::Bytes;
use kafka_protocol::messages::{FetchResponse as TheirFetch, MetadataResponse as TheirMetadata};
use kafka_protocol::protocol::{Decodable, Encodable};
use kafka_wire::protocol::fetch::{FetchResponse, FetchResponseView, FetchableTopicResponse, PartitionData};
use kafka_wire::protocol::metadata::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic, MetadataResponseView,
};
use kafka_wire::protocol::{Message, MessageView};
use kafka_wire::wire::{Reader, Str, Uuid, Writer};

use crate::harness::{Contender, Measure, OURS, Table, Target, Unit, contender};
use crate::peers;
use crate::reads;

/// Our column is the view.
const COLUMNS: &[&str] = &[OURS, OWNED, peers::kafka_protocol::NAME, "memcpy"];
const OWNED: &str = "ours, owned";

const METADATA_VERSION: i16 = 12;
const FETCH_VERSION: i16 = 13;

/// Speed in megabytes of the response per second.
pub(crate) fn times(filter: &str, rounds: usize) {
    let mut table = Table::new("messages, MB/s", COLUMNS, filter, rounds);
    let metadata = encoded(&metadata_response(), METADATA_VERSION);
    assert_eq!(their_bytes(&TheirMetadata::decode(&mut metadata.clone(), METADATA_VERSION)), metadata);
    measure(
        &mut table,
        "metadata, 1,000 topics x 10",
        &metadata,
        METADATA_VERSION,
        [metadata_decoders, metadata_readers],
    );
    for (name, records_bytes) in [
        ("fetch, 1,000 partitions, no records", 0),
        ("fetch, 1,000 partitions of 100 B", 100),
        ("fetch, 1,000 partitions of 1 KB", 1024),
    ] {
        let fetch = encoded(&fetch_response(records_bytes), FETCH_VERSION);
        assert_eq!(their_bytes(&TheirFetch::decode(&mut fetch.clone(), FETCH_VERSION)), fetch);
        measure(&mut table, name, &fetch, FETCH_VERSION, [fetch_decoders, fetch_readers]);
    }
}

/// The three that decode, in the order of the columns.
type Decoders = fn(&Bytes) -> [Contender<'_>; 3];

fn measure(table: &mut Table<'_>, name: &str, body: &Bytes, version: i16, [decode, read]: [Decoders; 2]) {
    let mut copy = vec![0; body.len()];
    // A view is checked when it is decoded, walked over by its holder, and read: the more is read, the less it gains.
    for (work, decoders, times) in [("decode", decode, 5.0), ("decode and read", read, 2.0)] {
        let mut contenders: Vec<Contender<'_>> = decoders(body).into();
        let results: Vec<u64> = contenders.iter_mut().map(Contender::run).collect();
        assert!(results.iter().all(|result| *result == results[0]), "{name} v{version}, {work}: {results:?}");
        contenders.push(contender("memcpy", || {
            copy.copy_from_slice(black_box(body));
            u64::from(black_box(&copy)[0])
        }));
        table.measure(Measure {
            name: format!("{work}, {name}"),
            unit: Unit::MegabytesPerSecond(body.len()),
            target: Target::SpeedAtLeast(times, peers::kafka_protocol::NAME),
            contenders,
        });
    }
}

fn metadata_decoders(body: &Bytes) -> [Contender<'_>; 3] {
    [
        contender(OURS, || black_box(view::<MetadataResponseView<'_>>(body, METADATA_VERSION)).topics.len() as u64),
        contender(OWNED, || black_box(owned::<MetadataResponse>(body, METADATA_VERSION)).topics.len() as u64),
        contender(peers::kafka_protocol::NAME, || {
            black_box(theirs::<TheirMetadata>(body, METADATA_VERSION)).topics.len() as u64
        }),
    ]
}

fn metadata_readers(body: &Bytes) -> [Contender<'_>; 3] {
    [
        contender(OURS, || reads::metadata_view(&view(body, METADATA_VERSION))),
        contender(OWNED, || reads::metadata_owned(&owned(body, METADATA_VERSION))),
        contender(peers::kafka_protocol::NAME, || reads::metadata_theirs(&theirs(body, METADATA_VERSION))),
    ]
}

fn fetch_decoders(body: &Bytes) -> [Contender<'_>; 3] {
    [
        contender(OURS, || black_box(view::<FetchResponseView<'_>>(body, FETCH_VERSION)).responses.len() as u64),
        contender(OWNED, || black_box(owned::<FetchResponse>(body, FETCH_VERSION)).responses.len() as u64),
        contender(peers::kafka_protocol::NAME, || {
            black_box(theirs::<TheirFetch>(body, FETCH_VERSION)).responses.len() as u64
        }),
    ]
}

fn fetch_readers(body: &Bytes) -> [Contender<'_>; 3] {
    [
        contender(OURS, || reads::fetch_view(&view(body, FETCH_VERSION))),
        contender(OWNED, || reads::fetch_owned(&owned(body, FETCH_VERSION))),
        contender(peers::kafka_protocol::NAME, || reads::fetch_theirs(&theirs(body, FETCH_VERSION))),
    ]
}

fn view<'a, V: MessageView<'a>>(body: &'a Bytes, version: i16) -> V {
    V::decode(black_box(body), version).expect("a good message")
}

fn owned<M: Message>(body: &Bytes, version: i16) -> M {
    M::decode(&mut Reader::new(black_box(body)), version).expect("a good message")
}

fn theirs<M: Decodable>(body: &Bytes, version: i16) -> M {
    M::decode(&mut black_box(body).clone(), version).expect("a good message")
}

fn encoded(message: &impl Message, version: i16) -> Bytes {
    let mut writer = Writer::new();
    message.encode(&mut writer, version).expect("a message that fits");
    writer.into_bytes()
}

/// The bytes that kafka-protocol encodes after it has decoded. Other bytes would mean that it did not read the same.
fn their_bytes<M: Encodable, E: std::fmt::Debug>(message: &Result<M, E>) -> Bytes {
    let message = message.as_ref().expect("a good message");
    let version = if std::any::type_name::<M>().ends_with("FetchResponse") { FETCH_VERSION } else { METADATA_VERSION };
    let mut out = bytes::BytesMut::new();
    message.encode(&mut out, version).expect("a message that fits");
    out.freeze()
}

fn topic_id(index: i32) -> Uuid {
    Uuid((0x1357_9bdf_0246_8ace_u128 * (index as u128 + 1)).to_be_bytes())
}

fn metadata_response() -> MetadataResponse {
    let partition = |index: i32| MetadataResponsePartition {
        partition_index: index,
        leader_id: index % 3,
        leader_epoch: 7,
        replica_nodes: vec![index % 3, (index + 1) % 3, (index + 2) % 3],
        isr_nodes: vec![index % 3, (index + 1) % 3, (index + 2) % 3],
        ..MetadataResponsePartition::default()
    };
    let topic = |index: i32| MetadataResponseTopic {
        name: Some(Str::from(format!("orders.by-region.{index:04}"))),
        topic_id: topic_id(index),
        partitions: (0..10).map(partition).collect(),
        ..MetadataResponseTopic::default()
    };
    let broker = |node_id: i32| MetadataResponseBroker {
        node_id,
        host: Str::from(format!("broker-{node_id}.kafka.example.org")),
        port: 9092,
        rack: Some(Str::from("rack-a")),
        ..MetadataResponseBroker::default()
    };
    MetadataResponse {
        brokers: (0..3).map(broker).collect(),
        cluster_id: Some(Str::from("9XpZkR2nQ0yVb3bJw1uHcg")),
        controller_id: 1,
        topics: (0..1_000).map(topic).collect(),
        ..MetadataResponse::default()
    }
}

/// A response with 100 topics of 10 partitions.
fn fetch_response(records_bytes: usize) -> FetchResponse {
    let records = Bytes::from(vec![7; records_bytes]);
    let partition = |index: i32| PartitionData {
        partition_index: index,
        high_watermark: 1_000_000,
        last_stable_offset: 1_000_000,
        log_start_offset: 1_000,
        aborted_transactions: None,
        records: Some(records.clone()),
        ..PartitionData::default()
    };
    let topic = |index: i32| FetchableTopicResponse {
        topic_id: topic_id(index),
        partitions: (0..10).map(partition).collect(),
        ..FetchableTopicResponse::default()
    };
    FetchResponse { session_id: 77, responses: (0..100).map(topic).collect(), ..FetchResponse::default() }
}
