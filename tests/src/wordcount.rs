//! Processes of the examples (`wordcount` among them) that tests kill and start again.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use testkit::watched::Watched;
use tokio::time::Instant;

use crate::{eventually, programs};

/// A process of an example. Dropping it kills it.
#[derive(Debug)]
pub struct WordCount {
    program: &'static str,
    arguments: Vec<String>,
    temporary: PathBuf,
    process: Watched,
    log: Arc<Mutex<VecDeque<String>>>,
}

impl WordCount {
    /// Starts `wordcount` with these arguments. `temporary` is its directory for temporary files: processes that stand
    /// for one machine share it.
    ///
    /// # Panics
    /// If the example cannot be built or started.
    #[must_use]
    pub fn start(arguments: &[&str], temporary: &Path) -> Self {
        Self::start_program("wordcount", arguments, temporary)
    }

    /// As [`WordCount::start`], for another example; or for the program at an absolute path, which is not built then.
    ///
    /// # Panics
    /// If the example cannot be built or started.
    #[must_use]
    pub fn start_program(program: &'static str, arguments: &[&str], temporary: &Path) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let log = Arc::default();
        let process = spawn(program, &arguments, temporary, &log);
        Self { program, arguments, temporary: temporary.to_owned(), process, log }
    }

    /// Kills the process with SIGKILL.
    ///
    /// # Panics
    /// If it had ended by itself: nothing that a test does to a job should end it.
    pub fn kill(&mut self) {
        let ended = self.process.try_wait().expect("the process is ours");
        assert!(ended.is_none(), "{} ended by itself: {ended:?}\n{}", self.program, self.log());
        self.process.kill().expect("the process is ours");
    }

    /// Starts a killed process again, with the same arguments.
    pub fn restart(&mut self) {
        self.process = spawn(self.program, &self.arguments, &self.temporary, &self.log);
    }

    /// Stops the process where it is, until [`resume`](Self::resume).
    ///
    /// # Panics
    /// If it cannot be signalled.
    pub fn pause(&self) {
        self.process.pause().expect("the process is ours");
    }

    /// Lets a paused process go on.
    ///
    /// # Panics
    /// If it cannot be signalled.
    pub fn resume(&self) {
        self.process.resume().expect("the process is ours");
    }

    /// Asks the process to end with SIGTERM, once it has a handler of that; returns its exit status and the time until
    /// its end, without that for which the machine stood still.
    ///
    /// # Panics
    /// If it does not end within half a minute.
    pub async fn stop(self) -> (ExitStatus, Duration) {
        self.stop_within(Duration::from_secs(30)).await
    }

    /// As [`WordCount::stop`], with another limit.
    ///
    /// # Panics
    /// If it does not end within the limit.
    pub async fn stop_within(mut self, limit: Duration) -> (ExitStatus, Duration) {
        let is_up = || {
            let has_ended = self.process.try_wait().expect("the process is ours").is_some();
            std::future::ready((has_ended || self.process.handles_terminate()).then_some(()))
        };
        eventually("an example that handles SIGTERM", Duration::from_secs(60), is_up).await;
        let (mut looked, mut took) = (Instant::now(), Duration::ZERO);
        self.process.terminate().expect("the process is ours");
        let end = || {
            took += looked.elapsed().min(LOOK_DURATION_MAX);
            looked = Instant::now();
            std::future::ready(self.process.try_wait().expect("the process is ours"))
        };
        let status = eventually("the end of an example after SIGTERM", limit, end).await;
        (status, took)
    }

    /// The end of the process's output, over all its starts.
    #[must_use]
    pub fn log(&self) -> String {
        self.log_reader()()
    }

    /// Reads the log at any time, also after the process has ended.
    pub fn log_reader(&self) -> impl Fn() -> String + use<> {
        let log = Arc::clone(&self.log);
        move || {
            let lines = log.lock().unwrap_or_else(PoisonError::into_inner);
            lines.iter().map(|line| format!("{line}\n")).collect()
        }
    }
}

fn spawn(program: &str, arguments: &[String], temporary: &Path, log: &Arc<Mutex<VecDeque<String>>>) -> Watched {
    let path = if Path::new(program).is_absolute() { PathBuf::from(program) } else { programs::folder().join(program) };
    let mut command = Command::new(path);
    command.args(arguments).env("TMPDIR", temporary);
    let mut process = Watched::spawn(&command, None).expect("the example can be started");
    let stderr = process.take_stderr().expect("nobody has taken it yet");
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let mut lines = log.lock().unwrap_or_else(PoisonError::into_inner);
            lines.push_back(line);
            if lines.len() > LOG_LINES_MAX {
                lines.pop_front();
            }
        }
    });
    process
}

/// The most that counts of the time between two looks at a process: the machine stood still for the rest.
const LOOK_DURATION_MAX: Duration = Duration::from_millis(250);
/// Lines of the log that are kept for a report.
const LOG_LINES_MAX: usize = 400;
