//! Formats of files that are written as a whole.

use std::fmt::Debug;
use std::fs::File;
use std::io;

/// A format of files that is written as a whole, from all records of a part, for
/// [`FileSink::rows`](super::FileSink::rows): Parquet, for example, which `processor-formats` has.
pub trait RowFormat: Debug + Send + Sync + 'static {
    /// Checks that a record can be in a file. One that cannot is left out, as the policy for records that cannot be
    /// written says ([`ErrorKind::Produce`](crate::ErrorKind::Produce)).
    ///
    /// # Errors
    /// If it cannot; the reason.
    fn check(&self, record: &[u8]) -> Result<(), String>;

    /// Writes a file of these records, all of which have passed the check.
    ///
    /// # Errors
    /// If the file cannot be written, or a record cannot be in it after all: the format is another one than that which
    /// has checked it. The job ends then.
    fn write(&self, records: &mut dyn Iterator<Item = io::Result<Vec<u8>>>, to: &mut File) -> io::Result<()>;
}
