//! Starts Apache Kafka for a shell: prints its address, and runs until stdin closes.
//!
//! `cargo run -p conformance --bin kafka -- --kafka-version 3.9.1`

use std::io::{self, Read, Write};
use std::process::ExitCode;

use testkit::real::{RealConfig, RealKafka};

const USAGE: &str = "usage: kafka [--kafka-version X.Y.Z] [--transaction-version 1|2]";

fn main() -> ExitCode {
    let config = match config(std::env::args().skip(1)) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match RealKafka::start_blocking(&config).map(|kafka| serve(&kafka)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(unavailable) => {
            eprintln!("{unavailable}");
            ExitCode::FAILURE
        }
    }
}

fn config(mut arguments: impl Iterator<Item = String>) -> Result<RealConfig, String> {
    let mut config = RealConfig::default();
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} lacks its value"))?;
        match (name.as_str(), value.as_str()) {
            ("--kafka-version", text) => config.version = text.parse().map_err(|error| format!("{error}"))?,
            ("--transaction-version", "1") => config.transaction_version = 1,
            ("--transaction-version", "2") => config.transaction_version = 2,
            _ => return Err(format!("{name} {value} is not understood")),
        }
    }
    Ok(config)
}

/// Prints the address and waits for the end of stdin; an error of stdout or stdin also ends the broker.
fn serve(kafka: &RealKafka) {
    let mut stdout = io::stdout().lock();
    let said = writeln!(stdout, "{}", kafka.bootstrap()).and_then(|()| stdout.flush());
    if said.is_ok() {
        let _ = io::stdin().lock().read_to_end(&mut Vec::new());
    }
}
