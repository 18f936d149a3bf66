//! Values of one schema as those of another, byte by byte.

use proptest::prelude::*;

use super::super::named;
use super::*;

/// The bytes of a value of `reader`, for those of one of `writer`.
fn rewritten(writer: &str, reader: &str, mut bytes: &[u8]) -> Result<Vec<u8>, String> {
    let [writer, reader] = [writer, reader].map(|schema| Schema::parse_str(schema).expect("a schema"));
    let (of_writer, of_reader) = (named(&writer, &[]), named(&reader, &[]));
    let plan = Plan::new((&writer, &of_writer), (&reader, &of_reader));
    let mut out = Vec::new();
    plan.rewrite(&mut bytes, &mut out).map_err(|error| error.to_string())?;
    assert!(bytes.is_empty(), "{bytes:?} are left");
    Ok(out)
}

fn record(name: &str, fields: &str) -> String {
    format!(r#"{{"type": "record", "name": "{name}", "fields": [{fields}]}}"#)
}

#[test]
fn fields_are_found_by_name_and_by_alias_or_have_their_default() {
    let writer = record(
        "R",
        r#"{"name": "a", "type": "string"}, {"name": "gone", "type": {"type": "array", "items": "long"}},
           {"name": "qty", "type": "long"}"#,
    );
    let reader = record(
        "R",
        r#"{"name": "quantity", "type": "long", "aliases": ["qty"], "default": 0},
           {"name": "raw", "type": "bytes", "default": "\u00ff\u0001"},
           {"name": "more", "type": ["null", "int"], "default": null},
           {"name": "list", "type": {"type": "array", "items": "double"}, "default": [1, 0.5]},
           {"name": "none", "type": {"type": "map", "values": "int"}, "default": {}},
           {"name": "a", "type": "string"}"#,
    );
    let written = [2, b'x', 3, 4, 2, 2, 0, 14];
    let [one, half] = [1.0_f64, 0.5].map(f64::to_le_bytes);
    let read = [&[14, 4, 0xff, 1, 0, 4][..], &one, &half, &[0, 0, 2, b'x']].concat();
    assert_eq!(rewritten(&writer, &reader, &written), Ok(read));
    for cut in 0..written.len() {
        assert_eq!(rewritten(&writer, &reader, &written[..cut]), Err("the value is cut off".to_owned()), "{cut}");
    }
    let without = record("R", r#"{"name": "b", "type": "int"}"#);
    let error = rewritten(&writer, &without, &written).expect_err("nothing to read");
    assert_eq!(error, "R has no field b, and that has no default");
}

#[test]
fn a_name_is_taken_before_an_alias_and_once() {
    let writer = record("R", r#"{"name": "a", "type": "int"}, {"name": "b", "type": "int"}"#);
    let reader = record(
        "R",
        r#"{"name": "b", "type": "int"}, {"name": "c", "type": "int", "aliases": ["b"], "default": 9},
           {"name": "d", "type": "int", "aliases": ["a"]}, {"name": "e", "type": "int", "aliases": ["a"], "default": 8}"#,
    );
    assert_eq!(rewritten(&writer, &reader, &[2, 4]), Ok(vec![4, 18, 2, 16]));
}

#[test]
fn numbers_and_text_are_turned_as_the_specification_has_it() {
    let (three, double) = (3.0_f32.to_le_bytes(), 3.0_f64.to_le_bytes());
    for (writer, reader, written, read) in [
        ("int", "long", &[6][..], Ok(&[6][..])),
        ("int", "float", &[6], Ok(&three)),
        ("long", "float", &[6], Ok(&three)),
        ("int", "double", &[6], Ok(&double)),
        ("long", "double", &[6], Ok(&double)),
        ("float", "double", &three, Ok(&double)),
        ("string", "bytes", &[2, b'a'], Ok(&[2, b'a'])),
        ("bytes", "string", &[2, b'a'], Ok(&[2, b'a'])),
        ("long", "int", &[6], Err("what was written as Long cannot be read as Int")),
        ("double", "float", &double, Err("what was written as Double cannot be read as Float")),
        ("string", "int", &[2, b'a'], Err("what was written as String cannot be read as Int")),
    ] {
        let [of_writer, of_reader] = [writer, reader].map(|name| format!("\"{name}\""));
        let read = read.map(<[u8]>::to_vec).map_err(str::to_owned);
        assert_eq!(rewritten(&of_writer, &of_reader, written), read, "{writer} as {reader}");
        // The same as a branch, behind one that is of no use.
        let behind = |bytes: Vec<u8>| [vec![2], bytes].concat();
        let in_union = rewritten(&of_writer, &format!(r#"["null", {of_reader}]"#), written);
        assert_eq!(in_union.ok(), read.ok().map(behind), "{writer} as an optional {reader}");
    }
}

#[test]
fn a_logical_type_is_that_below_it() {
    let decimal = r#"{"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}"#;
    for (plain, logical, bytes) in [
        ("\"bytes\"", decimal, &[4, 4, 0xe2][..]),
        ("\"long\"", r#"{"type": "long", "logicalType": "timestamp-millis"}"#, &[14]),
        ("\"long\"", r#"{"type": "long", "logicalType": "local-timestamp-micros"}"#, &[14]),
        ("\"int\"", r#"{"type": "int", "logicalType": "date"}"#, &[14]),
        ("\"string\"", r#"{"type": "string", "logicalType": "uuid"}"#, &[2, b'a']),
    ] {
        for (writer, reader) in [(plain, logical), (logical, plain), (logical, logical)] {
            assert_eq!(rewritten(writer, reader, bytes), Ok(bytes.to_vec()), "{writer} as {reader}");
        }
    }
}

#[test]
fn a_branch_is_chosen_by_its_name() {
    let field = r#"{"name": "id", "type": "long"}"#;
    let [a, b, c] = ["A", "B", "C"].map(|name| record(name, field));
    let union = |branches: &[&str]| format!("[{}]", branches.join(", "));
    let both = union(&[&a, &b]);
    assert_eq!(rewritten(&both, &both, &[2, 14]), Ok(vec![2, 14]));
    assert_eq!(rewritten(&both, &union(&["\"null\"", &b, &a]), &[2, 14]), Ok(vec![2, 14]));
    assert_eq!(rewritten(&both, &b, &[2, 14]), Ok(vec![14]));
    assert_eq!(rewritten(&b, &both, &[14]), Ok(vec![2, 14]));
    // Not as the first whose fields are there.
    for reader in [&a, &union(&["\"null\"", &a]), &union(&[&a, &c])] {
        assert!(rewritten(&both, reader, &[2, 14]).is_err(), "{reader}");
        assert!(rewritten(&both, reader, &[0, 14]).is_ok(), "{reader}");
    }
    assert!(rewritten(&c, &both, &[14]).is_err());
    // Where there is one of the kind, it need not have the name.
    assert_eq!(rewritten(&c, &a, &[14]), Ok(vec![14]));
    assert_eq!(rewritten(&c, &union(&["\"null\"", &a]), &[14]), Ok(vec![2, 14]));
    // The namespace counts if there is a choice, and aliases do.
    let [x, y] = ["x.A", "y.A"].map(|name| record(name, field));
    assert_eq!(rewritten(&y, &union(&[&x, &y]), &[14]), Ok(vec![2, 14]));
    let renamed = format!(r#"{{"type": "record", "name": "N", "aliases": ["B"], "fields": [{field}]}}"#);
    assert_eq!(rewritten(&both, &union(&[&renamed, &a]), &[2, 14]), Ok(vec![0, 14]));
    assert!(rewritten(&both, &both, &[4, 14]).is_err() && rewritten(&both, &both, &[1, 14]).is_err());
    assert_eq!(rewritten("[\"null\", \"long\"]", "\"double\"", &[0]).ok(), None);
}

#[test]
fn a_symbol_is_known_or_has_its_default() {
    let symbols = |more: &str| format!(r#"{{"type": "enum", "name": "E", "symbols": ["B", "A"]{more}}}"#);
    let writer = r#"{"type": "enum", "name": "E", "symbols": ["A", "C"]}"#;
    assert_eq!(rewritten(writer, &symbols(""), &[0]), Ok(vec![2]));
    assert_eq!(rewritten(writer, &symbols(""), &[2]), Err("E has no symbol C, and no default".to_owned()));
    assert_eq!(rewritten(writer, &symbols(r#", "default": "B""#), &[2]), Ok(vec![0]));
}

#[test]
fn a_type_that_is_named_twice_is_the_same() {
    let twice = |fields: &str| {
        let half = record("n.Half", fields);
        let pair = record("n.Pair", &format!(r#"{{"name": "a", "type": {half}}}, {{"name": "b", "type": "Half"}}"#));
        format!(r#"{{"type": "map", "values": {pair}}}"#)
    };
    let (writer, reader) = (
        twice(r#"{"name": "x", "type": "int"}, {"name": "y", "type": "int"}"#),
        twice(r#"{"name": "y", "type": "long"}"#),
    );
    // A block with its size.
    let written = [1, 12, 2, b'k', 2, 4, 6, 8, 0];
    assert_eq!(rewritten(&writer, &reader, &written), Ok(vec![2, 2, b'k', 4, 8, 0]));
}

#[test]
fn lengths_that_no_record_has_are_refused_before_memory_is_taken() {
    let huge = [0x80, 0x80, 0x80, 0x80, 0x80, 0x40];
    for schema in ["\"string\"", r#"{"type": "array", "items": "int"}"#, r#"{"type": "map", "values": "int"}"#] {
        assert_eq!(rewritten(schema, schema, &huge), Err("the value is cut off".to_owned()), "{schema}");
    }
    assert!(rewritten("\"string\"", "\"bytes\"", &[1]).is_err(), "a negative length");
}

proptest! {
    #[test]
    fn numbers_come_back(value: i64) {
        let mut bytes = Vec::new();
        put_number(value, &mut bytes);
        let mut rest = bytes.as_slice();
        prop_assert_eq!((number(&mut rest), rest.len()), (Ok(value), 0));
    }
}
