//! The flags of the demo.

use std::path::PathBuf;

use clap::Args;

use super::job::Words;
use crate::cluster::Cluster;
use crate::number;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Text files, or folders of them, to count; `-` is standard input. Pipes and devices are read as well.
    /// Each is read once, a file up to the end that it has at the start. Without it the demo makes lines of its own.
    #[arg(long, num_args = 1.., value_name = "PATH")]
    pub(super) input: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) cluster: Cluster,
    /// Runs on the embedded broker also where KAFKA_BOOTSTRAP_SERVERS names a cluster.
    #[arg(long, conflicts_with = "bootstrap_servers")]
    pub(super) embedded: bool,
    /// Lines to count: 500,000 made-up ones, or at most so many of --input. `250k`, `2M` and `1_000` are numbers too.
    #[arg(long, value_name = "N", value_parser = number::count)]
    pub(super) records: Option<u64>,
    /// Worker threads, each with its share of the partitions and a transaction of its own.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(super) workers: u16,
    /// How often a worker is killed in the middle of a transaction.
    #[arg(long, default_value_t = 3)]
    pub(super) kills: u32,
    /// Decides the made-up lines, the event times and, as far as timing goes, which worker dies when.
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// Partitions of the input, repartition and output topics.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..=1000))]
    pub(super) partitions: i32,
    /// Definition of a word: maximal runs of `ascii` letters and digits, as `tr` has it, or of `unicode` ones.
    #[arg(long, value_enum, default_value_t = Words::Ascii)]
    pub(super) words: Words,
    /// Writes how often each word came, as `sort | uniq -c` prints it. `-` is standard output; the result then goes to
    /// stderr.
    #[arg(long, value_name = "FILE")]
    pub(super) counts: Option<PathBuf>,
    /// Prints the result as one JSON object in a line, in place of text. Its fields stay as they are; later versions
    /// may add some.
    ///
    /// `clean`: whether the audit found every word counted exactly once;
    /// `interrupted`: the signal that ended the run early, or null; the audit then covers the windows in the output;
    /// `lines`, `lines_not_utf8`: lines that were read, and how many of them are not UTF-8, so that the job skips them;
    /// `expected_words`, `got_words`: words of the windows in the output, by the audit's count and by the job's;
    /// `open_words`: words of windows that were not in the output yet when the run was interrupted;
    /// `lost_words`, `duplicated_words`, `repeated_windows`, `aborted_records_seen`: faults, 0 in a clean run;
    /// `aborted_records_in_log`: records of aborted transactions, which no reader may see;
    /// `different_words`, `top_words`: how many, and the five most frequent as objects of `word` and `count`;
    /// `seconds`, `lines_per_second`, `cpu_seconds`: of the job without loading and audit; null if they are unknown;
    /// `commits`, `kills`, `late_words`, `restored_entries`: the work of the job;
    /// `bootstrap_servers`, `embedded`, `topics`, `group`: the cluster of the run, and its topics and group there.
    #[arg(long, verbatim_doc_comment)]
    pub(super) json: bool,
    /// Keeps the topics and the group of this run on the cluster, and says their names. Without it they are deleted.
    #[arg(long)]
    pub(super) keep: bool,
    /// Port of the embedded broker on 127.0.0.1; 0 takes a free one.
    #[arg(long, conflicts_with = "bootstrap_servers")]
    pub(super) port: Option<u16>,
    /// Waits after the audit until Ctrl-C, with broker and topics up, so that clients can look at them.
    #[arg(long)]
    pub(super) hold: bool,
}

impl Options {
    /// The cluster to run on; `None` for the embedded broker.
    pub(super) fn cluster(&self) -> Option<String> {
        let wants_embedded = self.embedded || self.port.is_some();
        if wants_embedded { None } else { self.cluster.bootstrap_servers() }
    }

    /// The error for a combination of flags that makes no sense; `None` if there is none.
    pub(super) fn misuse(&self) -> Option<&'static str> {
        let is_dash = |path: &PathBuf| path.as_os_str() == "-";
        if self.json && self.counts.as_ref().is_some_and(is_dash) {
            return Some("--json and --counts - would both go to standard output: give --counts a file");
        }
        if self.input.iter().filter(|path| is_dash(path)).count() > 1 {
            return Some("standard input can be read once: give --input one `-`");
        }
        None
    }
}
