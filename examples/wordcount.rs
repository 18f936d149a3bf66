//! Word count with exactly-once: counts per word and window of event time, until it is stopped.
//!
//! ```text
//! cargo run --release -p examples --bin wordcount -- -b 127.0.0.1:9092 --input-topic lines --output-topic counts
//! ```
//! Start it twice to share the partitions. Both topics must exist. SIGTERM or Ctrl-C commits and leaves the group.

use std::io::{IsTerminal, Write, stderr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use processor::{
    App, Config, Emit, ErrorKind, ErrorPolicy, Json, Partitions, Topology, Tumbling, Utf8, Watermark, terminated,
};
use serde::{Deserialize, Serialize};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::{fmt, layer::SubscriberExt, util::SubscriberInitExt};

#[derive(Parser)]
struct Options {
    /// Brokers to begin with, comma separated.
    #[arg(
        short,
        long = "bootstrap-server",
        visible_alias = "bootstrap-servers",
        alias = "brokers",
        value_name = "HOST:PORT",
        env = "KAFKA_BOOTSTRAP_SERVERS"
    )]
    bootstrap_servers: String,
    /// Lines of text, one a record.
    #[arg(long)]
    input_topic: String,
    /// Gets a record for each word and window: the word as key, JSON as value.
    #[arg(long)]
    output_topic: String,
    /// Names the consumer group and the topics of the job's own. Change it to start anew.
    #[arg(long, default_value = "wordcount")]
    application_id: String,
    /// When counts come out: once their window is closed, or with every commit that changed them.
    #[arg(long, value_enum, default_value_t = When::Close)]
    emit: When,
    /// Length of the windows.
    #[arg(long, default_value_t = 10_000)]
    window_ms: u64,
    /// Partitions of the topic between splitting and counting: the most workers that can count.
    #[arg(long, default_value_t = 6)]
    partitions: i32,
    /// Ends at the ends that the input has at the start, with every window closed.
    #[arg(long)]
    bounded: bool,
    /// Filter of the log on stderr: a level, or MODULE=LEVEL, comma separated.
    #[arg(long, value_name = "LEVEL|FILTER", env = "RUST_LOG", default_value = "info")]
    log: Targets,
    /// Java properties file with settings, TLS and SASL among them.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A setting by Kafka's name, such as partition.assignment.strategy=roundrobin; it wins over --config. May be
    /// repeated.
    #[arg(short = 'X', long = "property", value_name = "KEY=VALUE")]
    properties: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum When {
    Close,
    Update,
}

#[derive(Serialize, Deserialize)]
struct Count {
    window_start: i64,
    window_end: i64,
    count: u64,
}

fn topology(options: &Options) -> Result<Topology, Box<dyn std::error::Error>> {
    let emit = match options.emit {
        When::Close => Emit::OnClose,
        When::Update => Emit::OnUpdate,
    };
    let mut job = Topology::builder(&options.application_id);
    // A line that is no text is left out, counted and warned of.
    job.on_error(ErrorKind::Decode, ErrorPolicy::Skip);
    job.stream(&options.input_topic, Utf8)
        .watermark(Watermark::bounded(Duration::from_secs(5)).idle_after(Duration::from_secs(10)))
        .flat_map(Utf8, |line, out| {
            for word in line.value.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()) {
                out.push(&word.to_lowercase());
            }
        })
        .key_by("by-word", Partitions(options.partitions), (Utf8, ()), |word| (word.value, ()))
        .window(Tumbling::of(Duration::from_millis(options.window_ms)))
        .count("counts", emit)
        .map(|word| Count { window_start: word.window.start, window_end: word.window.end, count: *word.value })
        .to(&options.output_topic, Utf8, Json::new());
    Ok(job.build()?)
}

async fn run(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::new(&options.bootstrap_servers);
    if let Some(file) = &options.config {
        config.load(file)?;
        config.bootstrap_servers = Config::new(&options.bootstrap_servers).bootstrap_servers;
    }
    for property in &options.properties {
        let (key, value) = property.split_once('=').ok_or("-X takes KEY=VALUE, with a `=` between the two")?;
        config.set(key, value)?;
    }
    let topology = topology(options)?;
    say(&topology.describe());
    let app = App::new(topology, config);
    let app = if options.bounded { app.bounded() } else { app };
    let status = app.run_until(terminated()).await?;
    say(&format!("{status}\n"));
    Ok(())
}

/// `eprint!` would panic when nobody reads stderr any more; the job is to go on.
fn say(text: &str) {
    let _ = stderr().write_all(text.as_bytes());
}

/// Logs to stderr: text for people, JSON for programs.
fn log(filter: Targets) {
    let layer = fmt::layer().with_writer(stderr).with_ansi(false).log_internal_errors(false);
    let registry = tracing_subscriber::registry().with(filter);
    if stderr().is_terminal() {
        registry.with(layer).init()
    } else {
        registry.with(layer.json().flatten_event(true)).init()
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    log(options.log.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
    match runtime.block_on(run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cluster_is_named_by_each_of_its_flags() {
        for flag in ["-b", "--bootstrap-server", "--bootstrap-servers", "--brokers"] {
            let options = Options::parse_from(["wordcount", flag, "a:1", "--input-topic", "i", "--output-topic", "o"]);
            assert_eq!(options.bootstrap_servers, "a:1");
        }
    }
}
