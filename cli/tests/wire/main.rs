//! `waterwheel wire` as a user runs it.

mod decode;
mod dump;
mod records;
mod roundtrip;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// The results of a run.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Run {
    /// Checks that the run succeeded without a word on stderr, and returns its output.
    #[track_caller]
    fn ok(self) -> String {
        assert_eq!((self.code, &*self.stderr), (Some(0), ""), "{}", self.stdout);
        self.stdout
    }

    /// Checks that it ended with this code and printed this on stderr, and returns its output.
    #[track_caller]
    fn fails(self, code: i32, saying: &str) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.stderr.contains(saying), "{:?} is not in: {}", saying, self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self.stdout
    }
}

/// Runs `waterwheel wire`.
fn wire(arguments: &[&str], stdin: impl AsRef<[u8]>) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waterwheel"));
    command.arg("wire").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    let mut to = child.stdin.take().expect("it is piped");
    let input = stdin.as_ref().to_vec();
    // A thread writes stdin, because the binary prints while it reads. The binary may end without reading all.
    let writer = thread::spawn(move || drop(to.write_all(&input)));
    let output = child.wait_with_output().expect("the binary ends");
    writer.join().expect("writing does not panic");
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8"));
    Run { code: output.status.code(), stdout, stderr }
}

/// The committed vectors: `MESSAGE VERSION HEX SUM`, without the sum.
fn vectors() -> Vec<(String, String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kafka-wire/tests/vectors");
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).expect("vectors").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let mut vectors = Vec::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "txt")) {
        for line in fs::read_to_string(file).expect("a text").lines() {
            let [message, version, hex, _sum] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            vectors.push((message.to_owned(), version.to_owned(), hex.to_owned()));
        }
    }
    assert!(vectors.len() > 2000, "{} vectors", vectors.len());
    vectors
}

fn unhex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex")).collect()
}

/// A file for one test, removed when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, bytes: &[u8]) -> Self {
        // Tests that run at the same time may give the same name.
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("waterwheel-wire-{}-{number}-{name}", std::process::id()));
        fs::write(&path, bytes).expect("the temporary folder is writable");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_file(&self.0).expect("it was written");
    }
}
