//! The body of an `inspect`.

use std::fmt::Write;

use crate::encode;
use crate::schema::{Field, Struct, Type};

pub(crate) fn body(of: &Struct, out: &mut String) {
    for field in &of.fields {
        let mut conditions = Vec::from_iter(field.versions.condition(of.versions));
        if field.tag.is_some() {
            conditions.push(encode::is_set(field));
        }
        if !conditions.is_empty() {
            let _ = writeln!(out, "if {} {{", conditions.join(" && "));
        }
        let _ = writeln!(out, "{}", show(field));
        if !conditions.is_empty() {
            out.push_str("}\n");
        }
    }
}

fn show(field: &Field) -> String {
    let mut name = field.kafka_name.clone();
    name[..1].make_ascii_lowercase();
    let place = format!("self.{}", field.name);
    match (&field.ty, field.null) {
        (Type::Records, None) => format!("to.records({name:?}, Some(&{place}));"),
        (Type::Records, Some(_)) => format!("to.records({name:?}, {place}.as_ref());"),
        _ => format!("to.field({name:?}, &{place}, version);"),
    }
}
