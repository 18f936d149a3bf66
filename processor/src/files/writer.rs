//! The writer of one task's files.

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::path::PathBuf;

use kafka_wire::types::TimestampMs;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::FileSink;
use super::folder::{Folder, Part, failed, frame, remove};
use crate::error::SinkError;
use crate::operator::SinkWriter;
use crate::serde::SerdeError;

/// Writes the files of one task, see the [module](super).
#[derive(Debug)]
pub struct FileWriter {
    sink: FileSink,
    folder: Folder,
    /// The id of this writer, which no other has.
    id: String,
    parts: Parts,
    /// The parts at the last commit.
    committed: Parts,
    /// The file of the open part.
    file: Option<File>,
    /// Bytes of the open part that are not in its file.
    buffer: Vec<u8>,
    /// The files of parts that have ended since the last commit, of those that may not be on the disk yet.
    ended: Vec<File>,
    /// The copy of the part that another writer has begun, until it has its name.
    taken_over: Option<Part>,
    /// Whether a state names the copy, so that the next writer may need it.
    is_named: bool,
    /// The hidden files of other writers, by the numbers of their parts.
    leftovers: Vec<(u64, PathBuf)>,
    /// Whether there are names that may not be on the disk yet.
    has_new_names: bool,
    /// Whether the open part ends with the next commit.
    is_ending: bool,
}

/// The state that is committed: everything that the next writer has to know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Parts {
    /// The id of the folder.
    folder: String,
    /// The number of the next part.
    next: u64,
    /// The part that is being written.
    open: Option<Part>,
    /// The parts that the transaction has ended, which get their names after the commit.
    ended: Vec<Part>,
}

impl FileWriter {
    pub(super) fn new(sink: FileSink, folder: Folder) -> Self {
        // Each `RandomState` has other keys.
        let id = format!("{:016x}", RandomState::new().build_hasher().finish());
        Self {
            sink,
            folder,
            id,
            parts: Parts::default(),
            committed: Parts::default(),
            file: None,
            buffer: Vec::new(),
            ended: Vec::new(),
            taken_over: None,
            is_named: false,
            leftovers: Vec::new(),
            has_new_names: false,
            is_ending: false,
        }
    }

    fn begin_part(&mut self, wall: TimestampMs) -> Result<(), SinkError> {
        let part = Part { number: self.parts.next, writer: self.id.clone(), bytes: 0, opened: wall.0 };
        self.file = Some(self.folder.create_file(&self.folder.hidden(&part))?);
        self.has_new_names = true;
        self.parts.next += 1;
        self.parts.open = Some(part);
        if let Some(header) = self.sink.header.clone().filter(|_| self.sink.rows.is_none()) {
            self.append(header.as_bytes())?;
        }
        Ok(())
    }

    /// Appends a record to the open part.
    fn append(&mut self, record: &[u8]) -> Result<(), SinkError> {
        let Some(part) = &mut self.parts.open else { return Ok(()) };
        let before = self.buffer.len();
        if self.sink.rows.is_some() {
            frame(record, &mut self.buffer)?;
        } else {
            self.buffer.extend_from_slice(record);
            self.buffer.push(b'\n');
        }
        part.bytes += (self.buffer.len() - before) as u64;
        if self.buffer.len() < BUFFER_BYTES { Ok(()) } else { self.flush() }
    }

    /// Writes the buffer to the file of the open part.
    fn flush(&mut self) -> Result<(), SinkError> {
        let (Some(file), Some(part)) = (&mut self.file, &self.parts.open) else { return Ok(()) };
        file.write_all(&self.buffer).map_err(|error| failed(&self.folder.hidden(part), &error))?;
        self.buffer.clear();
        Ok(())
    }

    fn end_part(&mut self) -> Result<(), SinkError> {
        self.flush()?;
        let Some(part) = self.parts.open.take() else { return Ok(()) };
        let written = self.file.take();
        let ended = self.made(&part)?.or(written);
        self.ended.extend(ended);
        self.parts.ended.push(part);
        // A process may have only so many files open, and a transaction may end any number of parts.
        if self.ended.len() < ENDED_OPEN_MAX { Ok(()) } else { self.close_ended() }
    }

    /// Writes the files of parts that have ended to the disk, and closes them.
    fn close_ended(&mut self) -> Result<(), SinkError> {
        self.ended.drain(..).try_for_each(|file| self.folder.sync(&file, &self.folder.path))
    }

    /// Makes the file of a part that has ended, if a file is written as a whole.
    fn made(&mut self, part: &Part) -> Result<Option<File>, SinkError> {
        let made = self.sink.rows.as_deref().map(|rows| self.folder.make(part, rows)).transpose()?;
        self.has_new_names |= made.is_some();
        Ok(made)
    }

    /// Gives committed parts their names. Those have to be on the disk before a state says no more that the parts
    /// need them.
    fn finish(&mut self, parts: Vec<Part>) -> Result<(), SinkError> {
        self.has_new_names |= !parts.is_empty();
        parts.iter().try_for_each(|part| self.folder.finish(part))
    }

    /// Removes hidden files of other writers whose parts are complete.
    ///
    /// Parts that the committed state has, or that come after it, are left alone: this writer may have lost its task
    /// without knowing it, and they are the next owner's.
    fn remove_leftovers(&mut self) -> Result<(), SinkError> {
        let Parts { next, open, ended, .. } = &self.committed;
        let is_complete = |number: u64| number < *next && open.iter().chain(ended).all(|part| part.number != number);
        for (_, path) in self.leftovers.extract_if(.., |(number, _)| is_complete(*number)) {
            remove(&path)?;
        }
        Ok(())
    }

    fn is_due(&self, wall: TimestampMs) -> bool {
        self.sink.ends_each_commit || self.is_ending || self.due().is_some_and(|due| due <= wall)
    }
}

impl SinkWriter for FileWriter {
    fn open(&mut self, committed: Option<&[u8]>) -> Result<(), SinkError> {
        self.folder.create()?;
        let mut parts: Parts = match committed {
            Some(state) => serde_json::from_slice(state).map_err(|error| SinkError::refused(&error))?,
            None => Parts { folder: self.folder.id(&self.id)?, next: self.folder.next_number()?, ..Parts::default() },
        };
        if !self.folder.has_id(&parts.folder)? {
            return Err(SinkError::Refused(format!(
                "{} is not the folder that the last worker wrote to: all processes of the job need the same one",
                self.folder.path.display()
            )));
        }
        self.finish(std::mem::take(&mut parts.ended))?;
        self.leftovers = self.folder.leftovers()?;
        if let Some(part) = parts.open.take() {
            let copy = Part { writer: self.id.clone(), ..part.clone() };
            self.taken_over = Some(copy.clone());
            self.folder.copy(&part, &copy)?;
            if let Some(made) = self.made(&copy)? {
                self.folder.sync(&made, &self.folder.path)?;
            }
            parts.ended.push(copy);
            self.has_new_names = true;
        }
        self.committed = parts.clone();
        self.parts = parts;
        self.remove_leftovers()
    }

    fn check(&self, value: &[u8]) -> Result<(), SerdeError> {
        self.sink.rows.as_ref().map_or(Ok(()), |rows| rows.check(value).map_err(SerdeError::Custom))
    }

    fn write(&mut self, value: &[u8], wall: TimestampMs) -> Result<(), SinkError> {
        if self.parts.open.is_none() {
            self.begin_part(wall)?;
        }
        self.append(value)?;
        let bytes = self.parts.open.as_ref().map_or(0, |part| part.bytes);
        if bytes < self.sink.bytes_max { Ok(()) } else { self.end_part() }
    }

    fn prepare(&mut self, wall: TimestampMs) -> Result<Vec<u8>, SinkError> {
        if self.is_due(wall) {
            self.end_part()?;
        }
        self.is_ending = false;
        self.flush()?;
        self.close_ended()?;
        if let Some(file) = &self.file {
            self.folder.sync(file, &self.folder.path)?;
        }
        if std::mem::take(&mut self.has_new_names) {
            self.folder.sync_names()?;
        }
        self.is_named = true;
        serde_json::to_vec(&self.parts).map_err(|error| SinkError::refused(&error))
    }

    fn committed(&mut self) -> Result<(), SinkError> {
        let ended = std::mem::take(&mut self.parts.ended);
        self.finish(ended)?;
        self.taken_over = None;
        self.committed = self.parts.clone();
        self.remove_leftovers()
    }

    fn rolled_back(&mut self) -> Result<(), SinkError> {
        self.is_named = false;
        self.buffer.clear();
        self.ended.clear();
        self.file = None;
        let discarded = std::mem::replace(&mut self.parts, self.committed.clone());
        let kept: Vec<_> = self.parts.ended.iter().chain(&self.parts.open).map(|part| part.number).collect();
        for part in discarded.ended.iter().chain(&discarded.open).filter(|part| !kept.contains(&part.number)) {
            self.folder.remove(part)?;
        }
        if let Some(part) = &self.parts.open {
            self.folder.remove_end(part)?;
        }
        self.file = self.parts.open.as_ref().map(|part| self.folder.reopen(part)).transpose()?;
        Ok(())
    }

    fn due(&self) -> Option<TimestampMs> {
        let age = i64::try_from(self.sink.age_max.as_millis()).unwrap_or(i64::MAX);
        self.parts.open.as_ref().map(|part| TimestampMs(part.opened.saturating_add(age)))
    }

    fn run_ended(&mut self) -> bool {
        self.is_ending = true;
        self.parts.open.is_some() || !self.parts.ended.is_empty()
    }
}

/// A copy that no state names is of no use to anybody. Each start makes one, so those of starts that come to no commit
/// would fill the disk, and a full disk is a reason for such starts.
impl Drop for FileWriter {
    fn drop(&mut self) {
        if let Some(copy) = self.taken_over.take().filter(|_| !self.is_named)
            && let Err(error) = self.folder.remove(&copy)
        {
            warn!(%error, "a hidden file is left");
        }
    }
}

/// Bytes that are written to a file at once.
const BUFFER_BYTES: usize = 64 << 10;

/// Most files of parts that have ended that are open at once.
const ENDED_OPEN_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use kafka_wire::types::PartitionId;

    use super::*;
    use crate::operator::{SinkPlace, TwoPhaseSink};

    #[test]
    fn a_writer_that_comes_to_no_commit_leaves_no_copy() {
        let path = std::env::temp_dir().join(format!("waterwheel-part-copies-{}", std::process::id()));
        let writer = || {
            let place = SinkPlace { application_id: "app".to_owned(), step: "x".to_owned(), partition: PartitionId(0) };
            FileSink::new(&path).writer(&place)
        };
        let parts = || std::fs::read_dir(&path).expect("it is there").filter_map(Result::ok);
        let parts = || parts().filter(|entry| entry.path().extension().is_some_and(|end| end == "part")).count();
        let mut first = writer();
        first.open(None).expect("a new folder");
        first.write(b"line", TimestampMs(0)).expect("room");
        let state = first.prepare(TimestampMs(0)).expect("it is written");
        first.committed().expect("the part is not due");
        drop(first);
        for is_rolled_back in [false, true, false] {
            let mut next = writer();
            next.open(Some(&state)).expect("the same folder");
            if is_rolled_back {
                next.prepare(TimestampMs(0)).expect("the copy is written");
                next.rolled_back().expect("it is there");
            }
            assert_eq!(parts(), 2);
            drop(next);
            assert_eq!(parts(), 1, "rolled back: {is_rolled_back}");
        }
        // Nobody knows whether the state with the name of the copy is the committed one.
        let mut last = writer();
        last.open(Some(&state)).expect("the same folder");
        last.prepare(TimestampMs(0)).expect("the copy is written");
        drop(last);
        assert_eq!(parts(), 2);
        std::fs::remove_dir_all(&path).expect("it is ours");
    }

    #[test]
    fn parts_that_have_ended_do_not_keep_their_files_open() {
        let folder = std::env::temp_dir().join(format!("waterwheel-part-files-{}", std::process::id()));
        let place = SinkPlace { application_id: "app".to_owned(), step: "x".to_owned(), partition: PartitionId(0) };
        let mut writer = FileSink::new(&folder).roll_at(1).writer(&place);
        writer.open(None).expect("a new folder");
        for number in 0..100 {
            writer.write(format!("line {number}").as_bytes(), TimestampMs(0)).expect("room");
            assert!(writer.ended.len() < 32, "{} files are open", writer.ended.len());
        }
        writer.prepare(TimestampMs(0)).expect("it is written");
        writer.committed().expect("they are renamed");
        for number in 0..100 {
            let path = folder.join(format!("app-x-0-{number:012}"));
            assert_eq!(std::fs::read_to_string(path).expect("it is complete"), format!("line {number}\n"));
        }
        std::fs::remove_dir_all(folder).expect("it is ours");
    }

    #[test]
    fn the_name_of_a_part_is_on_the_disk_before_the_state_forgets_the_part() {
        let folder = std::env::temp_dir().join(format!("waterwheel-part-names-{}", std::process::id()));
        let writer = || {
            let place = SinkPlace { application_id: "app".to_owned(), step: "x".to_owned(), partition: PartitionId(0) };
            FileSink::new(&folder).each_commit().writer(&place)
        };
        let mut first = writer();
        first.open(None).expect("a new folder");
        first.write(b"line", TimestampMs(0)).expect("room");
        let state = first.prepare(TimestampMs(0)).expect("it is written");
        assert!(!first.has_new_names, "the hidden name is on the disk");
        first.committed().expect("it is renamed");
        assert!(first.has_new_names);
        first.prepare(TimestampMs(0)).expect("a commit without records, which forgets the part");
        assert!(!first.has_new_names);
        let mut next = writer();
        next.open(Some(&state)).expect("the same folder");
        assert!(next.has_new_names, "the last owner may not have come to it");
        std::fs::remove_dir_all(folder).expect("it is ours");
    }
}
