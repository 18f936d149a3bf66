//! The systems, and the command that starts the process of each.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::input::Job;
use crate::operators::Operator;

/// A system that runs the jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum System {
    Waterwheel,
    /// Kafka Streams, which writes every update, as Flink does.
    Streams,
    /// Kafka Streams with its record cache at the default of 10 MiB, which writes a changed key once per
    /// commit, as Waterwheel does.
    StreamsCached,
    Flink,
}

impl System {
    pub(crate) const ALL: [Self; 4] = [Self::Waterwheel, Self::StreamsCached, Self::Streams, Self::Flink];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Waterwheel => "waterwheel",
            Self::Streams => "streams",
            Self::StreamsCached => "streams-cached",
            Self::Flink => "flink",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|system| system.name() == name)
    }

    /// Whether the system has the job.
    pub(crate) const fn runs(self, job: Job) -> bool {
        match job {
            Job::Nexmark(_) | Job::OpenWindows(_) => matches!(self, Self::Waterwheel),
            // Kafka Streams has no library for patterns.
            Job::Operator(Operator::Pattern) => matches!(self, Self::Waterwheel | Self::Flink),
            _ => true,
        }
    }

    pub(crate) fn is_java(self) -> bool {
        self != Self::Waterwheel
    }

    /// The command that runs a job until its stdin closes; `place` is job, bootstrap server, application id,
    /// input, output and a directory for state.
    ///
    /// # Panics
    /// If the system is a Java program and `java` is `None`.
    pub(crate) fn command(self, place: &[&str], java: Option<&Java>) -> Result<Command, Box<dyn Error>> {
        // The others put out every update anyway.
        let place_of_java = [&[place[0].trim_end_matches("-every")], &place[1..]].concat();
        let java = |module, main| java.expect("built when a system needs it").command(module, main, &place_of_java);
        Ok(match self {
            Self::Waterwheel => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("job").args(place);
                command
            }
            Self::Streams => {
                let mut command = java("streams", "waterwheel.bench.StreamsJobs");
                command.arg("0");
                command
            }
            Self::StreamsCached => {
                let mut command = java("streams", "waterwheel.bench.StreamsJobs");
                command.arg((10 << 20).to_string());
                command
            }
            Self::Flink => java("flink", "waterwheel.bench.FlinkJobs"),
        })
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Waterwheel => "Waterwheel",
            Self::Streams => "Kafka Streams 4.3.1, every update",
            Self::StreamsCached => "Kafka Streams 4.3.1",
            Self::Flink => "Flink 2.2.1",
        })
    }
}

/// The compiled programs of `java/`.
pub(crate) struct Java(PathBuf);

impl Java {
    /// Compiles them and fetches their jars with Maven, into Cargo's target directory.
    pub(crate) fn build() -> Result<Self, Box<dyn Error>> {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("java/pom.xml");
        let program = std::env::current_exe()?;
        let built = program.ancestors().nth(2).ok_or("a program lies in a directory")?.join("processor-java");
        let mut maven = Command::new("mvn");
        maven.args(["-q", "-B", "-f"]).arg(sources).arg(format!("-Doutput={}", built.display()));
        maven.args(["compile", "dependency:copy-dependencies", "-DincludeScope=runtime"]);
        let output = maven.output().map_err(|error| format!("Maven (mvn) cannot be started: {error}"))?;
        if output.status.success() {
            return Ok(Self(built));
        }
        Err(format!("Maven: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
            .into())
    }

    fn command(&self, module: &str, main: &str, place: &[&str]) -> Command {
        let built = self.0.join(module);
        let mut command = Command::new("java");
        command.args(["-Xmx2g", "-Dlog4j2.level=WARN"]);
        // The packages that Flink's own scripts open on a JDK with modules.
        for package in
            ["java.base/java.lang", "java.base/java.util", "java.base/java.nio", "java.base/java.util.concurrent"]
        {
            command.arg(format!("--add-opens={package}=ALL-UNNAMED"));
        }
        command.arg("-cp").arg(format!("{}:{}", built.join("classes").display(), built.join("dependency/*").display()));
        command.arg(main).args(place);
        command
    }
}
