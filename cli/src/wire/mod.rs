//! `waterwheel wire`: tools for debugging. They show the messages of other programs, and test our own codec.

mod batch;
mod decode;
mod dump;
mod hex;
mod message;
mod name;
mod records;
mod roundtrip;
mod text;

use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, StdoutLock};
use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;

/// The options of each command describe it.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Decode(decode::Options),
    Records(records::Options),
    Roundtrip(roundtrip::Options),
}

/// Runs one of the commands. When the reader of the output is gone, as with `head`, there is no error message.
pub(crate) fn run(command: &Command) -> Result<ExitCode, Box<dyn Error>> {
    let result = match command {
        Command::Decode(options) => decode::run(options),
        Command::Records(options) => records::run(options),
        Command::Roundtrip(options) => roundtrip::run(options),
    };
    result.or_else(|error| match error.downcast_ref::<io::Error>() {
        Some(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::FAILURE),
        _ => Err(error),
    })
}

/// Opens a file to read from its start; `-` is stdin.
fn open(path: &Path) -> Result<Box<dyn BufRead>, String> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, io::stdin())));
    }
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, file)))
}

/// The output of all commands; the caller has to flush it at the end.
fn stdout() -> BufWriter<StdoutLock<'static>> {
    BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock())
}

const BUFFER_BYTES: usize = 64 << 10;
