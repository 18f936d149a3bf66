//! The `waterwheel` binary: a demo that proves itself, the embedded broker, and a look at the wire.
//!
//! Exit codes: 0 all well, 1 failed (an audit that is not clean is a failure), 2 wrong usage.

mod broker;
mod demo;
mod wire;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Exactly-once stream processing on Kafka, in one binary.
#[derive(Debug, Parser)]
#[command(name = "waterwheel", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Counts words exactly once while workers are killed, and audits the result.
    Demo(demo::Options),
    /// Runs the embedded broker alone, for any Kafka client, until Ctrl-C. Everything it holds is in memory.
    Broker(broker::Options),
    /// Shows bytes of the Kafka protocol, for people who debug.
    #[command(subcommand)]
    Wire(wire::Command),
}

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    let result = match command {
        Command::Demo(options) => demo::run(&options),
        Command::Broker(options) => broker::run(&options),
        Command::Wire(command) => wire::run(&command),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(1)
        }
    }
}
