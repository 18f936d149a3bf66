//! From a topic into files of a folder, a record a line, each once.
//!
//! ```text
//! cargo run --release -p examples --bin to-files -- 127.0.0.1:9092 archive lines /var/archive
//! ```
//! The arguments are the brokers, the application id, the topic and the folder. A file shows when it has a megabyte, or
//! is a second old. SIGTERM or Ctrl-C commits and leaves the group.

use std::process::ExitCode;
use std::time::Duration;

use processor::{App, Config, FileSink, Topology, Utf8, terminated};

fn job(application_id: &str, topic: &str, folder: &str) -> Topology {
    let files = FileSink::new(folder).extension("txt").roll_at(1 << 20).roll_after(Duration::from_secs(1));
    let mut job = Topology::builder(application_id);
    job.stream(topic, Utf8).to_sink("lines", Utf8, files);
    job.build().expect("a sound job")
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let [brokers, application_id, topic, folder] =
        <[String; 4]>::try_from(std::env::args().skip(1).collect::<Vec<_>>())
            .map_err(|_| "usage: to-files BROKERS APPLICATION_ID TOPIC FOLDER")?;
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
