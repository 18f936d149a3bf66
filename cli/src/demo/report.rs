//! The result of a run, as text and as JSON.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use processor::Status;
use serde::Serialize;

use super::audit::{AuditReport, Totals};
use super::progress::thousands;
use super::read_back::AbortedRecords;
use crate::signal::Signal;

/// The result of a run. The field names are those of the JSON, which `--help` lists; they do not change.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    clean: bool,
    interrupted: Option<&'static str>,
    lines: u64,
    lines_not_utf8: u64,
    expected_words: u64,
    got_words: u64,
    open_words: u64,
    lost_words: u64,
    duplicated_words: u64,
    repeated_windows: u64,
    aborted_records_seen: u64,
    aborted_records_in_log: u64,
    different_words: usize,
    top_words: Vec<Word>,
    seconds: f64,
    lines_per_second: Option<f64>,
    cpu_seconds: Option<f64>,
    commits: u64,
    kills: u64,
    late_words: u64,
    restored_entries: u64,
    bootstrap_servers: String,
    embedded: bool,
    topics: Vec<String>,
    group: String,
}

#[derive(Debug, Serialize)]
struct Word {
    word: String,
    count: u64,
}

/// The work of the job, and its duration.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) status: Status,
    pub(crate) seconds: f64,
    /// CPU time in seconds; `None` if the system does not report it.
    pub(crate) cpu_seconds: Option<f64>,
    /// The signal that stopped the job before the end of the input.
    pub(crate) interrupted: Option<Signal>,
}

/// The broker and topics of a run.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) bootstrap_servers: String,
    pub(crate) is_embedded: bool,
    /// All topics that the run created.
    pub(crate) topics: Vec<String>,
    pub(crate) group: String,
}

/// The input that was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Read {
    pub(crate) lines: u64,
    pub(crate) lines_not_utf8: u64,
}

impl Report {
    pub(crate) fn new(
        read: Read,
        work: &Work,
        (audit, totals): (&AuditReport, &Totals),
        aborted: &AbortedRecords,
        place: &Place,
    ) -> Self {
        let word = |(word, count): (&str, u64)| Word { word: word.to_owned(), count };
        Self {
            clean: audit.is_clean() && aborted.seen == 0,
            interrupted: work.interrupted.map(Signal::name),
            lines: read.lines,
            lines_not_utf8: read.lines_not_utf8,
            expected_words: audit.expected,
            got_words: audit.got,
            open_words: audit.open,
            lost_words: audit.lost,
            duplicated_words: audit.duplicated,
            repeated_windows: audit.repeated_windows,
            aborted_records_seen: aborted.seen,
            aborted_records_in_log: aborted.in_log,
            different_words: totals.len(),
            top_words: totals.top(TOP_WORDS).into_iter().map(word).collect(),
            seconds: work.seconds,
            lines_per_second: work.interrupted.is_none().then(|| read.lines as f64 / work.seconds.max(0.001)),
            cpu_seconds: work.cpu_seconds,
            commits: work.status.commits,
            kills: work.status.kills,
            late_words: work.status.late,
            restored_entries: work.status.restored,
            bootstrap_servers: place.bootstrap_servers.clone(),
            embedded: place.is_embedded,
            topics: place.topics.clone(),
            group: place.group.clone(),
        }
    }

    /// Whether every word of the output was counted exactly once.
    pub(crate) fn is_clean(&self) -> bool {
        self.clean
    }

    /// The result as one JSON object in one line.
    pub(crate) fn json(&self) -> String {
        let mut line = serde_json::to_string(self).expect("numbers and strings can be written as JSON");
        line.push('\n');
        line
    }

    fn audit(&self) -> &'static str {
        match (self.clean, self.interrupted.is_some()) {
            (true, false) => "clean: every word counted exactly once",
            (true, true) => "clean as far as it went: every word that is out was counted exactly once",
            (false, _) => "NOT CLEAN",
        }
    }
}

/// Shows the result to people in some lines of text.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lines_per_second {
            Some(rate) => {
                let rate = thousands(rate);
                write!(f, "done       {} lines in {:.1} s ({rate} lines/s)", self.lines, self.seconds)?;
            }
            None => write!(f, "stopped    amid {} lines, after {:.1} s", self.lines, self.seconds)?,
        }
        writeln!(
            f,
            "  commits {}  kills {}  late {}  restored {} entries",
            self.commits, self.kills, self.late_words, self.restored_entries
        )?;
        if let Some(cpu) = self.cpu_seconds.filter(|_| self.interrupted.is_none()) {
            let per_million = cpu * 1e6 / (self.lines.max(1) as f64);
            writeln!(f, "           CPU {cpu:.1} s in this process ({per_million:.1} s per million lines)")?;
        }
        let mut top = String::new();
        for Word { word, count } in &self.top_words {
            write!(top, "{} {count}, ", shown(word))?;
        }
        let top = if top.is_empty() { "none" } else { top.trim_end_matches(", ") };
        writeln!(f, "top words  {top}  ({} different)", self.different_words)?;
        writeln!(
            f,
            "audit      expected {}  got {}  lost {}  duplicated {}  windows twice {}  aborted records seen {} (of {} in the log)",
            self.expected_words,
            self.got_words,
            self.lost_words,
            self.duplicated_words,
            self.repeated_windows,
            self.aborted_records_seen,
            self.aborted_records_in_log
        )?;
        if let Some(signal) = self.interrupted {
            let open = self.open_words;
            writeln!(f, "           {signal} came first: {open} words are in windows that had not come out")?;
        }
        if self.lines_not_utf8 > 0 {
            let (left_out, lines) = (self.lines_not_utf8, self.lines);
            writeln!(
                f,
                "           {left_out} of the {lines} lines are not UTF-8: the job skips them, and the audit expects nothing of them"
            )?;
        }
        writeln!(f, "           {}", self.audit())
    }
}

/// A word in a form that fits a line of text: its beginning, if it is long.
fn shown(word: &str) -> Cow<'_, str> {
    match word.char_indices().nth(WORD_CHARACTERS) {
        Some((end, _)) => format!("{}... of {} bytes", &word[..end], word.len()).into(),
        None => word.into(),
    }
}

const TOP_WORDS: usize = 5;
const WORD_CHARACTERS: usize = 32;
