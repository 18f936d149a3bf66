//! Tests of the launcher of Apache Kafka.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use conformance::{eventually, skip};
use testkit::real::{RealConfig, RealKafka};
use tokio::net::TcpStream;

#[tokio::test]
async fn a_node_dies_with_the_process_that_started_it() {
    let mut starter = Command::new(env!("CARGO_BIN_EXE_kafka"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program is built with this test");
    let mut address = String::new();
    let stdout = starter.stdout.take().expect("stdout was asked to be a pipe");
    BufReader::new(stdout).read_line(&mut address).expect("stdout can be read");
    if address.is_empty() {
        let output = starter.wait_with_output().expect("the program can be waited for");
        return skip("a node's death", &String::from_utf8_lossy(&output.stderr));
    }
    assert!(TcpStream::connect(address.trim()).await.is_ok());

    // After SIGKILL, no code of the starter runs any more.
    starter.kill().expect("the program is ours");
    starter.wait().expect("the program is ours");
    let refused = || async { TcpStream::connect(address.trim()).await.err() };
    eventually("the end of the orphan", Duration::from_secs(10), refused).await;
}

#[tokio::test]
async fn a_dropped_node_is_gone() {
    let kafka = match RealKafka::start(RealConfig::default()).await {
        Ok(kafka) => kafka,
        Err(unavailable) => return skip("a node's end", &unavailable.to_string()),
    };
    let address = kafka.bootstrap().to_owned();
    assert!(TcpStream::connect(&address).await.is_ok());
    assert!(kafka.log().contains("Kafka Server started"));
    drop(kafka);
    assert!(TcpStream::connect(&address).await.is_err());
}
