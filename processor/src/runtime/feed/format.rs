//! Formats of files whose records are not lines.

use std::io;
use std::path::Path;

/// A format of files whose records are not lines, for [`Feed::rows`](super::Feed::rows): Parquet, for example, which
/// `processor-formats` has.
pub trait FileFormat: Send + 'static {
    /// Opens a file to read its records from the one of this number on; the first is 0.
    ///
    /// # Errors
    /// If it is no such file, or has fewer records: it is another one then than the one that was read before.
    fn open(&mut self, path: &Path, position: u64) -> io::Result<Box<dyn FileRecords>>;
}

/// The records of a file that is open.
pub trait FileRecords: Send {
    /// Replaces `value` by the next record; `false` at the end of the file.
    ///
    /// # Errors
    /// The file cannot be read any further.
    fn next(&mut self, value: &mut Vec<u8>) -> io::Result<bool>;
}
