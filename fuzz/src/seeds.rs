//! The inputs that a fuzzer starts from.
//!
//! A few are files of this package (`corpus/`, made by hand). Those of the decoders are made from the vectors
//! of kafka-wire each time they are needed: as files they would exist twice, and there would be thousands of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use kafka_wire::compression::{Compression, Compressor, Container};

use crate::message::{ARMS, Arm};

/// Inputs by name.
pub type Seeds = BTreeMap<String, Vec<u8>>;

/// One message that Java wrote.
pub struct Vector {
    /// Name of the message.
    pub arm: &'static Arm,
    /// Version of its bytes.
    pub version: i16,
    /// All of its bytes.
    pub bytes: Bytes,
}

/// Every committed vector of a message, in files whose lines are `MESSAGE VERSION HEX SUM`.
pub fn vectors() -> Vec<Vector> {
    let arms = ARMS.iter().map(|arm| (arm.layout.name, arm)).collect::<BTreeMap<_, _>>();
    let mut vectors = Vec::new();
    for (path, text) in texts(&wire().join("tests/vectors")) {
        for line in text.lines() {
            let words = line.split(' ').collect::<Vec<_>>();
            let [name, version, hex, _] = words[..] else { panic!("{path}: {line}") };
            let arm = arms.get(name).unwrap_or_else(|| panic!("{path}: no message {name}"));
            vectors.push(Vector { arm, version: version.parse().expect("a version"), bytes: unhex(hex).into() });
        }
    }
    vectors
}

/// The inputs of a target.
pub fn of(target: &str) -> Seeds {
    let mut seeds = files(&room().join("corpus").join(target));
    seeds.extend(match target {
        "request_decode" | "response_decode" | "group_metadata" => messages(target),
        "roundtrip" => values(),
        // Used unchanged, corrected, and compressed with two codecs.
        "record_batch" => records(&[0, 1, 3, 7 | 8]),
        // Used unchanged, corrected, in a gzip and an LZ4 wrapper, and as the content of messages to write.
        "message_set" => records(&[0, 2, 3, 2 | 4 | 1 << 4, 3 | 4 | 3 << 4, 8, 8 | 1 | 2 << 4]),
        "codec" => compressed(),
        _ => Seeds::new(),
    });
    seeds
}

/// The files of a folder, which need not exist.
pub fn files(folder: &Path) -> Seeds {
    let mut files = Seeds::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("the folder can be read").path();
        let name = path.file_name().expect("it has a name").to_string_lossy().into_owned();
        files.insert(name, fs::read(&path).expect("the file can be read"));
    }
    files
}

/// The folder of this package.
pub fn room() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The longest vector of every version of every message.
fn messages(target: &str) -> Seeds {
    let mut seeds = Seeds::new();
    for Vector { arm, version, bytes } in vectors().into_iter().filter(|vector| vector.arm.target == target) {
        let input = [&[arm.selector, u8::try_from(version).expect("a small version")], &bytes[..]].concat();
        let kept = seeds.entry(format!("{}-v{version}", arm.layout.name)).or_default();
        if input.len() > kept.len() {
            *kept = input;
        }
    }
    seeds
}

/// An input for every version of every message, to make it from.
fn values() -> Seeds {
    let mut seeds = Seeds::new();
    for (place, arm) in (0u16..).zip(ARMS.iter()) {
        for (index, version) in (0u8..).zip(arm.layout.versions()) {
            let values = (0..24u8).flat_map(|step| crc32c::crc32c(&[arm.selector, index, step]).to_be_bytes());
            let input = place.to_be_bytes().into_iter().chain([index]).chain(values).collect();
            seeds.insert(format!("{}-v{version}", arm.layout.name), input);
        }
    }
    seeds
}

/// Every record vector, preceded by each of these choices.
fn records(choices: &[u8]) -> Seeds {
    let mut seeds = Seeds::new();
    for (path, text) in texts(&wire().join("tests/vectors/records/java")) {
        let bytes = text.lines().find_map(|line| line.strip_prefix("bytes ")).expect("a line of bytes");
        for choice in choices {
            seeds.insert(format!("{path}-{choice}"), [vec![*choice], unhex(bytes)].concat());
        }
    }
    seeds
}

/// Texts, plain and compressed with every codec, a decompression bomb among them.
fn compressed() -> Seeds {
    let mut seeds = Seeds::new();
    let texts = [("empty", Vec::new()), ("text", b"what waterwheels turn ".repeat(8)), ("bomb", vec![0; 64 << 10])];
    for choice in 0..8u8 {
        let codec = Compression::from_code(1 + (choice & 3)).expect("codes 1 to 4");
        let container = if choice & 4 == 0 { Container::Batch } else { Container::MessageV0 };
        for (name, text) in &texts {
            let mut compressor = Compressor::default();
            let written = compressor.compress(codec, container, text).expect("every codec is built in");
            seeds.insert(format!("{name}-{codec}-{container:?}"), [&[choice], written].concat());
        }
        seeds.insert(format!("plain-{codec}-{container:?}"), [&[choice | 8], &texts[1].1[..]].concat());
    }
    seeds
}

fn wire() -> PathBuf {
    room().join("../kafka-wire")
}

/// Texts of a folder, by the stem of their name.
fn texts(folder: &Path) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("the folder can be read").path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            let stem = path.file_stem().expect("it has a name").to_string_lossy().into_owned();
            texts.insert(stem, fs::read_to_string(&path).expect("a text"));
        }
    }
    texts
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits = hex.trim_start_matches('-');
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex")).collect()
}
