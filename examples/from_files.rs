//! From the lines of files into a topic, each once: the way of files into a job.
//!
//! ```text
//! cargo run --release -p examples --bin from-files -- 127.0.0.1:9092 orders-in /var/orders orders 5000
//! ```
//! The arguments are the brokers, a name, a file or a folder, the topic, which must exist, and the most records a
//! second. It ends when everything is
//! read; started again under the same name, it reads what is new. SIGTERM or Ctrl-C ends it between two transactions.

use std::process::ExitCode;

use processor::{Config, Feed, terminated};

async fn run() -> Result<u64, Box<dyn std::error::Error>> {
    let [brokers, name, path, topic, rate] = <[String; 5]>::try_from(std::env::args().skip(1).collect::<Vec<_>>())
        .map_err(|_| "usage: from-files BROKERS NAME PATH TOPIC RECORDS_PER_SECOND")?;
    let feed = Feed::files(path).per_second(rate.parse()?);
    Ok(feed.run_until(&name, &topic, &Config::new(&brokers), terminated()).await?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    match run().await {
        Ok(fed) => {
            eprintln!("{fed} records");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
