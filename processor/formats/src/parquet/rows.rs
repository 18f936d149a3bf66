//! JSON objects as the rows of Parquet files.

use std::fs::File;
use std::io::{self, Error, ErrorKind};
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, Repetition, Type as Physical};
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{Type, TypePtr};
use processor::{RowFormat, SerdeError};
use serde_json::{Map, Value};

use super::columns::{Cell, Cells, from_base64, write_group};

/// JSON objects as the rows of Parquet files, for [`FileSink::rows`](processor::FileSink::rows): each column has the
/// field of its name. Fields for which there is no column are left out.
///
/// | type of a column | in JSON |
/// |---|---|
/// | `INT32`, `INT64`, of any width and with or without a sign | a number without a fraction |
/// | the same as a date, a time or a `TIMESTAMP` | the number of its units: days, milliseconds since 1970 |
/// | `FLOAT`, `DOUBLE` | a number |
/// | `BOOLEAN` | `true` or `false` |
/// | `BINARY` as `STRING`, `ENUM` | text |
/// | `BINARY` as `JSON` | any value |
/// | `BINARY` without an annotation | text, in base 64 |
///
/// A column is `required`, or it is `optional` and its field may be `null` or missing. Lists, maps, groups, decimals
/// and fixed lengths are not written. Pages are compressed with Snappy. A record that does not fit the schema is left
/// out, as the policy for records that cannot be written says; by default it ends the job.
///
/// A job that goes on under the same names may get another schema, if the records of its last file fit that as well:
/// new columns have to be optional.
///
/// ```
/// use processor::driver::TestDriver;
/// use processor::{FileSink, Topology, Utf8};
/// use processor_formats::ParquetRows;
///
/// # fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let rows = ParquetRows::new("message order { required int64 id; optional binary town (STRING); }")?;
/// let folder = std::env::temp_dir().join(format!("waterwheel-rows-{}", std::process::id()));
/// let mut job = Topology::builder("archive");
/// job.stream("orders", Utf8).to_sink("orders", Utf8, FileSink::new(&folder).extension("parquet").rows(rows));
///
/// let mut driver = TestDriver::new(job.build()?);
/// driver.pipe("orders", None, r#"{"id": 7, "town": "Bern"}"#, 0);
/// driver.end_of_input();
/// assert!(folder.join("archive-orders-0-000000000000.parquet").exists());
/// # std::fs::remove_dir_all(folder)?;
/// # Ok(())
/// # }
/// # run().unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct ParquetRows {
    schema: TypePtr,
    properties: WriterPropertiesPtr,
    columns: Vec<Column>,
}

/// A column of a file.
#[derive(Clone, Debug)]
struct Column {
    name: String,
    is_optional: bool,
    kind: Kind,
}

/// The values that a column takes.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Boolean,
    /// Whole numbers in this range, in four bytes.
    Int {
        least: i64,
        most: i64,
    },
    /// Whole numbers in eight bytes, with a sign or without.
    Long {
        is_signed: bool,
    },
    Float,
    Double,
    Text,
    Json,
    Bytes,
}

impl ParquetRows {
    /// Makes the format of a schema, in Parquet's own notation:
    /// `message order { required int64 id; optional binary town (STRING); }`.
    ///
    /// # Errors
    /// If it is not a schema, or has a column that cannot be written.
    pub fn new(schema: &str) -> Result<Self, SerdeError> {
        let custom = |text: String| SerdeError::Custom(text);
        let schema = parse_message_type(schema).map_err(|error| custom(error.to_string()))?;
        let columns: Result<Vec<_>, _> = schema.get_fields().iter().map(|field| column(field)).collect();
        let columns = columns.map_err(custom)?;
        if columns.is_empty() {
            return Err(custom("a schema without columns".to_owned()));
        }
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        Ok(Self { schema: Arc::new(schema), properties: Arc::new(properties), columns })
    }

    /// The cells of a row, one for each column.
    fn cells(&self, record: &[u8]) -> Result<Vec<Option<Cell>>, String> {
        let mut fields: Map<String, Value> = serde_json::from_slice(record).map_err(|error| error.to_string())?;
        let cell = |column: &Column| {
            let Column { name, is_optional, kind } = column;
            match fields.remove(name) {
                None | Some(Value::Null) if *is_optional => Ok(None),
                None => Err(format!("no field `{name}`")),
                Some(value) => kind.cell(value).map(Some).map_err(|value| format!("field `{name}`: {value}")),
            }
        };
        self.columns.iter().map(cell).collect()
    }
}

impl RowFormat for ParquetRows {
    fn check(&self, record: &[u8]) -> Result<(), String> {
        self.cells(record).map(drop)
    }

    fn write(&self, records: &mut dyn Iterator<Item = io::Result<Vec<u8>>>, to: &mut File) -> io::Result<()> {
        let (schema, properties) = (Arc::clone(&self.schema), Arc::clone(&self.properties));
        let mut file = SerializedFileWriter::new(to, schema, properties).map_err(Error::other)?;
        let empty = || self.columns.iter().map(|column| Cells::new(column.is_optional)).collect::<Vec<_>>();
        let (mut group, mut bytes) = (empty(), 0);
        for record in records {
            let record = record?;
            let cells = self.cells(&record).map_err(|reason| Error::new(ErrorKind::InvalidData, reason))?;
            group.iter_mut().zip(cells).for_each(|(column, cell)| column.push(cell));
            bytes += record.len();
            if bytes >= GROUP_BYTES {
                write_group(&mut file, &std::mem::replace(&mut group, empty()))?;
                bytes = 0;
            }
        }
        if bytes > 0 {
            write_group(&mut file, &group)?;
        }
        file.close().map(drop).map_err(Error::other)
    }
}

/// The column of a field of the schema, or why it cannot be written.
fn column(field: &Type) -> Result<Column, String> {
    let (name, info) = (field.name().to_owned(), field.get_basic_info());
    let refused = |what: &str| Err(format!("column `{name}` {what}"));
    if field.is_group() {
        return refused("is a group, a list or a map");
    }
    let is_optional = match info.repetition() {
        Repetition::REQUIRED => false,
        Repetition::OPTIONAL => true,
        Repetition::REPEATED => return refused("is repeated"),
    };
    let kind = match (field.get_physical_type(), info.converted_type()) {
        (_, ConvertedType::DECIMAL) => return refused("is a decimal"),
        (Physical::BOOLEAN, _) => Kind::Boolean,
        (Physical::INT32, converted) => int(converted),
        (Physical::INT64, converted) => Kind::Long { is_signed: converted != ConvertedType::UINT_64 },
        (Physical::FLOAT, _) => Kind::Float,
        (Physical::DOUBLE, _) => Kind::Double,
        (Physical::BYTE_ARRAY, ConvertedType::UTF8 | ConvertedType::ENUM) => Kind::Text,
        (Physical::BYTE_ARRAY, ConvertedType::JSON) => Kind::Json,
        (Physical::BYTE_ARRAY, ConvertedType::NONE) => Kind::Bytes,
        (Physical::BYTE_ARRAY | Physical::INT96 | Physical::FIXED_LEN_BYTE_ARRAY, _) => {
            return refused("has a type that is not written");
        }
    };
    Ok(Column { name, is_optional, kind })
}

/// The whole numbers that a column of four bytes takes.
fn int(converted: ConvertedType) -> Kind {
    let (least, most) = match converted {
        ConvertedType::INT_8 => (i8::MIN.into(), i8::MAX.into()),
        ConvertedType::INT_16 => (i16::MIN.into(), i16::MAX.into()),
        ConvertedType::UINT_8 => (0, u8::MAX.into()),
        ConvertedType::UINT_16 => (0, u16::MAX.into()),
        ConvertedType::UINT_32 => (0, u32::MAX.into()),
        _ => (i32::MIN.into(), i32::MAX.into()),
    };
    Kind::Int { least, most }
}

impl Kind {
    /// The cell of a value, or what is wrong with that.
    fn cell(self, value: Value) -> Result<Cell, String> {
        let cell = match (self, &value) {
            (Self::Boolean, Value::Bool(value)) => Some(Cell::Boolean(*value)),
            (Self::Int { least, most }, Value::Number(number)) => number
                .as_i64()
                .filter(|number| (least..=most).contains(number))
                // Numbers without a sign are kept in the bytes of those with one.
                .and_then(|number| {
                    i32::try_from(number).ok().or_else(|| Some(u32::try_from(number).ok()?.cast_signed()))
                })
                .map(Cell::Int),
            (Self::Long { is_signed: true }, Value::Number(number)) => number.as_i64().map(Cell::Long),
            (Self::Long { is_signed: false }, Value::Number(number)) => {
                number.as_u64().map(|number| Cell::Long(number.cast_signed()))
            }
            #[expect(clippy::cast_possible_truncation, reason = "the column has this precision")]
            (Self::Float, Value::Number(number)) => number.as_f64().map(|number| Cell::Float(number as f32)),
            (Self::Double, Value::Number(number)) => number.as_f64().map(Cell::Double),
            (Self::Text, Value::String(text)) => Some(Cell::Bytes(text.as_bytes().to_vec())),
            (Self::Json, value) => serde_json::to_vec(value).ok().map(Cell::Bytes),
            (Self::Bytes, Value::String(text)) => from_base64(text).map(Cell::Bytes),
            _ => None,
        };
        cell.ok_or_else(|| format!("{} is not {}", shown(&value), self.told()))
    }

    /// The values that it takes, in words.
    fn told(self) -> String {
        let words = match self {
            Self::Boolean => "true or false",
            Self::Int { least, most } => return format!("a whole number from {least} to {most}"),
            Self::Long { is_signed: true } => "a whole number of eight bytes",
            Self::Long { is_signed: false } => "a whole number of eight bytes without a sign",
            Self::Float | Self::Double => "a number",
            Self::Text => "text",
            Self::Json => "a value",
            Self::Bytes => "text in base 64",
        };
        words.to_owned()
    }
}

/// The beginning of a value, for messages.
fn shown(value: &Value) -> String {
    value.to_string().chars().take(40).collect()
}

/// Bytes of the records of a group of rows, which is in memory while it is written.
const GROUP_BYTES: usize = 16 << 20;
