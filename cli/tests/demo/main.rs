//! The demo as a user runs it.

mod cluster;
mod input;
mod output;
mod signals;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The results of a run.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Run {
    /// Checks that every word was counted once, and returns the result.
    #[track_caller]
    fn clean(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.stderr, self.stdout);
        self.stdout
    }

    /// Checks that it ended with this code and printed this on stderr.
    #[track_caller]
    fn fails(&self, code: i32, saying: &str) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.stderr.contains(saying), "{saying:?} is not in: {}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
    }
}

/// The demo with these arguments, independent of the environment of the test run.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waterwheel"));
    command.arg("demo").args(arguments).env_remove("KAFKA_BOOTSTRAP_SERVERS").env_remove("RUST_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn demo(arguments: &[&str]) -> Run {
    ended(command(arguments).spawn().expect("the binary runs"))
}

fn demo_reading(arguments: &[&str], input: &[u8]) -> Run {
    let mut child = command(arguments).stdin(Stdio::piped()).spawn().expect("the binary runs");
    let mut to = child.stdin.take().expect("it is piped");
    to.write_all(input).expect("it reads what it is given");
    drop(to);
    ended(child)
}

fn ended(child: Child) -> Run {
    let output = child.wait_with_output().expect("the binary ends");
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8"));
    Run { code: output.status.code(), stdout, stderr }
}

/// A folder for one test, removed after it.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("waterwheel-demo-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the folder for temporary files takes one");
        Self(path)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, content).expect("there is room for a file");
        text(&path)
    }

    fn path(&self, name: &str) -> String {
        text(&self.0.join(name))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("our own names are text").to_owned()
}

#[test]
fn a_run_with_kills_is_clean() {
    let result = demo(&["--records", "20k", "--kills", "2"]).clean();
    assert!(result.contains("expected 200000  got 200000  lost 0  duplicated 0"), "{result}");
}

#[test]
fn counts_are_taken_as_people_write_them() {
    for records in ["2k", "2_000", "2,000"] {
        let result = demo(&["--records", records, "--kills", "0"]).clean();
        assert!(result.contains("done       2000 lines"), "{records}: {result}");
    }
    demo(&["--records", "2x"]).fails(2, "250_000");
    demo(&["--kill", "2"]).fails(2, "--kills");
}
