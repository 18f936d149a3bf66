//! What the job should have written, counted apart from it, against what a `read_committed` reader got.

use std::collections::BTreeMap;
use std::io;

use hashbrown::HashMap;

use super::input::Input;

/// What the job should write for an input.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    /// Each different word once; what follows names words by their place here.
    ids: HashMap<String, u32>,
    /// By window start and word.
    counts: HashMap<(i64, u32), Count>,
    pub(crate) words: u64,
    /// Lines that are not UTF-8: the job counts and skips them.
    pub(crate) undecodable: u64,
}

#[derive(Debug, Default)]
struct Count {
    expected: u64,
    /// Whether the window has come out.
    is_seen: bool,
}

/// One output record, as a reader sees it.
#[derive(Debug)]
pub(crate) struct Result {
    pub(crate) word: String,
    pub(crate) window_start: i64,
    pub(crate) count: u64,
}

/// What came of the comparison; [`Verdict::is_clean`] decides the exit code.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Words that should have been counted, and words that were.
    pub(crate) expected: u64,
    pub(crate) got: u64,
    /// Words missing from the counts, and words counted beyond what there were, summed over all windows.
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    /// Windows of a word that came out more than once.
    pub(crate) repeated_windows: u64,
}

impl Verdict {
    pub(crate) fn is_clean(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.repeated_windows == 0 && self.expected == self.got
    }
}

impl Expected {
    /// Counts the input's words as plainly as can be: no code of the processor takes part.
    pub(crate) fn count(input: &Input, window_ms: i64, is_word: fn(char) -> bool) -> io::Result<Self> {
        let mut expected = Self::default();
        input.lines(|line| {
            let Ok(text) = String::from_utf8(line.text) else {
                expected.undecodable += 1;
                return Ok(());
            };
            let window_start = line.timestamp_ms - line.timestamp_ms.rem_euclid(window_ms);
            for word in text.split(|letter| !is_word(letter)).filter(|word| !word.is_empty()) {
                let id = expected.id(&word.to_lowercase());
                expected.counts.entry((window_start, id)).or_default().expected += 1;
                expected.words += 1;
            }
            Ok(())
        })?;
        Ok(expected)
    }

    /// Begins the comparison with what is read.
    pub(crate) fn audit(self) -> Audit {
        let verdict = Verdict { expected: self.words, ..Verdict::default() };
        Audit { expected: self, verdict, totals: Totals::default() }
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

/// A comparison under way: takes results one by one, so that the output need not fit into memory.
#[derive(Debug)]
pub(crate) struct Audit {
    expected: Expected,
    verdict: Verdict,
    totals: Totals,
}

impl Audit {
    pub(crate) fn take(&mut self, Result { word, window_start, count: got }: Result) {
        self.totals.add(&word, got);
        let id = self.expected.id(&word);
        let count = self.expected.counts.entry((window_start, id)).or_default();
        // A window that comes again finds nothing expected any more.
        let expected = if count.is_seen { 0 } else { count.expected };
        let verdict = &mut self.verdict;
        verdict.got += got;
        verdict.lost += expected.saturating_sub(got);
        verdict.duplicated += got.saturating_sub(expected);
        verdict.repeated_windows += u64::from(count.is_seen);
        count.is_seen = true;
    }

    /// What has not come out is lost.
    pub(crate) fn end(mut self) -> (Verdict, Totals) {
        let missing = self.expected.counts.values().filter(|count| !count.is_seen);
        self.verdict.lost += missing.map(|count| count.expected).sum::<u64>();
        (self.verdict, self.totals)
    }
}

/// How often each word came over all windows: what `sort | uniq -c` prints.
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

    /// How many different words there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The most frequent words, with equal counts by the word.
    pub(crate) fn top(&self, most: usize) -> Vec<(&str, u64)> {
        let mut all: Vec<_> = self.0.iter().map(|(word, count)| (word.as_str(), *count)).collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        all.truncate(most);
        all
    }

    /// Lines as GNU `uniq -c` prints them after `LC_ALL=C sort`.
    pub(crate) fn write(&self, mut out: impl io::Write) -> io::Result<()> {
        self.0.iter().try_for_each(|(word, count)| writeln!(out, "{count:7} {word}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected() -> Expected {
        let mut expected = Expected { words: 4, ..Expected::default() };
        for (window_start, word, count) in [(0, "a", 2), (0, "b", 1), (10, "a", 1)] {
            let id = expected.id(word);
            expected.counts.insert((window_start, id), Count { expected: count, is_seen: false });
        }
        expected
    }

    fn audit(results: impl IntoIterator<Item = Result>) -> (Verdict, Totals) {
        let mut audit = expected().audit();
        results.into_iter().for_each(|result| audit.take(result));
        audit.end()
    }

    fn result(word: &str, window_start: i64, count: u64) -> Result {
        Result { word: word.to_owned(), window_start, count }
    }

    #[test]
    fn equal_counts_are_clean() {
        let (verdict, totals) = audit([result("a", 10, 1), result("b", 0, 1), result("a", 0, 2)]);
        assert!(verdict.is_clean(), "{verdict:?}");
        assert_eq!(totals.top(1), [("a", 3)]);
        let mut lines = Vec::new();
        totals.write(&mut lines).unwrap();
        assert_eq!(String::from_utf8(lines).unwrap(), "      3 a\n      1 b\n");
    }

    #[test]
    fn a_missing_window_a_double_count_and_a_repeated_window_are_each_found() {
        let (lost, _) = audit([result("a", 0, 2), result("a", 10, 1)]);
        assert_eq!((lost.lost, lost.duplicated, lost.is_clean()), (1, 0, false));

        let (doubled, _) = audit([result("a", 0, 3), result("a", 10, 1), result("b", 0, 1)]);
        assert_eq!((doubled.lost, doubled.duplicated, doubled.is_clean()), (0, 1, false));

        let twice = [result("a", 0, 2), result("b", 0, 1), result("b", 0, 1), result("a", 10, 1)];
        let (repeated, _) = audit(twice);
        assert_eq!((repeated.repeated_windows, repeated.duplicated, repeated.is_clean()), (1, 1, false));
    }
}
