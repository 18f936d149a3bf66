//! Seeds, counts, and the findings of a test.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write as _;

/// The seed of this run: a new one every time, unless it is given.
pub(crate) fn seed() -> u64 {
    let fresh = RandomState::new().build_hasher().finish();
    // Short enough to be typed.
    number("WATERWHEEL_ORACLE_SEED").unwrap_or(fresh % 1_000_000_000)
}

/// Number of messages of each test.
pub(crate) fn count() -> u64 {
    number("WATERWHEEL_ORACLE_COUNT").unwrap_or(20_000)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Counts the checked messages and keeps the first failures.
pub(crate) struct Report {
    what: &'static str,
    seed: u64,
    checked: u64,
    failed: u64,
    failures: Vec<String>,
}

/// Number of failures that are reported in full.
const TOLD_MAX: usize = 12;

/// The text of a failure is cut after this many characters.
const TOLD_CHARACTERS_MAX: usize = 2_000;

impl Report {
    /// Prints the seed, past the capture of the test harness.
    pub(crate) fn new(what: &'static str, seed: u64) -> Self {
        let report = Self { what, seed, checked: 0, failed: 0, failures: Vec::new() };
        report.say("begins");
        report
    }

    pub(crate) fn say(&self, text: &str) {
        // A failure to write to stderr could not be reported anywhere.
        let _ = writeln!(std::io::stderr(), "{}: WATERWHEEL_ORACLE_SEED={}: {text}", self.what, self.seed);
    }

    pub(crate) fn count(&mut self, checked: u64) {
        self.checked += checked;
    }

    /// Counts one more checked message.
    pub(crate) fn check(&mut self, is_fine: bool, failure: impl FnOnce() -> String) {
        self.count(1);
        if !is_fine {
            self.fail(failure());
        }
    }

    pub(crate) fn fail(&mut self, failure: String) {
        self.failed += 1;
        if self.failures.len() < TOLD_MAX {
            self.failures.push(failure.chars().take(TOLD_CHARACTERS_MAX).collect());
        }
    }

    /// Fails the test if something failed, or if fewer messages were checked than required.
    pub(crate) fn end(self, count_min: u64) {
        self.say(&format!("checked {}, failed {}", self.checked, self.failed));
        assert!(self.checked >= count_min, "{}: only {} of {count_min}", self.what, self.checked);
        assert!(self.failures.is_empty(), "{} of {} differ:\n{}", self.failed, self.checked, self.failures.join("\n"));
    }
}
