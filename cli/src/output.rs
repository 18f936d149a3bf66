//! Where things are printed: results to stdout, everything else to stderr.
//!
//! A reader that has gone, as `head` does, ends neither the work nor the program: what it would have read is dropped,
//! and the exit code still tells how the work ended. The `print` macros of the standard library would panic.

use std::fmt;
use std::io::{self, Write as _};

/// Prints a line to stderr, as `eprintln!` does, but never panics.
macro_rules! note {
    ($($text:tt)*) => { $crate::output::line(format_args!($($text)*)) };
}
pub(crate) use note;

/// Prints a line to stderr.
pub(crate) fn line(line: fmt::Arguments<'_>) {
    // In one piece, so that lines of several threads do not mix. What cannot be told there cannot be told anywhere.
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Prints text to stdout, whole.
///
/// # Errors
/// It cannot be written, say to a full disk. That nobody reads it (any more) is no error.
pub(crate) fn print(text: &str) -> Result<(), String> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(format!("standard output: {error}")),
        _ => Ok(()),
    }
}
