//! One line of a schema.

use nom::branch::alt;
use nom::bytes::complete::{is_not, tag, take_while, take_while1};
use nom::character::complete::{char, i16, u32};
use nom::combinator::{map, opt, recognize, value};
use nom::error::{Error, ErrorKind};
use nom::sequence::{delimited, pair, preceded};
use nom::{IResult, Parser};

use crate::schema::{Api, Field, Kind, Struct, Type, Value, Versions};

/// The content of a line before its comment. Parts that stand on other lines are missing: comments, fields,
/// versions of parents.
#[derive(Debug)]
pub(crate) enum Line<'a> {
    Api(Api),
    Data(&'a str),
    Struct(Struct),
    Field(Field),
}

/// Splits a line into its indentation in spaces, its content if it has any, and its comment. On failure, returns
/// the text from the place on that cannot be parsed.
pub(crate) fn line(text: &str) -> Result<(usize, Option<Line<'_>>, &str), &str> {
    let (text, comment) = text.split_once("//").unwrap_or((text, ""));
    let content = text.trim();
    match opt(content_line).parse(content) {
        Ok(("", line)) => Ok((text.len() - text.trim_start_matches(' ').len(), line, comment.trim())),
        Ok((left, _)) => Err(left),
        Err(nom::Err::Error(error) | nom::Err::Failure(error)) => Err(error.input),
        Err(nom::Err::Incomplete(_)) => Err(content),
    }
}

fn content_line(input: &str) -> IResult<&str, Line<'_>> {
    let api =
        map((tag("api "), name, tag(" = "), i16), |(_, name, _, key)| Line::Api(Api { name: name.to_owned(), key }));
    let data = map(preceded(tag("data "), name), Line::Data);
    alt((api, data, map(structure, Line::Struct), map(field, Line::Field))).parse(input)
}

fn structure(input: &str) -> IResult<&str, Struct> {
    let kind = alt((
        value(Kind::Request, tag("request ")),
        value(Kind::Response, tag("response ")),
        value(Kind::Message, tag("message ")),
        value(Kind::Struct, tag("struct ")),
    ));
    let since = |word| map(attribute(word, versions), |versions: Option<Versions>| versions.map(|range| range.first));
    let versions = preceded(tag(", "), versions);
    map(
        (kind, name, versions, since("flexible "), since("unstable "), flag("view")),
        |(kind, name, versions, flexible, unstable, view)| {
            let (name, doc, fields) = (name.to_owned(), String::new(), Vec::new());
            Struct { kind, name, doc, versions, flexible, unstable, view, fields }
        },
    )
    .parse(input)
}

fn field(input: &str) -> IResult<&str, Field> {
    let (input, (kafka_name, _, ty, is_nullable)) = (name, tag(": "), ty, opt(char('?'))).parse(input)?;
    let (input, (found, null, tag, text, ignorable, classic)) = (
        attribute("", versions),
        attribute("null ", versions),
        attribute("tag ", u32),
        attribute("default ", is_not(",")),
        flag("ignorable"),
        flag("classic"),
    )
        .parse(input)?;
    let default = match text {
        None => Value::Natural,
        Some(text) => default(text, &ty).ok_or(nom::Err::Failure(Error::new(text, ErrorKind::Fail)))?,
    };
    let (versions, null) = (found.unwrap_or(Versions::ALL), is_nullable.map_or(null, |_| Some(Versions::ALL)));
    let (name, kafka_name) = (snake_case(kafka_name), kafka_name.to_owned());
    Ok((input, Field { kafka_name, name, doc: String::new(), ty, versions, null, tag, default, ignorable, classic }))
}

fn ty(input: &str) -> IResult<&str, Type> {
    let array = map(delimited(char('['), ty, char(']')), |element| Type::Array(Box::new(element)));
    let scalar = |name: &&str| Type::SCALARS.into_iter().find(|ty| ty.method() == *name);
    let other = map(name, |name| scalar(&name).unwrap_or_else(|| Type::Struct(name.to_owned())));
    alt((array, other)).parse(input)
}

fn default(text: &str, ty: &Type) -> Option<Value> {
    match (text, ty, text.parse()) {
        ("null", ..) => Some(Value::Null),
        ("true", Type::Bool, _) => Some(Value::True),
        (_, Type::I8 | Type::I16 | Type::I32 | Type::I64, Ok(number)) => Some(Value::Number(number)),
        _ => None,
    }
}

/// `, word VALUE`, or nothing.
fn attribute<'a, T>(
    word: &'static str,
    parser: impl Parser<&'a str, Output = T, Error = Error<&'a str>>,
) -> impl Parser<&'a str, Output = Option<T>, Error = Error<&'a str>> {
    opt(preceded((tag(", "), tag(word)), parser))
}

fn flag<'a>(word: &'static str) -> impl Parser<&'a str, Output = bool, Error = Error<&'a str>> {
    map(opt((tag(", "), tag(word))), |found| found.is_some())
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

/// `KRaftVersion` to `kraft_version`, `Enable2Pc` to `enable_2pc`; a keyword of Rust gets a trailing `_`.
fn snake_case(name: &str) -> String {
    let (mut snake, mut is_first) = (String::new(), true);
    for character in name.chars() {
        // After the first character of a word, a capital or a digit belongs to the word; after later ones it
        // begins the next word.
        let begins = !character.is_ascii_lowercase() && !is_first;
        snake.push_str(if begins { "_" } else { "" });
        is_first = begins || snake.is_empty();
        snake.push(character.to_ascii_lowercase());
    }
    if matches!(snake.as_str(), "type" | "match") { snake + "_" } else { snake }
}
