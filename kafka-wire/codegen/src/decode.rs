//! The body of a `decode`.

use std::fmt::Write;

use crate::emit;
use crate::schema::{Field, Schema, Struct, Type, Versions};

pub(crate) fn body(schema: &Schema, of: &Struct, out: &mut String) {
    let has_tags = of.fields.iter().any(|field| field.tag.is_some());
    out.push_str(match (has_tags, of.flexible) {
        (true, _) => "let mut message = Self {\n",
        (false, Some(_)) => "let message = Self {\n",
        (false, None) => "Ok(Self {\n",
    });
    for field in &of.fields {
        let _ = writeln!(out, "{}: {},", field.name, in_order(schema, of, field));
    }
    out.push_str(match (has_tags, of.flexible) {
        (true, _) => "};\n",
        (false, Some(_)) => "};\nr.skip_tags()?;\nOk(message)\n",
        (false, None) => "})\n",
    });
    if has_tags {
        tags(schema, of, out);
    }
}

/// What a field begins with: its bytes, or its default where the version has none of it at this place.
fn in_order(schema: &Schema, of: &Struct, field: &Field) -> String {
    if field.tag.is_some() {
        return emit::default(field);
    }
    let read = read(schema, of, field, field.versions);
    match field.versions.condition(of.versions) {
        None => read,
        Some(condition) => format!("if {condition} {{ {read} }} else {{ {} }}", emit::default(field)),
    }
}

fn tags(schema: &Schema, of: &Struct, out: &mut String) {
    // A struct has tagged fields only in flexible versions, so only later additions are asked for their version.
    let flexible = Versions { first: of.flexible.unwrap_or(0).max(of.versions.first), last: of.versions.last };
    out.push_str("r.tags(|r, tag| {\nmatch tag {\n");
    let mut tagged = of.fields.iter().filter_map(|field| field.tag.map(|tag| (tag, field))).collect::<Vec<_>>();
    tagged.sort_by_key(|(tag, _)| *tag);
    for (tag, field) in tagged {
        let guard = field.versions.condition(flexible).map(|condition| format!(" if {condition}")).unwrap_or_default();
        let read = read(schema, of, field, field.versions);
        let _ = writeln!(out, "{tag}{guard} => message.{} = {read},", field.name);
    }
    out.push_str("_ => return Ok(false),\n}\nOk(true)\n})?;\nOk(message)\n");
}

/// Reads a field that is there; `within` are the versions that come here.
fn read(schema: &Schema, of: &Struct, field: &Field, within: Versions) -> String {
    let name = &field.name;
    let plain = || value(schema, of, &field.ty, name, false, field.classic);
    let Some(null) = field.null else { return plain() };
    let nullable = value(schema, of, &field.ty, name, true, field.classic);
    match null.condition(within) {
        None => nullable,
        Some(condition) => format!("if {condition} {{ {nullable} }} else {{ Some({}) }}", plain()),
    }
}

fn value(schema: &Schema, of: &Struct, ty: &Type, name: &str, is_nullable: bool, classic: bool) -> String {
    let nullable = if is_nullable { "nullable_" } else { "" };
    let call = |method: &str| format!("r.{method}({name:?})?");
    match ty {
        Type::Bool => call("bool"),
        Type::I8 => call("i8"),
        Type::I16 => call("i16"),
        Type::I32 => call("i32"),
        Type::I64 => call("i64"),
        Type::Uuid => call("uuid"),
        Type::String if classic => call(&format!("{nullable}classic_string")),
        Type::String => call(&format!("{nullable}string")),
        Type::Bytes => call(&format!("{nullable}bytes")),
        Type::Records => call(&format!("{nullable}records")),
        Type::Array(element) => {
            let min = match element.as_ref() {
                Type::Struct(inner) => format!("{inner}::MIN_BYTES"),
                other => schema.size_min(other, of).to_string(),
            };
            format!("r.{nullable}array({name:?}, {min}, {})?", function(schema, of, element, name))
        }
        Type::Struct(_) if is_nullable => format!("r.nullable_struct({name:?}, {})?", function(schema, of, ty, name)),
        Type::Struct(inner) if needs_version(schema, ty) => format!("{inner}::decode(r, version)?"),
        Type::Struct(inner) => format!("{inner}::decode(r)?"),
    }
}

/// Reads one value, as a function of the reader.
fn function(schema: &Schema, of: &Struct, ty: &Type, name: &str) -> String {
    if let Type::Struct(inner) = ty
        && !needs_version(schema, ty)
    {
        return format!("{inner}::decode");
    }
    let read = value(schema, of, ty, name, false, false);
    format!("|r| {}", read.trim_end_matches('?'))
}

fn needs_version(schema: &Schema, ty: &Type) -> bool {
    schema.inner(ty).is_some_and(|inner| schema.needs_version(inner))
}
