//! Starts Apache Kafka for a shell: prints its address, lives until stdin closes.
//!
//! `cargo run -p conformance --bin kafka -- --transaction-version 2`

use std::io::{self, Read, Write};
use std::process::ExitCode;

use testkit::real::{RealConfig, RealKafka};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let transaction_version = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => 2,
        ["--transaction-version", "1"] => 1,
        ["--transaction-version", "2"] => 2,
        _ => {
            eprintln!("usage: kafka [--transaction-version 1|2]");
            return ExitCode::from(2);
        }
    };
    let config = RealConfig { transaction_version, ..RealConfig::default() };
    match RealKafka::start_blocking(&config).map(|kafka| serve(&kafka)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(unavailable) => {
            eprintln!("{unavailable}");
            ExitCode::FAILURE
        }
    }
}

/// Says the address and waits for the end of stdin; an unwritable stdout or unreadable stdin ends the broker too.
fn serve(kafka: &RealKafka) {
    let mut stdout = io::stdout().lock();
    let said = writeln!(stdout, "{}", kafka.bootstrap()).and_then(|()| stdout.flush());
    if said.is_ok() {
        let _ = io::stdin().lock().read_to_end(&mut Vec::new());
    }
}
