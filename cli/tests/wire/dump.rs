use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use kafka_wire::admin::NewTopic;
use kafka_wire::client::{BoxFuture, Client, ClientConfig, Connector, DialError, ExclusiveProducer, Transport};
use kafka_wire::producer::{NewRecord, ProducerConfig};
use kafka_wire::types::{PartitionId, TimestampMs};
use kafka_wire::wire::Str;
use serde_json::Value;
use testkit::broker::{Broker, BrokerConfig, Pipe};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Run, Scratch, unhex, wire};

/// The bytes of one connection.
#[derive(Clone, Debug, Default)]
struct Said {
    requests: Vec<u8>,
    responses: Vec<u8>,
}

/// Connects to the embedded broker and records the bytes of each connection.
struct Tap {
    pipe: Pipe,
    connections: Arc<Mutex<Vec<Arc<Mutex<Said>>>>>,
}

impl Connector for Tap {
    fn connect(&self, host: Str, port: u16) -> BoxFuture<Result<Box<dyn Transport>, DialError>> {
        let said = Arc::new(Mutex::new(Said::default()));
        self.connections.lock().expect("nobody panicked").push(said.clone());
        let stream = self.pipe.connect(host, port);
        Box::pin(async move { Ok(Box::new(Tapped { stream: stream.await?, said }) as Box<dyn Transport>) })
    }
}

struct Tapped {
    stream: Box<dyn Transport>,
    said: Arc<Mutex<Said>>,
}

impl AsyncRead for Tapped {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = to.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, to))?;
        self.said.lock().expect("nobody panicked").responses.extend_from_slice(&to.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

/// Vectored writes are not supported, so that everything passes `poll_write`.
impl AsyncWrite for Tapped {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.said.lock().expect("nobody panicked").requests.extend_from_slice(&bytes[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The bytes of our client and the embedded broker while a transaction is written, connection by connection.
async fn conversation() -> Vec<Said> {
    let broker = Broker::start(BrokerConfig::default()).await.expect("a port of the loopback is free");
    let connections = Arc::new(Mutex::new(Vec::new()));
    let tap = Tap { pipe: broker.pipe(), connections: connections.clone() };
    let client = Client::connect_with(ClientConfig::new("nowhere.invalid:1"), Arc::new(tap)).await.expect("a client");
    client.create_topics(&[NewTopic::new("words", 1)]).await.expect("the broker answers");
    let mut producer =
        ExclusiveProducer::open(&client, ProducerConfig::transactional("writer")).await.expect("a producer");
    let topic = producer.topic("words").await.expect("the topic is there");
    for key in [&b"one"[..], b"two"] {
        producer.begin().expect("no transaction is open");
        producer
            .append(
                topic,
                PartitionId(0),
                NewRecord { timestamp: TimestampMs(1), key: Some(key), value: Some(b"value"), ..NewRecord::default() },
            )
            .expect("there is room");
        producer.commit(None).await.expect("the transaction commits");
    }
    let said = connections
        .lock()
        .expect("nobody panicked")
        .iter()
        .map(|said| said.lock().expect("nobody panicked").clone())
        .collect();
    broker.shutdown().await;
    said
}

/// The frames of a dump, each with its length prefix.
fn frames(mut dump: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    while let Some(length) = dump.first_chunk() {
        let (frame, rest) = dump.split_at(4 + u32::from_be_bytes(*length) as usize);
        frames.push(frame);
        dump = rest;
    }
    frames
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn two_files(said: &Said) -> Run {
    let [requests, responses] = [Scratch::new("requests", &said.requests), Scratch::new("responses", &said.responses)];
    wire(&["decode", "--requests", requests.path(), "--responses", responses.path()], "")
}

#[tokio::test]
async fn all_that_is_said_on_a_connection_is_decoded() {
    let mut apis = Vec::new();
    for said in conversation().await {
        let separate = lines(&two_files(&said).ok());
        let (sent, received) = separate.split_at(frames(&said.requests).len());
        assert_eq!(received.len(), frames(&said.responses).len());
        let mut offset = 0;
        for (request, frame) in sent.iter().zip(frames(&said.requests)) {
            assert_eq!(request["direction"], "request");
            assert_eq!((&request["offset"], &request["size"]), (&offset.into(), &(frame.len() - 4).into()));
            assert_eq!(request["version"], request["header"]["requestApiVersion"]);
            assert!(request["body"].is_object(), "{request}");
            offset += frame.len();
        }
        for (request, response) in sent.iter().zip(received) {
            assert_eq!(response["direction"], "response");
            for name in ["api", "version"] {
                assert_eq!(request[name], response[name]);
            }
            assert_eq!(request["header"]["correlationId"], response["header"]["correlationId"]);
            apis.push(request["api"].as_str().expect("a name").to_owned());
        }

        // The same in one file, as a sniffer of both directions writes it.
        let both: Vec<&[u8]> =
            frames(&said.requests).into_iter().zip(frames(&said.responses)).flat_map(|(q, s)| [q, s]).collect();
        let together = lines(&wire(&["decode", "--frames", "-"], both.concat()).ok());
        let bodies = |lines: &[Value], direction| -> Vec<Value> {
            lines.iter().filter(|line| line["direction"] == direction).map(|line| line["body"].clone()).collect()
        };
        assert_eq!(bodies(&together, "request"), bodies(sent, "request"));
        assert_eq!(bodies(&together, "response"), bodies(received, "response"));
    }
    for api in ["ApiVersions", "Metadata", "CreateTopics", "FindCoordinator", "InitProducerId", "Produce", "EndTxn"] {
        assert!(apis.iter().any(|seen| seen == api), "{api} is not in {apis:?}");
    }
}

#[tokio::test]
async fn bad_frames_are_named_and_the_next_are_read() {
    let said = conversation().await.into_iter().max_by_key(|said| said.requests.len()).expect("a connection");
    let sent = frames(&said.requests);
    let received = frames(&said.responses);

    // The last byte of the second response is missing, and its length prefix says so.
    let mut damaged: Vec<Vec<u8>> = received.iter().map(|frame| frame.to_vec()).collect();
    let cut = damaged[1].len() - 5;
    damaged[1].pop();
    damaged[1][..4].copy_from_slice(&u32::try_from(cut).unwrap().to_be_bytes());
    let at = damaged[0].len();
    let run = two_files(&Said { requests: sent.concat(), responses: damaged.concat() });
    let text = run.fails(1, &format!("1 of {} frames cannot be decoded, the first at byte {at} of", sent.len() * 2));
    let bad: Vec<Value> = lines(&text).into_iter().filter(|line| line.get("error").is_some()).collect();
    let [bad] = &bad[..] else { panic!("{bad:?}") };
    assert_eq!((&bad["direction"], &bad["offset"]), (&"response".into(), &at.into()));
    let error = bad["error"].as_str().expect("a text");
    assert!(error.contains(" at byte "), "{error}");

    // The last request is cut off.
    let mut cut_off = said.requests.clone();
    cut_off.pop();
    let at = said.requests.len() - sent.last().unwrap().len();
    let text = wire(&["decode", "--requests", "-"], cut_off).fails(1, &format!("the first at byte {at} of -"));
    let last = lines(&text).pop().expect("a line");
    assert!(last["error"].as_str().is_some_and(|error| error.starts_with("the dump ends after ")), "{last}");
}

#[test]
fn responses_without_a_request_and_impossible_lengths_are_errors() {
    let frame = b"\0\0\0\x06\0\0\0\x09\0\0";
    let text =
        wire(&["decode", "--frames", "-"], frame).fails(1, "1 of 1 frames cannot be decoded, the first at byte 0");
    assert!(text.contains("\"error\":\"") && text.contains("\"offset\":0,\"size\":6"), "{text}");
    let text = wire(&["decode", "--frames", "-"], b"\xff\xff\xff\xff\0\0").fails(1, "at byte 0 of -");
    assert!(text.contains("-1 is no length of a frame"), "{text}");
    let text = wire(&["decode", "--frames", "-"], b"\0\0").fails(1, "at byte 0 of -");
    assert!(text.contains("ends inside the length"), "{text}");
    assert_eq!(wire(&["decode", "--frames", "-"], b"").ok(), "");
}

#[test]
fn a_produce_request_without_acks_has_no_response() {
    let header = |key: &str, version: &str| format!("{key}{version}00000009ffff");
    // Produce v3 with acks 0 and no topics, then Heartbeat v0 with the same correlation id, and its answer.
    let produce = header("0000", "0003") + "ffff" + "0000" + "000003e8" + "00000000";
    let heartbeat = header("000c", "0000") + "0000" + "00000001" + "0000";
    let answer = "000000090007".to_owned();
    let dump: Vec<u8> = [produce, heartbeat, answer].iter().flat_map(|hex| framed(hex)).collect();
    let text = wire(&["decode", "--frames", "-"], dump).ok();
    let last = lines(&text).pop().expect("a line");
    assert_eq!((&last["api"], &last["body"]["errorCode"]), (&"Heartbeat".into(), &7.into()));
}

fn framed(hex: &str) -> Vec<u8> {
    let mut frame = u32::try_from(hex.len() / 2).expect("short").to_be_bytes().to_vec();
    frame.extend(unhex(hex));
    frame
}

#[test]
fn bytes_behind_a_message_are_shown_and_told() {
    // The request of librdkafka for all topics, with three bytes after its last field, between a Heartbeat and
    // its answer.
    let heartbeat = "000c000000000001ffff00000000000100 00".replace(' ', "");
    let metadata = "0003000d00000003000772646b61666b610000000000010000";
    let dump: Vec<u8> = [&heartbeat, "000000010007", metadata].iter().flat_map(|hex| framed(hex)).collect();
    let text = wire(&["decode", "--frames", "-"], dump)
        .fails(1, "1 of 3 frames have bytes behind their message, the first at byte 32 of -");
    let shown: Vec<Value> = lines(&text);
    let told: Vec<&Value> = shown.iter().map(|line| &line["trailingBytes"]).collect();
    assert_eq!(told, [&Value::Null, &Value::Null, &"010000".into()]);
    assert_eq!((&shown[2]["direction"], &shown[2]["api"]), (&"request".into(), &"Metadata".into()));
    assert!(shown.iter().all(|line| line["body"].is_object()), "{text}");
}
