//! Puts the commit of the build into the version: from the environment, from the note of `cargo package`, or from git,
//! whichever exists. Nothing here fails: without any of them the version stands alone.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let commit = env::var(VARIABLE).ok().filter(|commit| !commit.is_empty()).or_else(packaged).or_else(checked_out);
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    match commit {
        // The hash is cut here and not by git, whose abbreviation depends on the other commits of the repository.
        Some(commit) => println!("cargo::rustc-env=WATERWHEEL_VERSION={version} ({})", &commit[..commit.len().min(10)]),
        None => println!("cargo::rustc-env=WATERWHEEL_VERSION={version}"),
    }
}

/// The commit on which `cargo package` was run: `{"git": {"sha1": "..."}, ...}`.
fn packaged() -> Option<String> {
    let note = fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, rest) = note.split_once("\"sha1\"")?;
    commit(rest.split('"').nth(1)?)
}

/// The commit of the work tree, if this file is tracked in it: sources unpacked inside another repository are not.
fn checked_out() -> Option<String> {
    git(&["ls-files", "--error-unmatch", "build.rs"])?;
    // Every commit and checkout appends a line to this file, so cargo reruns the script then.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    if Path::new(&log).exists() {
        println!("cargo::rerun-if-changed={log}");
    }
    commit(&git(&["rev-parse", "HEAD"])?)
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

fn commit(text: &str) -> Option<String> {
    let is_commit = text.len() >= 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_commit.then(|| text.to_owned())
}

const VARIABLE: &str = "WATERWHEEL_COMMIT";
