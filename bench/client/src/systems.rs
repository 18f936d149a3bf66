//! The systems that are measured, and the programs that do their work.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Fallible;
use crate::measured::Measured;
use crate::rows::{Row, Way};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum System {
    Ours,
    FranzGo,
    Librdkafka,
}

impl System {
    pub(crate) const ALL: &'static [Self] = &[Self::Ours, Self::FranzGo, Self::Librdkafka];

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|system| system.to_string() == name)
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours => "kafka-wire",
            Self::FranzGo => "franz-go",
            Self::Librdkafka => "librdkafka",
        })
    }
}

/// The program of a system, ready to run.
pub(crate) struct Program {
    pub(crate) system: System,
    path: PathBuf,
}

impl Program {
    /// Builds the program.
    ///
    /// # Errors
    /// The reason why it cannot be had on this machine.
    pub(crate) fn build(system: System) -> Result<Self, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let directory = own.parent().unwrap_or(Path::new("."));
        let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
        let path = match system {
            System::Ours => own.clone(),
            System::FranzGo => {
                let path = directory.join("bench-franz-go");
                let mut go = Command::new("go");
                go.current_dir(peers.join("franz-go")).args(["build", "-o"]).arg(&path).arg(".");
                build(&mut go)?;
                path
            }
            System::Librdkafka => {
                let manifest = peers.join("librdkafka/Cargo.toml");
                let target = directory.parent().unwrap_or(directory);
                let mut cargo = Command::new("cargo");
                cargo.args(["build", "--quiet", "--release", "--manifest-path"]).arg(manifest);
                build(cargo.arg("--target-dir").arg(target))?;
                target.join("release/bench-librdkafka")
            }
        };
        Ok(Self { system, path })
    }

    /// Runs a row in a process of its own; `way` is for our client alone.
    pub(crate) fn run(&self, row: &Row, way: Option<Way>, servers: &str, topic: &str) -> Fallible<Measured> {
        let mut command = Command::new(&self.path);
        if let Some(way) = way {
            command.args([ROW, way.name]);
        }
        let output = command.args(row.arguments(servers, topic)).output()?;
        let printed = String::from_utf8_lossy(&output.stdout);
        match printed.lines().last().and_then(Measured::parse) {
            Some(measured) if output.status.success() => Ok(measured),
            _ => {
                let error = String::from_utf8_lossy(&output.stderr);
                Err(format!("{}, {}: {} {error}", self.system, row.name, output.status).into())
            }
        }
    }
}

fn build(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let error = String::from_utf8_lossy(&output.stderr);
    let last = error.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no word of the reason");
    Err(format!("{program}: {last}"))
}

/// The first argument of our program where it is one of those that are measured.
pub(crate) const ROW: &str = "row";
