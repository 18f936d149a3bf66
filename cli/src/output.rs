//! The output of the program: results go to stdout, everything else to stderr.
//!
//! When the reader of the output is gone, as with `head`, neither the work nor the program ends: further output is
//! dropped, and the exit code still tells how the work ended. The `print` macros of the standard library would panic.

use std::fmt;
use std::io::{self, Write as _};

/// Prints a line to stderr, as `eprintln!` does, but never panics.
macro_rules! note {
    ($($text:tt)*) => { $crate::output::line(format_args!($($text)*)) };
}
pub(crate) use note;

/// Prints a line to stderr.
pub(crate) fn line(line: fmt::Arguments<'_>) {
    // The line is written in one piece, so that lines of several threads do not mix. An error here could not
    // be reported anywhere.
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Prints the whole text to stdout.
///
/// # Errors
/// The text cannot be written, for example to a full disk. A reader that is gone is no error.
pub(crate) fn print(text: &str) -> Result<(), String> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(format!("standard output: {error}")),
        _ => Ok(()),
    }
}
