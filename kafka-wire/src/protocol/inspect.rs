//! Messages as JSON, as Kafka's own tools print them.
//!
//! [`json`] prints the same as Java's `XJsonConverter.write(message, version, false)`: field names and their order
//! as in Kafka's schema; all fields that the version has, but only those tagged fields that are set; byte fields in
//! base64, records as their size.

use bytes::Bytes;

use crate::wire::{Str, Uuid, base64};

/// A message, or a struct of one, that can be printed as a JSON object.
pub trait Inspect {
    /// Passes its fields with their values to `to`, as `version` has them.
    fn inspect(&self, version: i16, to: &mut Json);
}

/// Prints a message as one line of JSON.
pub fn json(message: &dyn Inspect, version: i16) -> String {
    let mut to = Json { text: String::new() };
    to.object(message, version);
    to.text
}

/// The text so far.
#[derive(Debug)]
pub struct Json {
    text: String,
}

impl Json {
    /// Adds a field of the struct that is being printed.
    pub fn field(&mut self, name: &str, value: &dyn Value, version: i16) {
        self.name(name);
        value.show(version, self);
    }

    /// Adds a records field: its size in bytes, under a name of its own, or null.
    pub fn records<'a>(&mut self, name: &str, value: impl Into<Option<&'a Bytes>>) {
        match value.into() {
            None => {
                self.name(name);
                self.text.push_str("null");
            }
            Some(value) => {
                self.name(&format!("{name}SizeInBytes"));
                self.text.push_str(&value.len().to_string());
            }
        }
    }

    fn name(&mut self, name: &str) {
        if !self.text.ends_with('{') {
            self.text.push(',');
        }
        self.text.push('"');
        self.text.push_str(name);
        self.text.push_str("\":");
    }

    fn object(&mut self, value: &dyn Inspect, version: i16) {
        self.text.push('{');
        value.inspect(version, self);
        self.text.push('}');
    }

    /// Appends quoted text. Escapes the same as Java's Jackson: quotes, backslashes, control characters.
    fn quoted(&mut self, text: &str) {
        self.text.push('"');
        for character in text.chars() {
            match character {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                '\u{8}' => self.text.push_str("\\b"),
                '\u{c}' => self.text.push_str("\\f"),
                '\0'..' ' => self.text.push_str(&format!("\\u{:04X}", u32::from(character))),
                other => self.text.push(other),
            }
        }
        self.text.push('"');
    }
}

/// A value of a field.
pub trait Value {
    /// Appends the value.
    fn show(&self, version: i16, to: &mut Json);
}

impl<T: Inspect> Value for T {
    fn show(&self, version: i16, to: &mut Json) {
        to.object(self, version);
    }
}

impl<T: Value> Value for Vec<T> {
    fn show(&self, version: i16, to: &mut Json) {
        let mut before = "[";
        for value in self {
            to.text.push_str(before);
            before = ",";
            value.show(version, to);
        }
        to.text.push_str(if self.is_empty() { "[]" } else { "]" });
    }
}

impl<T: Value> Value for Option<T> {
    fn show(&self, version: i16, to: &mut Json) {
        match self {
            Some(value) => value.show(version, to),
            None => to.text.push_str("null"),
        }
    }
}

macro_rules! numbers {
    ($($number:ident)*) => {$(
        impl Value for $number {
            fn show(&self, _: i16, to: &mut Json) {
                to.text.push_str(&self.to_string());
            }
        }
    )*};
}

numbers! { bool i8 i16 u16 i32 i64 }

/// Printed as by Java's `Double.toString`. Numbers that JSON cannot represent become strings.
impl Value for f64 {
    fn show(&self, _: i16, to: &mut Json) {
        match *self {
            number if number.is_nan() => to.quoted("NaN"),
            f64::INFINITY => to.quoted("Infinity"),
            f64::NEG_INFINITY => to.quoted("-Infinity"),
            number if number == 0.0 || (1e-3..1e7).contains(&number.abs()) => to.text.push_str(&format!("{number:?}")),
            number => {
                let text = format!("{number:E}");
                to.text.push_str(&if text.contains('.') { text } else { text.replace('E', ".0E") });
            }
        }
    }
}

impl Value for Str {
    fn show(&self, _: i16, to: &mut Json) {
        to.quoted(self);
    }
}

impl Value for Uuid {
    fn show(&self, _: i16, to: &mut Json) {
        to.quoted(&self.to_string());
    }
}

/// Printed in base64, with padding.
impl Value for Bytes {
    fn show(&self, _: i16, to: &mut Json) {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        to.text.push('"');
        to.text.extend(base64::digits(self, ALPHABET));
        to.text.push_str(["", "==", "="].get(self.len() % 3).copied().unwrap_or_default());
        to.text.push('"');
    }
}
