//! The job of the demo: lines -> words -> key by word -> tumbling window -> count -> topic.

use std::time::Duration;

use clap::ValueEnum;
use processor::{BuildErrors, Emit, ErrorKind, ErrorPolicy, Json, Partitions, Topology, Tumbling, Utf8, Watermark};
use serde::{Deserialize, Serialize};

use super::topics::Names;

/// The definition of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Words {
    /// ASCII letters and digits.
    Ascii,
    /// Letters and digits of every script.
    Unicode,
}

impl Words {
    /// Whether a character is part of a word.
    pub(crate) fn test(self) -> fn(char) -> bool {
        match self {
            Self::Ascii => |letter| letter.is_ascii_alphanumeric(),
            Self::Unicode => char::is_alphanumeric,
        }
    }
}

/// The value of an output record.
#[derive(Debug, Deserialize, Serialize)]
struct Count {
    window_start: i64,
    window_end: i64,
    count: u64,
}

/// Counts the words of the lines topic per window of event time into the counts topic.
pub(crate) fn topology(names: &Names, partitions: i32, words: Words) -> Result<Topology, BuildErrors> {
    let is_word = words.test();
    let mut job = Topology::builder(&names.application_id);
    // Files may have lines that are no text; the audit counts them too.
    job.on_error(ErrorKind::Decode, ErrorPolicy::Skip);
    job.stream(&names.lines, Utf8)
        .watermark(Watermark::bounded(OUT_OF_ORDERNESS).idle_after(IDLE_AFTER))
        .flat_map(Utf8, {
            let mut lower = String::new();
            move |line, out| {
                for word in line.value.split(|letter| !is_word(letter)).filter(|word| !word.is_empty()) {
                    out.push(lowercase(word, &mut lower));
                }
            }
        })
        .key_by("by-word", Partitions(partitions), (Utf8, ()), |word| (word.value, ()))
        .window(Tumbling::of(Duration::from_millis(WINDOW_MS.unsigned_abs())))
        .count("counts", Emit::OnClose)
        .map(|word| Count { window_start: word.window.start, window_end: word.window.end, count: *word.value })
        .to(&names.counts, Utf8, Json::new());
    job.build()
}

/// The word in lower case; `buffer` is used only if that differs from the word.
fn lowercase<'a>(word: &'a str, buffer: &'a mut String) -> &'a str {
    if word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
        return word;
    }
    buffer.clear();
    if word.is_ascii() {
        buffer.push_str(word);
        buffer.make_ascii_lowercase();
    } else {
        // The whole word is converted, not letter by letter: the form of a sigma depends on its position.
        buffer.push_str(&word.to_lowercase());
    }
    buffer
}

pub(crate) const WINDOW_MS: i64 = 30_000;

/// More than the disorder of the generated event times.
const OUT_OF_ORDERNESS: Duration = Duration::from_secs(5);
const IDLE_AFTER: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_lowered_as_text() {
        let mut buffer = String::new();
        assert_eq!(lowercase("abc1", &mut buffer), "abc1");
        assert_eq!(lowercase("ABC1", &mut buffer), "abc1");
        assert_eq!(lowercase("\u{39f}\u{3a3}", &mut buffer), "\u{3bf}\u{3c2}");
    }
}
