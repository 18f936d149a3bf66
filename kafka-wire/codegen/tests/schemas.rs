//! The schemas, and the files generated from them.

use kafka_wire_codegen::{Files, generate, generated, read};

#[test]
fn generated_code_is_not_stale() {
    let expected = generate().expect("the schemas are right");
    let found = generated().expect("generated files are checked in");
    let names = |files: &Files| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(&expected), "run `cargo run -p kafka-wire-codegen`");
    for (name, text) in expected {
        assert!(found.get(&name) == Some(&text), "{name}.rs is stale: run `cargo run -p kafka-wire-codegen`");
    }
}

#[test]
fn mistakes_in_a_schema_name_their_line() {
    let check = |fields: &str, expected: &str| {
        let text = format!("data x // X.\n\nmessage M, v0-2 // M.\n{fields}");
        let error = read("x", &text).map(|_| ()).expect_err(fields);
        assert_eq!(error, expected);
    };
    check("  F: i33x,\n", "4: not understood from \",\"");
    check("  F: Unknown // F.\n", "4: no struct Unknown in these versions");
    check("  F: i32, v3+ // F.\n", "4: no version of M has F");
    check("  F: i32, tag 0 // F.\n", "4: F is tagged in inflexible versions");
    check("  F: i32, default x\n", "4: not understood from \"x\"");
    check("  F: i32, default null // F.\n", "4: F is null by default, and never may be");
    check("  F: i32? // F.\n", "4: F has no form for null");
    check("  F: i32 // F.\n    G: i32 // G.\n", "5: indented by 4 spaces");
    check("message N // N.\n", "4: not understood from \"message N\"");
    check("  F: i32\n", "4: no comment");
    assert_eq!(read("x", "data x\n").map(|_| ()).expect_err("no comment"), "1: no comment");
}
