//! Logs of the libraries: to stderr, as text for people or as JSON for programs.

use std::io::{self, IsTerminal as _};

use clap::{Args, ValueEnum};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::output::note;

/// The flags of every command.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Filter of the log on stderr: `error`, `warn`, `info`, `debug`, `trace` or `off`, also by module, as in
    /// `warn,kafka_wire::client=debug`. Without the flag: the environment variable RUST_LOG, or else `warn`,
    /// and `error` in the demo, which makes trouble on purpose.
    #[arg(long, global = true, value_name = "LEVEL|FILTER", value_parser = filter)]
    log: Option<Targets>,
    /// Format of the log lines.
    #[arg(long, global = true, value_enum, default_value_t = Format::Auto)]
    log_format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Text,
    /// For programs: one object per line.
    Json,
}

impl Options {
    /// Starts logging; `default` is the filter if the user has not set any.
    pub(crate) fn start(&self, default: &str) {
        let filter = self.log.clone().or_else(from_environment);
        let filter = filter.unwrap_or_else(|| default.parse().expect("our own filters are valid"));
        // When nobody reads stderr any more, reporting that error would panic.
        let layer = fmt::layer().with_writer(io::stderr).with_ansi(false).log_internal_errors(false);
        let is_json = match self.log_format {
            Format::Auto => !io::stderr().is_terminal(),
            Format::Text => false,
            Format::Json => true,
        };
        let registry = tracing_subscriber::registry().with(filter);
        if is_json {
            registry.with(layer.json().flatten_event(true)).init();
        } else {
            registry.with(layer).init();
        }
    }
}

/// The filter of RUST_LOG. The variable may be meant for other programs too, so a value that cannot be parsed is
/// no error.
fn from_environment() -> Option<Targets> {
    let text = std::env::var("RUST_LOG").ok().filter(|text| !text.trim().is_empty())?;
    filter(&text).inspect_err(|error| note!("note: RUST_LOG is not used: {error}")).ok()
}

fn filter(text: &str) -> Result<Targets, String> {
    let parsed = text.parse::<Targets>();
    parsed.map_err(|_| format!("`{text}` is neither a level nor a list of MODULE=LEVEL, as in `warn,kafka_wire=debug`"))
}
