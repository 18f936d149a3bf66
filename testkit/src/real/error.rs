//! The reasons why Apache Kafka cannot be started.

use std::path::{Path, PathBuf};
use std::{fmt, io};

/// The reason why Apache Kafka, or one of its tools, could not be started.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unavailable {
    /// A program is not on the `PATH`.
    MissingProgram {
        /// `java` or `mvn`.
        program: &'static str,
    },
    /// Maven ran and could not fetch the jars.
    Fetch {
        /// The end of Maven's output.
        output: String,
    },
    /// The broker, or the tool that formats its directory, ended or was not ready in time.
    Start {
        /// The end of its log.
        log: String,
    },
    /// A file or a process of the launcher could not be created.
    Io {
        /// The operation that failed.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the system.
        kind: io::ErrorKind,
    },
}

impl Unavailable {
    pub(super) fn io(what: &'static str, path: &Path, error: &io::Error) -> Self {
        Self::Io { what, path: path.to_owned(), kind: error.kind() }
    }

    /// The error of a program that could not be spawned.
    pub(super) fn spawn(program: &'static str, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::MissingProgram { program },
            _ => Self::io("start", Path::new(program), error),
        }
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingProgram { program } => write!(f, "`{program}` is not installed"),
            Self::Fetch { output } => write!(f, "Maven could not fetch Kafka's jars:\n{output}"),
            Self::Start { log } => write!(f, "Apache Kafka did not start:\n{log}"),
            Self::Io { what, path, kind } => write!(f, "cannot {what} {}: {kind}", path.display()),
        }
    }
}

impl std::error::Error for Unavailable {}

/// The last `count` lines of a program's output.
pub(super) fn last_lines(text: &str, count: usize) -> String {
    let mut lines: Vec<&str> = text.lines().rev().take(count).collect();
    lines.reverse();
    lines.join("\n")
}
