//! Messages made from the schemas: bytes put together by the rules of KIP-482 and of the classic format, without
//! the codec under test.

use std::sync::LazyLock;

use bytes::BufMut;
use kafka_wire::wire::varint::put_unsigned_varint;
use kafka_wire_codegen::schema::{Field, Schema, Struct, Type, Value};

static SCHEMAS: LazyLock<Vec<Schema>> = LazyLock::new(|| kafka_wire_codegen::schemas().expect("the schemas are right"));

/// A choice to be made while a message is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A byte of a number.
    Byte,
    /// The number of elements of a list.
    Elements,
    /// The number of bytes of a string or byte field.
    Length,
    /// Whether a value that may be null is null; not if 0.
    Null,
    /// Whether a known tagged field is present; not if 0.
    Tagged,
    /// The number of unknown tagged fields of a struct.
    UnknownTags,
}

/// Bytes of one version of a message.
#[derive(Debug)]
pub struct Made {
    /// The encoded message.
    pub bytes: Vec<u8>,
    /// Whether the codec has to write exactly these bytes for it: no tagged field is present that may
    /// have its default value.
    pub is_exact: bool,
}

/// Makes the message of this name in Kafka's schema; `choose` makes every choice. `None` if no schema has the name.
pub fn make(name: &str, version: i16, choose: &mut dyn FnMut(Ask) -> usize) -> Option<Made> {
    let (schema, of) = SCHEMAS.iter().find_map(|schema| Some((schema, schema.find(name)?)))?;
    let is_flexible = of.flexible.is_some_and(|since| version >= since);
    let mut maker = Maker { schema, version, is_flexible, choose, is_exact: true };
    let mut bytes = Vec::new();
    maker.structure(of, &mut bytes);
    Some(Made { is_exact: maker.is_exact, bytes })
}

struct Maker<'a> {
    schema: &'static Schema,
    version: i16,
    is_flexible: bool,
    choose: &'a mut dyn FnMut(Ask) -> usize,
    is_exact: bool,
}

impl Maker<'_> {
    fn structure(&mut self, of: &'static Struct, out: &mut Vec<u8>) {
        // A struct that several messages use has only the versions of the first of them.
        let version = self.version.clamp(of.versions.first, of.versions.last);
        let present = || of.fields.iter().filter(move |field| field.versions.contains(version));
        for field in present().filter(|field| field.tag.is_none()) {
            self.field(field, out);
        }
        if !self.is_flexible {
            return;
        }
        let mut tags = Vec::new();
        for field in present() {
            let Some(tag) = field.tag else { continue };
            if (self.choose)(Ask::Tagged) == 0 {
                continue;
            }
            let mut value = Vec::new();
            self.field(field, &mut value);
            self.is_exact &= is_set(field, &value);
            tags.push((tag, value));
        }
        tags.sort_by_key(|(tag, _)| *tag);
        // Unknown tags lie above those of all versions: Java refuses a tag that it knows from another version.
        let unknown = of.fields.iter().filter_map(|field| field.tag).max().map_or(0, |tag| tag + 1);
        for tag in unknown..unknown.saturating_add(self.ask(Ask::UnknownTags)) {
            let size = self.ask(Ask::Length) as usize;
            tags.push((tag, self.text(size)));
        }
        put_unsigned_varint(out, length(tags.len()));
        for (tag, value) in tags {
            put_unsigned_varint(out, tag);
            put_unsigned_varint(out, length(value.len()));
            out.extend(value);
        }
    }

    fn field(&mut self, field: &'static Field, out: &mut Vec<u8>) {
        let may_be_null = field.null.is_some_and(|versions| versions.contains(self.version));
        let is_flexible = self.is_flexible && !field.classic;
        let is_null = may_be_null && (self.choose)(Ask::Null) != 0;
        match (&field.ty, is_null) {
            // The null marker of a tagged struct is a varint, that of any other struct a signed byte.
            (Type::Struct(_), true) if field.tag.is_some() => out.put_u8(0),
            (Type::Struct(_), true) => out.put_i8(-1),
            (Type::Struct(_), false) if may_be_null => {
                out.put_i8(1);
                self.value(&field.ty, is_flexible, out);
            }
            (_, true) if is_flexible => out.put_u8(0),
            (Type::String, true) => out.put_i16(-1),
            (_, true) => out.put_i32(-1),
            (_, false) => self.value(&field.ty, is_flexible, out),
        }
    }

    fn value(&mut self, ty: &'static Type, is_flexible: bool, out: &mut Vec<u8>) {
        match ty {
            Type::Bool => out.put_u8(self.byte() & 1),
            Type::I8 => out.put_u8(self.byte()),
            Type::I16 | Type::U16 => self.number(2, out),
            Type::I32 => self.number(4, out),
            Type::I64 | Type::F64 => self.number(8, out),
            Type::Uuid => self.number(16, out),
            Type::String => {
                let size = self.ask(Ask::Length) as usize;
                match is_flexible {
                    true => put_unsigned_varint(out, length(size) + 1),
                    false => out.put_u16(u16::try_from(size).expect("a short text")),
                }
                let text = self.text(size);
                out.extend(text);
            }
            Type::Bytes | Type::Records => {
                let size = self.ask(Ask::Length) as usize;
                put_length(size, is_flexible, out);
                let text = self.text(size);
                out.extend(text);
            }
            Type::Array(element) => {
                let count = self.ask(Ask::Elements) as usize;
                put_length(count, is_flexible, out);
                for _ in 0..count {
                    self.value(element, is_flexible, out);
                }
            }
            Type::Struct(name) => self.structure(self.schema.find(name).expect("the schema was checked"), out),
        }
    }

    fn ask(&mut self, question: Ask) -> u32 {
        length((self.choose)(question))
    }

    fn byte(&mut self) -> u8 {
        (self.choose)(Ask::Byte).to_le_bytes()[0]
    }

    fn number(&mut self, size: usize, out: &mut Vec<u8>) {
        out.extend((0..size).map(|_| self.byte()));
    }

    /// ASCII letters, so that the text is UTF-8.
    fn text(&mut self, size: usize) -> Vec<u8> {
        (0..size).map(|_| b'a' + self.byte() % 26).collect()
    }
}

/// Whether the value of a tagged field is certainly not its default, which must not be written.
fn is_set(field: &Field, value: &[u8]) -> bool {
    use Type::{Bool, I8, I16, I32, I64, U16, Uuid};
    match (&field.ty, &field.default) {
        (Bool | I8 | I16 | U16 | I32 | I64 | Uuid, default) => {
            let number = if let Value::Number(number) = default { *number } else { 0 };
            !i128::from(number).to_be_bytes().ends_with(value)
        }
        (Type::F64 | Type::Struct(_), _) => false,
        // Of a type with a length, 0 is null and 1 is empty.
        (_, Value::Null) => value != [0],
        _ => value != [1],
    }
}

fn put_length(size: usize, is_flexible: bool, out: &mut Vec<u8>) {
    match is_flexible {
        true => put_unsigned_varint(out, length(size) + 1),
        false => out.put_u32(length(size)),
    }
}

fn length(size: usize) -> u32 {
    u32::try_from(size).expect("a message of a few megabytes at most")
}
