//! Word count with exactly-once: counts per word and window of event time, until it is stopped.
//!
//! ```text
//! cargo run --release -p examples --bin wordcount -- --brokers 127.0.0.1:9092 --input-topic lines --output-topic counts
//! ```
//! Start it twice to share the partitions. Both topics must exist. SIGTERM or Ctrl-C commits and leaves the group.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use processor::{App, Config, Emit, Json, Partitions, Topology, Tumbling, Utf8, Watermark, terminated};
use serde::{Deserialize, Serialize};

#[derive(Parser)]
struct Options {
    /// Where to learn of the cluster: HOST:PORT, comma separated.
    #[arg(long)]
    brokers: String,
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
    /// A setting by Kafka's name, such as partition.assignment.strategy=roundrobin. May be repeated.
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
    let mut config = Config::new(&options.brokers);
    for property in &options.properties {
        let (key, value) = property.split_once('=').ok_or_else(|| format!("`{property}` is not KEY=VALUE"))?;
        config.set(key, value)?;
    }
    let topology = topology(options)?;
    eprint!("{}", topology.describe());
    let app = App::new(topology, config);
    let app = if options.bounded { app.bounded() } else { app };
    let status = app.run_until(terminated()).await?;
    eprintln!("{status}");
    Ok(())
}

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
    match runtime.block_on(run(&Options::parse())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
