//! Joins the lines of a schema into messages, by indentation, and checks the rules that involve several lines.

use std::iter::Peekable;
use std::vec::IntoIter;

use crate::grammar::{self, Line};
use crate::schema::{Field, Kind, Schema, Struct, Type, Value, Versions};

const INDENT: usize = 2;

/// A line with content, and its comment.
struct Statement<'a> {
    number: usize,
    indent: usize,
    doc: String,
    line: Line<'a>,
}

/// Reads one file, for the module of this name; the error is `line number: message`.
pub fn read(module: &str, text: &str) -> Result<Schema, String> {
    let mut statements = Vec::new();
    for (number, text) in (1..).zip(text.lines()) {
        let read = grammar::line(text).map_err(|left| format!("{number}: not understood from {left:?}"))?;
        if let (indent, Some(line), doc) = read {
            if doc.is_empty() {
                return Err(format!("{number}: no comment"));
            }
            statements.push(Statement { number, indent, doc: doc.to_owned(), line });
        }
    }
    let mut lines = statements.into_iter().peekable();
    let first = lines.next().ok_or("1: nothing here")?;
    let api = match first.line {
        Line::Api(api) => Some(api),
        Line::Data(name) if name == module => None,
        _ => return Err(format!("{}: `api NAME = KEY` or `data {module}` comes first", first.number)),
    };
    let mut tree = Tree { lines, structs: Vec::new(), mentioned: Vec::new() };
    while let Some(statement) = tree.lines.next() {
        let Line::Struct(of) = statement.line else {
            return Err(format!("{}: a request, response, message or struct begins here", statement.number));
        };
        tree.structure(Struct { doc: statement.doc, ..of }, INDENT, statement.number)?;
    }
    for (number, name, versions) in tree.mentioned {
        if !tree.structs.iter().any(|of| of.name == name && versions.cut(of.versions) == Some(versions)) {
            return Err(format!("{number}: no struct {name} in these versions"));
        }
    }
    Ok(Schema { module: module.to_owned(), api, doc: first.doc, structs: tree.structs })
}

struct Tree<'a> {
    lines: Peekable<IntoIter<Statement<'a>>>,
    structs: Vec<Struct>,
    /// Structs that are defined elsewhere in the file, each with the versions that need it and the line that mentions
    /// it.
    mentioned: Vec<(usize, String, Versions)>,
}

impl Tree<'_> {
    /// Reads the fields of `of`, all at `indent`.
    fn structure(&mut self, of: Struct, indent: usize, number: usize) -> Result<(), String> {
        if self.structs.iter().any(|other| other.name == of.name) {
            return Err(format!("{number}: a second struct {}", of.name));
        }
        let index = self.structs.len();
        self.structs.push(of);
        while let Some(statement) = self.lines.next_if(|next| next.indent == indent) {
            let number = statement.number;
            let field = self.field(index, statement).map_err(|error| format!("{number}: {error}"))?;
            self.inner(index, &field, indent, number)?;
            self.structs[index].fields.push(field);
        }
        match self.lines.peek() {
            Some(next) if next.indent > indent || next.indent % INDENT != 0 => {
                Err(format!("{}: indented by {} spaces", next.number, next.indent))
            }
            _ => Ok(()),
        }
    }

    /// Reads a field, and checks it against the struct that holds it.
    fn field(&self, holder: usize, statement: Statement<'_>) -> Result<Field, String> {
        let of = &self.structs[holder];
        let Line::Field(mut field) = statement.line else {
            return Err(format!("a field of {} belongs here", of.name));
        };
        let name = &field.kafka_name;
        let versions = field.versions.cut(of.versions);
        field.versions = versions.ok_or_else(|| format!("no version of {} has {name}", of.name))?;
        field.null = field.null.and_then(|null| null.cut(field.versions));
        field.doc = statement.doc;
        let mistake = if field.tag.is_some() && of.flexible.is_none_or(|since| field.versions.first < since) {
            "is tagged in inflexible versions"
        } else if field.tag.is_some() && of.fields.iter().any(|other| other.tag == field.tag) {
            "has the tag of another field"
        } else if field.default == Value::Null && field.null.is_none() {
            "is null by default, and never may be"
        } else if field.null.is_some() && field.ty.is_number() {
            "has no form for null"
        } else {
            return Ok(field);
        };
        Err(format!("{name} {mistake}"))
    }

    /// Reads the struct in the type of a field, if it is defined at this place.
    fn inner(&mut self, holder: usize, field: &Field, indent: usize, number: usize) -> Result<(), String> {
        let Some(name) = field.ty.inner().map(str::to_owned) else { return Ok(()) };
        if self.lines.peek().is_none_or(|next| next.indent <= indent) {
            self.mentioned.push((number, name, field.versions));
            return Ok(());
        }
        let of = &self.structs[holder];
        let role = if matches!(field.ty, Type::Array(_)) { "An element" } else { "The value" };
        let doc = format!("{role} of [`{}::{}`].", of.name, field.name);
        let (versions, flexible, view) = (field.versions, of.flexible, of.view);
        let inner =
            Struct { kind: Kind::Struct, name, doc, versions, flexible, unstable: None, view, fields: Vec::new() };
        self.structure(inner, indent + INDENT, number)
    }
}
