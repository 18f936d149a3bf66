//! `waterwheel wire records`: prints the content of a segment file.

use std::error::Error;
use std::io::{self, BufRead, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use bytes::Bytes;
use clap::Args;
use kafka_wire::compression::Decompressed;
use kafka_wire::record::{Batch, Batches};
use serde::Serialize;

use super::batch::{BatchShown, RecordShown, place};
use super::{open, stdout};

/// Prints the batches, records and markers of a segment file (.log) or of a records field.
///
/// Prints one line for each, like Kafka's `DumpLogSegments --print-data-log`; control characters in keys and values
/// are escaped. Every format and codec is read. An error is printed at its place, and the first wrong byte is named at
/// the end; the exit code is then 1. A batch with wrong records is skipped; after a batch with a wrong length or
/// format, no further batch can be found.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Options {
    /// The file; `-` is stdin.
    file: PathBuf,
    /// Prints JSON instead, an object a line: {"batch": ..}, {"record": ..} or {"error": ..}. Keys and values that
    /// are not UTF-8 are {"hex": ..}.
    #[arg(long, verbatim_doc_comment)]
    json: bool,
}

/// Prints the file.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let mut printer = Printer { out: stdout(), json: options.json, first_error: None };
    printer.print(&mut *open(&options.file)?)?;
    printer.out.flush()?;
    match printer.first_error {
        None => Ok(ExitCode::SUCCESS),
        Some(error) => Err(format!("{}: {error}", options.file.display()).into()),
    }
}

struct Printer<W> {
    out: W,
    json: bool,
    first_error: Option<String>,
}

/// A line of the output.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Line<'a> {
    Batch(&'a BatchShown),
    Record(&'a RecordShown<'a>),
    Error(&'a str),
}

impl<W: Write> Printer<W> {
    fn print(&mut self, input: &mut dyn BufRead) -> io::Result<()> {
        let mut buffer = Decompressed::default();
        let mut position = 0;
        while let Some(bytes) = next_batch(input)? {
            match Batches::new(bytes.clone()).next() {
                Some(Ok(batch)) => self.batch(&batch, position, &mut buffer)?,
                Some(Err(error)) => return self.error(place(&error, position, None)),
                None => {
                    let end = position + bytes.len() as u64;
                    return self.error(format!("byte {end}: the file ends inside the batch at byte {position}"));
                }
            }
            position += bytes.len() as u64;
        }
        Ok(())
    }

    fn batch(&mut self, batch: &Batch, position: u64, buffer: &mut Decompressed) -> io::Result<()> {
        self.line(&Line::Batch(&BatchShown::new(batch, position)))?;
        let records = match batch.open(buffer) {
            Ok(records) => records,
            Err(error) => return self.error(place(&error, position, Some(batch))),
        };
        for record in records {
            match record {
                Ok(record) => self.line(&Line::Record(&RecordShown::new(&batch.header, &record)))?,
                Err(error) => self.error(place(&error, position, Some(batch)))?,
            }
        }
        Ok(())
    }

    fn error(&mut self, error: String) -> io::Result<()> {
        self.line(&Line::Error(&error))?;
        self.first_error.get_or_insert(error);
        Ok(())
    }

    fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        if self.json {
            serde_json::to_writer(&mut self.out, line)?;
            return self.out.write_all(b"\n");
        }
        match line {
            Line::Batch(batch) => writeln!(self.out, "{batch}"),
            Line::Record(record) => writeln!(self.out, "{record}"),
            Line::Error(error) => writeln!(self.out, "error: {error}"),
        }
    }
}

/// The bytes of the next batch or message, as far as its length is plausible and the file has them; `None` at the end.
fn next_batch(input: &mut dyn BufRead) -> io::Result<Option<Bytes>> {
    let mut bytes = Vec::new();
    input.take(Batch::HEAD_BYTES as u64).read_to_end(&mut bytes)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    // An impossible size is an error of the batch, which its reader reports.
    let size = Batch::stated_size_bytes(&bytes).ok().flatten().unwrap_or_default();
    // The buffer grows with the bytes that are read, because the size is only a claim.
    input.take(size.saturating_sub(bytes.len()) as u64).read_to_end(&mut bytes)?;
    Ok(Some(Bytes::from(bytes)))
}
