//! A record of an input.

use std::io::{Error, ErrorKind};

/// Most bytes of a record, with its end.
pub(super) const RECORD_BYTES_MAX: u64 = 1 << 20;

/// The error for a longer one.
pub(super) fn too_long() -> Error {
    Error::new(ErrorKind::InvalidData, "a record of more than 1 MiB")
}

/// The result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A record; reading goes on at `behind`.
    Record { behind: u64 },
    /// There is none at the moment.
    NoneYet,
    /// The end of the split.
    End,
}

/// Removes the end of a line.
pub(super) fn trim_end(line: &mut Vec<u8>) {
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
}
