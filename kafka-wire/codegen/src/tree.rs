//! Joins the lines of a schema into messages, by indentation, and checks what no line can say alone.

use std::iter::Peekable;
use std::vec::IntoIter;

use crate::grammar::{self, Attribute, Line};
use crate::schema::{Field, Kind, Schema, Struct, Type, Value};

const INDENT: usize = 2;

/// A line that says something, with the comment lines in front of it and its own.
struct Statement<'a> {
    number: usize,
    indent: usize,
    doc: Vec<String>,
    line: Line<'a>,
}

/// Reads one file, for the module of this name.
///
/// # Errors
/// `line number: what is wrong`.
pub fn read(module: &str, text: &str) -> Result<Schema, String> {
    let mut lines = statements(text)?.into_iter().peekable();
    let first = lines.next().ok_or("1: nothing here")?;
    let api = match first.line {
        Line::Api(name) => Some(name.to_owned()),
        Line::Data(name) if name == module => None,
        _ => return Err(format!("{}: `api NAME` or `data {module}` comes first", first.number)),
    };
    let doc = documented(module, first.doc, first.number)?;
    let mut tree = Tree { lines, structs: Vec::new(), mentioned: Vec::new() };
    while let Some(statement) = tree.lines.next() {
        tree.top(statement)?;
    }
    for (number, name) in tree.mentioned {
        if !tree.structs.iter().any(|of| of.name == name) {
            return Err(format!("{number}: no struct {name}"));
        }
    }
    Ok(Schema { module: module.to_owned(), api, doc, structs: tree.structs })
}

fn statements(text: &str) -> Result<Vec<Statement<'_>>, String> {
    let mut statements = Vec::new();
    let mut doc = Vec::new();
    for (index, text) in text.lines().enumerate() {
        let number = index + 1;
        let (indent, line, comment) =
            grammar::line(text).map_err(|left| format!("{number}: not understood from {left:?}"))?;
        doc.extend(comment.map(str::to_owned));
        if line != Line::Blank {
            statements.push(Statement { number, indent, doc: std::mem::take(&mut doc), line });
        } else if comment.is_none() {
            doc.clear();
        }
    }
    Ok(statements)
}

struct Tree<'a> {
    lines: Peekable<IntoIter<Statement<'a>>>,
    structs: Vec<Struct>,
    /// Structs that are told elsewhere in the file, with the line that mentions them.
    mentioned: Vec<(usize, String)>,
}

impl Tree<'_> {
    fn top(&mut self, statement: Statement<'_>) -> Result<(), String> {
        let number = statement.number;
        let Line::Struct { kind, name, attributes } = statement.line else {
            return Err(format!("{number}: a request, response, message or struct begins here"));
        };
        let mut versions = None;
        let (mut flexible, mut unstable, mut view) = (None, None, false);
        for attribute in attributes {
            match attribute {
                Attribute::Versions(range) => versions = Some(range),
                Attribute::Flexible(range) => flexible = Some(range.first),
                Attribute::Unstable(range) => unstable = Some(range.first),
                Attribute::View => view = true,
                other => return Err(format!("{number}: {other:?} belongs to a field")),
            }
        }
        let versions = versions.ok_or_else(|| format!("{number}: {name} has no versions"))?;
        let doc = documented(name, statement.doc, number)?;
        let of = Struct { kind, name: name.to_owned(), doc, versions, flexible, unstable, view, fields: Vec::new() };
        self.structure(of, INDENT, number)
    }

    /// Reads the fields of `of`, all at `indent`.
    fn structure(&mut self, of: Struct, indent: usize, number: usize) -> Result<(), String> {
        if self.structs.iter().any(|other| other.name == of.name) {
            return Err(format!("{number}: a second struct {}", of.name));
        }
        let index = self.structs.len();
        self.structs.push(of);
        let mut fields = Vec::new();
        while let Some(statement) = self.lines.next_if(|next| next.indent == indent) {
            let number = statement.number;
            let field = self.field(index, statement)?;
            if field.tag.is_some() && fields.iter().any(|other: &Field| other.tag == field.tag) {
                return Err(format!("{number}: {} has the tag of another field", field.kafka_name));
            }
            fields.push(field);
        }
        if let Some(next) = self.lines.peek()
            && (next.indent > indent || next.indent % INDENT != 0)
        {
            return Err(format!("{}: indented by {} spaces", next.number, next.indent));
        }
        self.structs[index].fields = fields;
        Ok(())
    }

    fn field(&mut self, holder: usize, statement: Statement<'_>) -> Result<Field, String> {
        let (number, indent) = (statement.number, statement.indent);
        let of = &self.structs[holder];
        let Line::Field { name, ty, is_nullable, attributes } = statement.line else {
            return Err(format!("{number}: a field of {} belongs here", of.name));
        };
        let mut field = Field {
            kafka_name: name.to_owned(),
            name: snake_case(name),
            doc: statement.doc,
            ty,
            versions: of.versions,
            null: None,
            tag: None,
            default: Value::Natural,
            ignorable: false,
            classic: false,
        };
        let mut null = is_nullable.then_some(of.versions);
        for attribute in attributes {
            match attribute {
                Attribute::Versions(range) => {
                    let cut = range.cut(of.versions);
                    field.versions = cut.ok_or_else(|| format!("{number}: no version of {} has {name}", of.name))?;
                }
                Attribute::Null(range) => null = Some(range),
                Attribute::Tag(tag) => field.tag = Some(tag),
                Attribute::Default(text) => {
                    let value = default(text, &field.ty);
                    field.default = value.ok_or_else(|| format!("{number}: {text} is no default of {name}"))?;
                }
                Attribute::Ignorable => field.ignorable = true,
                Attribute::Classic => field.classic = true,
                other => return Err(format!("{number}: {other:?} belongs to a message")),
            }
        }
        field.null = null.and_then(|range| range.cut(field.versions));
        check(&field, of).map_err(|error| format!("{number}: {error}"))?;
        self.inner(holder, &field, indent, number)?;
        Ok(field)
    }

    /// Reads the struct that a field is made of, when it is told here.
    fn inner(&mut self, holder: usize, field: &Field, indent: usize, number: usize) -> Result<(), String> {
        let (name, is_array) = match &field.ty {
            Type::Struct(name) => (name, false),
            Type::Array(element) => match element.as_ref() {
                Type::Struct(name) => (name, true),
                _ => return Ok(()),
            },
            _ => return Ok(()),
        };
        if self.lines.peek().is_none_or(|next| next.indent <= indent) {
            self.mentioned.push((number, name.clone()));
            return Ok(());
        }
        let of = &self.structs[holder];
        let role = if is_array { "An element" } else { "The value" };
        let inner = Struct {
            kind: Kind::Struct,
            name: name.clone(),
            doc: vec![format!("{role} of [`{}::{}`].", of.name, field.name)],
            versions: field.versions,
            flexible: of.flexible,
            unstable: None,
            view: of.view,
            fields: Vec::new(),
        };
        self.structure(inner, indent + INDENT, number)
    }
}

fn documented(name: &str, doc: Vec<String>, number: usize) -> Result<Vec<String>, String> {
    if doc.is_empty() { Err(format!("{number}: {name} has no comment")) } else { Ok(doc) }
}

fn check(field: &Field, of: &Struct) -> Result<(), String> {
    let name = &field.kafka_name;
    if field.tag.is_some() && of.flexible.is_none_or(|since| field.versions.first < since) {
        return Err(format!("{name} is tagged in inflexible versions"));
    }
    if field.default == Value::Null && field.null.is_none() {
        return Err(format!("{name} is null by default, and never may be"));
    }
    if field.null.is_some() && field.ty.is_number() {
        return Err(format!("{name} has no form for null"));
    }
    Ok(())
}

fn default(text: &str, ty: &Type) -> Option<Value> {
    match (text, ty) {
        ("null", _) => Some(Value::Null),
        ("true", Type::Bool) => Some(Value::True),
        (_, Type::String) => Some(Value::Text(text.to_owned())),
        (_, Type::I8 | Type::I16 | Type::I32 | Type::I64) => match text.parse().ok()? {
            0 => Some(Value::Natural),
            number => Some(Value::Number(number)),
        },
        _ => None,
    }
}

/// `ThrottleTimeMs` to `throttle_time_ms`; what would be a word of Rust ends with `_`.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    if matches!(snake.as_str(), "type" | "match") { snake + "_" } else { snake }
}
