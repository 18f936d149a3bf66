//! One line of comma-separated values as a record.

/// Implements the constructors of a format with a delimiter, and what a derived implementation would ask of `T`.
macro_rules! delimited {
    ($format:ident) => {
        impl<T> $format<T> {
            /// Makes the format with a comma between the fields.
            #[must_use]
            pub const fn new() -> Self {
                Self::delimited_by(b',')
            }

            /// Makes the format with another byte between the fields: `b';'`, `b'\t'`.
            #[must_use]
            pub const fn delimited_by(delimiter: u8) -> Self {
                Self { delimiter, of: std::marker::PhantomData }
            }
        }

        impl<T> Default for $format<T> {
            fn default() -> Self {
                Self::new()
            }
        }

        impl<T> Clone for $format<T> {
            fn clone(&self) -> Self {
                Self::delimited_by(self.delimiter)
            }
        }

        impl<T> std::fmt::Debug for $format<T> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($format)).field("delimiter", &char::from(self.delimiter)).finish()
            }
        }
    };
}

mod fields;
mod view;

use std::fmt;
use std::marker::PhantomData;

use processor::serde::short_type_name;
use processor::{Owned, Serde, SerdeError};
use serde::de::{DeserializeOwned, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

pub use view::CsvView;

/// A `T` as one line of comma-separated values, its fields in the order in which `T` declares them, without a header.
///
/// A value that has the delimiter, a quote or a line break in it is quoted, as RFC 4180 has it. Written lines have
/// no line break at their end; one that is read is ignored, as is UTF-8's byte order mark at the beginning. `Option`
/// fields are empty where there is nothing.
pub struct Csv<T> {
    delimiter: u8,
    of: PhantomData<fn() -> T>,
}

delimited!(Csv);

impl<T: Serialize + DeserializeOwned + 'static> Serde for Csv<T> {
    type View = Owned<T>;

    /// # Errors
    /// If there is not exactly one line, or a field is missing, one too many, or not of its type: the message
    /// names the field by its index from 0.
    fn decode(&self, bytes: &[u8]) -> Result<T, SerdeError> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .delimiter(self.delimiter)
            .buffer_capacity(bytes.len().clamp(1, 8_192))
            .from_reader(bytes);
        let mut lines = reader.deserialize();
        let Whole(value) =
            lines.next().ok_or_else(|| SerdeError::Custom("no line of CSV".to_owned()))?.map_err(custom)?;
        match lines.next() {
            None => Ok(value),
            Some(_) => Err(SerdeError::Custom("more than one line of CSV".to_owned())),
        }
    }

    /// # Errors
    /// If `T` has fields that a line cannot hold, such as a map.
    fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        write_line(self.delimiter, value, out)
    }

    /// With the delimiter, which is part of the format.
    fn name(&self) -> String {
        format!("{}({})", short_type_name::<Self>(), self.delimiter.escape_ascii())
    }
}

/// Appends a value as a line without a line break at its end.
fn write_line(delimiter: u8, value: &impl Serialize, out: &mut Vec<u8>) -> Result<(), SerdeError> {
    let begin = out.len();
    let mut writer =
        csv::WriterBuilder::new().has_headers(false).delimiter(delimiter).buffer_capacity(256).from_writer(&mut *out);
    writer.serialize(value).map_err(custom)?;
    writer.flush().map_err(custom)?;
    drop(writer);
    // A mark is passed over when the line is read, so a text that begins with one needs another before it.
    if out[begin..].starts_with(fields::BOM) {
        out.splice(begin..begin, fields::BOM.iter().copied());
    }
    if out.last() == Some(&b'\n') {
        out.pop();
    }
    Ok(())
}

/// A value of all fields of a line. The CSV reader by itself passes over those that are left.
struct Whole<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Whole<T> {
    fn deserialize<D: Deserializer<'de>>(line: D) -> Result<Self, D::Error> {
        line.deserialize_tuple(2, WholeVisitor(PhantomData))
    }
}

struct WholeVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for WholeVisitor<T> {
    type Value = Whole<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a line")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut fields: A) -> Result<Whole<T>, A::Error> {
        let value = fields.next_element()?.ok_or_else(|| A::Error::custom("a line has no field"))?;
        match fields.next_element::<IgnoredAny>()? {
            None => Ok(Whole(value)),
            Some(_) => Err(A::Error::custom("a line has more fields than the type has")),
        }
    }
}

fn custom(error: impl fmt::Display) -> SerdeError {
    SerdeError::Custom(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Order {
        id: u32,
        text: String,
        price: Option<f64>,
    }

    fn encoded(format: &Csv<Order>, order: &Order) -> Vec<u8> {
        let mut out = b"before".to_vec();
        format.encode(order, &mut out).expect("encodes");
        out.split_off(6)
    }

    fn order(id: u32, text: &str, price: Option<f64>) -> Order {
        Order { id, text: text.to_owned(), price }
    }

    #[test]
    fn a_line_is_a_value_and_back() {
        let csv = Csv::<Order>::new();
        for (written, line) in [
            (order(1, "plain", Some(2.5)), "1,plain,2.5"),
            (order(2, "a, \"b\"\nc", None), "2,\"a, \"\"b\"\"\nc\","),
            (order(3, "", Some(-1.0)), "3,,-1.0"),
        ] {
            assert_eq!(encoded(&csv, &written), line.as_bytes());
            assert_eq!(csv.decode(line.as_bytes()), Ok(written));
        }
        assert_eq!(csv.decode(b"1,x,\r\n"), Ok(order(1, "x", None)));
    }

    #[test]
    fn parts_of_a_value_take_as_many_fields_as_they_have() {
        let nested = Csv::<(u8, Order, Option<u8>)>::new();
        assert_eq!(nested.decode(b"7,1,x,,"), Ok((7, order(1, "x", None), None)));
        assert!(nested.decode(b"7,1,x,,,").is_err());
        assert_eq!(Csv::<Vec<u8>>::new().decode(b"1,2,3"), Ok(vec![1, 2, 3]));
        assert_eq!(Csv::<u8>::new().decode(b"1"), Ok(1));
        assert!(Csv::<String>::new().decode(b"Smith, John").is_err());
    }

    #[test]
    fn another_delimiter_is_another_format() {
        let csv = Csv::<Order>::delimited_by(b';');
        assert_eq!(encoded(&csv, &order(1, "a,b;c", None)), b"1;\"a,b;c\";");
        assert_eq!((csv.name(), Csv::<Order>::new().name()), ("Csv<Order>(;)".to_owned(), "Csv<Order>(,)".to_owned()));
    }

    #[test]
    fn formats_show_their_delimiter() {
        assert_eq!(format!("{:?}", Csv::<Order>::delimited_by(b';')), "Csv { delimiter: ';' }");
        assert_eq!(format!("{:?}", CsvView::<Order>::new()), "CsvView { delimiter: ',' }");
    }

    #[test]
    fn an_error_names_the_field() {
        let csv = Csv::<Order>::new();
        let error = |line: &str| csv.decode(line.as_bytes()).expect_err(line).to_string();
        assert!(error("x,a,1").contains("field 0"), "{}", error("x,a,1"));
        assert!(error("1,a").contains("2"), "{}", error("1,a"));
        assert!(error("1,a,2,b").contains("more fields"), "{}", error("1,a,2,b"));
        assert_eq!(
            (error(""), error("1,a,\n2,b,")),
            ("no line of CSV".to_owned(), "more than one line of CSV".to_owned())
        );
        assert!(csv.decode(b"1,\xff,").is_err());
    }
}
