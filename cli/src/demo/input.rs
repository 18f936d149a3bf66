//! The demo's input: the lines of text files, or lines that it makes, each with an event time.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use kafka_wire::rng::Rng;

/// One line without its end, and when it happened in milliseconds since 1970.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) text: Vec<u8>,
    pub(crate) timestamp_ms: i64,
}

/// Where the lines come from; [`Input::lines`] gives the same lines each time, for the job and for the audit.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    source: Source,
    first_timestamp_ms: i64,
    seed: u64,
    limit: u64,
}

#[derive(Clone, Debug)]
enum Source {
    Files(Vec<PathBuf>),
    Made,
}

impl Input {
    /// The lines of these files, and of all files below these folders in the order of their names; at most `limit`.
    pub(crate) fn files(paths: &[PathBuf], limit: Option<u64>, seed: u64, first_timestamp_ms: i64) -> io::Result<Self> {
        let mut files = Vec::new();
        for path in paths {
            collect(path, &mut files)?;
        }
        if files.is_empty() {
            let shown: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
            let message = format!("no file in {}: --input takes text files or folders of them", shown.join(", "));
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        }
        Ok(Self { source: Source::Files(files), first_timestamp_ms, seed, limit: limit.unwrap_or(u64::MAX) })
    }

    /// `limit` lines of ten made-up words each; the same seed makes the same lines.
    pub(crate) fn made(limit: u64, seed: u64, first_timestamp_ms: i64) -> Self {
        Self { source: Source::Made, first_timestamp_ms, seed, limit }
    }

    /// What the user is told of it.
    pub(crate) fn describe(&self) -> String {
        match &self.source {
            Source::Files(files) => format!("{} file(s), first {}", files.len(), files[0].display()),
            Source::Made => format!("{} made-up lines of {WORDS_PER_LINE} words, seed {}", self.limit, self.seed),
        }
    }

    /// Calls `each` with every line in order, until there are no more or it fails.
    pub(crate) fn lines(&self, mut each: impl FnMut(Line) -> io::Result<()>) -> io::Result<()> {
        let mut clock = EventClock { rng: Rng::from_seed(self.seed), now_ms: self.first_timestamp_ms };
        let mut left = self.limit;
        let mut take = |text: Vec<u8>| {
            if left == 0 {
                return Ok(false);
            }
            left -= 1;
            each(Line { text, timestamp_ms: clock.next() })?;
            Ok(true)
        };
        match &self.source {
            Source::Files(files) => {
                for path in files {
                    if !file_lines(path, &mut take)? {
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

/// Lines happen a millisecond apart and are told up to [`DISORDER_MS`] late, as events from many machines are.
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

    /// A rank r in 1..=V with probability near 1/r is V^u for a uniform u; its word is the rank in syllables.
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

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    if fs::metadata(path).map_err(named)?.is_dir() {
        let mut entries =
            fs::read_dir(path).map_err(named)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        entries.sort();
        entries.iter().try_for_each(|entry| collect(entry, files))
    } else {
        files.push(path.to_owned());
        Ok(())
    }
}

/// Whether `take` wants more.
fn file_lines(path: &Path, take: &mut impl FnMut(Vec<u8>) -> io::Result<bool>) -> io::Result<bool> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let mut reader = BufReader::new(File::open(path).map_err(named)?);
    loop {
        let mut text = Vec::new();
        if reader.read_until(b'\n', &mut text).map_err(named)? == 0 {
            return Ok(true);
        }
        if text.last() == Some(&b'\n') {
            text.pop();
        }
        if !take(text)? {
            return Ok(false);
        }
    }
}

const WORDS_PER_LINE: usize = 10;
const VOCABULARY: f64 = 50_000.0;
const SYLLABLES: [&str; 16] =
    ["ba", "chi", "de", "fo", "gu", "ha", "ki", "lo", "mu", "na", "pe", "ri", "so", "tu", "va", "we"];

/// Less than the out-of-orderness that the job's watermark allows for, so that no made-up line is late.
pub(crate) const DISORDER_MS: u64 = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &Input) -> Vec<Line> {
        let mut lines = Vec::new();
        let push = |line| {
            lines.push(line);
            Ok(())
        };
        input.lines(push).unwrap();
        lines
    }

    #[test]
    fn the_same_seed_makes_the_same_lines() {
        let input = Input::made(100, 7, 1_000_000);
        let lines = all(&input);
        assert_eq!(lines.len(), 100);
        assert_eq!(lines, all(&input));
        assert_ne!(lines, all(&Input::made(100, 8, 1_000_000)));
        assert!(lines.iter().all(|line| line.text.split(|&byte| byte == b' ').count() == WORDS_PER_LINE));
    }

    #[test]
    fn files_below_a_folder_are_read_by_name_and_cut_at_the_limit() {
        let folder = std::env::temp_dir().join(format!("waterwheel-input-{}", std::process::id()));
        fs::create_dir_all(folder.join("sub")).unwrap();
        fs::write(folder.join("a.txt"), "one\ntwo").unwrap();
        fs::write(folder.join("sub/b.txt"), "three\n\nfour\n").unwrap();
        let texts = |limit| -> Vec<String> {
            let input = Input::files(std::slice::from_ref(&folder), limit, 1, 0).unwrap();
            all(&input).into_iter().map(|line| String::from_utf8(line.text).unwrap()).collect()
        };
        assert_eq!(texts(None), ["one", "two", "three", "", "four"]);
        assert_eq!(texts(Some(3)), ["one", "two", "three"]);
        fs::remove_dir_all(&folder).unwrap();

        let error = Input::files(std::slice::from_ref(&folder), None, 1, 0).unwrap_err();
        assert!(error.to_string().contains("waterwheel-input-"), "{error}");
    }
}
