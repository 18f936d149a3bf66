//! Files: an output in parts that come into a folder by renaming, exactly once.
//!
//! # The files
//! Each task writes parts of its own: `<application id>-<step>-<partition>-<number>` and the extension, such as
//! `archive-lines-0-000000000017.jsonl`. A part is written under a hidden name that begins with a dot, and gets its own
//! name after the commit of the transaction that ended it. So whatever has a name without a dot is complete, and
//! never changes; a program that takes the files away can do so at any time.
//!
//! # What a crash repeats
//! Nothing. The changelog of the step says which parts have ended, and how many bytes of the present one are committed.
//! The next owner of the task gives those that have ended their names, copies the committed bytes of the present one
//! into a part of its own, and later removes what is left over. It copies because the last owner may be alive, and
//! write on until it finds out that it lost the task. So a take-over ends a part, however small.
//!
//! # The folder
//! All processes of a job need the same one, such as a shared file system: the next owner of a task may be another
//! process. A hidden file names the folder, and a job that finds another one ends rather than leave lines out.
//! Files that this job has written are no more its business; their numbers are not used again as long as its changelogs
//! or the last of the files are there.
//!
//! # Time
//! A part ends at a commit: when it is large enough, old enough, or when the run ends, because it is bounded or because
//! the job is stopped in order. Only a job that dies leaves its last parts hidden, until the next owner of the task
//! gives them their names. [`FileSink::each_commit`] does without waiting parts, for many small files.
//!
//! Writing and `fsync` take the worker's thread.
//!
//! # Formats that are written as a whole
//! A Parquet file has its index at its end, so it cannot be committed piece by piece. With [`FileSink::rows`] a part
//! collects its records as they are, in a hidden file, and becomes a file of the format when it ends, before the
//! commit that ends it. So a part may have the records of many commits, needs no more memory than the format takes to
//! write it, and takes its place on the disk twice for a moment.

mod folder;
mod format;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::folder::Folder;
pub use self::format::RowFormat;
pub use self::writer::FileWriter;
use crate::operator::{SinkPlace, TwoPhaseSink};

/// Files in a folder, of a record a line: text, JSON lines or CSV, whatever the serde of the value writes.
/// The [module](self) describes them.
///
/// ```
/// use processor::driver::TestDriver;
/// use processor::{FileSink, Topology, Utf8};
///
/// let folder = std::env::temp_dir().join(format!("waterwheel-doc-{}", std::process::id()));
/// let mut job = Topology::builder("archive");
/// job.stream("lines", Utf8).to_sink("lines", Utf8, FileSink::new(&folder).extension("txt"));
///
/// let mut driver = TestDriver::new(job.build().unwrap());
/// driver.pipe("lines", None, "to be", 0);
/// driver.pipe("lines", None, "or not", 1);
/// driver.end_of_input();
/// let written = std::fs::read_to_string(folder.join("archive-lines-0-000000000000.txt")).unwrap();
/// assert_eq!(written, "to be\nor not\n");
/// # std::fs::remove_dir_all(folder).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct FileSink {
    folder: PathBuf,
    extension: String,
    header: Option<String>,
    /// The format, if a file is written as a whole.
    rows: Option<Arc<dyn RowFormat>>,
    bytes_max: u64,
    age_max: Duration,
    ends_each_commit: bool,
    syncs: bool,
}

impl FileSink {
    /// Files in this folder, which is created if it is not there. A part ends with 128 MiB, or when it is a minute old.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            extension: String::new(),
            header: None,
            rows: None,
            bytes_max: 128 << 20,
            age_max: Duration::from_secs(60),
            ends_each_commit: false,
            syncs: true,
        }
    }

    /// Ends the names of the files with a dot and this.
    #[must_use]
    pub fn extension(self, extension: &str) -> Self {
        Self { extension: format!(".{extension}"), ..self }
    }

    /// Makes each file of all its records, in a format that is written as a whole; [`FileSink::header`] has no meaning
    /// then. The size at which a part ends is that of its records as they come; a worker does nothing else while
    /// it makes the file, so it should not be as great as it may be with lines.
    #[must_use]
    pub fn rows(self, format: impl RowFormat) -> Self {
        Self { rows: Some(Arc::new(format)), ..self }
    }

    /// Begins each file with this line, as CSV does.
    #[must_use]
    pub fn header(self, line: &str) -> Self {
        Self { header: Some(line.to_owned()), ..self }
    }

    /// Ends a part when it has this many bytes or more.
    #[must_use]
    pub fn roll_at(self, bytes_max: u64) -> Self {
        Self { bytes_max, ..self }
    }

    /// Ends a part when it is this old, with records or without, to about a tenth of a second.
    #[must_use]
    pub fn roll_after(self, age_max: Duration) -> Self {
        Self { age_max, ..self }
    }

    /// Ends a part with each commit: records show as soon as they are committed, in up to ten files a second for each
    /// task, or as many as `commit.interval.max.ms` and `commit.interval.min.ms` allow.
    #[must_use]
    pub fn each_commit(self) -> Self {
        Self { ends_each_commit: true, ..self }
    }

    /// Leaves out `fsync`: a crash of the machine or of its power supply may then lose committed records. A process
    /// that dies loses none.
    #[must_use]
    pub fn without_fsync(self) -> Self {
        Self { syncs: false, ..self }
    }
}

impl TwoPhaseSink for FileSink {
    type Writer = FileWriter;

    fn writer(&self, place: &SinkPlace) -> FileWriter {
        let SinkPlace { application_id, step, partition } = place;
        let folder = Folder {
            path: self.folder.clone(),
            of_step: format!("{application_id}-{step}"),
            of_task: format!("{application_id}-{step}-{}", partition.0),
            extension: self.extension.clone(),
            has_rows: self.rows.is_some(),
            syncs: self.syncs,
        };
        FileWriter::new(self.clone(), folder)
    }

    fn format(&self) -> String {
        if self.rows.is_some() { "files of rows, 1" } else { "files, 1" }.to_owned()
    }
}
