//! Schemas of a registry. Whoever may write records may have registered one, so it may be anything.

use std::thread;

use apache_avro::Schema;
use processor::SerdeError;
use serde_json::Value;

use super::custom;

/// Parses a schema with those that it refers to.
///
/// # Errors
/// If they are no schemas, or are larger than schemas are.
pub(crate) fn parse(schema: &str, others: &[String]) -> Result<(Schema, Vec<Schema>), SerdeError> {
    let texts = || others.iter().map(String::as_str).chain([schema]);
    let levels: usize = texts().map(nesting).sum();
    // The library keeps a copy of every named type, with all that is in it.
    let copied: usize = texts().map(|text| text.len().saturating_mul(nesting(text))).sum();
    if levels > LEVELS_MAX || copied > COPIED_MAX_BYTES {
        return Err(custom("the schema and those that it refers to are larger than schemas are"));
    }
    let parse = || {
        let others = others.iter().map(|other| without_defaults(other)).collect::<Result<Vec<_>, _>>()?;
        Schema::parse_str_with_list(&without_defaults(schema)?, others).map_err(custom)
    };
    // The library goes from one schema to the next by recursion, and panics at some.
    let parsed = thread::scope(|scope| {
        let parser = thread::Builder::new().name("avro-schema".to_owned()).stack_size(STACK_BYTES);
        parser.spawn_scoped(scope, parse).map(thread::ScopedJoinHandle::join)
    });
    match parsed {
        Ok(Ok(parsed)) => parsed,
        Ok(Err(_)) => Err(custom("the schema contradicts itself")),
        Err(error) => Err(SerdeError::Unavailable(format!("no thread to read a schema: {error}"))),
    }
}

/// A schema without the defaults of its fields, which are of no use to those who read with another one. The library
/// would check each of them, in all ways in which it can be made of the defaults inside it.
fn without_defaults(schema: &str) -> Result<String, SerdeError> {
    let mut schema = serde_json::from_str(schema).map_err(custom)?;
    strip(&mut schema);
    Ok(schema.to_string())
}

fn strip(json: &mut Value) {
    match json {
        Value::Object(parts) => {
            parts.remove("default");
            parts.values_mut().for_each(strip);
        }
        Value::Array(parts) => parts.iter_mut().for_each(strip),
        _ => {}
    }
}

/// The deepest nesting of arrays and objects in a JSON text.
fn nesting(text: &str) -> usize {
    let (mut depth, mut most, mut is_quoted, mut is_escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_quoted,
            b'"' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            b'[' | b'{' => {
                depth += 1;
                most = most.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    most
}

/// Most levels of JSON that may be inside each other, from one schema to the next.
const LEVELS_MAX: usize = 2_048;
/// Enough for so many.
const STACK_BYTES: usize = 64 << 20;
/// Most bytes of text of which there are copies, in a schema as large as a registry takes them by default (1 MB).
const COPIED_MAX_BYTES: usize = 32 << 20;

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::avro::Codec;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Number {
        n: i64,
    }

    /// Reads a value that was written with these schemas.
    fn read(schema: &str, others: &[String], value: &[u8]) -> Result<Number, String> {
        let ours = r#"{"type": "record", "name": "Number", "fields": [{"name": "n", "type": "long"}]}"#;
        let codec = Codec::new(Schema::parse_str(ours).unwrap(), Vec::new()).unwrap();
        let read = parse(schema, others).and_then(|(writer, others)| {
            let resolver = codec.resolver(&writer, &others)?;
            codec.read_as(&resolver, value)
        });
        read.map_err(|error| error.to_string())
    }

    fn record(name: &str, fields: &str) -> String {
        format!(r#"{{"type": "record", "name": "{name}", "fields": [{fields}]}}"#)
    }

    /// A record of a number, and of what nobody reads.
    fn with(unread: &str) -> String {
        record("Number", &format!(r#"{{"name": "n", "type": "int"}}, {{"name": "x", "type": {unread}}}"#))
    }

    fn refusal(schema: &str, others: &[String]) -> String {
        read(schema, others, &[2, 2]).unwrap_err()
    }

    #[test]
    fn a_schema_with_others_is_read() {
        let others = [record("Other", r#"{"name": "a", "type": "Third", "default": {}}"#), record("Third", "")];
        assert_eq!(read(&with("\"Other\""), &others, &[2]), Ok(Number { n: 1 }));
        let renamed = r#"{"type": "enum", "name": "E", "aliases": ["F"], "symbols": ["A", "B"], "default": "B"}"#;
        let twice = format!(
            r#"{{"name": "n", "type": "int"}}, {{"name": "e", "type": {renamed}}}, {{"name": "f", "type": "F"}}"#
        );
        assert_eq!(read(&record("Number", &twice), &[], &[2, 2, 0]), Ok(Number { n: 1 }));
    }

    #[test]
    fn a_schema_at_which_the_library_panics_is_refused() {
        let hidden = format!(r#"{{"name": "A", "type": {}}}"#, record("B", ""));
        assert_eq!(refusal(&with("\"B\""), &[hidden]), "the schema contradicts itself");
    }

    /// A record of two of the next lower records each, and of `leaf` in the end.
    fn doubling(times: usize, leaf: &str) -> Vec<String> {
        let pair = |of: &str| {
            format!(r#"{{"name": "a", "type": {of}, "default": {{}}}}, {{"name": "b", "type": {of}, "default": {{}}}}"#)
        };
        let mut records = vec![record("R0", &format!(r#"{{"name": "a", "type": {leaf}}}"#))];
        records.extend((1..=times).map(|time| record(&format!("R{time}"), &pair(&format!("\"R{}\"", time - 1)))));
        records
    }

    #[test]
    fn a_few_bytes_do_not_hold_endlessly_many_parts() {
        assert!(refusal(&with("\"R40\""), &doubling(40, "\"null\"")).contains("take no bytes"));
        // Here each part is a byte, and there are not so many.
        assert_eq!(refusal(&with("\"R40\""), &doubling(40, "\"int\"")), "the value is cut off");
        let nothing = r#"{"type": "fixed", "name": "F", "size": 0, "aliases": ["G"]}"#;
        let list = format!(r#"[{nothing}, {{"type": "array", "items": "G"}}]"#);
        assert!(refusal(&with(&list), &[]).contains("endlessly many"));
    }

    #[test]
    fn types_that_nest_deep_by_their_names_are_refused() {
        let next =
            |index: usize| record(&format!("R{index}"), &format!(r#"{{"name": "a", "type": "R{}"}}"#, index + 1));
        let mut others: Vec<_> = (0..200).map(next).collect();
        others.push(record("R200", r#"{"name": "a", "type": "int"}"#));
        assert!(refusal(&with("\"R0\""), &others).contains("nest deeper"));
        // Thousands, of which the deepest comes first.
        let chain: Vec<_> =
            (0..20_000).rev().map(|index| format!(r#"{{"name": "f{index}", "type": {}}}"#, next(index))).collect();
        let last = record("R20000", r#"{"name": "a", "type": "int"}"#);
        let others = [record("All", &chain.join(", ")), last];
        assert!(refusal(&with("\"R0\""), &others).contains("nest deeper"));
        let arrays = format!(r#"{}"int"{}"#, r#"{"type": "array", "items": "#.repeat(300), "}".repeat(300));
        assert!(refusal(&with(&arrays), &[]).contains("recursion limit"));
    }

    #[test]
    fn a_name_that_is_given_twice_hides_no_schema_that_refers_to_itself() {
        let inner = record("B", r#"{"name": "a", "type": "A"}"#);
        let again = record("A", r#"{"name": "b", "type": "B"}"#);
        let fields = [record("A", ""), inner, again];
        let fields = fields.iter().enumerate().map(|(at, of)| format!(r#"{{"name": "f{at}", "type": {of}}}"#));
        let all = record("All", &fields.collect::<Vec<_>>().join(","));
        assert!(refusal(&with(&all), &[]).contains("refers to itself"));
    }

    #[test]
    fn more_than_a_schema_has_is_refused() {
        let symbols: Vec<_> = (0..70_000).map(|index| format!("\"s{index}\"")).collect();
        let all = format!(r#"{{"type": "enum", "name": "E", "symbols": [{}]}}"#, symbols.join(","));
        assert!(refusal(&with(&all), &[]).contains("symbols"));
        let branches: Vec<_> = (0..2_000).map(|index| record(&format!("B{index}"), "")).collect();
        assert!(refusal(&with(&format!("[{}]", branches.join(","))), &[]).contains("branches"));
        let nested = (0..30)
            .fold(all, |inner, level| record(&format!("N{level}"), &format!(r#"{{"name": "a", "type": {inner}}}"#)));
        assert!(refusal(&with(&nested), &[]).contains("larger than schemas are"));
        let huge = r#"{"type": "fixed", "name": "F", "size": 9000000000000000000}"#;
        assert_eq!(refusal(&with(huge), &[]), "the value is cut off");
    }
}
