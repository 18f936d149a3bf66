//! Files: each is a split, and the position is the number of bytes that have been read, or of records in a format whose
//! records are not lines.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Error, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::format::{FileFormat, FileRecords};
use super::item::{Item, RECORD_BYTES_MAX, too_long, trim_end};

/// A file, or the files below a folder.
pub(super) struct Files {
    path: PathBuf,
    pub(super) is_csv: bool,
    pub(super) has_header: bool,
    /// Whether what comes later is read, too.
    pub(super) is_watched: bool,
    /// The format, if records are not lines.
    pub(super) format: Option<Box<dyn FileFormat>>,
    open: Option<Open>,
}

/// The file that is being read.
struct Open {
    path: PathBuf,
    reader: Reader,
    position: u64,
}

enum Reader {
    Lines(BufReader<File>),
    Records(Box<dyn FileRecords>),
}

impl Files {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path, is_csv: false, has_header: false, is_watched: false, format: None, open: None }
    }

    /// The files, as paths below the folder with `/` between the names, in their order. A single file has its name.
    pub(super) fn list(&self) -> io::Result<Vec<String>> {
        if fs::metadata(&self.path).map_err(|error| at(&self.path, &error))?.is_file() {
            return Ok(vec![name_of(&self.path)?]);
        }
        let (mut found, mut folders) = (Vec::new(), vec![(self.path.clone(), String::new())]);
        while let Some((folder, prefix)) = folders.pop() {
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                // A folder that was taken away meanwhile has no files.
                Err(error) if error.kind() == ErrorKind::NotFound && !prefix.is_empty() => continue,
                Err(error) => return Err(at(&folder, &error)),
            };
            for entry in entries {
                let path = entry.map_err(|error| at(&folder, &error))?.path();
                let name = name_of(&path)?;
                if name.starts_with('.') {
                    continue;
                }
                let split = format!("{prefix}{name}");
                // A file that was taken away meanwhile is none.
                match fs::metadata(&path) {
                    Ok(entry) if entry.is_dir() => folders.push((path, format!("{split}/"))),
                    Ok(_) => found.push(split),
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(at(&path, &error)),
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// Opens a file at a position. One of a folder that was taken away since it was listed has no records.
    pub(super) fn open(&mut self, split: &str, position: u64) -> io::Result<()> {
        self.open = None;
        match self.open_file(split, position) {
            Err(error) if error.kind() == ErrorKind::NotFound && self.path.is_dir() => Ok(()),
            opened => opened,
        }
    }

    fn open_file(&mut self, split: &str, position: u64) -> io::Result<()> {
        let path = if self.path.is_file() { self.path.clone() } else { self.path.join(split) };
        if let Some(format) = &mut self.format {
            let reader = Reader::Records(format.open(&path, position).map_err(|error| at(&path, &error))?);
            self.open = Some(Open { path, reader, position });
            return Ok(());
        }
        let mut file = File::open(&path).map_err(|error| at(&path, &error))?;
        let length = file.metadata().map_err(|error| at(&path, &error))?.len();
        if length < position {
            let text = format!("it has {length} bytes, and {position} were read before: it is another file");
            return Err(at(&path, &Error::new(ErrorKind::InvalidData, text)));
        }
        file.seek(SeekFrom::Start(position)).map_err(|error| at(&path, &error))?;
        let reader = Reader::Lines(BufReader::with_capacity(1 << 16, file));
        self.open = Some(Open { path, reader, position });
        if self.is_csv && self.has_header && position == 0 {
            self.next(&mut Vec::new())?;
        }
        Ok(())
    }

    pub(super) fn next(&mut self, value: &mut Vec<u8>) -> io::Result<Item> {
        let Some(Open { path, reader, position }) = &mut self.open else { return Ok(Item::End) };
        let lines = match reader {
            Reader::Lines(lines) => lines,
            Reader::Records(records) => {
                if !records.next(value).map_err(|error| at(path, &error))? {
                    self.open = None;
                    return Ok(Item::End);
                }
                *position += 1;
                return Ok(Item::Record { behind: *position });
            }
        };
        loop {
            let bytes = match read_record(lines, self.is_csv, value) {
                // The rest of the record comes later: the next look begins where it begins.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof && self.is_watched => 0,
                read => read.map_err(|error| at(path, &error))?,
            };
            if bytes == 0 {
                self.open = None;
                return Ok(Item::End);
            }
            *position += bytes;
            if !(self.is_csv && value.is_empty()) {
                return Ok(Item::Record { behind: *position });
            }
        }
    }
}

/// Reads a record into `value`. Returns the number of its bytes with its end; 0 at the end of the file. The error for a
/// record of CSV that goes on behind the end of the file is [`ErrorKind::UnexpectedEof`].
fn read_record(reader: &mut impl BufRead, is_csv: bool, value: &mut Vec<u8>) -> io::Result<u64> {
    value.clear();
    let (mut all, mut is_open) = (0, false);
    loop {
        let line = (&mut *reader).take(RECORD_BYTES_MAX - all + 1).read_until(b'\n', value)?;
        let quotes = || value[value.len() - line..].iter().filter(|byte| **byte == b'"').count();
        all += line as u64;
        if all > RECORD_BYTES_MAX {
            return Err(too_long());
        }
        if line == 0 && is_open {
            return Err(Error::new(ErrorKind::UnexpectedEof, "a record whose quotes are open at the end of the file"));
        }
        // Quotes in quotes are doubled, so a line end belongs to the record if an odd number of them is before it.
        is_open ^= is_csv && quotes() % 2 == 1;
        if !is_open {
            break;
        }
    }
    trim_end(value);
    Ok(all)
}

fn name_of(path: &Path) -> io::Result<String> {
    let name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    name.ok_or_else(|| at(path, &Error::new(ErrorKind::InvalidData, "its name is not text")))
}

fn at(path: &Path, error: &Error) -> Error {
    Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each record, and the position behind it.
    fn records(text: &str, is_csv: bool) -> Vec<(String, u64)> {
        let (mut reader, mut value, mut position, mut records) = (text.as_bytes(), Vec::new(), 0, Vec::new());
        loop {
            let bytes = read_record(&mut reader, is_csv, &mut value).expect("it is short");
            if bytes == 0 {
                return records;
            }
            position += bytes;
            records.push((String::from_utf8(value.clone()).expect("text"), position));
        }
    }

    fn expected(records: &[(&str, u64)]) -> Vec<(String, u64)> {
        records.iter().map(|(text, behind)| ((*text).to_owned(), *behind)).collect()
    }

    #[test]
    fn a_line_ends_with_either_line_end_or_with_the_file() {
        assert_eq!(records("a\r\n\nb\rc\nd", false), expected(&[("a", 3), ("", 4), ("b\rc", 8), ("d", 9)]));
        assert_eq!(records("", false), []);
    }

    #[test]
    fn line_ends_in_quotes_belong_to_a_record_of_csv() {
        let text = "a,\"b\nc\"\r\n\"d \"\"e\"\"\n\",f\ng";
        let records_of_csv = [("a,\"b\nc\"", 9), ("\"d \"\"e\"\"\n\",f", 22), ("g", 23)];
        assert_eq!(records(text, true), expected(&records_of_csv));
    }

    /// A folder that goes with it.
    struct Room(PathBuf);

    impl Room {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("waterwheel-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).expect("the directory for temporary files can be written");
            Self(path)
        }

        fn append(&self, name: &str, text: &str) {
            let opened = fs::OpenOptions::new().create(true).append(true).open(self.0.join(name));
            io::Write::write_all(&mut opened.expect("the folder is ours"), text.as_bytes()).expect("room");
        }
    }

    impl Drop for Room {
        fn drop(&mut self) {
            // A folder that stays does no harm.
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// The records of a file from a position on, and the position behind them.
    fn read(files: &mut Files, split: &str, mut position: u64) -> io::Result<(Vec<String>, u64)> {
        files.open(split, position)?;
        let (mut value, mut records) = (Vec::new(), Vec::new());
        while let Item::Record { behind } = files.next(&mut value)? {
            position = behind;
            records.push(String::from_utf8(value.clone()).expect("text"));
        }
        Ok((records, position))
    }

    #[test]
    fn a_record_of_csv_that_is_not_whole_is_read_when_it_is() {
        let room = Room::new("open-quotes");
        room.append("a.csv", "0\n1,\"a\n");
        let mut files = Files::new(room.0.clone());
        (files.is_csv, files.is_watched) = (true, true);
        assert_eq!(read(&mut files, "a.csv", 0).expect("it reads"), (vec!["0".to_owned()], 2));
        room.append("a.csv", "b\",x\n2,c\n");
        let rest = ["1,\"a\nb\",x", "2,c"].map(str::to_owned).to_vec();
        assert_eq!(read(&mut files, "a.csv", 2).expect("it reads"), (rest, 16));
        // Nobody looks again, so it is not passed over in silence.
        files.is_watched = false;
        room.append("a.csv", "3,\"d\n");
        let error = read(&mut files, "a.csv", 16).expect_err("half a record").to_string();
        assert!(error.contains("a.csv: a record whose quotes are open"), "{error}");
    }

    #[test]
    fn a_file_of_a_folder_that_was_taken_away_has_no_records() {
        let room = Room::new("taken-away");
        room.append("a.txt", "1\n");
        let mut files = Files::new(room.0.clone());
        assert_eq!(files.list().expect("it lists"), ["a.txt"]);
        fs::remove_file(room.0.join("a.txt")).expect("it is ours");
        assert_eq!(read(&mut files, "a.txt", 0).expect("it is passed over"), (vec![], 0));
        let mut single = Files::new(room.0.join("a.txt"));
        assert!(read(&mut single, "a.txt", 0).is_err(), "the file that is asked for is not there");
    }

    #[test]
    fn a_record_is_of_limited_size() {
        let text = "x".repeat(RECORD_BYTES_MAX as usize + 1);
        assert!(read_record(&mut text.as_bytes(), false, &mut Vec::new()).is_err());
        let text = format!("{}\n", "x".repeat(RECORD_BYTES_MAX as usize - 1));
        assert_eq!(read_record(&mut text.as_bytes(), false, &mut Vec::new()).expect("it fits"), RECORD_BYTES_MAX);
    }
}
