//! The oracle as a process.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use testkit::real::java_command;

/// A running `Oracle.java`; it dies with this value.
pub(crate) struct Java {
    child: Child,
    questions: BufWriter<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// Java's result for some bytes.
#[derive(Debug)]
pub(crate) enum Judgement {
    /// Java read all bytes, and writes these.
    Read { hex: String, json: String },
    /// Java refused them: bytes were left (`trailing`), it could not read them (`unread`), or not
    /// write them (`unwritten`).
    Refused { text: String },
}

impl Java {
    /// Starts the oracle, which compiles itself; see its source for the modes.
    ///
    /// # Errors
    /// The reason why it cannot run here.
    pub(crate) fn start(mode: &[&str]) -> Result<Self, String> {
        let compiler = Command::new("javac").arg("-version").output();
        compiler.map_err(|error| format!("`javac`, which `java` needs for sources: {error}"))?;
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kafka-wire/tests/java/Oracle.java");
        let command = java_command(&source.display().to_string()).map_err(|unavailable| unavailable.to_string())?;
        let mut command = command.into_std();
        let child = command.args(mode).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| format!("`java`: {error}"))?;
        let questions = BufWriter::new(child.stdin.take().expect("stdin was asked to be a pipe"));
        let answers = BufReader::new(child.stdout.take().expect("stdout was asked to be a pipe"));
        Ok(Self { child, questions, answers })
    }

    /// One answer for each question, in order.
    pub(crate) fn ask(&mut self, questions: &[String]) -> Vec<String> {
        let Self { questions: pipe, answers, .. } = self;
        // Writing and reading run at the same time: Java answers before it has read everything, and would
        // block on a full pipe.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for question in questions {
                    writeln!(pipe, "{question}").expect("Java listens");
                }
                pipe.flush().expect("Java listens");
            });
            questions
                .iter()
                .map(|question| line(answers).unwrap_or_else(|| panic!("Java ended at {question}")))
                .collect()
        })
    }

    /// Everything that it prints, to its end.
    ///
    /// # Panics
    /// If Java fails; it has printed the reason on stderr.
    pub(crate) fn lines(mut self) -> impl Iterator<Item = String> {
        std::iter::from_fn(move || {
            let next = line(&mut self.answers);
            if next.is_none() {
                let status = self.child.wait().expect("Java is ours");
                assert!(status.success(), "Java failed: {status}");
            }
            next
        })
    }
}

fn line(answers: &mut BufReader<ChildStdout>) -> Option<String> {
    let mut text = String::new();
    answers.read_line(&mut text).expect("Java speaks UTF-8");
    text.strip_suffix('\n').map(str::to_owned)
}

impl Drop for Java {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Judgement {
    pub(crate) fn parse(answer: &str) -> Self {
        match answer.strip_prefix("ok ") {
            Some(read) => {
                let (hex, json) = read.split_once(' ').unwrap_or((read, ""));
                Self::Read { hex: hex.to_owned(), json: json.to_owned() }
            }
            None => Self::Refused { text: answer.to_owned() },
        }
    }
}
