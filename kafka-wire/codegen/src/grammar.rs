//! One line of a schema.

use nom::branch::alt;
use nom::bytes::complete::{is_not, tag, take_while, take_while1};
use nom::character::complete::{char, i16, u32};
use nom::combinator::{map, opt, recognize, rest, value, verify};
use nom::multi::many0;
use nom::sequence::{delimited, pair, preceded, separated_pair};
use nom::{IResult, Parser};

use crate::schema::{Kind, Type, Versions};

/// What a line says in front of its comment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Line<'a> {
    /// Nothing, or a comment alone.
    Blank,
    /// `api Fetch`, the first line that is no comment.
    Api(&'a str),
    /// `data header`, the same for messages without an API key.
    Data(&'a str),
    Struct {
        kind: Kind,
        name: &'a str,
        attributes: Vec<Attribute<'a>>,
    },
    Field {
        name: &'a str,
        ty: Type,
        is_nullable: bool,
        attributes: Vec<Attribute<'a>>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Attribute<'a> {
    Versions(Versions),
    Flexible(Versions),
    Unstable(Versions),
    Null(Versions),
    Tag(u32),
    Default(&'a str),
    Ignorable,
    Classic,
    View,
}

/// Splits a line into its indentation in spaces, what it says and its comment; on failure, the text from which on it
/// says nothing.
pub(crate) fn line(text: &str) -> Result<(usize, Line<'_>, Option<&str>), &str> {
    let (text, comment) = text.split_once("//").map_or((text, None), |(text, comment)| (text, Some(comment.trim())));
    let content = text.trim();
    match content_line(content) {
        Ok(("", line)) => Ok((text.len() - text.trim_start_matches(' ').len(), line, comment)),
        Ok((left, _)) => Err(left),
        Err(nom::Err::Error(error) | nom::Err::Failure(error)) => Err(error.input),
        Err(nom::Err::Incomplete(_)) => Err(content),
    }
}

fn content_line(input: &str) -> IResult<&str, Line<'_>> {
    let blank = value(Line::Blank, verify(rest, str::is_empty));
    let api = map(preceded(tag("api "), name), Line::Api);
    let data = map(preceded(tag("data "), name), Line::Data);
    alt((blank, api, data, structure, field)).parse(input)
}

fn structure(input: &str) -> IResult<&str, Line<'_>> {
    let kind = alt((
        value(Kind::Request, tag("request ")),
        value(Kind::Response, tag("response ")),
        value(Kind::Message, tag("message ")),
        value(Kind::Struct, tag("struct ")),
    ));
    map((kind, name, attributes), |(kind, name, attributes)| Line::Struct { kind, name, attributes }).parse(input)
}

fn field(input: &str) -> IResult<&str, Line<'_>> {
    let (input, (name, (ty, null))) = separated_pair(name, tag(": "), pair(ty, opt(char('?')))).parse(input)?;
    let (input, attributes) = attributes(input)?;
    Ok((input, Line::Field { name, ty, is_nullable: null.is_some(), attributes }))
}

fn ty(input: &str) -> IResult<&str, Type> {
    let array = map(delimited(char('['), ty, char(']')), |element| Type::Array(Box::new(element)));
    let other = map(name, |name| match name {
        "bool" => Type::Bool,
        "i8" => Type::I8,
        "i16" => Type::I16,
        "u16" => Type::U16,
        "i32" => Type::I32,
        "i64" => Type::I64,
        "f64" => Type::F64,
        "string" => Type::String,
        "uuid" => Type::Uuid,
        "bytes" => Type::Bytes,
        "records" => Type::Records,
        _ => Type::Struct(name.to_owned()),
    });
    alt((array, other)).parse(input)
}

fn attributes(input: &str) -> IResult<&str, Vec<Attribute<'_>>> {
    many0(preceded(tag(", "), attribute)).parse(input)
}

fn attribute(input: &str) -> IResult<&str, Attribute<'_>> {
    alt((
        map(versions, Attribute::Versions),
        map(preceded(tag("flexible "), versions), Attribute::Flexible),
        map(preceded(tag("unstable "), versions), Attribute::Unstable),
        map(preceded(tag("null "), versions), Attribute::Null),
        map(preceded(tag("tag "), u32), Attribute::Tag),
        map(preceded(tag("default "), is_not(",")), Attribute::Default),
        value(Attribute::Ignorable, tag("ignorable")),
        value(Attribute::Classic, tag("classic")),
        value(Attribute::View, tag("view")),
    ))
    .parse(input)
}

/// `v3`, `v3-5` or `v3+`.
fn versions(input: &str) -> IResult<&str, Versions> {
    let (input, first) = preceded(char('v'), i16).parse(input)?;
    let last = alt((value(i16::MAX, char('+')), preceded(char('-'), i16)));
    map(opt(last), |last| Versions { first, last: last.unwrap_or(first) }).parse(input)
}

fn name(input: &str) -> IResult<&str, &str> {
    let first = take_while1(|character: char| character.is_ascii_alphabetic());
    recognize(pair(first, take_while(|character: char| character.is_ascii_alphanumeric() || character == '_')))
        .parse(input)
}
