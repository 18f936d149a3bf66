//! Each broker starts and answers a request of the oldest kind, written here byte by byte.

use std::time::Duration;

use conformance::{TestBroker, on_every_broker, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

on_every_broker!(api_versions_v0_is_answered);

async fn api_versions_v0_is_answered(broker: TestBroker) {
    let mut stream = TcpStream::connect(broker.bootstrap()).await.expect("the broker listens");
    // Length 10; ApiVersions (18) version 0; correlation id 7; no client id.
    stream.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff]).await.expect("the broker reads");
    let answer = within("an answer to ApiVersions", Duration::from_secs(10), read_frame(&mut stream)).await;

    let (header, body) = answer.split_at(10);
    let (correlation_id, error_code) = (&header[..4], &header[4..6]);
    assert_eq!((correlation_id, error_code), (&[0, 0, 0, 7][..], &[0, 0][..]));
    let ranges = body.as_chunks::<6>().0;
    let produce = ranges.iter().find(|range| range[..2] == [0, 0]).expect("every broker serves Produce");
    assert!(produce[4..] >= [0, 9][..], "Produce up to version 9 or more, got {produce:?}");
}

async fn read_frame(stream: &mut TcpStream) -> Vec<u8> {
    let length = stream.read_i32().await.expect("the broker answers");
    let mut frame = vec![0; usize::try_from(length).expect("a frame has a length")];
    stream.read_exact(&mut frame).await.expect("the frame is whole");
    frame
}
