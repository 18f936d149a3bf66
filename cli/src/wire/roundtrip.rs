//! `waterwheel wire roundtrip`: decodes messages, encodes them again and compares the bytes.

use std::error::Error;
use std::fmt;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use bytes::{Bytes, BytesMut};
use clap::Args;
use kafka_wire::protocol::any::{Direction, MessageKind};
use kafka_wire::wire::{DecodeError, EncodeError, Reader, Writer};

use super::hex::HexError;
use super::{hex, name, open, stdout};

/// Decodes and encodes messages, and says which do not come out as they went in.
///
/// Lines are `KEY q|s VERSION HEX`: the API by its key or name, q for the body of a request and s for that of a
/// response, without header; or `NAME d VERSION HEX` for a message that is neither, like ConsumerProtocolSubscription.
/// HEX may be empty or `-` for no bytes. Empty lines and those that begin with # are skipped.
///
/// For each message a line is printed: `ok`, `differs at byte N` (counted from 0) or `error: ...`; and a count at
/// the end. Tagged fields that the message does not know are kept; bytes behind the message are a difference.
/// The exit code is 1 unless all are ok.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Options {
    /// Files of such lines; `-`, or no file, is stdin.
    files: Vec<PathBuf>,
}

/// Tests every line.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let stdin = [PathBuf::from("-")];
    let files = if options.files.is_empty() { &stdin[..] } else { &options.files };
    let mut count = Count::default();
    let mut out = stdout();
    for file in files {
        test_lines(&mut *open(file)?, &mut count, &mut out)?;
    }
    writeln!(out, "{} ok, {} differ, {} errors", count.ok, count.differ, count.errors)?;
    out.flush()?;
    Ok(if count.differ + count.errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[derive(Debug, Default)]
struct Count {
    ok: u64,
    differ: u64,
    errors: u64,
}

fn test_lines(input: &mut dyn BufRead, count: &mut Count, out: &mut impl Write) -> std::io::Result<()> {
    // Both buffers are reused: a message is dropped before the next line is read, so its memory is free again.
    let (mut line, mut buffer) = (Vec::new(), BytesMut::new());
    while input.read_until(b'\n', &mut line)? > 0 {
        let text = line.trim_ascii();
        if !text.is_empty() && !text.starts_with(b"#") {
            let (counter, outcome) = match test(text, &mut buffer) {
                Ok(()) => (&mut count.ok, "ok\n".to_owned()),
                Err(fault @ Fault::Differs(_)) => (&mut count.differ, format!("{fault}\n")),
                Err(fault) => (&mut count.errors, format!("error: {fault}\n")),
            };
            *counter += 1;
            out.write_all(outcome.as_bytes())?;
        }
        line.clear();
    }
    Ok(())
}

/// The reason why a line is not ok.
#[derive(Debug)]
enum Fault {
    /// The first byte at which our encoding differs from the message, or ends.
    Differs(usize),
    Line(String),
    Hex(HexError),
    Decode(DecodeError),
    Encode(EncodeError),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Differs(at) => write!(f, "differs at byte {at}"),
            Self::Line(error) => f.write_str(error),
            Self::Hex(error) => error.fmt(f),
            Self::Decode(error) => error.fmt(f),
            Self::Encode(error) => error.fmt(f),
        }
    }
}

fn test(line: &[u8], buffer: &mut BytesMut) -> Result<(), Fault> {
    let (kind, version, digits) = parse(line).map_err(Fault::Line)?;
    buffer.clear();
    hex::decode(digits, buffer).map_err(Fault::Hex)?;
    let frame = buffer.split().freeze();
    let mut reader = Reader::new(&frame);
    reader.keep_unknown_tags();
    let message = kind.decode(version, &mut reader).map_err(Fault::Decode)?;
    let mut writer = Writer::new();
    writer.put_back(reader.take_unknown_tags());
    message.encode(&mut writer, version).map_err(Fault::Encode)?;
    match first_difference(&frame, &writer.finish()) {
        None => Ok(()),
        Some(at) => Err(Fault::Differs(at)),
    }
}

/// Splits a line: the kind of the message, its version, its hex digits.
fn parse(line: &[u8]) -> Result<(MessageKind, i16, &[u8]), String> {
    let (name, rest) = first_field(line);
    let (kind, rest) = first_field(rest);
    let (version, digits) = first_field(rest);
    let [name, version] = [name, version].map(|field| str::from_utf8(field).map_err(|_| "the line is not UTF-8"));
    let (name, version) = (name?, version?);
    let kind = match kind {
        b"q" => name::body(name::api(name)?, Direction::Request)?,
        b"s" => name::body(name::api(name)?, Direction::Response)?,
        b"d" => name::data(name)?,
        _ => return Err("not a line of the form KEY q|s|d VERSION HEX".to_owned()),
    };
    let version = version.parse().map_err(|_| format!("{version:?} is no version"))?;
    name::check_version(kind, version)?;
    Ok((kind, version, if digits == b"-" { b"" } else { digits }))
}

/// The bytes up to white space, and those after it.
fn first_field(line: &[u8]) -> (&[u8], &[u8]) {
    let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
    let (field, rest) = line.split_at(end);
    (field, rest.trim_ascii_start())
}

/// The first byte at which `chunks` differ from `frame`.
fn first_difference(frame: &[u8], chunks: &[Bytes]) -> Option<usize> {
    let mut at = 0;
    for chunk in chunks {
        let expected = frame.get(at..).unwrap_or_default();
        let common = expected.len().min(chunk.len());
        if expected[..common] != chunk[..common] {
            let differs = expected.iter().zip(chunk).position(|(expected, written)| expected != written);
            return differs.map(|offset| at + offset);
        }
        at += common;
        if common < chunk.len() {
            return Some(at);
        }
    }
    (at < frame.len()).then_some(at)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::first_difference;

    #[test]
    fn the_first_differing_byte_is_found_across_chunks() {
        let chunks = |parts: &[&'static [u8]]| parts.iter().map(|part| Bytes::from_static(part)).collect::<Vec<_>>();
        assert_eq!(first_difference(b"", &[]), None);
        assert_eq!(first_difference(b"abcd", &chunks(&[b"ab", b"cd"])), None);
        assert_eq!(first_difference(b"abcd", &chunks(&[b"ab", b"xd"])), Some(2));
        assert_eq!(first_difference(b"abcd", &chunks(&[b"ab", b"c"])), Some(3));
        assert_eq!(first_difference(b"abc", &chunks(&[b"ab", b"cd"])), Some(3));
        assert_eq!(first_difference(b"", &chunks(&[b"a"])), Some(0));
    }
}
