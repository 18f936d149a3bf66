//! The audit: compares the output that a `read_committed` reader got with a count of the input that is
//! independent of the job.

use std::collections::BTreeMap;
use std::io;

use hashbrown::HashMap;

use super::input::Line;

/// The expected output for an input, counted in the plainest way: no code of the processor takes part.
#[derive(Debug)]
pub(crate) struct Expected {
    window_ms: i64,
    is_word: fn(char) -> bool,
    /// Every distinct word, once; other fields refer to words by their index here.
    ids: HashMap<String, u32>,
    /// Counts by window number since 1970 and word.
    counts: HashMap<(i32, u32), Count>,
    words: u64,
    /// Number of lines that are not UTF-8, which the job skips.
    pub(crate) undecodable: u64,
}

/// A count with a flag in its top bit, because there is one for each word of each window.
#[derive(Clone, Copy, Debug, Default)]
struct Count(u64);

/// One output record, as a reader sees it.
#[derive(Debug)]
pub(crate) struct WindowCount {
    pub(crate) word: String,
    pub(crate) window_start: i64,
    pub(crate) count: u64,
    /// Partition of the output topic.
    pub(crate) partition: i32,
}

/// The extent of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// The job reached the end of the input: every window has to be in the output.
    Whole,
    /// The job was stopped before. Each of this many partitions then has its windows in order, up to some window.
    Stopped { partitions: i32 },
}

/// The result of the comparison; [`AuditReport::is_clean`] decides the exit code.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct AuditReport {
    /// Words that should have been counted, and words that were. For a run that was stopped, only words of
    /// windows in the output.
    pub(crate) expected: u64,
    pub(crate) got: u64,
    /// Words of windows that need not be in the output, because the run was stopped before.
    pub(crate) open: u64,
    /// Words missing from the counts, and words counted too often, summed over all windows.
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    /// Windows of a word that are in the output more than once.
    pub(crate) repeated_windows: u64,
}

impl AuditReport {
    pub(crate) fn is_clean(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.repeated_windows == 0 && self.expected == self.got
    }
}

impl Expected {
    /// Starts without any words. Windows begin at multiples of `window_ms`; `is_word` decides which characters belong
    /// to words.
    pub(crate) fn new(window_ms: i64, is_word: fn(char) -> bool) -> Self {
        Self { window_ms, is_word, ids: HashMap::new(), counts: HashMap::new(), words: 0, undecodable: 0 }
    }

    /// Counts the words of one line.
    pub(crate) fn count(&mut self, line: &Line) {
        let Ok(text) = std::str::from_utf8(&line.text) else {
            self.undecodable += 1;
            return;
        };
        let window = self.window(line.timestamp_ms);
        let is_word = self.is_word;
        for word in text.split(|letter| !is_word(letter)).filter(|word| !word.is_empty()) {
            let id = self.id(&word.to_lowercase());
            self.counts.entry((window, id)).or_default().0 += 1;
            self.words += 1;
        }
    }

    /// Starts the comparison with the output.
    pub(crate) fn audit(self) -> Audit {
        Audit { expected: self, report: AuditReport::default(), latest: BTreeMap::new(), totals: Totals::default() }
    }

    fn window(&self, timestamp_ms: i64) -> i32 {
        i32::try_from(timestamp_ms.div_euclid(self.window_ms))
            .expect("windows of seconds, within some centuries of 1970")
    }

    fn id(&mut self, word: &str) -> u32 {
        if let Some(&id) = self.ids.get(word) {
            return id;
        }
        let id = u32::try_from(self.ids.len()).expect("fewer different words than 2^32");
        self.ids.insert(word.to_owned(), id);
        id
    }
}

impl Count {
    const SEEN: u64 = 1 << 63;

    fn expected(self) -> u64 {
        self.0 & !Self::SEEN
    }

    /// Whether the window is in the output.
    fn is_seen(self) -> bool {
        self.0 & Self::SEEN != 0
    }
}

/// A comparison in progress: it takes results one by one, so that the output need not fit into memory.
#[derive(Debug)]
pub(crate) struct Audit {
    expected: Expected,
    report: AuditReport,
    /// The latest window of each partition.
    latest: BTreeMap<i32, i32>,
    totals: Totals,
}

impl Audit {
    pub(crate) fn take(&mut self, WindowCount { word, window_start, count: got, partition }: WindowCount) {
        self.totals.add(&word, got);
        let id = self.expected.id(&word);
        let window = self.expected.window(window_start);
        let latest = self.latest.entry(partition).or_insert(window);
        *latest = (*latest).max(window);
        let count = self.expected.counts.entry((window, id)).or_default();
        // For a window that comes a second time, nothing more is expected.
        let expected = if count.is_seen() { 0 } else { count.expected() };
        let report = &mut self.report;
        report.expected += expected;
        report.got += got;
        report.lost += expected.saturating_sub(got);
        report.duplicated += got.saturating_sub(expected);
        report.repeated_windows += u64::from(count.is_seen());
        count.0 |= Count::SEEN;
    }

    /// Ends the comparison: results that should have come and have not are lost.
    pub(crate) fn end(mut self, extent: Extent) -> (AuditReport, Totals) {
        let is_due = |window: i32| match extent {
            Extent::Whole => true,
            // The partition of a word is unknown here: a window is due once every partition has passed it.
            Extent::Stopped { partitions } => {
                (0..partitions).all(|partition| self.latest.get(&partition).is_some_and(|&latest| window < latest))
            }
        };
        let missing = self.expected.counts.iter().filter(|(_, count)| !count.is_seen());
        let (mut lost, mut open) = (0, 0);
        // The order is arbitrary, but sums do not depend on it.
        for (&(window, _), count) in missing {
            if is_due(window) { lost += count.expected() } else { open += count.expected() }
        }
        let report = &mut self.report;
        (report.expected, report.lost, report.open) = (report.expected + lost, report.lost + lost, open);
        debug_assert_eq!(report.expected + report.open, self.expected.words);
        (self.report, self.totals)
    }
}

/// Number of occurrences of each word over all windows, as `sort | uniq -c` prints them.
#[derive(Debug, Default)]
pub(crate) struct Totals(BTreeMap<String, u64>);

impl Totals {
    fn add(&mut self, word: &str, count: u64) {
        match self.0.get_mut(word) {
            Some(total) => *total += count,
            None => {
                self.0.insert(word.to_owned(), count);
            }
        }
    }

    /// Number of distinct words.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The most frequent words; those with equal counts in the order of the words.
    pub(crate) fn top(&self, most: usize) -> Vec<(&str, u64)> {
        let mut all: Vec<_> = self.0.iter().map(|(word, count)| (word.as_str(), *count)).collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        all.truncate(most);
        all
    }

    /// Writes the lines that GNU `uniq -c` prints after `LC_ALL=C sort`.
    pub(crate) fn write(&self, mut out: impl io::Write) -> io::Result<()> {
        self.0.iter().try_for_each(|(word, count)| writeln!(out, "{count:7} {word}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a b a` in the first window, `a` in the second, `b` in the third.
    fn expected() -> Expected {
        let mut expected = Expected::new(10, char::is_alphanumeric);
        for (text, timestamp_ms) in [("a, B", 3), ("a", 9), ("A", 10), ("b", 25)] {
            expected.count(&Line { text: text.into(), timestamp_ms });
        }
        expected.count(&Line { text: vec![b'a', 0xff], timestamp_ms: 1 });
        assert_eq!((expected.words, expected.undecodable), (5, 1));
        expected
    }

    fn audit(extent: Extent, results: impl IntoIterator<Item = WindowCount>) -> (AuditReport, Totals) {
        let mut audit = expected().audit();
        results.into_iter().for_each(|result| audit.take(result));
        audit.end(extent)
    }

    /// Puts `a` into partition 0, and everything else into 1.
    fn result(word: &str, window_start: i64, count: u64) -> WindowCount {
        WindowCount { word: word.to_owned(), window_start, count, partition: i32::from(word != "a") }
    }

    #[test]
    fn equal_counts_are_clean() {
        let results = [result("a", 10, 1), result("b", 0, 1), result("a", 0, 2), result("b", 20, 1)];
        let (report, totals) = audit(Extent::Whole, results);
        assert!(report.is_clean(), "{report:?}");
        assert_eq!((report.expected, report.open), (5, 0));
        assert_eq!(totals.top(1), [("a", 3)]);
        let mut lines = Vec::new();
        totals.write(&mut lines).unwrap();
        assert_eq!(String::from_utf8(lines).unwrap(), "      3 a\n      2 b\n");
    }

    #[test]
    fn a_missing_window_a_double_count_and_a_repeated_window_are_each_found() {
        let (lost, _) = audit(Extent::Whole, [result("a", 0, 2), result("a", 10, 1), result("b", 20, 1)]);
        assert_eq!((lost.lost, lost.duplicated, lost.is_clean()), (1, 0, false));

        let doubled = [result("a", 0, 3), result("a", 10, 1), result("b", 0, 1), result("b", 20, 1)];
        let (doubled, _) = audit(Extent::Whole, doubled);
        assert_eq!((doubled.lost, doubled.duplicated, doubled.is_clean()), (0, 1, false));

        let twice = [result("a", 0, 2), result("b", 0, 1), result("b", 0, 1), result("a", 10, 1), result("b", 20, 1)];
        let (repeated, _) = audit(Extent::Whole, twice);
        assert_eq!((repeated.repeated_windows, repeated.duplicated, repeated.is_clean()), (1, 1, false));

        let (unheard_of, _) = audit(Extent::Whole, expected_results().chain([result("c", 0, 1)]));
        assert_eq!((unheard_of.duplicated, unheard_of.is_clean()), (1, false));
    }

    #[test]
    fn a_run_that_was_stopped_owes_the_windows_that_every_partition_has_passed() {
        let stopped = Extent::Stopped { partitions: 2 };
        let (nothing, _) = audit(stopped, []);
        assert_eq!((nothing.is_clean(), nothing.expected, nothing.open), (true, 0, 5));

        let (first, _) = audit(stopped, [result("a", 0, 2)]);
        assert_eq!((first.is_clean(), first.expected, first.open), (true, 2, 3), "partition 1 may be behind");

        // Partition 1 is at its third window, so `b` of the first is due; partition 0 has passed only the first.
        let (lost, _) = audit(stopped, [result("a", 0, 2), result("a", 10, 1), result("b", 20, 1)]);
        assert_eq!((lost.lost, lost.expected, lost.open, lost.is_clean()), (1, 5, 0, false));

        let (doubled, _) = audit(stopped, [result("a", 0, 3)]);
        assert_eq!((doubled.duplicated, doubled.is_clean()), (1, false));
    }

    fn expected_results() -> impl Iterator<Item = WindowCount> {
        [result("a", 0, 2), result("b", 0, 1), result("a", 10, 1), result("b", 20, 1)].into_iter()
    }
}
