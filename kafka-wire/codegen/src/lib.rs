//! Generates `kafka-wire/src/protocol/generated` from `kafka-wire/schema`: `cargo run -p kafka-wire-codegen`.
//!
//! One schema file becomes one Rust file. `grammar` reads lines with nom, `tree` joins them by indentation and checks
//! them, `emit` and its parts `decode`, `encode` and `inspect` write Rust, and rustfmt lays it out. The language is told in
//! `kafka-wire/schema/README.md`. [`schemas`] is for tests that compare the schemas with something else, or make messages of
//! them.

mod decode;
mod emit;
mod encode;
mod grammar;
mod inspect;
pub mod schema;
mod tree;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

pub use tree::read;

/// Contents of files by the stem of their name.
pub type Files = BTreeMap<String, String>;

/// Every schema of `kafka-wire/schema`, in the order of names.
///
/// # Errors
/// Names the file and the line that is not understood.
pub fn schemas() -> Result<Vec<schema::Schema>, String> {
    let files = files(&room().join("schema"), "schema").map_err(|error| error.to_string())?;
    let read = |(name, text): (&String, &String)| {
        read(name, text).map_err(|error| format!("kafka-wire/schema/{name}.schema:{error}"))
    };
    files.iter().map(read).collect()
}

/// The Rust files that follow from the schemas.
///
/// # Errors
/// A schema that is not understood; no rustfmt.
pub fn generate() -> Result<Files, String> {
    let schemas = schemas()?;
    let mut files = Files::new();
    files.insert("mod".to_owned(), rustfmt(&emit::index(&schemas))?);
    for schema in &schemas {
        files.insert(schema.module.clone(), rustfmt(&emit::file(schema))?);
    }
    Ok(files)
}

/// The generated files as they are now.
///
/// # Errors
/// A file that cannot be read.
pub fn generated() -> io::Result<Files> {
    files(&output(), "rs")
}

/// Writes what changed, so that nothing else is compiled again, and removes what no schema makes any more.
///
/// # Errors
/// A file that cannot be read or written.
pub fn write(files: &Files) -> io::Result<()> {
    fs::create_dir_all(output())?;
    let old = generated()?;
    for name in old.keys().filter(|name| !files.contains_key(*name)) {
        fs::remove_file(output().join(name).with_extension("rs"))?;
    }
    for (name, text) in files.iter().filter(|(name, text)| old.get(*name) != Some(text)) {
        fs::write(output().join(name).with_extension("rs"), text)?;
    }
    Ok(())
}

fn room() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("codegen/ lies in kafka-wire/").to_path_buf()
}

fn output() -> PathBuf {
    room().join("src/protocol/generated")
}

/// Files of a folder with this extension, by stem.
fn files(folder: &Path, extension: &str) -> io::Result<Files> {
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
