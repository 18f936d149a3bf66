//! Runs the commands of a page.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::process::{Command, Stdio};

use conformance::{programs, reserve_port, skip};

use crate::page::{Block, Page};

/// Runs the blocks of a page; returns their number.
///
/// # Errors
/// The failure, with the whole output of the page.
pub(crate) fn run(page: &Page) -> Result<usize, String> {
    let blocks: Vec<&Block> = page.blocks.iter().filter(|block| block.info == "sh").collect();
    if blocks.is_empty() {
        return Ok(0);
    }
    if blocks.iter().any(|block| block.text.contains("kcat")) && Command::new("kcat").arg("-V").output().is_err() {
        skip(&format!("the commands of {}", page.path), "`kcat` is not installed");
        return Ok(0);
    }
    let folder = std::env::temp_dir().join(format!("documents-{}-{}", std::process::id(), page.path.replace('/', "-")));
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let (_reserved, port) = reserve_port();
    let printed = execute(&script(&blocks, port), &folder);
    // The folder is of no use any more; the message has everything.
    let _ = fs::remove_dir_all(&folder);
    let (is_success, printed) = printed.map_err(|error| format!("{}: {error}", page.path))?;
    let missing = missing(page, &printed);
    if is_success && missing.is_empty() {
        return Ok(blocks.len());
    }
    let what = if is_success { missing.join("\n") } else { "a command failed, or did not end".to_owned() };
    Err(format!("{}: {what}\nIt printed:\n{printed}", page.path))
}

/// The blocks as one script that prints where each begins.
///
/// There is a moment between two blocks, as there is for a reader: a signal that comes before a new process of the
/// background has become its program runs the trap of the shell there, which ends all others.
fn script(blocks: &[&Block], port: u16) -> String {
    let mut script = "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n".to_owned();
    for block in blocks {
        writeln!(script, "sleep 0.5\necho '{}'\n{}", mark(block), block.text).expect("a String takes every write");
    }
    script.replace("9092", &port.to_string())
}

fn mark(block: &Block) -> String {
    format!("== the block of line {}", block.line)
}

/// Whether the script succeeded within its time, and its output.
fn execute(script: &str, folder: &std::path::Path) -> std::io::Result<(bool, String)> {
    let log = folder.join(".printed");
    let printed = File::create(&log)?;
    let path = std::env::var("PATH").unwrap_or_default();
    let status = Command::new("timeout")
        .args([SECONDS_MAX, "bash", "-c", script])
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", programs::folder().display()))
        .env("TMPDIR", folder)
        .env_remove("KAFKA_BOOTSTRAP_SERVERS")
        .stdin(Stdio::null())
        .stdout(printed.try_clone()?)
        .stderr(printed)
        .status()?;
    Ok((status.success(), fs::read_to_string(&log)?))
}

/// Lines of the `text output` blocks that the block before did not print.
fn missing(page: &Page, printed: &str) -> Vec<String> {
    let mut missing = Vec::new();
    for pair in page.blocks.windows(2) {
        let [block, expected] = pair else { continue };
        if expected.info != "text output" {
            continue;
        }
        let part = printed.split_once(&mark(block)).map_or("", |(_, after)| after);
        let part = part.split("== the block of line").next().unwrap_or_default();
        let lines = expected.text.lines().map(str::trim).filter(|line| !line.is_empty() && *line != "...");
        missing.extend(lines.filter(|line| !part.contains(line)).map(|line| format!("line {}: {line}", expected.line)));
    }
    missing
}

/// Time for all commands of a page, on a machine that is busy with other suites.
const SECONDS_MAX: &str = "180";
