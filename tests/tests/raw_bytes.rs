//! Requests written byte by byte, as other clients write them and ours never would.

use std::time::Duration;

use conformance::{TestBroker, on_both_brokers, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

on_both_brokers!(bytes_behind_the_last_field_are_ignored, a_connection_goes_on_behind_them);

/// Requests of these clients, each with bytes after its last field that belong to no field.
const PROLONGED: &[(&str, &str)] = &[
    // Every librdkafka from 2.3 on: a request for all topics, followed by three bytes.
    ("Metadata v13", "0003000d 00000003 0007 72646b61666b61 00 00 00 00 00 010000"),
    ("Metadata v12", "0003000c 00000003 0007 72646b61666b61 00 00 00 00 00 010000"),
    ("Metadata v1", "00030001 00000004 ffff ffffffff 00"),
    ("ApiVersions v0", "00120000 00000005 ffff 00"),
    ("ApiVersions v3", "00120003 00000005 ffff 00 0261 0262 00 0000000000"),
    ("FindCoordinator v0", "000a0000 00000006 ffff 0001 67 ffff"),
    ("ListGroups v0", "00100000 00000007 ffff 00"),
];

async fn bytes_behind_the_last_field_are_ignored(broker: TestBroker) {
    for (name, digits) in PROLONGED {
        let mut stream = TcpStream::connect(broker.bootstrap()).await.expect("the broker listens");
        let request = unhex(digits);
        let answer = ask(&mut stream, name, &request).await;
        assert_eq!(answer[..4], request[4..8], "{name}: the correlation id");
        assert!(answer.len() > 8, "{name}: {answer:?}");
    }
}

async fn a_connection_goes_on_behind_them(broker: TestBroker) {
    let mut stream = TcpStream::connect(broker.bootstrap()).await.expect("the broker listens");
    for (name, digits) in PROLONGED.iter().chain(PROLONGED) {
        let request = unhex(digits);
        assert_eq!(ask(&mut stream, name, &request).await[..4], request[4..8], "{name}");
    }
}

/// Sends a frame and returns the next one.
async fn ask(stream: &mut TcpStream, name: &str, request: &[u8]) -> Vec<u8> {
    let length = u32::try_from(request.len()).expect("a short request");
    stream.write_all(&[&length.to_be_bytes(), request].concat()).await.expect("the broker reads");
    let answer = async {
        let length = stream.read_i32().await.unwrap_or_else(|error| panic!("{name}: no answer: {error}"));
        let mut frame = vec![0; usize::try_from(length).expect("a frame has a length")];
        stream.read_exact(&mut frame).await.expect("the frame is whole");
        frame
    };
    within(&format!("the answer to {name}"), Duration::from_secs(30), answer).await
}

fn unhex(digits: &str) -> Vec<u8> {
    let digits: String = digits.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex")).collect()
}
