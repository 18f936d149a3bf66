//! Generates `kafka-wire/src/protocol/generated` from `kafka-wire/schema`: `cargo run -p kafka-wire-codegen`.
//!
//! One schema file becomes one Rust file. `grammar` reads lines with nom, `tree` joins them by indentation and checks
//! them, `emit` and its two halves `decode` and `encode` write Rust, and rustfmt lays it out. The language is told in
//! `kafka-wire/schema/README.md`.

mod decode;
mod emit;
mod encode;
mod grammar;
mod schema;
mod tree;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::{fs, io};

/// File name and contents of every file to be.
type Files = BTreeMap<String, String>;

fn main() -> ExitCode {
    match generate().and_then(|files| write(&files).map_err(|error| error.to_string())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn room() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("codegen/ lies in kafka-wire/").to_path_buf()
}

fn output() -> PathBuf {
    room().join("src/protocol/generated")
}

/// Reads every schema, in the order of names, and returns the files that follow from them.
fn generate() -> Result<Files, String> {
    let mut schemas = Vec::new();
    for (name, text) in read(&room().join("schema"), "schema").map_err(|error| error.to_string())? {
        schemas.push(tree::read(&name, &text).map_err(|error| format!("kafka-wire/schema/{name}.schema:{error}"))?);
    }
    let mut files = Files::new();
    files.insert("mod".to_owned(), rustfmt(&emit::index(&schemas))?);
    for schema in &schemas {
        files.insert(schema.module.clone(), rustfmt(&emit::file(schema))?);
    }
    Ok(files)
}

/// Files of a folder with this extension, by stem.
fn read(folder: &Path, extension: &str) -> io::Result<Files> {
    let mut files = Files::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension)
            && let Some(stem) = path.file_stem().and_then(|stem| stem.to_str())
        {
            files.insert(stem.to_owned(), fs::read_to_string(&path)?);
        }
    }
    Ok(files)
}

/// Writes what changed, so that nothing else is compiled again, and removes what no schema makes any more.
fn write(files: &Files) -> io::Result<()> {
    fs::create_dir_all(output())?;
    let old = read(&output(), "rs")?;
    for name in old.keys().filter(|name| !files.contains_key(*name)) {
        fs::remove_file(output().join(name).with_extension("rs"))?;
    }
    for (name, text) in files.iter().filter(|(name, text)| old.get(*name) != Some(text)) {
        fs::write(output().join(name).with_extension("rs"), text)?;
    }
    Ok(())
}

/// Lays the text out as `cargo fmt` would.
fn rustfmt(text: &str) -> Result<String, String> {
    let fail = |error: io::Error| format!("rustfmt: {error}; it comes with `rustup component add rustfmt`");
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .arg(room().join("../rustfmt.toml"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(fail)?;
    child.stdin.take().expect("piped above").write_all(text.as_bytes()).map_err(fail)?;
    let output = child.wait_with_output().map_err(fail)?;
    if !output.status.success() {
        return Err(format!("rustfmt refused the generated text:\n{text}"));
    }
    String::from_utf8(output.stdout).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::{Files, generate, output, read, tree};

    #[test]
    fn generated_code_is_not_stale() {
        let expected = generate().expect("the schemas are right");
        let found = read(&output(), "rs").expect("generated files are checked in");
        let names = |files: &Files| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&found), names(&expected), "run `cargo run -p kafka-wire-codegen`");
        for (name, text) in expected {
            assert!(found.get(&name) == Some(&text), "{name}.rs is stale: run `cargo run -p kafka-wire-codegen`");
        }
    }

    #[test]
    fn mistakes_in_a_schema_name_their_line() {
        let check = |text: &str, expected: &str| {
            let error = tree::read("x", text).map(|_| ()).expect_err(text);
            assert_eq!(error, expected);
        };
        check(
            "// X.\napi X\n\n// Asks.\nrequest XRequest, v0-2\n  // F.\n  F: i33x,\n",
            "7: not understood from \",\"",
        );
        check("// X.\ndata x\n\n// M.\nmessage M, v0-2\n  F: i32\n", "6: F has no comment");
        check("// X.\ndata x\n\n// M.\nmessage M, v0-2\n  // F.\n  F: Unknown\n", "7: no struct Unknown");
        check("// X.\ndata x\n\n// M.\nmessage M, v0-2\n  // F.\n  F: i32, v3+\n", "7: no version of M has F");
        check(
            "// X.\ndata x\n\n// M.\nmessage M, v0-2\n  // F.\n  F: i32, tag 0\n",
            "7: F is tagged in inflexible versions",
        );
        check("// X.\ndata x\n\n// M.\nmessage M, v0-2\n  // F.\n  F: i32, default x\n", "7: x is no default of F");
    }
}
