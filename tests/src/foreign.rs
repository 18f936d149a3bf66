//! Clients written by others: Kafka's own tools, and kcat and confluent-kafka for Python, which use librdkafka.
//!
//! Each function returns `None` if the client is not installed, after a message of [`skip`]; a client that fails
//! fails the test with its output.

use std::process::{Output, Stdio};
use std::time::Duration;

use testkit::real::java_tool;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::{TestBroker, skip, within};

/// The isolation of a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Everything, records of aborted transactions included.
    ReadUncommitted,
    /// Only committed records.
    ReadCommitted,
}

impl Isolation {
    /// Kafka's name for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadUncommitted => "read_uncommitted",
            Self::ReadCommitted => "read_committed",
        }
    }
}

/// Runs a tool of Kafka and returns its stdout.
///
/// # Panics
/// If the tool fails, or does not end within five minutes.
pub async fn java(class: &str, args: &[&str], stdin: &str) -> Option<String> {
    let run = within(class, TOOL_DURATION_MAX, java_tool(class, args, stdin.as_bytes())).await;
    match run {
        Ok(output) => Some(stdout_of(class, &output)),
        Err(unavailable) => {
            skip(class, &unavailable.to_string());
            None
        }
    }
}

/// Every record of a topic as Java reads it: `partition<TAB>key<TAB>value`, in the order of each partition.
///
/// Java's console consumer ends after a silence. On a busy machine that may come before the first record, so it gets
/// more time while it has found fewer than `count_min` records; whether it finds too many is up to the caller.
///
/// # Panics
/// If the consumer fails.
pub async fn java_records(
    broker: &TestBroker,
    topic: &str,
    isolation: Isolation,
    count_min: usize,
) -> Option<Vec<String>> {
    java_records_at(broker.bootstrap(), topic, isolation, count_min).await
}

/// As [`java_records`], of the cluster at this address.
///
/// # Panics
/// As [`java_records`].
pub async fn java_records_at(
    bootstrap: &str,
    topic: &str,
    isolation: Isolation,
    count_min: usize,
) -> Option<Vec<String>> {
    let mut records = Vec::new();
    for silence_ms in JAVA_SILENCES_MS {
        let args = [
            &["--bootstrap-server", bootstrap, "--topic", topic, "--from-beginning"][..],
            &["--isolation-level", isolation.name(), "--timeout-ms", silence_ms],
            &["--formatter-property", "print.partition=true", "--formatter-property", "print.key=true"],
        ];
        let text = java("org.apache.kafka.tools.consumer.ConsoleConsumer", &args.concat(), "").await?;
        records = text.lines().map(|line| line.trim_start_matches("Partition:").to_owned()).collect();
        if records.len() >= count_min {
            break;
        }
    }
    Some(records)
}

/// Runs kcat on a broker and returns its stdout.
///
/// # Panics
/// If kcat fails, or does not end within five minutes.
pub async fn kcat(broker: &TestBroker, args: &[&str], stdin: &str) -> Option<String> {
    kcat_at(broker.bootstrap(), args, stdin).await
}

/// As [`kcat`], on the broker at this address.
///
/// # Panics
/// As [`kcat`].
pub async fn kcat_at(bootstrap: &str, args: &[&str], stdin: &str) -> Option<String> {
    let spawned = Command::new("kcat")
        .args(["-b", bootstrap])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let Ok(mut child) = spawned else {
        skip("kcat", "`kcat` is not installed");
        return None;
    };
    let mut pipe = child.stdin.take().expect("stdin was asked to be a pipe");
    let feed = async move {
        // A kcat that ends early closes the pipe; its status tells more than this error.
        let _ = pipe.write_all(stdin.as_bytes()).await;
    };
    let ((), output) = within("kcat", TOOL_DURATION_MAX, async { tokio::join!(feed, child.wait_with_output()) }).await;
    Some(stdout_of("kcat", &output.expect("kcat can be waited for")))
}

/// Every record of a topic as librdkafka reads it: `partition<TAB>key<TAB>value`, in the order of each partition.
///
/// # Panics
/// If kcat fails.
pub async fn kcat_records(broker: &TestBroker, topic: &str, isolation: Isolation) -> Option<Vec<String>> {
    let isolation = format!("isolation.level={}", isolation.name());
    let args = ["-C", "-t", topic, "-o", "beginning", "-e", "-q", "-X", &isolation, "-f", "%p\t%k\t%s\n"];
    let text = kcat(broker, &args, "").await?;
    Some(text.lines().map(str::to_owned).collect())
}

/// Runs a script with confluent-kafka for Python and returns its stdout.
///
/// # Panics
/// If the script fails, or does not end within five minutes.
pub async fn confluent(script: &str, args: &[&str]) -> Option<String> {
    let run = |args: &[&str]| Command::new("python3").args(args).kill_on_drop(true).output();
    if !run(&["-c", "import confluent_kafka"]).await.is_ok_and(|output| output.status.success()) {
        skip("confluent-kafka", "`python3` cannot import confluent_kafka");
        return None;
    }
    let output = within("confluent-kafka", TOOL_DURATION_MAX, run(&[&["-c", script], args].concat())).await;
    Some(stdout_of("confluent-kafka", &output.expect("python3 is there")))
}

fn stdout_of(program: &str, output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{program}: {}\n{}\n{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// A JVM takes one to four seconds, more beside other suites; consumers wait for others besides.
const TOOL_DURATION_MAX: Duration = Duration::from_secs(300);
/// Times for which Java's console consumer waits for a record, the first one included; starting takes about
/// two seconds.
const JAVA_SILENCES_MS: [&str; 3] = ["5000", "20000", "60000"];
