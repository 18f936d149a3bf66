//! The `waterwheel` binary: a demo that proves itself, the embedded broker, and a look at the wire.

#![deny(clippy::print_stderr, reason = "it panics when nobody reads; see `output`")]

mod broker;
mod cluster;
mod demo;
mod log;
mod manual;
mod number;
mod output;
mod signal;
mod users;
mod wire;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::output::note;

/// Exactly-once stream processing on Kafka, in one binary.
#[derive(Debug, Parser)]
#[command(name = "waterwheel", version = env!("WATERWHEEL_VERSION"), arg_required_else_help = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    log: log::Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Counts words exactly once while workers are killed, and audits the result.
    #[command(after_help = demo::EXIT_CODES)]
    Demo(demo::Options),
    /// Runs the embedded broker alone, for any Kafka client, until Ctrl-C or SIGTERM. Everything it holds is in memory.
    Broker(broker::Options),
    /// Shows bytes of the Kafka protocol, for people who debug.
    #[command(subcommand)]
    Wire(wire::Command),
    /// Prints a script with which a shell completes the commands and flags of this program.
    Completions(manual::Completions),
    /// Prints the manual pages of this program, in the format of `man`.
    Man(manual::Man),
}

fn main() -> ExitCode {
    let Cli { log, command } = Cli::parse();
    log.start(if matches!(command, Command::Demo(_)) { "error" } else { "warn" });
    let result = match command {
        Command::Demo(options) => demo::run(&options),
        Command::Broker(options) => broker::run(&options),
        Command::Wire(command) => wire::run(&command),
        Command::Completions(options) => manual::completions(&options, Cli::command()),
        Command::Man(options) => manual::man(&options, Cli::command()),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            note!("error: {error}");
            ExitCode::from(1)
        }
    }
}

const EXIT_CODES: &str = "Exit codes: 0 all well; 1 it failed, or what it checked is not as it should be; 2 wrong usage; \
    130 ended by Ctrl-C, 143 by SIGTERM, before its work was done. A second Ctrl-C or SIGTERM ends it at once.";
