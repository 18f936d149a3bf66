//! Generates `kafka-wire/src/protocol/generated` from `kafka-wire/schema`: `cargo run -p kafka-wire-codegen`.
//!
//! One schema file becomes one Rust file. `grammar` parses lines with nom, `tree` joins them by indentation and checks
//! them, `emit` with `decode` and `encode` writes Rust, and rustfmt formats it. `kafka-wire/schema/README.md` describes
//! the language. [`schemas`] is for tests, which compare the schemas with Kafka's and make messages from them.

mod decode;
mod emit;
mod encode;
mod form;
mod grammar;
pub mod schema;
mod tree;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{fs, io};

pub use tree::read;

/// Contents of files by the stem of their name.
pub type Files = BTreeMap<String, String>;

const SCHEMAS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../schema");
const GENERATED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../src/protocol/generated");

/// Every schema of `kafka-wire/schema`, in the order of names; the error has the file and the line that cannot
/// be parsed.
pub fn schemas() -> Result<Vec<schema::Schema>, String> {
    let files = files(SCHEMAS, "schema").map_err(|error| error.to_string())?;
    let located = |name: &str, error| format!("kafka-wire/schema/{name}.schema:{error}");
    files.iter().map(|(name, text)| read(name, text).map_err(|error| located(name, error))).collect()
}

/// The Rust files for the schemas; the error is one of the schemas or of rustfmt.
pub fn generate() -> Result<Files, String> {
    let schemas = schemas()?;
    let index = ("mod".to_owned(), emit::index(&schemas));
    let modules = schemas.iter().map(|schema| (schema.module.clone(), emit::file(schema)));
    modules.chain([index]).map(|(name, text)| Ok((name, rustfmt(&text)?))).collect()
}

/// The generated files as they are now.
pub fn generated() -> io::Result<Files> {
    files(GENERATED, "rs")
}

/// Writes the files that have changed, so that nothing else is compiled again, and removes those that no
/// schema makes any more.
pub fn write(files: &Files) -> io::Result<()> {
    let path = |name: &str| Path::new(GENERATED).join(name).with_extension("rs");
    let old = generated()?;
    old.keys().filter(|name| !files.contains_key(*name)).try_for_each(|name| fs::remove_file(path(name)))?;
    let mut changed = files.iter().filter(|(name, text)| old.get(*name) != Some(text));
    changed.try_for_each(|(name, text)| fs::write(path(name), text))
}

/// Files of a folder with this extension, by stem.
fn files(folder: &str, extension: &str) -> io::Result<Files> {
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

/// Formats the text as `cargo fmt` would.
fn rustfmt(text: &str) -> Result<String, String> {
    let fail = |error: io::Error| format!("rustfmt: {error}; it comes with `rustup component add rustfmt`");
    let mut rustfmt = Command::new("rustfmt");
    rustfmt.args(["--edition", "2024", "--config-path", concat!(env!("CARGO_MANIFEST_DIR"), "/../../rustfmt.toml")]);
    let mut child = rustfmt.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(fail)?;
    child.stdin.take().expect("piped above").write_all(text.as_bytes()).map_err(fail)?;
    let output = child.wait_with_output().map_err(fail)?;
    if !output.status.success() {
        return Err(format!("rustfmt refused the generated text:\n{text}"));
    }
    String::from_utf8(output.stdout).map_err(|error| error.to_string())
}
