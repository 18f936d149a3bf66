//! Schema resolution: the bytes of a writer's schema become those of the reader's.
//!
//! A plan is made once for each writer's schema. By it a value is written anew without being held in between, and then
//! read as any that was written with the reader's schema. The rules are those of Avro 1.11,
//! [Schema Resolution](https://avro.apache.org/docs/1.11.1/specification/#schema-resolution). Where names differ and
//! there is nothing to choose between, they do not matter, as for the library of Java.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use apache_avro::Schema;
use apache_avro::schema::{
    DecimalSchema, EnumSchema, FixedSchema, InnerDecimalSchema, Name, RecordField, RecordSchema, UuidSchema,
};
use processor::SerdeError;
use serde_json::Value;

use super::{ALLOCATION_MAX_BYTES, custom};

/// How the bytes of a value become those of a value of the reader's schema.
#[derive(Debug)]
pub(crate) enum Plan {
    /// This many bytes, as they are.
    Bytes(usize),
    /// A number of variable length, as it is.
    Number,
    /// A length and its bytes, as they are.
    Text,
    /// A number of variable length that becomes a float.
    ToFloat,
    /// A number of variable length that becomes a double.
    ToDouble,
    /// A float that becomes a double.
    Widened,
    /// The items of an array, or the entries of a map.
    Blocks {
        has_keys: bool,
        value: Box<Plan>,
    },
    /// An index, by which the plan is chosen: that of a branch or of a symbol.
    Choice(Vec<Plan>),
    /// An index in the reader's schema, and the value behind it.
    Put(i64, Box<Plan>),
    Record(Arc<Fields>),
    /// There is no such value in the reader's schema.
    Never(String),
}

/// The fields of a record.
#[derive(Debug)]
pub(crate) struct Fields {
    /// Those of the writer, in its order. Some are not read.
    written: Vec<Plan>,
    /// Those of the reader, in its order.
    read: Vec<Field>,
}

#[derive(Debug)]
enum Field {
    /// The place among the writer's.
    Written(usize),
    /// The default, as bytes.
    Default(Vec<u8>),
}

/// Schemas by their names.
pub(super) type Named<'s> = HashMap<Name, &'s Schema>;

impl Plan {
    pub(super) fn new<'s>(writer: (&'s Schema, &'s Named<'s>), reader: (&'s Schema, &'s Named<'s>)) -> Self {
        let of = |(schema, named)| At { schema, named }.followed();
        Planner::default().plan(of(writer), of(reader), false)
    }

    /// Takes a value from the beginning of `bytes`, and appends it as the reader's schema has it.
    pub(super) fn rewrite(&self, bytes: &mut &[u8], out: &mut Vec<u8>) -> Result<(), SerdeError> {
        match self {
            Self::Bytes(count) => out.extend_from_slice(take(bytes, *count)?),
            Self::Number => put_number(number(bytes)?, out),
            Self::Text => text(bytes, out)?,
            Self::ToFloat => out.extend_from_slice(&(number(bytes)? as f32).to_le_bytes()),
            Self::ToDouble => out.extend_from_slice(&(number(bytes)? as f64).to_le_bytes()),
            Self::Widened => {
                let float = take(bytes, 4)?.first_chunk().map_or(0.0, |float| f32::from_le_bytes(*float));
                out.extend_from_slice(&f64::from(float).to_le_bytes());
            }
            Self::Blocks { has_keys, value } => loop {
                let mut count = number(bytes)?;
                if count < 0 {
                    // The size of the block follows, for those who pass over it.
                    number(bytes)?;
                    count = count.checked_neg().ok_or_else(cut_off)?;
                }
                put_number(count, out);
                if count == 0 {
                    break;
                }
                // Each takes a byte, so a count that is too large ends with the bytes.
                for _ in 0..count {
                    if *has_keys {
                        text(bytes, out)?;
                    }
                    value.rewrite(bytes, out)?;
                }
            },
            Self::Choice(plans) => {
                let index = number(bytes)?;
                let plan = usize::try_from(index).ok().and_then(|index| plans.get(index));
                plan.ok_or_else(|| custom(format_args!("{index} is no branch or symbol")))?.rewrite(bytes, out)?;
            }
            Self::Put(index, plan) => {
                put_number(*index, out);
                plan.rewrite(bytes, out)?;
            }
            Self::Record(fields) => fields.rewrite(bytes, out)?,
            Self::Never(reason) => return Err(custom(reason)),
        }
        Ok(())
    }
}

impl Fields {
    fn rewrite(&self, bytes: &mut &[u8], out: &mut Vec<u8>) -> Result<(), SerdeError> {
        let (mut written, mut ends) = (Vec::new(), Vec::with_capacity(self.written.len()));
        for plan in &self.written {
            let begin = written.len();
            plan.rewrite(bytes, &mut written)?;
            ends.push(begin..written.len());
        }
        for field in &self.read {
            out.extend_from_slice(match field {
                Field::Written(place) => &written[ends[*place].clone()],
                Field::Default(bytes) => bytes,
            });
        }
        // Defaults take none of the record's bytes.
        if out.len() > ALLOCATION_MAX_BYTES { Err(custom("the value is too large")) } else { Ok(()) }
    }
}

/// A schema, with those that it refers to.
#[derive(Clone, Copy)]
struct At<'s> {
    schema: &'s Schema,
    named: &'s Named<'s>,
}

/// The kind of a schema: by it values are encoded, whatever their logical type.
#[derive(Clone, Copy)]
enum Kind<'s> {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed(&'s FixedSchema),
    Enum(&'s EnumSchema),
    Array(&'s Schema),
    Map(&'s Schema),
    Union(&'s [Schema]),
    Record(&'s RecordSchema),
}

impl<'s> At<'s> {
    fn with(self, schema: &'s Schema) -> Self {
        Self { schema, ..self }.followed()
    }

    /// The schema that is meant by a reference.
    fn followed(self) -> Self {
        match self.schema {
            Schema::Ref { name } => self.named.get(name).map_or(self, |schema| Self { schema, ..self }),
            _ => self,
        }
    }

    fn kind(self) -> Kind<'s> {
        match self.schema {
            // Parsing leaves no reference without its schema.
            Schema::Null | Schema::Ref { .. } => Kind::Null,
            Schema::Boolean => Kind::Boolean,
            Schema::Int | Schema::Date | Schema::TimeMillis => Kind::Int,
            Schema::Long
            | Schema::TimeMicros
            | Schema::TimestampMillis
            | Schema::TimestampMicros
            | Schema::TimestampNanos
            | Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => Kind::Long,
            Schema::Float => Kind::Float,
            Schema::Double => Kind::Double,
            Schema::Bytes
            | Schema::BigDecimal
            | Schema::Decimal(DecimalSchema { inner: InnerDecimalSchema::Bytes, .. })
            | Schema::Uuid(UuidSchema::Bytes) => Kind::Bytes,
            Schema::String | Schema::Uuid(UuidSchema::String) => Kind::String,
            Schema::Fixed(fixed)
            | Schema::Duration(fixed)
            | Schema::Decimal(DecimalSchema { inner: InnerDecimalSchema::Fixed(fixed), .. })
            | Schema::Uuid(UuidSchema::Fixed(fixed)) => Kind::Fixed(fixed),
            Schema::Enum(symbols) => Kind::Enum(symbols),
            Schema::Array(array) => Kind::Array(&array.items),
            Schema::Map(map) => Kind::Map(&map.types),
            Schema::Union(union) => Kind::Union(union.variants()),
            Schema::Record(record) => Kind::Record(record),
        }
    }

    fn is_of_kind(self, other: At<'_>) -> bool {
        std::mem::discriminant(&self.kind()) == std::mem::discriminant(&other.kind())
    }

    /// How alike the names of two schemas of a kind are: 2 if they are the same, 1 if they are without their
    /// namespaces. The reader's may be an alias.
    fn likeness(self, reader: At<'_>) -> u8 {
        let (Some(writer), Some(name)) = (self.schema.name(), reader.schema.name()) else { return 2 };
        let aliases = || reader.schema.aliases().into_iter().flatten();
        if writer == name || aliases().any(|alias| &*alias.fully_qualified_name(name.namespace()) == writer) {
            2
        } else {
            u8::from(writer.name() == name.name() || aliases().any(|alias| alias.name() == writer.name()))
        }
    }

    fn shown(self) -> String {
        self.schema.name().map_or_else(|| format!("{:?}", self.schema), ToString::to_string)
    }
}

#[derive(Default)]
struct Planner {
    /// The plans of pairs of records. A schema may name one in many places.
    records: HashMap<(*const RecordSchema, *const RecordSchema), Arc<Fields>>,
}

impl Planner {
    /// Plans how a value of `writer` is read. `is_chosen` says that names matter, because the writer has chosen between
    /// several types of the kind.
    fn plan<'s>(&mut self, writer: At<'s>, reader: At<'s>, is_chosen: bool) -> Plan {
        match (writer.kind(), reader.kind()) {
            (Kind::Union(branches), _) => {
                let branches: Vec<_> = branches.iter().map(|branch| writer.with(branch)).collect();
                let is_chosen = |one: At<'_>| branches.iter().filter(|other| one.is_of_kind(**other)).count() > 1;
                Plan::Choice(branches.iter().map(|branch| self.plan(*branch, reader, is_chosen(*branch))).collect())
            }
            (_, Kind::Union(branches)) => {
                let branches: Vec<_> = branches.iter().map(|branch| reader.with(branch)).collect();
                match branch_for(writer, &branches, is_chosen) {
                    Some(index) => put(index, self.plan(writer, branches[index], is_chosen)),
                    None => never(writer, reader),
                }
            }
            _ if is_chosen && writer.likeness(reader) == 0 => never(writer, reader),
            (Kind::Null, Kind::Null) => Plan::Bytes(0),
            (Kind::Boolean, Kind::Boolean) => Plan::Bytes(1),
            (Kind::Int, Kind::Int | Kind::Long) | (Kind::Long, Kind::Long) => Plan::Number,
            (Kind::Int | Kind::Long, Kind::Float) => Plan::ToFloat,
            (Kind::Int | Kind::Long, Kind::Double) => Plan::ToDouble,
            (Kind::Float, Kind::Float) => Plan::Bytes(4),
            (Kind::Float, Kind::Double) => Plan::Widened,
            (Kind::Double, Kind::Double) => Plan::Bytes(8),
            (Kind::Bytes | Kind::String, Kind::Bytes | Kind::String) => Plan::Text,
            (Kind::Fixed(written), Kind::Fixed(read)) if written.size == read.size => Plan::Bytes(read.size),
            (Kind::Enum(written), Kind::Enum(read)) => {
                let place = |symbol: &String| read.symbols.iter().position(|known| known == symbol);
                let default = read.default.as_ref().and_then(place);
                let plan = |symbol| match place(symbol).or(default) {
                    Some(place) => put(place, Plan::Bytes(0)),
                    None => Plan::Never(format!("{} has no symbol {symbol}, and no default", read.name)),
                };
                Plan::Choice(written.symbols.iter().map(plan).collect())
            }
            (Kind::Array(written), Kind::Array(read)) => self.blocks(false, writer.with(written), reader.with(read)),
            (Kind::Map(written), Kind::Map(read)) => self.blocks(true, writer.with(written), reader.with(read)),
            (Kind::Record(written), Kind::Record(read)) => self.record((writer, written), (reader, read)),
            _ => never(writer, reader),
        }
    }

    fn blocks<'s>(&mut self, has_keys: bool, writer: At<'s>, reader: At<'s>) -> Plan {
        Plan::Blocks { has_keys, value: Box::new(self.plan(writer, reader, false)) }
    }

    fn record<'s>(
        &mut self,
        (writer, written): (At<'s>, &'s RecordSchema),
        (reader, read): (At<'s>, &'s RecordSchema),
    ) -> Plan {
        let pair = (std::ptr::from_ref(written), std::ptr::from_ref(read));
        if let Some(known) = self.records.get(&pair) {
            return Plan::Record(Arc::clone(known));
        }
        let mut fields = Vec::new();
        let mut readers = vec![None; written.fields.len()];
        for field in &read.fields {
            let place = place_of(field, read, written).filter(|place| readers[*place].is_none());
            match (place, default_of(field, reader)) {
                (Some(place), _) => {
                    readers[place] = Some(&field.schema);
                    fields.push(Field::Written(place));
                }
                (None, Some(default)) => fields.push(Field::Default(default)),
                (None, None) => {
                    let (writer, name) = (writer.shown(), &field.name);
                    return Plan::Never(format!("{writer} has no field {name}, and that has no default"));
                }
            }
        }
        let plan = |(field, of_reader): (&'s RecordField, Option<&'s Schema>)| {
            let writer = writer.with(&field.schema);
            // A field that is not read is passed over.
            self.plan(writer, of_reader.map_or(writer, |schema| reader.with(schema)), false)
        };
        let written = written.fields.iter().zip(readers).map(plan).collect();
        let fields = Arc::new(Fields { written, read: fields });
        self.records.insert(pair, Arc::clone(&fields));
        Plan::Record(fields)
    }
}

/// The place of the reader's field among the writer's: by its name, else by an alias that is no field's name.
fn place_of(field: &RecordField, read: &RecordSchema, written: &RecordSchema) -> Option<usize> {
    let is_name = |alias: &String| read.fields.iter().any(|other| other.name == *alias);
    let place = |name: &String| written.fields.iter().position(|other| other.name == *name);
    place(&field.name).or_else(|| field.aliases.iter().filter(|alias| !is_name(alias)).find_map(place))
}

/// The branch of the reader's union for a value of `writer`: the one whose name is the most alike; or else the first
/// that a number or text can be turned into.
fn branch_for(writer: At<'_>, branches: &[At<'_>], is_chosen: bool) -> Option<usize> {
    let of_kind = || branches.iter().enumerate().filter(|(_, branch)| writer.is_of_kind(**branch));
    let needs_name = is_chosen || of_kind().count() > 1;
    let best = of_kind().map(|(index, branch)| (index, writer.likeness(*branch))).min_by_key(|best| Reverse(best.1));
    let best = best.filter(|(_, likeness)| *likeness > 0 || !needs_name).map(|(index, _)| index);
    best.or_else(|| {
        branches.iter().position(|branch| {
            matches!(
                (writer.kind(), branch.kind()),
                (Kind::Int, Kind::Long | Kind::Float | Kind::Double)
                    | (Kind::Long, Kind::Float | Kind::Double)
                    | (Kind::Float, Kind::Double)
                    | (Kind::Bytes, Kind::String)
                    | (Kind::String, Kind::Bytes)
            )
        })
    })
}

fn put(index: usize, plan: Plan) -> Plan {
    Plan::Put(i64::try_from(index).unwrap_or(i64::MAX), Box::new(plan))
}

fn never(writer: At<'_>, reader: At<'_>) -> Plan {
    Plan::Never(format!("what was written as {} cannot be read as {}", writer.shown(), reader.shown()))
}

/// The default of a field, as bytes.
fn default_of(field: &RecordField, reader: At<'_>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    put_json(field.default.as_ref()?, reader.with(&field.schema), &mut bytes)?;
    Some(bytes)
}

/// Appends a value that a schema gives as JSON; `None` if it is not one of `schema`.
fn put_json(json: &Value, schema: At<'_>, out: &mut Vec<u8>) -> Option<()> {
    match (schema.kind(), json) {
        (Kind::Null, Value::Null) => {}
        (Kind::Boolean, Value::Bool(is_true)) => out.push(u8::from(*is_true)),
        (Kind::Int | Kind::Long, Value::Number(number)) => put_number(number.as_i64()?, out),
        (Kind::Float, Value::Number(number)) => out.extend_from_slice(&(number.as_f64()? as f32).to_le_bytes()),
        (Kind::Double, Value::Number(number)) => out.extend_from_slice(&number.as_f64()?.to_le_bytes()),
        (Kind::String, Value::String(text)) => put_text(text.as_bytes(), out),
        // Each character is a byte.
        (Kind::Bytes, Value::String(text)) => put_text(&bytes_of(text)?, out),
        (Kind::Fixed(fixed), Value::String(text)) => {
            out.extend(bytes_of(text).filter(|bytes| bytes.len() == fixed.size)?);
        }
        (Kind::Enum(symbols), Value::String(text)) => {
            put_number(symbols.symbols.iter().position(|symbol| symbol == text)? as i64, out);
        }
        (Kind::Array(items), Value::Array(values)) => {
            put_count(values.len(), out);
            values.iter().try_for_each(|value| put_json(value, schema.with(items), out))?;
            put_end(values.len(), out);
        }
        (Kind::Map(of), Value::Object(values)) => {
            put_count(values.len(), out);
            for (key, value) in values {
                put_text(key.as_bytes(), out);
                put_json(value, schema.with(of), out)?;
            }
            put_end(values.len(), out);
        }
        (Kind::Record(record), Value::Object(values)) => {
            for field in &record.fields {
                let value = values.get(&field.name).or(field.default.as_ref())?;
                put_json(value, schema.with(&field.schema), out)?;
            }
        }
        // By 1.11 it is of the first branch, by 1.12 of any.
        (Kind::Union(branches), _) => {
            let of_branch = |branch| {
                let mut bytes = Vec::new();
                put_json(json, schema.with(branch), &mut bytes).map(|()| bytes)
            };
            let mut values = branches.iter().enumerate();
            let (index, bytes) = values.find_map(|(index, branch)| Some((index, of_branch(branch)?)))?;
            put_number(index as i64, out);
            out.extend(bytes);
        }
        _ => return None,
    }
    Some(())
}

fn bytes_of(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect()
}

fn cut_off() -> SerdeError {
    custom("the value is cut off")
}

fn take<'b>(bytes: &mut &'b [u8], count: usize) -> Result<&'b [u8], SerdeError> {
    bytes.split_off(..count).ok_or_else(cut_off)
}

/// Copies a length and its bytes.
fn text(bytes: &mut &[u8], out: &mut Vec<u8>) -> Result<(), SerdeError> {
    let length = number(bytes)?;
    let text = take(bytes, usize::try_from(length).map_err(|_| custom("a negative length"))?)?;
    put_text(text, out);
    Ok(())
}

/// Takes a number: zigzag, seven bits a byte, the lowest first.
fn number(bytes: &mut &[u8]) -> Result<i64, SerdeError> {
    let mut zigzag = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = *bytes.split_off_first().ok_or_else(cut_off)?;
        zigzag |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64));
        }
    }
    Err(custom("a number of more than ten bytes"))
}

fn put_number(number: i64, out: &mut Vec<u8>) {
    let mut zigzag = ((number << 1) ^ (number >> 63)) as u64;
    while zigzag >= 0x80 {
        out.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    out.push(zigzag as u8);
}

fn put_text(text: &[u8], out: &mut Vec<u8>) {
    put_number(text.len() as i64, out);
    out.extend_from_slice(text);
}

/// Begins the only block of an array or map.
fn put_count(count: usize, out: &mut Vec<u8>) {
    put_number(count as i64, out);
}

/// Ends an array or map, unless its count was the end.
fn put_end(count: usize, out: &mut Vec<u8>) {
    if count > 0 {
        out.push(0);
    }
}
