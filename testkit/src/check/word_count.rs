//! Checks the output of a windowed word count against its input.
//!
//! [`Expected`] counts the input in the plainest way, without code of a job. [`Expected::check`] reads the committed
//! output in the order of the log and lists every deviation: a pair of word and window without output, one whose last
//! count is too small (lost) or too large (doubled), one that does not occur in the input, and a count that the job
//! should not have written at all: with updates one that does not grow, at close a second one.

use std::collections::BTreeMap;
use std::fmt;

use kafka_wire::types::TimestampMs;

/// The time at which the job writes the count of a word in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit {
    /// Once, when the window closes.
    Close,
    /// After changes, each time with a larger count; the last one is the result.
    Update,
}

/// A record of the output: the word was seen `count` times in the window that starts at `window_start_ms`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The word, which is the record's key.
    pub word: String,
    /// Start of the window (inclusive), in milliseconds since 1970.
    pub window_start_ms: i64,
    /// The count so far, or the final one.
    pub count: u64,
}

/// The expected counts.
#[derive(Clone, Debug)]
pub struct Expected {
    window_ms: i64,
    counts: BTreeMap<Pair, u64>,
}

/// A word and the start of a window.
type Pair = (String, i64);

impl Expected {
    /// Starts without counts, for tumbling windows of `window_ms` milliseconds, aligned to 1970.
    ///
    /// # Panics
    /// If `window_ms` is not positive.
    #[must_use]
    pub fn new(window_ms: i64) -> Self {
        assert!(window_ms > 0, "a window has a length");
        Self { window_ms, counts: BTreeMap::new() }
    }

    /// Counts a line of the input. A word is a maximal run of alphanumeric characters, lower-cased.
    pub fn add_line(&mut self, timestamp: TimestampMs, text: &str) {
        let window_start_ms = timestamp.0 - timestamp.0.rem_euclid(self.window_ms);
        for word in text.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty()) {
            *self.counts.entry((word.to_lowercase(), window_start_ms)).or_default() += 1;
        }
    }

    /// Drops the windows that start at `end_ms` or later, which may still be open at the end of a run.
    pub fn forget_from(&mut self, end_ms: i64) {
        self.counts.retain(|(_, window_start_ms), _| *window_start_ms < end_ms);
    }

    /// Number of pairs of word and window.
    #[must_use]
    pub fn pairs(&self) -> usize {
        self.counts.len()
    }

    /// Number of words in the input.
    #[must_use]
    pub fn words(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Compares the committed output, in the order of the log within each word, with the expected counts.
    pub fn check(&self, emit: Emit, output: impl IntoIterator<Item = Counted>) -> CheckReport {
        let mut report = CheckReport::default();
        let mut last_counts: BTreeMap<Pair, u64> = BTreeMap::new();
        for Counted { word, window_start_ms, count } in output {
            report.records += 1;
            let pair = (word, window_start_ms);
            let previous = last_counts.insert(pair.clone(), count);
            if let Some(previous) = previous
                && (emit == Emit::Close || count <= previous)
            {
                report.add(pair, Cause::Repeated { previous, count });
            }
        }
        for (pair, &expected) in &self.counts {
            match last_counts.remove(pair) {
                None => report.add(pair.clone(), Cause::Missing { expected }),
                Some(got) if got < expected => report.add(pair.clone(), Cause::Lost { expected, got }),
                Some(got) if got > expected => report.add(pair.clone(), Cause::Doubled { expected, got }),
                Some(_) => report.pairs_right += 1,
            }
        }
        for (pair, got) in last_counts {
            report.add(pair, Cause::Unexpected { got });
        }
        report
    }

    /// As [`check`](Self::check), for output whose later windows are still open: pairs that were dropped are
    /// not checked.
    pub fn check_before(&self, end_ms: i64, emit: Emit, output: impl IntoIterator<Item = Counted>) -> CheckReport {
        self.check(emit, output.into_iter().filter(|counted| counted.window_start_ms < end_ms))
    }
}

/// The result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Number of output records that were checked.
    pub records: u64,
    /// Number of pairs of word and window whose last count is right.
    pub pairs_right: usize,
    /// Every deviation.
    pub deviations: Vec<Deviation>,
}

impl CheckReport {
    /// Whether the output is as expected.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.deviations.is_empty()
    }

    fn add(&mut self, (word, window_start_ms): Pair, cause: Cause) {
        self.deviations.push(Deviation { word, window_start_ms, cause });
    }
}

impl fmt::Display for CheckReport {
    /// Shows the totals, and the first deviations.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { records, pairs_right, deviations } = self;
        write!(f, "{records} records, {pairs_right} pairs right, {} deviations", deviations.len())?;
        for Deviation { word, window_start_ms, cause } in deviations.iter().take(DEVIATIONS_SHOWN) {
            write!(f, "\n  {word} in the window from {window_start_ms}: {cause}")?;
        }
        Ok(())
    }
}

/// A word in a window whose output is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deviation {
    /// The word.
    pub word: String,
    /// Start of the window.
    pub window_start_ms: i64,
    /// The error.
    pub cause: Cause,
}

/// The error in the output of one word in one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// There is no record.
    Missing {
        /// The right count.
        expected: u64,
    },
    /// The last count is too small.
    Lost {
        /// The right count.
        expected: u64,
        /// The last count.
        got: u64,
    },
    /// The last count is too large.
    Doubled {
        /// The right count.
        expected: u64,
        /// The last count.
        got: u64,
    },
    /// The word does not occur in the input of the window.
    Unexpected {
        /// The last count.
        got: u64,
    },
    /// The job wrote a count that does not grow, or a second count of a closed window.
    Repeated {
        /// The count before.
        previous: u64,
        /// The count after it.
        count: u64,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { expected } => write!(f, "missing, expected {expected}"),
            Self::Lost { expected, got } => write!(f, "lost {}: expected {expected}, got {got}", expected - got),
            Self::Doubled { expected, got } => write!(f, "doubled {}: expected {expected}, got {got}", got - expected),
            Self::Unexpected { got } => write!(f, "not in the input, got {got}"),
            Self::Repeated { previous, count } => write!(f, "count {count} after {previous}"),
        }
    }
}

/// Most deviations that are shown. A broken run can deviate in every pair; the first few tell what is wrong.
const DEVIATIONS_SHOWN: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: [(i64, &str); 4] =
        [(1_000, "To be, or not"), (1_500, "to BE"), (2_100, "to see"), (1_999, "\u{c9}t\u{e9}-be")];

    fn expected() -> Expected {
        let mut expected = Expected::new(1_000);
        for (timestamp, text) in LINES {
            expected.add_line(TimestampMs(timestamp), text);
        }
        expected
    }

    /// Runs a job that is right, but for the effect of `bug` on the counts that it writes.
    fn run(emit: Emit, lines: &[(i64, &str)], bug: impl Fn(Counted) -> Vec<Counted>) -> CheckReport {
        let mut job = Expected::new(1_000);
        let mut output = Vec::new();
        for (timestamp, text) in lines {
            for word in text.split([' ', ',', '-']).filter(|word| !word.is_empty()) {
                job.add_line(TimestampMs(*timestamp), word);
                let pair = (word.to_lowercase(), timestamp - timestamp % 1_000);
                let count = job.counts[&pair];
                output.extend(bug(Counted { word: pair.0, window_start_ms: pair.1, count }));
            }
        }
        if emit == Emit::Close {
            let closed = job.counts.into_iter();
            output = closed
                .flat_map(|((word, window_start_ms), count)| bug(Counted { word, window_start_ms, count }))
                .collect();
        }
        expected().check(emit, output)
    }

    fn causes(report: &CheckReport) -> Vec<Cause> {
        report.deviations.iter().map(|deviation| deviation.cause).collect()
    }

    #[test]
    fn a_right_output_is_clean() {
        for emit in [Emit::Close, Emit::Update] {
            let report = run(emit, &LINES, |counted| vec![counted]);
            assert!(report.is_clean(), "{report}");
            assert_eq!((expected().pairs(), expected().words()), (7, 10));
            assert_eq!(report.pairs_right, 7);
        }
    }

    #[test]
    fn a_record_read_twice_is_caught() {
        // The planted bug counts the second line twice, as when records of an aborted transaction are read.
        let doubled = [LINES[0], LINES[1], LINES[1], LINES[2], LINES[3]];
        for emit in [Emit::Close, Emit::Update] {
            let report = run(emit, &doubled, |counted| vec![counted]);
            let expected = [Cause::Doubled { expected: 3, got: 4 }, Cause::Doubled { expected: 2, got: 3 }];
            assert_eq!(causes(&report), expected, "{report}");
        }
    }

    #[test]
    fn a_lost_record_is_caught() {
        // The planted bug commits the offset of the second line without its counts; the third line is not read at all.
        for emit in [Emit::Close, Emit::Update] {
            let report = run(emit, &[LINES[0], LINES[3]], |counted| vec![counted]);
            let lost = |expected, got| Cause::Lost { expected, got };
            let missing = Cause::Missing { expected: 1 };
            assert_eq!(causes(&report), [lost(3, 2), missing, lost(2, 1), missing], "{report}");
        }
    }

    #[test]
    fn an_output_written_twice_is_caught() {
        // The planted bug makes an output record of an aborted transaction visible beside its copy.
        let twice = |counted: Counted| match counted.word.as_str() {
            "see" => vec![counted.clone(), counted],
            _ => vec![counted],
        };
        for emit in [Emit::Close, Emit::Update] {
            let report = run(emit, &LINES, twice);
            assert_eq!(causes(&report), [Cause::Repeated { previous: 1, count: 1 }], "{report}");
        }
    }

    #[test]
    fn a_word_that_nobody_wrote_is_caught() {
        let spoilt = [LINES[0], LINES[1], LINES[2], LINES[3], (1_000, "ghost")];
        let report = run(Emit::Update, &spoilt, |counted| vec![counted]);
        assert_eq!(causes(&report), [Cause::Unexpected { got: 1 }], "{report}");
    }

    #[test]
    fn open_windows_are_not_looked_at() {
        let mut closed = expected();
        closed.forget_from(2_000);
        let count = |word: &str, window_start_ms, count| Counted { word: word.to_owned(), window_start_ms, count };
        let output = [("be", 3), ("not", 1), ("or", 1), ("to", 2), ("\u{e9}t\u{e9}", 1)];
        let output = output.into_iter().map(|(word, right)| count(word, 1_000, right)).chain([count("see", 2_000, 1)]);
        let report = closed.check_before(2_000, Emit::Close, output);
        assert!(report.is_clean(), "{report}");
    }
}
