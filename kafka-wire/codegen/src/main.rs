//! Writes the generated files: `cargo run -p kafka-wire-codegen`.

use std::process::ExitCode;

use kafka_wire_codegen::{generate, write};

fn main() -> ExitCode {
    match generate().and_then(|files| write(&files).map_err(|error| error.to_string())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
