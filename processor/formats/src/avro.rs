//! Avro's binary encoding.

#[cfg(feature = "registry")]
pub(crate) mod foreign;
#[cfg(feature = "registry")]
mod resolve;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema::{DecimalSchema, InnerDecimalSchema, Name};
use apache_avro::util::max_allocation_bytes;
use apache_avro::writer::datum::GenericDatumWriter;
use processor::serde::short_type_name;
use processor::{Owned, Serde, SerdeError};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Most memory that one string, array or map of a record may take, in bytes.
///
/// The library keeps the limit for the whole program and takes the first that it is given.
const ALLOCATION_MAX_BYTES: usize = 64 << 20;
/// Most levels of types in each other: each takes some of the stack.
const DEPTH_MAX: usize = 128;
/// Most parts of a value that take no bytes, for one byte of it: each takes time.
const EMPTY_PARTS_MAX: usize = 256;
const SYMBOLS_MAX: usize = 1 << 16;
/// Each branch of one schema is compared with each of the other.
const BRANCHES_MAX: usize = 1_000;

/// A `T` in Avro's binary encoding, with nothing before or after it, written and read with one schema.
///
/// Fields of `T` are matched with those of the schema by name, as `serde` has them, and have its types: an `int` is an
/// `i32` (or `i8`, `u8`, `i16`, `u16`), a `long` an `i64` or a `u32`, a `float` an `f32`, and a union of null and one
/// other type an `Option`. For records whose schema changes in the course of time, there is a schema registry: see
/// `SchemaRegistry::avro`.
///
/// A string, array or map takes at most 64 MiB.
pub struct Avro<T> {
    codec: Arc<Codec>,
    of: PhantomData<fn() -> T>,
}

impl<T> Avro<T> {
    /// Makes the format of a schema, given as JSON. A program may make a few, as it has topics: a schema is kept until
    /// the program ends.
    ///
    /// # Errors
    /// If it is not a schema, or one that refers to itself (a list whose nodes hold the next node): a few bytes of a
    /// record could then take all of the stack. Nor may the items of an array take no bytes, as null does: a few bytes
    /// could say that there are endlessly many.
    pub fn new(schema: &str) -> Result<Self, SerdeError> {
        let schema = Schema::parse_str(schema).map_err(custom)?;
        Ok(Self { codec: Arc::new(Codec::new(schema, Vec::new())?), of: PhantomData })
    }
}

impl<T> Clone for Avro<T> {
    fn clone(&self) -> Self {
        Self { codec: Arc::clone(&self.codec), of: PhantomData }
    }
}

impl<T> fmt::Debug for Avro<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Avro").field(&self.codec.schema.canonical_form()).finish()
    }
}

impl<T: Serialize + DeserializeOwned + 'static> Serde for Avro<T> {
    type View = Owned<T>;

    /// # Errors
    /// If the bytes are not a value of the schema, or that value is not a `T`.
    fn decode(&self, bytes: &[u8]) -> Result<T, SerdeError> {
        self.codec.read(bytes)
    }

    /// # Errors
    /// If the value does not fit the schema.
    fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.codec.write(value, out)
    }

    /// With the schema in its canonical form: another schema is another format.
    fn name(&self) -> String {
        format!("{}({})", short_type_name::<Self>(), self.codec.schema.canonical_form())
    }
}

/// A schema with what reads and writes its values.
pub(crate) struct Codec {
    schema: &'static Schema,
    /// The schemas that it refers to by name.
    others: &'static [Schema],
    reader: GenericDatumReader<'static>,
    writer: GenericDatumWriter<'static>,
}

impl Codec {
    /// Readers and writers borrow their schema, so it is never freed: there are as many as a job has formats,
    /// and versions of them.
    pub(crate) fn new(schema: Schema, others: Vec<Schema>) -> Result<Self, SerdeError> {
        max_allocation_bytes(ALLOCATION_MAX_BYTES);
        refuse_endless(&schema, &others)?;
        let schema: &'static Schema = Box::leak(Box::new(schema));
        let others: &'static [Schema] = Box::leak(others.into_boxed_slice());
        let all = || others.iter().chain([schema]).collect();
        let reader =
            GenericDatumReader::builder(schema).writer_schemata(all()).map_err(custom)?.build().map_err(custom)?;
        let writer = GenericDatumWriter::builder(schema).schemata(all()).map_err(custom)?.build().map_err(custom)?;
        Ok(Self { schema, others, reader, writer })
    }

    pub(crate) fn read<T: DeserializeOwned>(&self, mut bytes: &[u8]) -> Result<T, SerdeError> {
        let value = self.reader.read_deser(&mut bytes).map_err(custom)?;
        at_end(bytes).map(|()| value)
    }

    pub(crate) fn write<T: Serialize>(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.writer.write_ser(out, value).map(drop).map_err(custom)
    }

    /// How values that were written with `writer` become values of this schema, by Avro's schema resolution.
    #[cfg(feature = "registry")]
    pub(crate) fn resolver(&self, writer: &Schema, others: &[Schema]) -> Result<Resolver, SerdeError> {
        refuse_endless(writer, others)?;
        if others.is_empty() && self.others.is_empty() && *writer == *self.schema {
            return Ok(Resolver::Same);
        }
        let (of_writer, of_reader) = (named(writer, others), named(self.schema, self.others));
        Ok(Resolver::Other(resolve::Plan::new((writer, &of_writer), (self.schema, &of_reader))))
    }

    #[cfg(feature = "registry")]
    pub(crate) fn read_as<T: DeserializeOwned>(&self, resolver: &Resolver, mut bytes: &[u8]) -> Result<T, SerdeError> {
        match resolver {
            Resolver::Same => self.read(bytes),
            Resolver::Other(plan) => {
                let mut value = Vec::with_capacity(bytes.len());
                plan.rewrite(&mut bytes, &mut value)?;
                at_end(bytes)?;
                self.read(&value)
            }
        }
    }
}

/// How values of a writer's schema become those of the reader's.
#[cfg(feature = "registry")]
pub(crate) enum Resolver {
    /// The schemas are equal.
    Same,
    Other(resolve::Plan),
}

fn at_end(rest: &[u8]) -> Result<(), SerdeError> {
    match rest.len() {
        0 => Ok(()),
        more => Err(SerdeError::Custom(format!("{more} bytes behind the value"))),
    }
}

pub(crate) fn custom(error: impl fmt::Display) -> SerdeError {
    SerdeError::Custom(error.to_string())
}

/// Schemas by their names and aliases.
fn named<'s>(schema: &'s Schema, others: &'s [Schema]) -> HashMap<Name, &'s Schema> {
    let mut named = HashMap::new();
    others.iter().chain([schema]).for_each(|schema| collect(schema, &mut named));
    named
}

/// Refuses a schema of which a value can hold another value of the same type, and so can nest as deep as its bytes are
/// many; one of which a value can have more items than bytes; and one that is larger than schemas are.
fn refuse_endless(schema: &Schema, others: &[Schema]) -> Result<(), SerdeError> {
    let named = named(schema, others);
    let mut search = Search { named: &named, open: HashSet::new(), done: HashMap::new() };
    others.iter().chain([schema]).try_for_each(|schema| search.visit(schema, 0).map(drop))
}

fn collect<'s>(schema: &'s Schema, named: &mut HashMap<Name, &'s Schema>) {
    if let Some(name) = schema.name().filter(|_| !matches!(schema, Schema::Ref { .. })) {
        let aliases = schema.aliases().into_iter().flatten();
        for alias in aliases.map(|alias| alias.fully_qualified_name(name.namespace())) {
            named.entry(alias.into_owned()).or_insert(schema);
        }
        named.insert(name.clone(), schema);
    }
    parts(schema).into_iter().for_each(|part| collect(part, named));
}

/// The schemas inside a schema.
fn parts(schema: &Schema) -> Vec<&Schema> {
    match schema {
        Schema::Array(array) => vec![&array.items],
        Schema::Map(map) => vec![&map.types],
        Schema::Union(union) => union.variants().iter().collect(),
        Schema::Record(record) => record.fields.iter().map(|field| &field.schema).collect(),
        _ => Vec::new(),
    }
}

struct Search<'s> {
    named: &'s HashMap<Name, &'s Schema>,
    /// The records in which the search is. Several may have one name.
    open: HashSet<*const Schema>,
    done: HashMap<*const Schema, Shape>,
}

/// The shape of the values of a schema that does not refer to itself.
#[derive(Clone, Copy)]
struct Shape {
    /// The levels of types in it.
    depth: usize,
    takes_bytes: bool,
    /// The most parts without a byte that come with a byte of it, or with all of it if it takes none.
    empty_parts: usize,
}

impl Shape {
    const BYTES: Self = Self { depth: 1, takes_bytes: true, empty_parts: 0 };
    const NOTHING: Self = Self { depth: 1, takes_bytes: false, empty_parts: 1 };

    /// That of a value that has one of these, or any number of them, behind bytes of its own.
    fn around(parts: &[Self]) -> Self {
        parts.iter().fold(Self::BYTES, |all, part| Self {
            depth: all.depth.max(part.depth + 1),
            empty_parts: all.empty_parts.max(part.empty_parts),
            ..all
        })
    }

    /// That of a record with these fields.
    fn of_record(fields: &[Self]) -> Self {
        let of = |takes_bytes| fields.iter().filter(move |field| field.takes_bytes == takes_bytes);
        let empty: usize = of(false).map(|field| field.empty_parts).sum();
        let most = of(true).map(|field| field.empty_parts).max();
        Self {
            depth: 1 + fields.iter().map(|field| field.depth).max().unwrap_or(0),
            takes_bytes: most.is_some(),
            empty_parts: most.map_or(1 + empty, |most| most + empty),
        }
    }
}

impl Search<'_> {
    /// Returns the shape of a schema that is inside `above` others.
    fn visit(&mut self, schema: &Schema, above: usize) -> Result<Shape, SerdeError> {
        let too_deep = || custom(format_args!("types nest deeper than {DEPTH_MAX} in each other"));
        if above > DEPTH_MAX {
            return Err(too_deep());
        }
        let shape = match schema {
            Schema::Record(record) => self.enter(&record.name, schema, above)?,
            Schema::Ref { name } => match self.named.get(name) {
                Some(schema) => self.visit(schema, above)?,
                None => return Err(custom(format_args!("there is no type {name}"))),
            },
            Schema::Null => Shape::NOTHING,
            Schema::Fixed(fixed) | Schema::Decimal(DecimalSchema { inner: InnerDecimalSchema::Fixed(fixed), .. })
                if fixed.size == 0 =>
            {
                Shape::NOTHING
            }
            Schema::Enum(symbols) if symbols.symbols.len() > SYMBOLS_MAX => {
                return Err(custom(format_args!("{} has more than {SYMBOLS_MAX} symbols", symbols.name)));
            }
            Schema::Union(union) if union.variants().len() > BRANCHES_MAX => {
                return Err(custom(format_args!("a union has more than {BRANCHES_MAX} branches")));
            }
            _ => {
                let parts = self.visit_parts(schema, above)?;
                if matches!(schema, Schema::Array(_)) && parts.iter().any(|items| !items.takes_bytes) {
                    let endless = "the items of an array take no bytes, so that a few bytes could hold endlessly many";
                    return Err(custom(endless));
                }
                Shape::around(&parts)
            }
        };
        if above + shape.depth > DEPTH_MAX {
            return Err(too_deep());
        }
        if shape.empty_parts > EMPTY_PARTS_MAX {
            return Err(custom(format_args!("more than {EMPTY_PARTS_MAX} parts of a value take no bytes")));
        }
        Ok(shape)
    }

    fn visit_parts(&mut self, schema: &Schema, above: usize) -> Result<Vec<Shape>, SerdeError> {
        parts(schema).into_iter().map(|part| self.visit(part, above + 1)).collect()
    }

    fn enter(&mut self, name: &Name, record: &Schema, above: usize) -> Result<Shape, SerdeError> {
        let place = std::ptr::from_ref(record);
        if let Some(shape) = self.done.get(&place) {
            return Ok(*shape);
        }
        if !self.open.insert(place) {
            return Err(SerdeError::Custom(format!(
                "the schema {name} refers to itself, so that a few bytes could nest without end; give it a fixed depth"
            )));
        }
        let shape = Shape::of_record(&self.visit_parts(record, above)?);
        self.open.remove(&place);
        self.done.insert(place, shape);
        Ok(shape)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct User {
        name: String,
        favorite_number: Option<i64>,
        tags: Vec<String>,
    }

    const USER: &str = r#"{"type": "record", "name": "User", "fields": [
        {"name": "name", "type": "string"},
        {"name": "favorite_number", "type": ["null", "long"]},
        {"name": "tags", "type": {"type": "array", "items": "string"}}
    ]}"#;

    #[test]
    fn a_value_is_encoded_as_the_specification_has_it() {
        let format = Avro::<User>::new(USER).expect("a schema");
        let user = User { name: "foo".to_owned(), favorite_number: Some(27), tags: vec!["a".to_owned()] };
        let mut out = Vec::new();
        format.encode(&user, &mut out).expect("encodes");
        // A string is its length and its bytes, a union the index of the branch, an array a block of one item and
        // one of none; lengths and numbers are zigzag varints.
        assert_eq!(out, [0x06, 0x66, 0x6f, 0x6f, 0x02, 0x36, 0x02, 0x02, 0x61, 0x00]);
        assert_eq!(format.decode(&out), Ok(user));
        assert_eq!(
            format.decode(&[out.as_slice(), &[0]].concat()).unwrap_err().to_string(),
            "1 bytes behind the value"
        );
        for end in 0..out.len() {
            assert!(format.decode(&out[..end]).is_err(), "cut at {end}");
        }
        assert!(format.name().starts_with("Avro<User>({\"name\":\"User\""), "{}", format.name());
    }

    #[test]
    fn lengths_that_no_record_has_are_refused_before_memory_is_taken() {
        let format = Avro::<User>::new(USER).expect("a schema");
        // 2^40 bytes of a string; 2^40 items of an array.
        let huge = [0x80, 0x80, 0x80, 0x80, 0x80, 0x40];
        assert!(format.decode(&huge).is_err());
        assert!(format.decode(&[&[0x00, 0x00][..], &huge].concat()).is_err());
    }

    #[test]
    fn a_schema_that_refers_to_itself_is_refused() {
        let list = r#"{"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]}"#;
        assert!(Avro::<User>::new(list).unwrap_err().to_string().contains("Node refers to itself"));
        // A type that is used twice does not.
        let twice = r#"{"type": "record", "name": "Pair", "fields": [
            {"name": "a", "type": {"type": "record", "name": "Half", "fields": [{"name": "x", "type": "int"}]}},
            {"name": "b", "type": "Half"}
        ]}"#;
        assert!(Avro::<User>::new(twice).is_ok());
        assert!(Avro::<User>::new("{").is_err());
    }

    #[test]
    fn a_schema_whose_items_take_no_bytes_is_refused() {
        let array = |items: &str| Avro::<User>::new(&format!(r#"{{"type": "array", "items": {items}}}"#));
        let empty = r#"{"type": "record", "name": "Empty", "fields": [{"name": "x", "type": "null"}]}"#;
        for items in ["\"null\"", empty, r#"{"type": "fixed", "name": "None", "size": 0}"#] {
            assert!(array(items).unwrap_err().to_string().contains("endlessly many"), "{items}");
        }
        assert!(array(r#"["null", "int"]"#).is_ok());
        let map = r#"{"type": "map", "values": "null"}"#;
        assert!(Avro::<User>::new(map).is_ok(), "its keys take bytes");
    }
}
