//! The rows of Parquet files, as JSON, on their way into a topic; and on their way into files.

mod columns;
mod rows;

use std::fs::File;
use std::io::{Error, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::file::serialized_reader::ReadOptionsBuilder;
use parquet::record::Row;
use parquet::record::reader::RowIter;
use processor::{FileFormat, FileRecords};

pub use self::rows::ParquetRows;

/// The rows of Parquet files, for [`Feed::rows`](processor::Feed::rows): each is a JSON object with a field for each
/// column, in their order.
///
/// | type of a column | in JSON |
/// |---|---|
/// | integers, `FLOAT`, `DOUBLE` | a number; `null` for what JSON has no number for |
/// | `BOOLEAN` | `true` or `false` |
/// | `STRING` | text |
/// | bytes | text, in base 64 |
/// | `DECIMAL` | text: `"12.50"` |
/// | `DATE` | text: `"2024-02-01"` |
/// | `TIMESTAMP` of milliseconds, of microseconds | text, in UTC: `"2024-02-01 12:00:00.250 +00:00"` |
/// | `TIMESTAMP` of nanoseconds | a number |
/// | groups and maps, lists | an object, an array |
/// | a value that is not there | `null` |
///
/// Pages may be uncompressed, or compressed with Snappy, gzip or LZ4, and with the feature `brotli` of this crate with
/// Brotli. That is a feature of its own, because it takes longer to compile than all the rest. Zstandard is not read:
/// the crate that reads Parquet compiles C for it, and takes no codec from outside.
/// A file that cannot be read ends the feed with its name.
///
/// [`ParquetRows`] writes such files.
///
/// ```no_run
/// use processor::{Config, Feed};
/// use processor_formats::Parquet;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// // Each row of each file below the folder becomes a record of the topic, once.
/// let feed = Feed::files("/var/orders").rows(Parquet::new());
/// feed.run("orders-in", "orders", &Config::new("127.0.0.1:9092")).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Parquet(());

impl Parquet {
    /// Makes the format.
    #[must_use]
    pub const fn new() -> Self {
        Self(())
    }
}

impl FileFormat for Parquet {
    fn open(&mut self, path: &Path, position: u64) -> Result<Box<dyn FileRecords>, Error> {
        guarded(|| {
            let whole = SerializedFileReader::new(File::open(path)?).map_err(unreadable)?;
            let counts = whole.metadata().row_groups().iter().map(|group| u64::try_from(group.num_rows()).unwrap_or(0));
            // Groups of rows that have been read are not read again.
            let (mut before, mut first) = (0, 0);
            for count in counts {
                if before + count > position {
                    break;
                }
                before += count;
                first += 1;
            }
            let remaining = ReadOptionsBuilder::new().with_predicate(Box::new(move |_, group| group >= first)).build();
            let reader = SerializedFileReader::new_with_options(File::open(path)?, remaining).map_err(unreadable)?;
            let mut rows = Rows(RowIter::from_file_into(Box::new(reader)));
            for row in before..position {
                if rows.0.next().transpose().map_err(unreadable)?.is_none() {
                    let text = format!("it has {row} rows, and {position} were read before: it is another file");
                    return Err(Error::new(ErrorKind::InvalidData, text));
                }
            }
            Ok(Box::new(rows) as Box<dyn FileRecords>)
        })
    }
}

/// The rows of a file that are left.
struct Rows(RowIter<'static>);

impl FileRecords for Rows {
    fn next(&mut self, value: &mut Vec<u8>) -> Result<bool, Error> {
        guarded(|| match self.0.next().transpose().map_err(unreadable)? {
            Some(row) => write(&row, value).map(|()| true),
            None => Ok(false),
        })
    }
}

/// Writes a row as JSON.
fn write(row: &Row, value: &mut Vec<u8>) -> Result<(), Error> {
    value.clear();
    for (name, field) in row.get_column_iter() {
        value.push(if value.is_empty() { b'{' } else { b',' });
        serde_json::to_writer(&mut *value, name)?;
        value.push(b':');
        serde_json::to_writer(&mut *value, &field.to_json_value())?;
    }
    if value.is_empty() {
        value.push(b'{');
    }
    value.push(b'}');
    Ok(())
}

/// Makes an error of a panic: of a value, such as a time beyond the end of the calendar, that cannot be shown.
fn guarded<T>(read: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let damaged = || Error::new(ErrorKind::InvalidData, "it has a value that no Parquet file should have");
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(damaged()))
}

fn unreadable(error: ParquetError) -> Error {
    match error {
        ParquetError::NYI(cause) => Error::new(ErrorKind::Unsupported, cause),
        other => Error::new(ErrorKind::InvalidData, other),
    }
}
