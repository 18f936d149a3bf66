//! One line of comma-separated values, seen without a copy.

use std::marker::PhantomData;

use processor::serde::short_type_name;
use processor::{Serde, SerdeError, View};
use serde::{Deserialize, Serialize};

use super::fields::Fields;
use super::write_line;

/// A value as one line of comma-separated values, whose text borrows from the record: for types that derive
/// [`View`](macro@processor::View).
///
/// A field of type `&str` is a slice of the record, and takes no memory. Text with a doubled quote in it is not in the
/// record as it is, so a `&str` cannot show it and the record is undecodable; a `Cow<str>` with `#[serde(borrow)]`
/// borrows where it can, and owns where it must. The bytes are those of [`Csv`](super::Csv), and so is the name: a job
/// may go from one to the other.
///
/// ```
/// use std::borrow::Cow;
///
/// use processor::driver::TestDriver;
/// use processor::{Raw, Topology, View};
/// use processor_formats::CsvView;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, View, Serialize, Deserialize)]
/// struct Order<'a> {
///     customer: &'a str,
///     #[serde(borrow)]
///     note: Cow<'a, str>,
///     amount: u64,
/// }
///
/// let mut job = Topology::builder("large-orders");
/// job.stream("orders", CsvView::<Order>::new())
///     .filter(|order| order.value.amount > 100)
///     .to("large", Raw, CsvView::<Order>::new());
/// let mut driver = TestDriver::new(job.build().expect("a sound job"));
/// driver.pipe("orders", None, r#"ann,"a ""gift""",120"#, 1);
/// driver.pipe("orders", None, "bob,,7", 2);
/// driver.settle();
/// assert_eq!(driver.read("large").len(), 1);
/// ```
pub struct CsvView<V> {
    delimiter: u8,
    of: PhantomData<fn() -> V>,
}

delimited!(CsvView);

impl<V> Serde for CsvView<V>
where
    V: View,
    for<'a> V::Ref<'a>: Deserialize<'a> + Serialize,
{
    type View = V;

    /// # Errors
    /// As [`Csv`](super::Csv), and if a `&str` cannot show a text.
    fn decode<'a>(&self, bytes: &'a [u8]) -> Result<V::Ref<'a>, SerdeError> {
        let mut fields = Fields::of(bytes, self.delimiter)?;
        let value = Deserialize::deserialize(&mut fields).map_err(SerdeError::from)?;
        fields.end()?;
        Ok(value)
    }

    fn encode(&self, value: &V::Ref<'_>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        write_line(self.delimiter, value, out)
    }

    /// That of [`Csv`](super::Csv), since the bytes are the same.
    fn name(&self) -> String {
        // Compilers differ in whether they print the lifetime of a type.
        let of = short_type_name::<V>();
        let of = of.strip_suffix("<'_>").or_else(|| of.strip_suffix("<'static>")).unwrap_or(&of);
        format!("Csv<{of}>({})", self.delimiter.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use processor::Owned;
    use proptest::prelude::*;

    use super::super::Csv;
    use super::*;

    #[derive(Clone, Debug, PartialEq, View, Serialize, Deserialize)]
    struct Order<'a> {
        id: u32,
        text: &'a str,
        #[serde(borrow)]
        note: Cow<'a, str>,
        price: Option<f64>,
    }

    fn order<'a>(text: &'a str, note: &'a str, price: Option<f64>) -> Order<'a> {
        Order { id: 7, text, note: Cow::Borrowed(note), price }
    }

    #[test]
    fn text_is_borrowed_from_the_line() {
        let csv = CsvView::<Order>::new();
        let line = "7,plain,\"a, b\",2.5\r\n";
        let read = csv.decode(line.as_bytes()).expect("a line");
        assert_eq!(read, order("plain", "a, b", Some(2.5)));
        let inside = |text: &str| line.as_bytes().as_ptr_range().contains(&text.as_ptr());
        assert!(inside(read.text) && matches!(read.note, Cow::Borrowed(note) if inside(note)));
        let marked = csv.decode(b"\xef\xbb\xbf7,plain,,").expect("a line");
        assert_eq!(marked, order("plain", "", None));
        let read = csv.decode(b"7,\"q\",\"a \"\"b\"\"\nc\",").expect("a line");
        assert_eq!(read, order("q", "a \"b\"\nc", None));
        assert!(matches!(read.note, Cow::Owned(_)));
        let mut out = Vec::new();
        csv.encode(&read, &mut out).expect("encodes");
        assert_eq!(out, b"7,q,\"a \"\"b\"\"\nc\",");
    }

    #[test]
    fn an_error_names_the_field_and_says_what_to_do() {
        let csv = CsvView::<Order>::new();
        let error = |line: &str| csv.decode(line.as_bytes()).expect_err(line).to_string();
        assert!(error("x,a,b,").contains("field 0: `x` is no u32"), "{}", error("x,a,b,"));
        assert!(error("7,\"a\"\"\",b,").contains("make the field a `Cow<str>`"), "{}", error("7,\"a\"\"\",b,"));
        assert!(error("7,a").contains("invalid length 2"), "{}", error("7,a"));
        assert!(error("7,a,b,,").contains("more fields than the type has"), "{}", error("7,a,b,,"));
        assert_eq!(error(""), "no line of CSV");
        assert_eq!(error("7,a,b,\n8,c,d,"), "more than one line of CSV");
        assert!(csv.decode(b"7,\xff,b,").is_err());
    }

    #[test]
    fn a_job_may_go_over_from_the_owned_format() {
        #[derive(Serialize, Deserialize)]
        struct Line {}
        #[derive(Clone, View, Serialize, Deserialize)]
        struct Seen<'a> {
            text: &'a str,
        }
        assert_eq!(
            CsvView::<Seen>::delimited_by(b';').name(),
            Csv::<Line>::delimited_by(b';').name().replace("Line", "Seen")
        );
    }

    proptest! {
        /// Any line is read as the owned format reads it, and what one writes the other reads.
        #[test]
        fn lines_are_those_of_the_owned_format(line in "[a1,\"\r\n ;]{0,12}") {
            let (owned, seen) = (Csv::<Vec<String>>::new(), CsvView::<Owned<Vec<String>>>::new());
            prop_assert_eq!(owned.decode(line.as_bytes()).ok(), seen.decode(line.as_bytes()).ok(), "{:?}", line);
        }

        /// Files of some programs begin with a mark, and any text may.
        #[test]
        fn a_byte_order_mark_belongs_to_no_line(text in "\u{feff}{0,2}[a,\"\n]{0,2}", line in "\u{feff}{0,2}[a1,\"\r\n]{0,4}") {
            let (owned, seen) = (Csv::<(String, u8)>::new(), CsvView::<Owned<(String, u8)>>::new());
            let (mut out, value) = (Vec::new(), (text, 7));
            seen.encode(&value, &mut out).expect("encodes");
            prop_assert_eq!((owned.decode(&out).ok(), seen.decode(&out).ok()), (Some(value.clone()), Some(value)));
            let (owned, seen) = (Csv::<Vec<String>>::new(), CsvView::<Owned<Vec<String>>>::new());
            prop_assert_eq!(owned.decode(line.as_bytes()).ok(), seen.decode(line.as_bytes()).ok(), "{:?}", line);
        }

        #[test]
        fn values_come_back(text in ".{0,8}", number in any::<i64>(), float in any::<Option<f32>>(), flag: bool) {
            let csv = CsvView::<Owned<(String, i64, Option<f32>, bool, char)>>::new();
            let value = (text, number, float.filter(|float| !float.is_nan()), flag, 'x');
            let mut out = Vec::new();
            csv.encode(&value, &mut out).expect("encodes");
            prop_assert_eq!(csv.decode(&out), Ok(value));
        }
    }
}
