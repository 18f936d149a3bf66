//! What the job should have written, counted apart from it, against what a `read_committed` reader got.

use std::collections::BTreeMap;
use std::io;

use hashbrown::HashMap;

use super::input::Line;

/// What the job should write for an input, counted as plainly as can be: no code of the processor takes part.
#[derive(Debug)]
pub(crate) struct Expected {
    window_ms: i64,
    is_word: fn(char) -> bool,
    /// Each different word once; what follows names words by their place here.
    ids: HashMap<String, u32>,
    /// By window, counted from 1970, and word.
    counts: HashMap<(i32, u32), Count>,
    words: u64,
    /// Lines that are not UTF-8: the job skips them.
    pub(crate) undecodable: u64,
}

/// There is one of these for each word of each window, so the flag takes a bit of the number.
#[derive(Clone, Copy, Debug, Default)]
struct Count(u64);

/// One output record, as a reader sees it.
#[derive(Debug)]
pub(crate) struct Result {
    pub(crate) word: String,
    pub(crate) window_start: i64,
    pub(crate) count: u64,
    /// Partition of the output topic.
    pub(crate) partition: i32,
}

/// How far the job came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// To the end of the input: every window has to be out.
    Whole,
    /// It was stopped before. Each of so many partitions then holds its windows in order, up to some window.
    Stopped { partitions: i32 },
}

/// Outcome of the comparison; [`Verdict::is_clean`] decides the exit code.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Words that should have been counted, and words that were. Of a run that was stopped: in the windows that are out.
    pub(crate) expected: u64,
    pub(crate) got: u64,
    /// Words of windows that need not be out, because the run was stopped before.
    pub(crate) open: u64,
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
    /// Nothing is expected yet. Windows begin at multiples of `window_ms`; words are made of what `is_word` takes.
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

    /// Begins the comparison with what is read.
    pub(crate) fn audit(self) -> Audit {
        Audit { expected: self, verdict: Verdict::default(), latest: BTreeMap::new(), totals: Totals::default() }
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

    /// Whether the window has come out.
    fn is_seen(self) -> bool {
        self.0 & Self::SEEN != 0
    }
}

/// A comparison under way: takes results one by one, so that the output need not fit into memory.
#[derive(Debug)]
pub(crate) struct Audit {
    expected: Expected,
    verdict: Verdict,
    /// The latest window of each partition.
    latest: BTreeMap<i32, i32>,
    totals: Totals,
}

impl Audit {
    pub(crate) fn take(&mut self, Result { word, window_start, count: got, partition }: Result) {
        self.totals.add(&word, got);
        let id = self.expected.id(&word);
        let window = self.expected.window(window_start);
        let latest = self.latest.entry(partition).or_insert(window);
        *latest = (*latest).max(window);
        let count = self.expected.counts.entry((window, id)).or_default();
        // A window that comes again finds nothing expected any more.
        let expected = if count.is_seen() { 0 } else { count.expected() };
        let verdict = &mut self.verdict;
        verdict.expected += expected;
        verdict.got += got;
        verdict.lost += expected.saturating_sub(got);
        verdict.duplicated += got.saturating_sub(expected);
        verdict.repeated_windows += u64::from(count.is_seen());
        count.0 |= Count::SEEN;
    }

    /// What should have come out and has not is lost.
    pub(crate) fn end(mut self, extent: Extent) -> (Verdict, Totals) {
        let is_due = |window: i32| match extent {
            Extent::Whole => true,
            // Which partition a word belongs to is not asked: a window is due once every partition has passed it.
            Extent::Stopped { partitions } => {
                (0..partitions).all(|partition| self.latest.get(&partition).is_some_and(|&latest| window < latest))
            }
        };
        let missing = self.expected.counts.iter().filter(|(_, count)| !count.is_seen());
        let (mut lost, mut open) = (0, 0);
        // They come in no order, on which sums do not depend.
        for (&(window, _), count) in missing {
            if is_due(window) { lost += count.expected() } else { open += count.expected() }
        }
        let verdict = &mut self.verdict;
        (verdict.expected, verdict.lost, verdict.open) = (verdict.expected + lost, verdict.lost + lost, open);
        debug_assert_eq!(verdict.expected + verdict.open, self.expected.words);
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

    fn audit(extent: Extent, results: impl IntoIterator<Item = Result>) -> (Verdict, Totals) {
        let mut audit = expected().audit();
        results.into_iter().for_each(|result| audit.take(result));
        audit.end(extent)
    }

    /// `a` is in partition 0, everything else in 1.
    fn result(word: &str, window_start: i64, count: u64) -> Result {
        Result { word: word.to_owned(), window_start, count, partition: i32::from(word != "a") }
    }

    #[test]
    fn equal_counts_are_clean() {
        let results = [result("a", 10, 1), result("b", 0, 1), result("a", 0, 2), result("b", 20, 1)];
        let (verdict, totals) = audit(Extent::Whole, results);
        assert!(verdict.is_clean(), "{verdict:?}");
        assert_eq!((verdict.expected, verdict.open), (5, 0));
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

        // Partition 1 is at its third window, so `b` of the first should be out; partition 0 has passed the first alone.
        let (lost, _) = audit(stopped, [result("a", 0, 2), result("a", 10, 1), result("b", 20, 1)]);
        assert_eq!((lost.lost, lost.expected, lost.open, lost.is_clean()), (1, 5, 0, false));

        let (doubled, _) = audit(stopped, [result("a", 0, 3)]);
        assert_eq!((doubled.duplicated, doubled.is_clean()), (1, false));
    }

    fn expected_results() -> impl Iterator<Item = Result> {
        [result("a", 0, 2), result("b", 0, 1), result("a", 10, 1), result("b", 20, 1)].into_iter()
    }
}
