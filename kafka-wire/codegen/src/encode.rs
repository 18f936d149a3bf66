//! Rust text for the body of an `encode`.

use std::fmt::Write as _;

use crate::form::{self, Form};
use crate::schema::{Field, Struct, Type, Value};

pub(crate) fn body(of: &Struct, out: &mut String) {
    for field in of.fields.iter().filter(|field| field.tag.is_none()) {
        where_present(of, field, &write(field).statement(), out);
    }
    let tagged = of.tagged();
    match (tagged.is_empty(), of.flexible) {
        (true, None) => out.push_str("Ok(())\n"),
        (true, Some(_)) => out.push_str("w.no_tags()\n"),
        (false, _) => {
            out.push_str("let mut tags = w.tags();\n");
            tagged.iter().for_each(|(tag, field)| where_present(of, field, &tag_field(*tag, field), out));
            out.push_str("w.put_tags(tags)\n");
        }
    }
}

/// A statement for the versions that have the field; in other versions the field must not be set,
/// unless it is ignorable.
fn where_present(of: &Struct, field: &Field, statement: &str, out: &mut String) {
    let _ = match field.versions.condition(of.versions) {
        None => write!(out, "{statement}"),
        Some(condition) if field.ignorable => writeln!(out, "if {condition} {{\n{statement}}}"),
        Some(condition) => {
            let lacks = format!("return Err(EncodeError::lacks({:?}, version));", field.name);
            writeln!(out, "if {condition} {{\n{statement}}} else if {} {{\n{lacks}\n}}", is_set(field))
        }
    };
}

fn tag_field(tag: u32, field: &Field) -> String {
    let is_set = match &field.ty {
        Type::Struct(_) => format!("tags.needs({tag}, {})", is_set(field)),
        _ => is_set(field),
    };
    let value = write(field).closure();
    format!("if {is_set} {{\ntags.add({tag}, {value})?;\n}}\n")
}

/// A Rust expression that is true if the field differs from its default.
pub(crate) fn is_set(field: &Field) -> String {
    let place = format!("self.{}", field.name);
    match (&field.default, &field.ty) {
        (Value::Null, _) => format!("{place}.is_some()"),
        (Value::True, _) => format!("!{place}"),
        (_, Type::Bool) => place,
        (_, Type::Uuid) => format!("!{place}.is_zero()"),
        (_, ty) if ty.is_number() || matches!(ty, Type::Struct(_)) => {
            format!("{place} != {}", form::default(field, Form::Owned))
        }
        (_, _) if field.null.is_some() => format!("{place}.as_ref().is_none_or(|it| !it.is_empty())"),
        (_, _) => format!("!{place}.is_empty()"),
    }
}

/// Rust that writes a value to `w`.
enum Write {
    /// An expression of the type `Result<(), EncodeError>`.
    Fallible(String),
    /// Whole statements, which may return early.
    Statements(String),
}

impl Write {
    fn statement(self) -> String {
        match self {
            Self::Fallible(expression) => format!("{expression}?;\n"),
            Self::Statements(statements) => statements,
        }
    }

    fn closure(self) -> String {
        match self {
            Self::Fallible(expression) => format!("|w| {expression}"),
            Self::Statements(statements) => format!("|w| {{\n{statements}Ok(())\n}}"),
        }
    }
}

/// Writes a field that the version has.
fn write(field: &Field) -> Write {
    let (name, place) = (&field.name, format!("self.{}", field.name));
    let Some(null) = field.null else { return plain(field, &place, &format!("&{place}")) };
    let method = if field.classic { "classic_string".to_owned() } else { field.ty.method() };
    let tagged = if field.tag.is_some() { "tagged_" } else { "" };
    let nullable = Write::Fallible(match &field.ty {
        Type::Array(_) => format!("w.nullable_array({name:?}, {place}.as_deref(), version)"),
        Type::Struct(_) => format!("w.nullable_{tagged}struct({place}.as_ref(), version)"),
        _ => format!("w.nullable_{method}({name:?}, {place}.as_ref())"),
    });
    let Some(condition) = null.condition(field.versions) else { return nullable };
    let some = format!("let {name} = {place}.as_ref().ok_or(EncodeError::null({name:?}, version))?;\n");
    let (nullable, plain) = (nullable.statement(), plain(field, name, name).statement());
    Write::Statements(format!("if {condition} {{\n{nullable}}} else {{\n{some}{plain}}}\n"))
}

/// Writes a value that is not null.
fn plain(field: &Field, place: &str, reference: &str) -> Write {
    let (name, method) = (&field.name, field.ty.method());
    Write::Fallible(match &field.ty {
        Type::Struct(_) => format!("{place}.write(w, version)"),
        Type::Array(_) => format!("w.array({name:?}, {reference}, version)"),
        ty if ty.is_number() => return Write::Statements(format!("w.{method}({place});\n")),
        _ => format!("w.{method}({name:?}, {reference})"),
    })
}
