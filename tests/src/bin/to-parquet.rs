//! From a topic into Parquet files of a folder, a record a row, each once:
//! `to-parquet BROKERS APPLICATION_ID TOPIC FOLDER`. A row has the time of its record and the text of it.

use std::process::ExitCode;
use std::time::Duration;

use processor::{App, Config, FileSink, Text, Topology, Utf8, terminated};
use processor_formats::ParquetRows;
use serde_json::json;

fn job(application_id: &str, topic: &str, folder: &str) -> Topology {
    let schema = "message row { required int64 at (TIMESTAMP(MILLIS, true)); required binary line (STRING); }";
    let rows = ParquetRows::new(schema).expect("a schema");
    let files = FileSink::new(folder).extension("parquet").rows(rows);
    // A part has the records of several commits, and a round of the test makes several parts.
    let files = files.roll_at(16 << 10).roll_after(Duration::from_secs(1));
    let mut job = Topology::builder(application_id);
    job.stream(topic, Utf8)
        .map(|record| json!({ "at": record.timestamp.0, "line": record.value }).to_string())
        .to_sink("rows", Text, files);
    job.build().expect("a sound job")
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let [brokers, application_id, topic, folder] =
        <[String; 4]>::try_from(std::env::args().skip(1).collect::<Vec<_>>())
            .map_err(|_| "usage: to-parquet BROKERS APPLICATION_ID TOPIC FOLDER")?;
    App::new(job(&application_id, &topic, &folder), Config::new(&brokers)).run_until(terminated()).await?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
