//! Frames in flight, over connections without sockets, in virtual time: which are read, which wait, and which
//! connection is closed.

use kafka_wire::client::{Connector, Transport};
use kafka_wire::protocol::produce::ProduceRequest;
use kafka_wire::record::{BatchBuilder, RawHeaders, Seal};
use tokio::time::Instant;

use super::records::{fetch, produce};
use super::*;

type Stream = Box<dyn Transport>;

/// A broker with 2 MiB for frames, and a topic that auto-creation has made.
async fn broker() -> Broker {
    let broker = Broker::start(BrokerConfig { memory_bytes: 16 << 20, ..BrokerConfig::default() }).await.unwrap();
    broker.server.with_core(|core| core.state_mut().auto_create(&Str::from(records::TOPIC)).map(drop).unwrap());
    broker
}

async fn connect(broker: &Broker) -> Stream {
    broker.pipe().connect(Str::EMPTY, 0).await.unwrap()
}

async fn send<R: Request>(stream: &mut Stream, version: i16, request: &R) {
    let frame = encode(version, 1, request);
    stream.write_all(&u32::try_from(frame.len()).unwrap().to_be_bytes()).await.unwrap();
    stream.write_all(&frame).await.unwrap();
}

async fn answer<R: Request>(stream: &mut Stream, version: i16) -> R::Response {
    let length = stream.read_u32().await.unwrap();
    let mut frame = vec![0; length as usize];
    stream.read_exact(&mut frame).await.unwrap();
    decode::<R>(version, &[Bytes::copy_from_slice(&length.to_be_bytes()), Bytes::from(frame)])
}

/// A request with nearly 1 MB of records.
fn large() -> ProduceRequest {
    let mut builder = BatchBuilder::new(1 << 20);
    for timestamp in 0..9 {
        builder.append(timestamp, None, Some(&[7; 100_000]), RawHeaders::EMPTY).unwrap();
    }
    produce(None, builder.seal(Seal::default()).unwrap())
}

async fn is_closed(stream: &mut Stream) -> bool {
    stream.read(&mut [0]).await.is_ok_and(|count| count == 0)
}

#[tokio::test(start_paused = true)]
async fn an_incomplete_frame_makes_way_when_another_needs_its_memory() {
    let broker = broker().await;
    let mut stalled = connect(&broker).await;
    stalled.write_all(&(1_800_000_u32).to_be_bytes()).await.unwrap();
    stalled.write_all(&[0; 1_700_000]).await.unwrap();
    // A request that fits beside it is served at once.
    let start = Instant::now();
    let mut small = connect(&broker).await;
    send(&mut small, 0, &ApiVersionsRequest::default()).await;
    answer::<ApiVersionsRequest>(&mut small, 0).await;
    assert!(start.elapsed() < Duration::from_millis(10));
    // A request that does not fit waits, and so do those after it; then the connection that holds the most is closed.
    let mut first = connect(&broker).await;
    let mut second = connect(&broker).await;
    let (one, other) = (large(), large());
    let in_order = async {
        let write = async {
            send(&mut first, 11, &one).await;
            answer::<ProduceRequest>(&mut first, 11).await
        };
        let (written, ()) = tokio::join!(write, send(&mut second, 11, &other));
        assert_eq!(written.responses[0].partition_responses[0].error_code, 0);
        answer::<ProduceRequest>(&mut second, 11).await
    };
    in_order.await;
    let waited = start.elapsed();
    assert!(waited >= Duration::from_secs(3) && waited < Duration::from_secs(7), "{waited:?}");
    assert!(is_closed(&mut stalled).await);
    send(&mut small, 0, &ApiVersionsRequest::default()).await;
    answer::<ApiVersionsRequest>(&mut small, 0).await;
}

#[tokio::test(start_paused = true)]
async fn readers_that_do_not_read_hinder_nobody() {
    let broker = broker().await;
    let mut writer = connect(&broker).await;
    for _ in 0..5 {
        send(&mut writer, 11, &large()).await;
        answer::<ProduceRequest>(&mut writer, 11).await;
    }
    let start = Instant::now();
    let mut readers = Vec::new();
    for _ in 0..20 {
        let mut reader = connect(&broker).await;
        send(&mut reader, 12, &fetch(0, 0)).await;
        readers.push(reader);
    }
    // Their answers are slices of the log: they use no memory, so no connection waits and none is closed.
    send(&mut writer, 11, &large()).await;
    answer::<ProduceRequest>(&mut writer, 11).await;
    assert!(start.elapsed() < Duration::from_millis(10));
    tokio::time::sleep(Duration::from_secs(60)).await;
    for reader in &mut readers {
        let response = answer::<kafka_wire::protocol::fetch::FetchRequest>(reader, 12).await;
        assert!(response.responses[0].partitions[0].records.as_ref().unwrap().len() > 900_000);
    }
}

#[tokio::test(start_paused = true)]
async fn answers_of_their_own_count_and_the_largest_that_nobody_reads_goes() {
    let broker = broker().await;
    let mut writer = connect(&broker).await;
    send(&mut writer, 11, &large()).await;
    answer::<ProduceRequest>(&mut writer, 11).await;
    // The block is not full, so each answer is a copy.
    let mut readers = Vec::new();
    for _ in 0..20 {
        let mut reader = connect(&broker).await;
        send(&mut reader, 12, &fetch(0, 0)).await;
        readers.push(reader);
    }
    let start = Instant::now();
    send(&mut writer, 11, &large()).await;
    answer::<ProduceRequest>(&mut writer, 11).await;
    let waited = start.elapsed();
    assert!(waited > Duration::ZERO, "there was room for twenty copies");
    assert!(waited < Duration::from_secs(3 * 21), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_frame_beyond_all_the_memory_closes_its_connection() {
    let broker = broker().await;
    let mut stream = connect(&broker).await;
    stream.write_all(&(2_097_153_u32).to_be_bytes()).await.unwrap();
    assert!(is_closed(&mut stream).await);
}

#[tokio::test(start_paused = true)]
async fn who_holds_deleted_records_and_does_not_read_makes_way() {
    let broker = broker().await;
    let mut writer = connect(&broker).await;
    let write = async |writer: &mut Stream| {
        send(writer, 11, &large()).await;
        answer::<ProduceRequest>(writer, 11).await.responses[0].partition_responses[0].error_code
    };
    let mut offset = 0;
    let mut readers = Vec::new();
    // Readers hold nearly all the memory for records, 14 MiB, when these are deleted.
    for _ in 0..14 {
        assert_eq!(write(&mut writer).await, 0);
        assert_eq!(write(&mut writer).await, 0);
        let mut reader = connect(&broker).await;
        send(&mut reader, 12, &fetch(offset, 0)).await;
        readers.push(reader);
        tokio::time::sleep(Duration::from_millis(1)).await;
        offset += 18;
        let delete = |log: &mut log::Log, _: &log::LogSettings| log.delete_before(kafka_wire::types::Offset(offset));
        let zero = kafka_wire::types::PartitionId(0);
        let changed = broker.server.with_core(|core| {
            let state = core.state_mut();
            state.topics.change_log(state.timestamp(), records::TOPIC, zero, delete)
        });
        changed.unwrap();
    }
    let storage_error = ErrorCode::KAFKA_STORAGE_ERROR.0;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!([write(&mut writer).await, write(&mut writer).await], [0, 0]);
    assert_eq!(write(&mut writer).await, storage_error);
    // One reader was closed for it, and the retry succeeds.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(write(&mut writer).await, 0);
}
