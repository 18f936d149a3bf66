//! Seeds, counts, and what a test has found.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write as _;

/// The seed of this run: another every time, unless one is given.
pub(crate) fn seed() -> u64 {
    let fresh = RandomState::new().build_hasher().finish();
    // Short enough to be typed again.
    number("WATERWHEEL_ORACLE_SEED").unwrap_or(fresh % 1_000_000_000)
}

/// Messages that each test takes.
pub(crate) fn count() -> u64 {
    number("WATERWHEEL_ORACLE_COUNT").unwrap_or(20_000)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Counts what was checked and keeps the first failures.
pub(crate) struct Report {
    what: &'static str,
    seed: u64,
    checked: u64,
    failed: u64,
    failures: Vec<String>,
}

/// Failures that are told in full.
const TOLD_MAX: usize = 12;

/// A failure is cut behind so many characters.
const TOLD_CHARACTERS_MAX: usize = 2_000;

impl Report {
    /// Says the seed, past the capture of the test harness.
    pub(crate) fn new(what: &'static str, seed: u64) -> Self {
        let report = Self { what, seed, checked: 0, failed: 0, failures: Vec::new() };
        report.say("begins");
        report
    }

    pub(crate) fn say(&self, text: &str) {
        // A reader of the output wants to know; nobody is helped by a failure to tell him.
        let _ = writeln!(std::io::stderr(), "{}: WATERWHEEL_ORACLE_SEED={}: {text}", self.what, self.seed);
    }

    pub(crate) fn count(&mut self, checked: u64) {
        self.checked += checked;
    }

    /// One more was checked.
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

    /// Fails the test if something failed, or fewer were checked than should have been.
    pub(crate) fn end(self, count_min: u64) {
        self.say(&format!("checked {}, failed {}", self.checked, self.failed));
        assert!(self.checked >= count_min, "{}: only {} of {count_min}", self.what, self.checked);
        assert!(self.failures.is_empty(), "{} of {} differ:\n{}", self.failed, self.checked, self.failures.join("\n"));
    }
}
