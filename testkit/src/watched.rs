//! Programs that never outlive the test that started them.
//!
//! A test can die without running a destructor: by SIGKILL, or by a panic that aborts. A shell script waits for the end
//! of a pipe that only this process holds, and then kills the program. The shell execs the program, so that the process
//! id is the program's own.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, Command, ExitStatus, Stdio};

/// A running program. Dropping it kills it with SIGKILL and removes its directory; so does the end of this process.
#[derive(Debug)]
pub struct Watched {
    child: Child,
    /// The pipe whose end tells the watcher that this process is gone.
    watcher: ChildStdin,
    directory: Option<PathBuf>,
}

impl Watched {
    /// Starts the program and the arguments of `command`, with stdin and stdout at `/dev/null` and stderr a pipe.
    ///
    /// `directory` holds the program's files and is removed after its end. Variables that are set on `command` are
    /// used, its working directory is not.
    ///
    /// # Errors
    /// As [`Command::spawn`]. A program that does not exist shows only as one that ends with status 127.
    pub fn spawn(command: &Command, directory: Option<&Path>) -> io::Result<Self> {
        let variables = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg(include_str!("watched.sh"))
            .arg("sh")
            .arg(directory.unwrap_or(Path::new("")))
            .arg(command.get_program())
            .args(command.get_args())
            .envs(variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        // Ctrl-C in a terminal then reaches only this process; the program ends because this process does.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut shell, 0);
        let mut child = shell.spawn()?;
        let watcher = child.stdin.take().expect("stdin was asked to be a pipe");
        Ok(Self { child, watcher, directory: directory.map(Path::to_owned) })
    }

    /// The pipe from the program's stderr, for the first caller. It has to be read, or the program blocks.
    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Kills the program with SIGKILL and waits for its end.
    ///
    /// # Errors
    /// As [`Child::wait`].
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        // They fail only if the program has ended.
        let _ = self.child.kill();
        // The watcher is released before the process id is freed, or it could kill the next process with that id.
        let _ = self.watcher.write_all(b"released\n");
        self.child.wait()
    }

    /// Kills the program as [`kill`](Self::kill) does, and leaves its directory to another program.
    ///
    /// # Errors
    /// As [`Child::wait`].
    pub fn replace(mut self) -> io::Result<ExitStatus> {
        self.directory = None;
        self.kill()
    }

    /// Asks the program to end, with SIGTERM.
    ///
    /// # Errors
    /// If the `kill` command cannot be started.
    pub fn terminate(&self) -> io::Result<()> {
        self.signal("-TERM")
    }

    /// Stops the program where it is, with SIGSTOP: it does nothing, its connections stay open, and others see only
    /// that it is silent. It can still be killed.
    ///
    /// # Errors If the `kill` command cannot be started.
    pub fn pause(&self) -> io::Result<()> {
        self.signal("-STOP")
    }

    /// Lets a paused program go on, with SIGCONT.
    ///
    /// # Errors
    /// If the `kill` command cannot be started.
    pub fn resume(&self) -> io::Result<()> {
        self.signal("-CONT")
    }

    /// Lets the program write no file beyond this size, as on a disk without room: a write that would fails, as far as
    /// it goes beyond. By `prlimit`, which Linux has.
    ///
    /// # Errors If `prlimit` cannot be started, or refuses.
    pub fn limit_files(&self, size_bytes: u64) -> io::Result<()> {
        let mut command = Command::new("prlimit");
        command.arg("--pid").arg(self.child.id().to_string()).arg(format!("--fsize={size_bytes}"));
        match command.status()?.success() {
            true => Ok(()),
            false => Err(io::Error::other("prlimit refuses the limit")),
        }
    }

    fn signal(&self, signal: &str) -> io::Result<()> {
        Command::new("kill").arg(signal).arg(self.child.id().to_string()).status().map(drop)
    }

    /// Whether the program has installed a handler of SIGTERM: before that the signal ends it at once. Read from
    /// Linux's `/proc`; on other systems always true.
    #[must_use]
    pub fn handles_terminate(&self) -> bool {
        let Ok(status) = fs::read_to_string(format!("/proc/{}/status", self.child.id())) else { return true };
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & SIGTERM_BIT != 0)
    }

    /// The status with which the program ended; `None` while it runs.
    ///
    /// # Errors
    /// As [`Child::try_wait`].
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Nothing can be done about a failure here.
        let _ = self.kill();
        if let Some(directory) = &self.directory {
            let _ = fs::remove_dir_all(directory);
        }
    }
}

/// Signals are counted from one.
const SIGTERM_BIT: u64 = 1 << (15 - 1);
