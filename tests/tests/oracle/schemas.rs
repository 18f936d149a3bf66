//! Our schemas and those in Kafka's jars, in one form: a line for each message and each field, by its path.

use std::collections::BTreeMap;

use kafka_wire_codegen::schema::{Api, Field, Kind, Schema, Struct, Type, Value, Versions};
use serde_json::Value as Json;

use super::messages::schemas;

/// The description of a message or a field, by its path: `FetchRequest/Topics/Partitions`.
pub(crate) type Lines = BTreeMap<String, String>;

/// Messages that Kafka has no schema for.
const OURS_ALONE: &[&str] = &["StickyAssignorUserData"];

/// One line for each path whose descriptions differ.
pub(crate) fn differences(ours: &Lines, java: &Lines) -> Vec<String> {
    let absent = "nothing".to_owned();
    let paths = ours.keys().chain(java.keys().filter(|path| !ours.contains_key(*path)));
    let both = paths.map(|path| (path, ours.get(path).unwrap_or(&absent), java.get(path).unwrap_or(&absent)));
    both.filter(|(_, ours, java)| ours != java)
        .map(|(path, ours, java)| format!("{path}\n  ours:  {ours}\n  Kafka: {java}"))
        .collect()
}

/// The facts about a field that both sides have.
struct Said {
    position: usize,
    ty: String,
    versions: Versions,
    null: Option<Versions>,
    tag: Option<u32>,
    default: String,
    is_ignorable: bool,
    is_classic: bool,
}

impl Said {
    fn line(&self) -> String {
        let shown = |versions: Versions| format!("v{}-{}", versions.first, versions.last);
        format!(
            "#{} {} {}, null {}, tag {:?}, default {}, ignorable {}, classic {}",
            self.position,
            self.ty,
            shown(self.versions),
            self.null.map_or("never".to_owned(), shown),
            self.tag,
            self.default,
            self.is_ignorable,
            self.is_classic
        )
    }
}

fn message_line(kind: &str, versions: Versions, flexible: Option<i16>, unstable: Option<i16>) -> String {
    format!("{kind} v{}-{}, flexible from {flexible:?}, unstable from {unstable:?}", versions.first, versions.last)
}

fn cut(one: Versions, other: Versions) -> Option<Versions> {
    let (first, last) = (one.first.max(other.first), one.last.min(other.last));
    (first <= last).then_some(Versions { first, last })
}

/// Our schemas.
pub(crate) fn ours() -> Lines {
    let mut lines = Lines::new();
    for schema in schemas() {
        for of in schema.structs.iter().filter(|of| of.kind != Kind::Struct) {
            if OURS_ALONE.contains(&of.name.as_str()) {
                continue;
            }
            let kind = match (of.kind, &schema.api) {
                (Kind::Request, Some(Api { name, key })) => format!("request of {name}, {key}"),
                (Kind::Response, Some(Api { name, key })) => format!("response of {name}, {key}"),
                _ => "message".to_owned(),
            };
            // Kafka states it in the request's schema, for both.
            let unstable = of.unstable.filter(|_| of.kind == Kind::Request);
            let flexible = of.flexible.map(|since| since.max(of.versions.first));
            lines.insert(of.name.clone(), message_line(&kind, of.versions, flexible, unstable));
            our_fields(schema, of, &of.name, of.versions, &mut lines);
        }
    }
    lines
}

fn our_fields(schema: &Schema, of: &Struct, path: &str, within: Versions, lines: &mut Lines) {
    let present = of.fields.iter().filter_map(|field| Some((field, cut(field.versions, within)?)));
    for (position, (field, versions)) in present.enumerate() {
        let path = format!("{path}/{}", upper(&field.kafka_name));
        lines.insert(path.clone(), our_field(field, position, versions).line());
        if let Some(inner) = field.ty.inner() {
            let inner = schema.find(inner).expect("checked when the schema was read");
            our_fields(schema, inner, &path, versions, lines);
        }
    }
}

fn our_field(field: &Field, position: usize, versions: Versions) -> Said {
    Said {
        position,
        ty: our_type(&field.ty),
        versions,
        null: field.null.and_then(|null| cut(null, versions)),
        tag: field.tag,
        default: match &field.default {
            Value::Natural => "natural".to_owned(),
            Value::Null => "null".to_owned(),
            Value::Number(number) => number.to_string(),
            Value::True => "true".to_owned(),
        },
        is_ignorable: field.ignorable,
        is_classic: field.classic,
    }
}

fn our_type(ty: &Type) -> String {
    match ty {
        Type::Array(element) => format!("[{}]", our_type(element)),
        // Names of structs are not on the wire, and in Kafka two messages of one file may not share a name.
        Type::Struct(_) => "struct".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// The schemas that the oracle prints.
pub(crate) fn of_java(schemas: impl Iterator<Item = String>) -> Lines {
    let mut lines = Lines::new();
    for text in schemas {
        let schema: Json = serde_json::from_str(&text).expect("Java prints JSON");
        let Some(valid) = versions(&schema, "validVersions") else { continue };
        let name = text_of(&schema, "name");
        let kind = match text_of(&schema, "type") {
            "request" => format!("request of {}, {}", name.trim_end_matches("Request"), schema["apiKey"]),
            "response" => format!("response of {}, {}", name.trim_end_matches("Response"), schema["apiKey"]),
            _ => "message".to_owned(),
        };
        let flexible = versions(&schema, "flexibleVersions").and_then(|flexible| cut(flexible, valid));
        let is_unstable = schema["latestVersionUnstable"] == Json::Bool(true);
        let unstable = is_unstable.then_some(valid.last);
        lines.insert(name.to_owned(), message_line(&kind, valid, flexible.map(|versions| versions.first), unstable));
        let reader = JavaSchema { common: &schema["commonStructs"] };
        reader.fields(&schema["fields"], name, valid, &mut lines);
    }
    lines
}

struct JavaSchema<'a> {
    common: &'a Json,
}

impl JavaSchema<'_> {
    fn fields(&self, fields: &Json, path: &str, within: Versions, lines: &mut Lines) {
        let fields = fields.as_array().expect("a list of fields");
        // A field that no valid version has is obsolete.
        let present = fields.iter().filter_map(|field| Some((field, cut(field_versions(field), within)?)));
        for (position, (field, versions)) in present.enumerate() {
            let path = format!("{path}/{}", upper(text_of(field, "name")));
            lines.insert(path.clone(), java_field(field, position, versions, &path).line());
            let ty = text_of(field, "type").trim_start_matches("[]");
            if ty.starts_with(|first: char| first.is_ascii_uppercase()) {
                let inner = if field["fields"].is_array() { &field["fields"] } else { self.common_struct(ty) };
                self.fields(inner, &path, versions, lines);
            }
        }
    }

    fn common_struct(&self, name: &str) -> &Json {
        let structs = self.common.as_array().expect("a list of structs");
        let found = structs.iter().find(|of| text_of(of, "name") == name);
        &found.unwrap_or_else(|| panic!("no struct {name}"))["fields"]
    }
}

/// The versions of a field; if it states none, those in which it is tagged, as in Kafka's generator.
fn field_versions(field: &Json) -> Versions {
    let found = versions(field, "versions").or_else(|| versions(field, "taggedVersions"));
    found.unwrap_or(Versions { first: 1, last: 0 })
}

fn java_field(field: &Json, position: usize, within: Versions, path: &str) -> Said {
    let tagged = versions(field, "taggedVersions").and_then(|tagged| cut(tagged, within));
    assert!(
        tagged.is_none_or(|tagged| tagged == within),
        "{path} is tagged in some of its versions, which we cannot say"
    );
    let ty = text_of(field, "type");
    Said {
        position,
        ty: java_type(ty),
        versions: within,
        null: versions(field, "nullableVersions").and_then(|null| cut(null, within)),
        tag: tagged.and_then(|_| u32::try_from(field["tag"].as_u64()?).ok()),
        default: java_default(&field["default"], ty),
        is_ignorable: field["ignorable"] == Json::Bool(true),
        is_classic: field["flexibleVersions"] == "none",
    }
}

fn java_type(ty: &str) -> String {
    if let Some(element) = ty.strip_prefix("[]") {
        return format!("[{}]", java_type(element));
    }
    if ty.starts_with(|first: char| first.is_ascii_uppercase()) {
        return "struct".to_owned();
    }
    ty.replace("uint", "u").replace("int", "i").replace("float", "f")
}

/// A default that is absent, or JSON's null, is that of the type; the text `null` means null.
fn java_default(default: &Json, ty: &str) -> String {
    let text = match default {
        Json::Null => return "natural".to_owned(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    let number = match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    let is_text = ty == "string";
    match (text.as_str(), number) {
        ("", _) | ("false", _) => "natural".to_owned(),
        (_, Some(0)) if !is_text => "natural".to_owned(),
        (_, Some(number)) if !is_text => number.to_string(),
        _ => text,
    }
}

/// `none`, `3`, `3+` or `3-5`; `None` when there are none.
fn versions(holder: &Json, name: &str) -> Option<Versions> {
    let text = holder[name].as_str()?;
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{text} is no version"));
    match (text.strip_suffix('+'), text.split_once('-')) {
        (Some(first), _) => Some(Versions { first: number(first), last: i16::MAX }),
        (None, Some((first, last))) => Some(Versions { first: number(first), last: number(last) }),
        (None, None) if text == "none" => None,
        (None, None) => Some(Versions { first: number(text), last: number(text) }),
    }
}

fn text_of<'a>(holder: &'a Json, name: &str) -> &'a str {
    holder[name].as_str().unwrap_or_else(|| panic!("{name} is missing: {holder}"))
}

/// A few names in Kafka's schemas begin in lower case.
fn upper(name: &str) -> String {
    let (first, rest) = name.split_at(1);
    first.to_ascii_uppercase() + rest
}
