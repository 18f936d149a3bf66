//! The folder of an output: names, and what is done with whole files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::format::RowFormat;
use crate::error::SinkError;

/// The files of one task in its folder.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    /// The beginning of the names of all files of the step.
    pub(super) of_step: String,
    /// The beginning of the names of the task's files.
    pub(super) of_task: String,
    /// The end of the names of complete files.
    pub(super) extension: String,
    /// Whether a part that has ended is a file of its own, made of the one that was written.
    pub(super) has_rows: bool,
    /// Whether files are synchronised with the disk.
    pub(super) syncs: bool,
}

/// A file that is being written, or was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// Its number among the parts of the task.
    pub(super) number: u64,
    /// The id of its writer, which is in its hidden name: each writer has files of its own.
    pub(super) writer: String,
    /// Number of its bytes.
    pub(super) bytes: u64,
    /// The time of day at which it was begun.
    pub(super) opened: i64,
}

impl Folder {
    /// Creates the folder if it is not there.
    pub(super) fn create(&self) -> Result<(), SinkError> {
        fs::create_dir_all(&self.path).map_err(|error| failed(&self.path, &error))
    }

    /// The path of a part that is being written.
    pub(super) fn hidden(&self, part: &Part) -> PathBuf {
        self.path.join(format!(".{}-{:012}.{}.part", self.of_task, part.number, part.writer))
    }

    /// The path of a part that has ended, until it gets its name.
    pub(super) fn ended(&self, part: &Part) -> PathBuf {
        if self.has_rows { self.hidden(part).with_extension("whole.part") } else { self.hidden(part) }
    }

    fn complete(&self, number: u64) -> PathBuf {
        self.path.join(format!("{}-{number:012}{}", self.of_task, self.extension))
    }

    /// The id of the folder for this step; a new folder gets `new_id`.
    pub(super) fn id(&self, new_id: &str) -> Result<String, SinkError> {
        let known = self.ids()?.into_iter().min();
        known.map_or_else(
            || {
                self.create_file(&self.path.join(format!(".{}-folder-{new_id}", self.of_step)))?;
                // Of two writers that do this at once, both ids stay.
                Ok(new_id.to_owned())
            },
            Ok,
        )
    }

    /// Whether it is the folder with this id.
    pub(super) fn has_id(&self, id: &str) -> Result<bool, SinkError> {
        Ok(self.ids()?.iter().any(|known| known == id))
    }

    fn ids(&self) -> Result<Vec<String>, SinkError> {
        let prefix = format!(".{}-folder-", self.of_step);
        Ok(self.names()?.iter().filter_map(|name| name.strip_prefix(&prefix)).map(str::to_owned).collect())
    }

    /// The number after that of the last complete file.
    pub(super) fn next_number(&self) -> Result<u64, SinkError> {
        let names = self.names()?;
        Ok(names.iter().filter_map(|name| self.number_of(name)).max().map_or(0, |last| last + 1))
    }

    /// Creates a file of which no other has the name, to be written at its end.
    pub(super) fn create_file(&self, path: &Path) -> Result<File, SinkError> {
        let created = OpenOptions::new().append(true).create_new(true).open(path);
        created.map_err(|error| failed(path, &error))
    }

    /// Opens a part of this writer again, with what is committed of it.
    pub(super) fn reopen(&self, part: &Part) -> Result<File, SinkError> {
        let path = self.hidden(part);
        let opened = OpenOptions::new().append(true).open(&path);
        let cut = opened.and_then(|file| file.set_len(part.bytes).map(|()| file));
        cut.map_err(|error| failed(&path, &error))
    }

    /// Gives a part that has ended its name. One that is not there has it already, and may be taken away since then.
    pub(super) fn finish(&self, part: &Part) -> Result<(), SinkError> {
        let ended = self.ended(part);
        match fs::rename(&ended, self.complete(part.number)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(&ended, &error)),
            Ok(()) | Err(_) if self.has_rows => remove(&self.hidden(part)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Makes a part that has ended of the records that were written. Returns its file.
    pub(super) fn make(&self, part: &Part, format: &dyn RowFormat) -> Result<File, SinkError> {
        let (hidden, ended) = (self.hidden(part), self.ended(part));
        let written = File::open(&hidden).map_err(|error| failed(&hidden, &error))?;
        // An attempt that failed may have left a part of it.
        remove(&ended)?;
        let mut file = self.create_file(&ended)?;
        format.write(&mut Framed(BufReader::new(written.take(part.bytes))), &mut file).map_err(|error| {
            let text = format!("{}: {error}", ended.display());
            match error.kind() {
                ErrorKind::InvalidData | ErrorKind::InvalidInput => SinkError::Refused(text),
                _ => failed(&ended, &error),
            }
        })?;
        Ok(file)
    }

    /// Copies the committed bytes of a part that another writer has begun. The other one may go on writing behind them.
    pub(super) fn copy(&self, part: &Part, copy: &Part) -> Result<(), SinkError> {
        let (hidden, path) = (self.hidden(part), self.hidden(copy));
        // A worker that has been cut off since before the present owner began looks for files that are no more needed.
        let opened = File::open(&hidden).map_err(|error| failed(&hidden, &error));
        let mut from = opened?.take(part.bytes);
        let mut to = self.create_file(&path)?;
        let bytes = io::copy(&mut from, &mut to).map_err(|error| failed(&path, &error))?;
        if bytes < part.bytes {
            let (hidden, committed) = (hidden.display(), part.bytes);
            return Err(SinkError::Refused(format!("{hidden} has {bytes} bytes, and {committed} are committed")));
        }
        self.sync(&to, &path)
    }

    /// The task's hidden files, by number.
    pub(super) fn leftovers(&self) -> Result<Vec<(u64, PathBuf)>, SinkError> {
        let names = self.names()?.into_iter().filter(|name| name.ends_with(".part"));
        let number = |name: &String| self.number_of(name.strip_prefix('.')?);
        Ok(names.filter_map(|name| Some((number(&name)?, self.path.join(&name)))).collect())
    }

    /// Removes a part that is not complete.
    pub(super) fn remove(&self, part: &Part) -> Result<(), SinkError> {
        self.remove_end(part)?;
        remove(&self.hidden(part))
    }

    /// Removes what was made of a part when it ended.
    pub(super) fn remove_end(&self, part: &Part) -> Result<(), SinkError> {
        if self.has_rows { remove(&self.ended(part)) } else { Ok(()) }
    }

    /// Writes a file to the disk.
    pub(super) fn sync(&self, file: &File, path: &Path) -> Result<(), SinkError> {
        if self.syncs { file.sync_data().map_err(|error| failed(path, &error)) } else { Ok(()) }
    }

    /// Writes the names of new files to the disk, where a folder can be opened as a file.
    pub(super) fn sync_names(&self) -> Result<(), SinkError> {
        if !self.syncs || !cfg!(unix) {
            return Ok(());
        }
        let synced = File::open(&self.path).and_then(|folder| folder.sync_all());
        synced.map_err(|error| failed(&self.path, &error))
    }

    /// The number in the name of one of the task's files.
    fn number_of(&self, name: &str) -> Option<u64> {
        let rest = name.strip_prefix(&self.of_task)?.strip_prefix('-')?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let is_number = digits >= 12 && matches!(rest.as_bytes().get(digits), None | Some(b'.'));
        rest[..digits].parse().ok().filter(|_| is_number)
    }

    /// Names that are not UTF-8 are none of ours.
    fn names(&self) -> Result<Vec<String>, SinkError> {
        let entries = fs::read_dir(&self.path).map_err(|error| failed(&self.path, &error))?;
        let names = entries.map(|entry| entry.map(|entry| entry.file_name().into_string().ok()));
        let names = names.collect::<io::Result<Vec<_>>>().map_err(|error| failed(&self.path, &error))?;
        Ok(names.into_iter().flatten().collect())
    }
}

/// The records of a part that is being written for a format: each behind its length, which takes four bytes.
struct Framed<R>(R);

impl<R: BufRead> Iterator for Framed<R> {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<io::Result<Vec<u8>>> {
        match self.0.fill_buf() {
            Ok([]) => None,
            Ok(_) => Some(self.record()),
            Err(error) => Some(Err(error)),
        }
    }
}

impl<R: BufRead> Framed<R> {
    fn record(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length);
        let mut record = Vec::new();
        let read = (&mut self.0).take(u64::from(length)).read_to_end(&mut record)?;
        if read as u64 == u64::from(length) { Ok(record) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }
}

/// Appends a record as [`Framed`] reads it.
pub(super) fn frame(record: &[u8], to: &mut Vec<u8>) -> Result<(), SinkError> {
    let too_long = |_| SinkError::Refused(format!("a record of {} bytes", record.len()));
    to.extend_from_slice(&u32::try_from(record.len()).map_err(too_long)?.to_be_bytes());
    to.extend_from_slice(record);
    Ok(())
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), SinkError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(path, &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The error for a file. What the rights or the kind of a file forbid, a later attempt does not mend.
pub(super) fn failed(path: &Path, error: &io::Error) -> SinkError {
    let text = format!("{}: {error}", path.display());
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::NotADirectory => {
            SinkError::Refused(text)
        }
        _ => SinkError::Unavailable(text),
    }
}
