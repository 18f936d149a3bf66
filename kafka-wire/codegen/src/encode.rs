//! The body of an `encode`.

use std::fmt::Write;

use crate::emit;
use crate::schema::{Field, Schema, Struct, Type, Value};

pub(crate) fn body(schema: &Schema, of: &Struct, out: &mut String) {
    for field in of.fields.iter().filter(|field| field.tag.is_none()) {
        in_order(schema, of, field, out);
    }
    let mut tagged = of.fields.iter().filter_map(|field| field.tag.map(|tag| (tag, field))).collect::<Vec<_>>();
    tagged.sort_by_key(|(tag, _)| *tag);
    if !tagged.is_empty() {
        out.push_str("let mut tags = w.tags();\n");
        for (tag, field) in tagged {
            tag_field(schema, of, tag, field, out);
        }
        out.push_str("w.put_tags(tags);\n");
    } else if of.flexible.is_some() {
        out.push_str("w.no_tags();\n");
    }
    out.push_str("Ok(())\n");
}

fn in_order(schema: &Schema, of: &Struct, field: &Field, out: &mut String) {
    let write = write(schema, field);
    match field.versions.condition(of.versions) {
        None => out.push_str(&write),
        Some(condition) => {
            let _ = write!(out, "if {condition} {{\n{write}}}");
            if !field.ignorable {
                let _ = write!(out, "else if {} {{\n{}}}", is_set(field), lacks(field));
            }
            out.push('\n');
        }
    }
}

fn tag_field(schema: &Schema, of: &Struct, tag: u32, field: &Field, out: &mut String) {
    let mut conditions = vec![is_set(field)];
    let mut refuse = String::new();
    if let (Some(present), Some(absent)) = (field.versions.condition(of.versions), field.versions.negation(of.versions))
    {
        if field.ignorable {
            conditions.insert(0, present);
        } else {
            refuse = format!("if {absent} {{\n{}}}\n", lacks(field));
        }
    }
    let place = format!("self.{}", field.name);
    let value = if field.null.is_some() {
        let statement = nullable(schema, field, &place);
        format!("|w| {}", statement.trim_end_matches("?;\n"))
    } else {
        function("|w|", &plain(schema, field, &field.ty, &place, false))
    };
    let _ = writeln!(out, "if {} {{\n{refuse}tags.add({tag}, {value})?;\n}}", conditions.join(" && "));
}

fn lacks(field: &Field) -> String {
    format!("return Err(EncodeError::lacks({:?}, version));\n", field.name)
}

/// Rust that is true when the field differs from its default.
fn is_set(field: &Field) -> String {
    let place = format!("self.{}", field.name);
    if field.null.is_some() {
        return match (&field.default, &field.ty) {
            (Value::Null, _) => format!("{place}.is_some()"),
            (_, Type::Struct(_)) => format!("{place} != {}", emit::default(field)),
            _ => format!("{place}.as_ref().is_none_or(|it| !it.is_empty())"),
        };
    }
    match (&field.default, &field.ty) {
        (Value::True, _) => format!("!{place}"),
        (_, Type::Bool) => place,
        (_, Type::I8 | Type::I16 | Type::I32 | Type::I64 | Type::Struct(_)) => {
            format!("{place} != {}", emit::default(field))
        }
        (_, Type::Uuid) => format!("!{place}.is_zero()"),
        (_, Type::String | Type::Bytes | Type::Records | Type::Array(_)) => format!("!{place}.is_empty()"),
    }
}

/// Statements that write a field which the version has.
fn write(schema: &Schema, field: &Field) -> String {
    let place = format!("self.{}", field.name);
    let Some(null) = field.null else { return plain(schema, field, &field.ty, &place, false) };
    let nullable = nullable(schema, field, &place);
    match null.condition(field.versions) {
        None => nullable,
        Some(condition) => {
            let name = &field.name;
            let bound = plain(schema, field, &field.ty, name, true);
            let some = format!("let {name} = {place}.as_ref().ok_or(EncodeError::null({name:?}, version))?;\n");
            format!("if {condition} {{\n{nullable}}} else {{\n{some}{bound}}}\n")
        }
    }
}

fn nullable(schema: &Schema, field: &Field, place: &str) -> String {
    let name = &field.name;
    match &field.ty {
        Type::String if field.classic => format!("w.nullable_classic_string({name:?}, {place}.as_ref())?;\n"),
        Type::String => format!("w.nullable_string({name:?}, {place}.as_ref())?;\n"),
        Type::Bytes => format!("w.nullable_bytes({name:?}, {place}.as_ref())?;\n"),
        Type::Records => format!("w.nullable_records({name:?}, {place}.as_ref())?;\n"),
        Type::Array(element) => {
            let element = function("|w, it|", &plain(schema, field, element, "it", true));
            format!("w.nullable_array({name:?}, {place}.as_deref(), {element})?;\n")
        }
        other => {
            let inner = function("|w, it|", &plain(schema, field, other, "it", true));
            format!("w.nullable_struct({place}.as_ref(), {inner})?;\n")
        }
    }
}

/// A statement that writes a value which is there; `is_reference` tells whether `place` is a reference to it.
fn plain(schema: &Schema, field: &Field, ty: &Type, place: &str, is_reference: bool) -> String {
    let name = &field.name;
    let copy = if is_reference { format!("*{place}") } else { place.to_owned() };
    let reference = if is_reference { place.to_owned() } else { format!("&{place}") };
    match ty {
        Type::Bool => format!("w.bool({copy});\n"),
        Type::I8 => format!("w.i8({copy});\n"),
        Type::I16 => format!("w.i16({copy});\n"),
        Type::I32 => format!("w.i32({copy});\n"),
        Type::I64 => format!("w.i64({copy});\n"),
        Type::Uuid => format!("w.uuid({copy});\n"),
        Type::String => format!("w.string({name:?}, {reference})?;\n"),
        Type::Bytes => format!("w.bytes({name:?}, {reference})?;\n"),
        Type::Records => format!("w.records({name:?}, {reference})?;\n"),
        Type::Array(element) => {
            let element = function("|w, it|", &plain(schema, field, element, "it", true));
            format!("w.array({name:?}, {reference}, {element})?;\n")
        }
        Type::Struct(_) if schema.inner(ty).is_some_and(|inner| schema.needs_version(inner)) => {
            format!("{place}.encode(w, version)?;\n")
        }
        Type::Struct(_) => format!("{place}.encode(w)?;\n"),
    }
}

/// A statement as a function that returns its outcome.
fn function(parameters: &str, statement: &str) -> String {
    match statement.strip_suffix("?;\n") {
        Some(fallible) => format!("{parameters} {fallible}"),
        None => format!("{parameters} {{\n{statement}Ok(())\n}}"),
    }
}
