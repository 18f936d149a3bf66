//! Rust text for the body of a `decode`.

use std::fmt::Write;

use crate::form::{self, Form};
use crate::schema::{Field, Struct, Type, Versions};

pub(crate) fn body(of: &Struct, form: Form, out: &mut String) {
    let tagged = of.tagged();
    out.push_str(match (tagged.is_empty(), of.flexible) {
        (false, _) => "let mut message = Self {\n",
        (true, Some(_)) => "let message = Self {\n",
        (true, None) => "Ok(Self {\n",
    });
    for field in &of.fields {
        let _ = writeln!(out, "{}: {},", field.name, in_order(of, form, field));
    }
    out.push_str(match (tagged.is_empty(), of.flexible) {
        (false, _) => "};\nr.tags(|r, tag| {\nmatch tag {\n",
        (true, Some(_)) => "};\nr.skip_tags()?;\nOk(message)\n",
        (true, None) => "})\n",
    });
    // Only flexible versions of a struct have tagged fields, so fields need a check only for later additions.
    let flexible = Versions { first: of.flexible.unwrap_or(0).max(of.versions.first), last: of.versions.last };
    for (tag, field) in &tagged {
        let guard = field.versions.condition(flexible).map(|condition| format!(" if {condition}")).unwrap_or_default();
        let _ = writeln!(out, "{tag}{guard} => message.{} = {},", field.name, read(form, field));
    }
    if !tagged.is_empty() {
        out.push_str("_ => return Ok(false),\n}\nOk(true)\n})?;\nOk(message)\n");
    }
}

/// The start of a field: its bytes, or its default if the version does not have it at this place.
fn in_order(of: &Struct, form: Form, field: &Field) -> String {
    let default = form::default(field, form);
    match field.versions.condition(of.versions) {
        _ if field.tag.is_some() => default,
        None => read(form, field),
        Some(condition) => format!("if {condition} {{ {} }} else {{ {default} }}", read(form, field)),
    }
}

/// Reads a field that is present.
fn read(form: Form, field: &Field) -> String {
    let plain = value(form, field, false);
    let Some(null) = field.null else { return plain };
    let nullable = value(form, field, true);
    match null.condition(field.versions) {
        None => nullable,
        Some(condition) => format!("if {condition} {{ {nullable} }} else {{ Some({plain}) }}"),
    }
}

fn value(form: Form, field: &Field, is_nullable: bool) -> String {
    let name = &field.name;
    let all = field.ty.method();
    let method = match (&field.ty, form) {
        (Type::Struct(inner), _) if !is_nullable => {
            return format!("{}::{}(r, version)?", form.name(inner), if form.is_view() { "view" } else { "read" });
        }
        (Type::String, _) if field.classic => "classic_string",
        (Type::String, Form::View(_)) => "str",
        (Type::Bytes | Type::Records, Form::View(_)) => "slice",
        (Type::Array(_), Form::View(_)) => "items",
        (Type::Struct(_), _) if field.tag.is_some() => "tagged_struct",
        _ => &all,
    };
    let nullable = if is_nullable { "nullable_" } else { "" };
    let version = if matches!(field.ty, Type::Array(_) | Type::Struct(_)) { ", version" } else { "" };
    format!("r.{nullable}{method}({name:?}{version})?")
}
