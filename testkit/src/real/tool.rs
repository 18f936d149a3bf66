//! Kafka's own command line tools, from the jars of the newest version, and programs with jars of their own.

use std::path::Path;
use std::process::{Output, Stdio};

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::error::Unavailable;
use super::jars::Home;
use super::version::KafkaVersion;

/// A command that runs the `main` of a class among Kafka's jars, such as `org.apache.kafka.tools.TopicCommand`.
///
/// The process is killed when its `Child` is dropped. Logs of level WARN and above go to stderr. The first call on a
/// machine fetches the jars, which blocks the calling thread for some seconds.
///
/// # Errors
/// [`Unavailable`] where Java is not installed or the jars cannot be fetched.
pub fn java_command(class: &str) -> Result<Command, Unavailable> {
    let mut command = Command::from(Home::open(KafkaVersion::LATEST)?.java(HEAP_MIB));
    command.arg(class).kill_on_drop(true);
    Ok(command)
}

/// Runs a tool of Kafka to its end: writes `stdin` to it, and returns its exit status and its output.
///
/// A tool takes one to four seconds of a JVM. Cancel safe: dropping the future kills the tool, so wrap it in a timeout.
///
/// # Errors
/// [`Unavailable`] where Java is not installed or the tool cannot be started; a failure of the tool is in its status.
pub async fn java_tool(class: &str, args: &[&str], stdin: &[u8]) -> Result<Output, Unavailable> {
    let mut child = java_command(class)?
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| Unavailable::spawn("java", &error))?;
    let mut pipe = child.stdin.take().expect("stdin was asked to be a pipe");
    let feed = async move {
        // A tool that ends early closes the pipe; its status tells the caller more than this error.
        let _ = pipe.write_all(stdin).await;
    };
    // Both run at once: a tool that writes before it has read everything would block on a full pipe otherwise.
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    output.map_err(|error| Unavailable::spawn("java", &error))
}

/// A command that compiles and runs a Java source file, on a JVM with the jars of a Maven project.
///
/// `pom` is the text of the project, whose runtime dependencies are fetched once per machine into the directory `name`,
/// which has to name their versions.
///
/// # Errors
/// [`Unavailable`] where no JDK is installed or the jars cannot be fetched.
pub fn java_source(name: &str, pom: &str, source: &Path) -> Result<std::process::Command, Unavailable> {
    let compiler = std::process::Command::new("javac").arg("-version").output();
    compiler.map_err(|error| Unavailable::spawn("javac", &error))?;
    let mut command = Home::named(name, pom.to_owned())?.java(HEAP_OF_SOURCES_MIB);
    command.arg(source);
    Ok(command)
}

const HEAP_OF_SOURCES_MIB: u32 = 512;
const HEAP_MIB: u32 = 128;
