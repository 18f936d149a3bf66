//! The file of `--counts`: opened before the work, written after it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::audit::Totals;

/// A destination for the counts that is known to be writable. Its old content stays until [`CountsFile::write`].
#[derive(Debug)]
pub(crate) struct CountsFile {
    path: PathBuf,
    /// `None` for standard output.
    file: Option<File>,
    /// Whether the file did not exist before, so that it is removed if nothing gets written.
    is_ours: bool,
}

impl CountsFile {
    /// Opens the file; `-` is standard output.
    ///
    /// # Errors
    /// The file can be neither opened nor created for writing.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let path = path.to_owned();
        if path.as_os_str() == "-" {
            return Ok(Self { path, file: None, is_ours: false });
        }
        let is_ours = !path.exists();
        let opened = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let file = opened.map_err(|error| format!("--counts {}: {error}; nothing was done", path.display()))?;
        Ok(Self { path, file: Some(file), is_ours })
    }

    /// Whether it is standard output.
    pub(crate) fn is_stdout(&self) -> bool {
        self.file.is_none()
    }

    /// Replaces the content of the file by the counts.
    ///
    /// # Errors
    /// Writing fails, for example because the disk is full.
    pub(crate) fn write(mut self, totals: &Totals) -> Result<(), String> {
        self.is_ours = false;
        let written = match &self.file {
            None => match write_all(totals, io::stdout().lock()) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                written => written,
            },
            // A pipe or a device has no length to set.
            Some(file) => match file.metadata() {
                Ok(metadata) if metadata.is_file() => file.set_len(0).and_then(|()| write_all(totals, file)),
                _ => write_all(totals, file),
            },
        };
        written.map_err(|error| format!("--counts {}: {error}; the audit above stands", self.path.display()))
    }
}

impl Drop for CountsFile {
    fn drop(&mut self) {
        if self.is_ours {
            // An empty file that stays does no harm.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn write_all(totals: &Totals, to: impl Write) -> io::Result<()> {
    let mut out = BufWriter::new(to);
    totals.write(&mut out)?;
    out.flush()
}
