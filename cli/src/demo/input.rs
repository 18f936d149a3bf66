//! The demo's input: lines of text files, or generated lines, each with an event time.

use std::fs::{self, File, Metadata};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use kafka_wire::rng::Rng;

/// One line without its line end, and its event time in milliseconds since 1970.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) text: Vec<u8>,
    pub(crate) timestamp_ms: i64,
}

/// The source of the lines. They are read once, so that pipes and files that change meanwhile work like any other
/// input.
#[derive(Debug)]
pub(crate) struct Input {
    source: Source,
    first_timestamp_ms: i64,
    seed: u64,
    limit: u64,
}

#[derive(Debug)]
enum Source {
    Texts(Vec<Text>),
    Made,
}

/// A text to read.
#[derive(Debug)]
enum Text {
    StandardInput,
    File {
        path: PathBuf,
        /// The length at which reading ends, for a file that may grow; `None` for a source without a length,
        /// which is read to its end.
        end: Option<u64>,
    },
}

impl Input {
    /// The lines of these files, and of all files below these folders in the order of their names; at most `limit`.
    /// `-` is standard input.
    ///
    /// # Errors
    /// A path that does not exist or cannot be examined, or no path that holds a file.
    pub(crate) fn texts(paths: &[PathBuf], limit: Option<u64>, seed: u64, first_timestamp_ms: i64) -> io::Result<Self> {
        let mut texts = Vec::new();
        for path in paths {
            if path.as_os_str() == "-" {
                texts.push(Text::StandardInput);
            } else {
                collect(path, &mut texts)?;
            }
        }
        if texts.is_empty() {
            let shown: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
            let message = format!("no file in {}: --input takes text files or folders of them", shown.join(", "));
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        }
        Ok(Self { source: Source::Texts(texts), first_timestamp_ms, seed, limit: limit.unwrap_or(u64::MAX) })
    }

    /// `limit` generated lines of ten words each; the same seed makes the same lines.
    pub(crate) fn made(limit: u64, seed: u64, first_timestamp_ms: i64) -> Self {
        Self { source: Source::Made, first_timestamp_ms, seed, limit }
    }

    /// The description for the user.
    pub(crate) fn describe(&self) -> String {
        match &self.source {
            Source::Texts(texts) if texts.len() == 1 => texts[0].name(),
            Source::Texts(texts) => format!("{} files, first {}", texts.len(), texts[0].name()),
            Source::Made => format!("{} made-up lines of {WORDS_PER_LINE} words, seed {}", self.limit, self.seed),
        }
    }

    /// Whether lines come from standard input.
    pub(crate) fn is_standard_input(&self) -> bool {
        matches!(&self.source, Source::Texts(texts) if texts.iter().any(|text| matches!(text, Text::StandardInput)))
    }

    /// Calls `each` with every line in order, until the lines end, it wants no more (returns `false`), or it fails.
    ///
    /// # Errors
    /// The errors of `each` and of reading, with the file's name; a line of more than [`LINE_BYTES_MAX`],
    /// with its number.
    pub(crate) fn lines(self, mut each: impl FnMut(Line) -> io::Result<bool>) -> io::Result<()> {
        let mut clock = EventClock { rng: Rng::from_seed(self.seed), now_ms: self.first_timestamp_ms };
        let mut left = self.limit;
        let mut take = |text: Vec<u8>| {
            left -= 1;
            Ok(each(Line { text, timestamp_ms: clock.next() })? && left > 0)
        };
        match self.source {
            _ if self.limit == 0 => {}
            Source::Texts(texts) => {
                for text in &texts {
                    if !text.lines(&mut take)? {
                        break;
                    }
                }
            }
            Source::Made => {
                let mut text = MadeText::new(self.seed);
                while take(text.line())? {}
            }
        }
        Ok(())
    }
}

impl Text {
    fn name(&self) -> String {
        match self {
            Self::StandardInput => "standard input".to_owned(),
            Self::File { path, .. } => path.display().to_string(),
        }
    }

    /// Passes the lines to `take`. Returns whether it wants more.
    fn lines(&self, take: &mut impl FnMut(Vec<u8>) -> io::Result<bool>) -> io::Result<bool> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", self.name()));
        match self {
            Self::StandardInput => self.lines_of(io::stdin().lock(), take),
            Self::File { path, end } => {
                let file = File::open(path).map_err(named)?;
                self.lines_of(BufReader::new(file.take(end.unwrap_or(u64::MAX))), take)
            }
        }
    }

    fn lines_of(
        &self,
        mut reader: impl BufRead,
        take: &mut impl FnMut(Vec<u8>) -> io::Result<bool>,
    ) -> io::Result<bool> {
        for number in 1_u64.. {
            let mut text = Vec::new();
            // One byte more than a line may have, for the line end.
            let read = reader.by_ref().take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut text);
            if read.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", self.name())))? == 0 {
                break;
            }
            if text.last() == Some(&b'\n') {
                text.pop();
            } else if text.len() as u64 > LINE_BYTES_MAX {
                return Err(self.too_long(number));
            }
            if !take(text)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn too_long(&self, number: u64) -> io::Error {
        let name = self.name();
        let file = if matches!(self, Self::StandardInput) { "" } else { &name };
        let message = format!(
            "{name}: line {number} is longer than {LINE_BYTES_MAX} bytes, the most that the demo takes as one record; \
             break long lines at a space: fold -s -b -w 1000000 {file} | waterwheel demo --input -"
        );
        io::Error::new(io::ErrorKind::InvalidData, message)
    }
}

/// Lines are a millisecond apart and arrive up to [`DISORDER_MS`] late, as events from many machines do.
struct EventClock {
    rng: Rng,
    now_ms: i64,
}

impl EventClock {
    fn next(&mut self) -> i64 {
        self.now_ms += 1;
        self.now_ms - i64::try_from(self.rng.below(DISORDER_MS)).expect("below a small bound")
    }
}

/// Lines of words drawn by Zipf's law (exponent 1) from a vocabulary of [`VOCABULARY`] made-up words.
struct MadeText {
    rng: Rng,
}

impl MadeText {
    fn new(seed: u64) -> Self {
        Self { rng: Rng::from_seed(seed ^ 0x5DEE_CE66) }
    }

    fn line(&mut self) -> Vec<u8> {
        let mut line = Vec::with_capacity(WORDS_PER_LINE * 8);
        for index in 0..WORDS_PER_LINE {
            if index > 0 {
                line.push(b' ');
            }
            self.word(&mut line);
        }
        line.push(b'.');
        line
    }

    /// For uniform u, V^u is a rank r in 1..=V with a probability near 1/r; its word is the rank, written in syllables.
    fn word(&mut self, line: &mut Vec<u8>) {
        let uniform = (self.rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        let mut rank = VOCABULARY.powf(uniform) as usize;
        loop {
            line.extend_from_slice(SYLLABLES[rank % SYLLABLES.len()].as_bytes());
            rank /= SYLLABLES.len();
            if rank == 0 {
                return;
            }
        }
    }
}

/// Adds a path that the user has named, whatever it is; of a folder, the files below it.
fn collect(path: &Path, texts: &mut Vec<Text>) -> io::Result<()> {
    let metadata = fs::metadata(path).map_err(|error| named(path, &error))?;
    if metadata.is_dir() {
        return collect_folder(path, texts);
    }
    texts.push(file(path, &metadata));
    Ok(())
}

/// Adds the files below a folder. Pipes and sockets in it are skipped, because the user did not name them and reading
/// them could wait for ever; links to folders are skipped, because they may form circles.
fn collect_folder(folder: &Path, texts: &mut Vec<Text>) -> io::Result<()> {
    let read = fs::read_dir(folder).map_err(|error| named(folder, &error))?;
    let mut paths = read.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        let is_link = fs::symlink_metadata(&path).map_err(|error| named(&path, &error))?.is_symlink();
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() && !is_link => collect_folder(&path, texts)?,
            Ok(metadata) if metadata.is_file() => texts.push(file(&path, &metadata)),
            // A link may point to nothing.
            Err(error) if !is_link => return Err(named(&path, &error)),
            _ => {}
        }
    }
    Ok(())
}

fn file(path: &Path, metadata: &Metadata) -> Text {
    // Files of /proc report the length 0, but have content.
    let end = Some(metadata.len()).filter(|&length| metadata.is_file() && length > 0);
    Text::File { path: path.to_owned(), end }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Longest line in bytes. The topics take records of twice that size, see [`super::topics`].
pub(crate) const LINE_BYTES_MAX: u64 = 32 << 20;

const WORDS_PER_LINE: usize = 10;
const VOCABULARY: f64 = 50_000.0;
const SYLLABLES: [&str; 16] =
    ["ba", "chi", "de", "fo", "gu", "ha", "ki", "lo", "mu", "na", "pe", "ri", "so", "tu", "va", "we"];

/// Most milliseconds by which a generated line is late: less than the out-of-orderness of the job's watermark,
/// so that the job drops none of them.
pub(crate) const DISORDER_MS: u64 = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: Input) -> Vec<Line> {
        let mut lines = Vec::new();
        let push = |line| {
            lines.push(line);
            Ok(true)
        };
        input.lines(push).unwrap();
        lines
    }

    #[test]
    fn the_same_seed_makes_the_same_lines() {
        let lines = all(Input::made(100, 7, 1_000_000));
        assert_eq!(lines.len(), 100);
        assert_eq!(lines, all(Input::made(100, 7, 1_000_000)));
        assert_ne!(lines, all(Input::made(100, 8, 1_000_000)));
        assert!(lines.iter().all(|line| line.text.split(|&byte| byte == b' ').count() == WORDS_PER_LINE));
    }

    #[test]
    fn files_below_a_folder_are_read_by_name_and_cut_at_the_limit() {
        let folder = std::env::temp_dir().join(format!("waterwheel-input-{}", std::process::id()));
        fs::create_dir_all(folder.join("sub")).unwrap();
        fs::write(folder.join("a.txt"), "one\ntwo").unwrap();
        fs::write(folder.join("sub/b.txt"), "three\n\nfour\n").unwrap();
        let texts = |limit| -> Vec<String> {
            let input = Input::texts(std::slice::from_ref(&folder), limit, 1, 0).unwrap();
            all(input).into_iter().map(|line| String::from_utf8(line.text).unwrap()).collect()
        };
        assert_eq!(texts(None), ["one", "two", "three", "", "four"]);
        assert_eq!(texts(Some(3)), ["one", "two", "three"]);
        assert!(texts(Some(0)).is_empty());
        fs::remove_dir_all(&folder).unwrap();

        let error = Input::texts(std::slice::from_ref(&folder), None, 1, 0).unwrap_err();
        assert!(error.to_string().contains("waterwheel-input-"), "{error}");
    }
}
