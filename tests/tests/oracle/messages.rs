//! Messages made from the schemas: a strategy of bytes for every version of every message.
//!
//! The bytes are put together here from the schema's text, by the rules of KIP-482 and of the classic format,
//! without the codec under test. They are such as a careless writer might send: a tagged field may be present
//! with its default value.

use std::fmt;
use std::sync::OnceLock;

use kafka_wire_codegen::schema::{Field, Schema, Struct, Type};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::ours::{Message, hex};

/// Bytes of a message; a failure shows them in hex.
#[derive(Clone)]
pub(crate) struct Frame(pub(crate) Vec<u8>);

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// Frames of a message at its version.
pub(crate) fn of(message: &Message) -> impl Strategy<Value = Frame> {
    let name = message.name();
    let found = schemas().iter().find_map(|schema| schema.find(name).map(|of| (schema, of)));
    let (schema, of) = found.unwrap_or_else(|| panic!("no schema of {name}"));
    let is_flexible = of.flexible.is_some_and(|since| message.version >= since);
    Maker { schema, version: message.version, is_flexible }.structure(of, 0).prop_map(Frame)
}

/// The schemas, read once.
pub(crate) fn schemas() -> &'static [Schema] {
    static SCHEMAS: OnceLock<Vec<Schema>> = OnceLock::new();
    SCHEMAS.get_or_init(|| kafka_wire_codegen::schemas().expect("the schemas are right"))
}

type Parts = BoxedStrategy<Vec<u8>>;

/// Makes parts of one version of one message.
#[derive(Clone, Copy)]
struct Maker {
    schema: &'static Schema,
    version: i16,
    is_flexible: bool,
}

impl Maker {
    /// All fields of a struct; `depth` is the number of lists around it, which get shorter the deeper they are.
    fn structure(self, of: &'static Struct, depth: usize) -> Parts {
        let present = || of.fields.iter().filter(|field| field.versions.contains(self.version));
        let plain = present().filter(|field| field.tag.is_none()).map(|field| self.field(field, depth));
        let plain = plain.collect::<Vec<_>>().prop_map(|parts| parts.concat());
        if !self.is_flexible {
            return plain.boxed();
        }
        let known = present().filter_map(|field| Some((field.tag?, self.field(field, depth))));
        let known = known.map(|(tag, value)| proptest::option::of(value).prop_map(move |value| Some((tag, value?))));
        // Java refuses a tag that any other version of the message knows, so unknown fields avoid those too.
        let taken = of.fields.iter().filter_map(|field| field.tag).max().map_or(0, |tag| tag + 1);
        let unknown = vec((0..200u32, vec(any::<u8>(), 0..6)), 0..3);
        let unknown = prop_oneof![9 => Just(Vec::new()), 1 => unknown];
        (plain, known.collect::<Vec<_>>(), unknown)
            .prop_map(move |(plain, known, unknown)| {
                let unknown = unknown.into_iter().map(|(tag, value)| (taken + tag, value));
                let mut tags = known.into_iter().flatten().chain(unknown).collect::<Vec<_>>();
                tags.sort();
                tags.dedup_by_key(|(tag, _)| *tag);
                let mut bytes = plain;
                bytes.extend(varint(tags.len()));
                for (tag, value) in tags {
                    bytes.extend(varint(tag as usize));
                    bytes.extend(varint(value.len()));
                    bytes.extend(value);
                }
                bytes
            })
            .boxed()
    }

    fn field(self, field: &'static Field, depth: usize) -> Parts {
        let may_be_null = field.null.is_some_and(|versions| versions.contains(self.version));
        let is_flexible = self.is_flexible && !field.classic;
        let value = Self { is_flexible, ..self }.value(&field.ty, depth, may_be_null);
        if !may_be_null {
            return value;
        }
        let null = match field.ty {
            // The null marker of a tagged struct is a varint, that of any other struct a signed byte.
            Type::Struct(_) if field.tag.is_some() => vec![0],
            Type::Struct(_) => vec![0xff],
            _ if is_flexible => vec![0],
            Type::String => vec![0xff; 2],
            _ => vec![0xff; 4],
        };
        prop_oneof![4 => value, 1 => Just(null)].boxed()
    }

    /// A value of a type; a struct that may be null is preceded by a marker.
    fn value(self, ty: &'static Type, depth: usize, may_be_null: bool) -> Parts {
        match ty {
            Type::Bool => any::<bool>().prop_map(|value| vec![u8::from(value)]).boxed(),
            Type::I8 => any::<i8>().prop_map(|value| value.to_be_bytes().to_vec()).boxed(),
            Type::I16 | Type::U16 => integer(any::<i16>(), &[0, -1]).prop_map(|v| v.to_be_bytes().to_vec()).boxed(),
            Type::I32 => integer(any::<i32>(), &[0, -1, i32::MAX]).prop_map(|v| v.to_be_bytes().to_vec()).boxed(),
            Type::I64 => integer(any::<i64>(), &[0, -1, i64::MAX]).prop_map(|v| v.to_be_bytes().to_vec()).boxed(),
            Type::F64 => any::<f64>().prop_map(|value| value.to_be_bytes().to_vec()).boxed(),
            Type::Uuid => prop_oneof![vec(any::<u8>(), 16), Just(vec![0; 16])].boxed(),
            Type::String => text().prop_map(move |text| self.behind_length(2, text.len(), text.into_bytes())).boxed(),
            Type::Bytes | Type::Records => {
                let bytes = prop_oneof![30 => vec(any::<u8>(), 0..12), 1 => vec(any::<u8>(), 100..200)];
                bytes.prop_map(move |bytes| self.behind_length(4, bytes.len(), bytes)).boxed()
            }
            Type::Array(element) => {
                let most = match (element.inner(), depth) {
                    (None, 0) => 12,
                    (_, 0) => 4,
                    (_, 1) => 3,
                    _ => 2,
                };
                let elements = vec(self.value(element, depth + 1, false), 0..=most);
                elements.prop_map(move |elements| self.behind_length(4, elements.len(), elements.concat())).boxed()
            }
            Type::Struct(name) => {
                let of = self.schema.find(name).unwrap_or_else(|| panic!("no struct {name}"));
                let value = self.structure(of, depth);
                if may_be_null { value.prop_map(|value| [vec![1], value].concat()).boxed() } else { value }
            }
        }
    }

    /// A length or count in its encoding, followed by the bytes that it counts; `classic` is its size in
    /// bytes before KIP-482.
    fn behind_length(self, classic: usize, length: usize, bytes: Vec<u8>) -> Vec<u8> {
        let mut all = if self.is_flexible { varint(length + 1) } else { length.to_be_bytes()[8 - classic..].to_vec() };
        all.extend(bytes);
        all
    }
}

/// Any integer, with special values more often than by chance.
fn integer<T: Copy + fmt::Debug + 'static>(
    any: impl Strategy<Value = T>,
    special: &'static [T],
) -> impl Strategy<Value = T> {
    prop_oneof![2 => any, 1 => select(special)]
}

fn text() -> impl Strategy<Value = String> {
    let letters = |letters: BoxedStrategy<char>, count| vec(letters, count).prop_map(String::from_iter);
    let plain = || prop_oneof![(b'a'..=b'z'), Just(b'-'), Just(b'.')].prop_map(char::from).boxed();
    prop_oneof![
        1 => Just(String::new()),
        6 => letters(plain(), 1..10),
        2 => letters(any::<char>().boxed(), 0..6),
        // A length around the one at which its varint gets a second byte.
        1 => prop_oneof![9 => letters(plain(), 3..4), 1 => letters(plain(), 125..130)],
    ]
}

fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}
