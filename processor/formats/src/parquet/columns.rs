//! The cells of a group of rows, by column.

use std::fs::File;
use std::io::{Error, Result};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::writer::SerializedFileWriter;

/// The value of a column in a row.
pub(super) enum Cell {
    Boolean(bool),
    Int(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    Bytes(Vec<u8>),
}

/// The cells of one column, all of one kind.
pub(super) struct Cells {
    /// For each row, 1 if it has a cell; for an optional column only.
    levels: Option<Vec<i16>>,
    cells: Vec<Cell>,
}

impl Cells {
    pub(super) fn new(is_optional: bool) -> Self {
        Self { levels: is_optional.then(Vec::new), cells: Vec::new() }
    }

    /// Adds the cell of a row, if there is one.
    pub(super) fn push(&mut self, cell: Option<Cell>) {
        if let Some(levels) = &mut self.levels {
            levels.push(i16::from(cell.is_some()));
        }
        self.cells.extend(cell);
    }

    fn values<T>(&self, value: impl Fn(&Cell) -> Option<T>) -> Vec<T> {
        self.cells.iter().filter_map(value).collect()
    }

    fn write(&self, to: &mut ColumnWriter<'_>) -> parquet::errors::Result<usize> {
        macro_rules! write {
            ($writer:ident, $kind:ident, $value:ident => $as_written:expr) => {{
                let value = |cell: &Cell| match cell {
                    Cell::$kind($value) => Some($as_written),
                    _ => None,
                };
                $writer.write_batch(&self.values(value), self.levels.as_deref(), None)
            }};
        }
        match to {
            ColumnWriter::BoolColumnWriter(writer) => write!(writer, Boolean, value => *value),
            ColumnWriter::Int32ColumnWriter(writer) => write!(writer, Int, value => *value),
            ColumnWriter::Int64ColumnWriter(writer) => write!(writer, Long, value => *value),
            ColumnWriter::FloatColumnWriter(writer) => write!(writer, Float, value => *value),
            ColumnWriter::DoubleColumnWriter(writer) => write!(writer, Double, value => *value),
            ColumnWriter::ByteArrayColumnWriter(writer) => {
                write!(writer, Bytes, value => ByteArray::from(value.clone()))
            }
            ColumnWriter::Int96ColumnWriter(_) | ColumnWriter::FixedLenByteArrayColumnWriter(_) => {
                unreachable!("a schema with such a column is refused")
            }
        }
    }
}

/// Writes a group of rows.
pub(super) fn write_group(file: &mut SerializedFileWriter<&mut File>, columns: &[Cells]) -> Result<()> {
    let mut write = || {
        let mut group = file.next_row_group()?;
        for cells in columns {
            let Some(mut column) = group.next_column()? else { break };
            cells.write(column.untyped())?;
            column.close()?;
        }
        group.close().map(drop)
    };
    write().map_err(Error::other)
}

/// The bytes that a text in base 64 has.
pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}
