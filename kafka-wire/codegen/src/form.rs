//! The forms of a message in Rust, with the names of types and defaults in each.

use crate::schema::{Field, Schema, Struct, Type, Value};

/// The two forms of a message in Rust.
#[derive(Clone, Copy)]
pub(crate) enum Form<'a> {
    /// Shares the frame, and may outlive it.
    Owned,
    /// Borrows the frame.
    View(&'a Schema),
}

impl Form<'_> {
    /// The type of a struct. A struct of numbers alone borrows nothing, so it is its own view.
    pub(crate) fn name(self, of: &str) -> String {
        match self {
            Self::View(schema) if schema.find(of).is_none_or(|of| borrows(schema, of)) => format!("{of}View"),
            _ => of.to_owned(),
        }
    }

    pub(crate) fn is_view(self) -> bool {
        matches!(self, Self::View(_))
    }
}

/// Whether a view of the struct borrows from the frame: one of numbers alone does not.
pub(crate) fn borrows(schema: &Schema, of: &Struct) -> bool {
    of.fields.iter().any(|field| match &field.ty {
        Type::Struct(name) => schema.find(name).is_none_or(|part| borrows(schema, part)),
        ty => !ty.is_number(),
    })
}

/// The Rust type of a field that is never null.
pub(crate) fn plain_type(ty: &Type, form: Form) -> String {
    match (ty, form) {
        (Type::String, Form::Owned) => "Str".to_owned(),
        (Type::String, Form::View(_)) => "&'a str".to_owned(),
        (Type::Bytes | Type::Records, Form::Owned) => "Bytes".to_owned(),
        (Type::Bytes | Type::Records, Form::View(_)) => "&'a [u8]".to_owned(),
        (Type::Array(element), Form::Owned) => format!("Vec<{}>", plain_type(element, form)),
        (Type::Array(element), Form::View(_)) => format!("Items<'a, {}>", plain_type(element, form)),
        (Type::Struct(name), _) => {
            let view = form.name(name);
            if view == *name { view } else { view + "<'a>" }
        }
        (Type::Uuid, _) => "Uuid".to_owned(),
        (number, _) => number.method(),
    }
}

/// Whether Rust's own default of the field's type equals the schema's.
pub(crate) fn has_natural_default(field: &Field) -> bool {
    field.default == if field.null.is_some() { Value::Null } else { Value::Natural }
}

/// The default of a field, as an expression.
pub(crate) fn default(field: &Field, form: Form) -> String {
    let plain = match (&field.default, &field.ty, form) {
        (Value::Null, ..) => return "None".to_owned(),
        (Value::Number(number), Type::I32, _) if *number == i64::from(i32::MAX) => "i32::MAX".to_owned(),
        (Value::Number(number), Type::I32, _) if *number == i64::from(i32::MIN) => "i32::MIN".to_owned(),
        (Value::Number(i64::MAX), ..) => "i64::MAX".to_owned(),
        (Value::Number(number), ..) => number.to_string(),
        (Value::True, ..) => "true".to_owned(),
        (Value::Natural, Type::Bool, _) => "false".to_owned(),
        (Value::Natural, Type::F64, _) => "0.0".to_owned(),
        (Value::Natural, Type::Uuid, _) => "Uuid::ZERO".to_owned(),
        (Value::Natural, Type::String, Form::Owned) => "Str::EMPTY".to_owned(),
        (Value::Natural, Type::String, Form::View(_)) => "\"\"".to_owned(),
        (Value::Natural, Type::Bytes | Type::Records, Form::Owned) => "Bytes::new()".to_owned(),
        (Value::Natural, Type::Bytes | Type::Records, Form::View(_)) => "&[]".to_owned(),
        (Value::Natural, Type::Array(_), Form::Owned) => "Vec::new()".to_owned(),
        (Value::Natural, Type::Array(_), Form::View(_)) => "Items::empty()".to_owned(),
        (Value::Natural, Type::Struct(name), _) => format!("{}::default()", form.name(name)),
        (Value::Natural, ..) => "0".to_owned(),
    };
    if field.null.is_some() { format!("Some({plain})") } else { plain }
}
