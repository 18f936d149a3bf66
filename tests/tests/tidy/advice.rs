//! Names of settings in the texts of errors: each has to be one that exists.

use std::collections::BTreeSet;
use std::fs;

use crate::source::{Source, workspace};

/// Settings of older brokers, and features, which no reference lists.
const OTHERS: &[&str] =
    &["message.timestamp.difference.max.ms", "transaction.version", "metadata.version", "kraft.version"];

/// Every key of clients and jobs, by the references, and every setting of brokers and topics.
pub(crate) fn known() -> BTreeSet<String> {
    let read = |path: &str| fs::read_to_string(workspace().join(path)).expect("the file is there");
    let mut known: BTreeSet<String> = OTHERS.iter().map(|name| (*name).to_owned()).collect();
    for page in ["docs/reference/client-config.md", "docs/reference/config.md"] {
        let rows = read(page);
        let cells = rows.lines().filter_map(|row| row.strip_prefix("| ")?.split(" |").next());
        known.extend(cells.flat_map(|cell| cell.split('`').map(str::to_owned).collect::<Vec<_>>()));
    }
    let of_brokers = read("testkit/src/broker/broker_configs.txt");
    known.extend(of_brokers.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned));
    known.extend(dotted(&read("testkit/src/broker/topic_configs.rs")).into_iter().map(|(_, name)| name));
    known
}

/// Whether a file holds texts of errors.
pub(crate) fn has_errors(source: &Source) -> bool {
    let is_shipped = ["kafka-wire/src/", "processor/src/", "cli/src/"].iter().any(|room| source.path.starts_with(room));
    is_shipped && !source.is_test() && source.code().contains("Error for")
}

/// Names with dots in the string literals of a text, each with its line.
pub(crate) fn dotted(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let (mut is_literal, mut literal) = (false, String::new());
    for (line, text) in (1..).zip(text.lines()) {
        if !is_literal && text.trim_start().starts_with("//") {
            continue;
        }
        let mut letters = text.replace("'\"'", "").chars().collect::<Vec<_>>().into_iter().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '\\' if is_literal => drop(letters.next()),
                '"' if is_literal => {
                    found.extend(names(&literal).map(|name| (line, name)));
                    (is_literal, literal) = (false, String::new());
                }
                '"' => is_literal = true,
                letter if is_literal => literal.push(letter),
                '/' if letters.peek() == Some(&'/') => break,
                _ => {}
            }
        }
    }
    found
}

/// Words of a literal that have the form of a setting: `linger.ms`, but no file, class or format.
fn names(literal: &str) -> impl Iterator<Item = String> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_' | '/' | ':');
    literal
        .split(move |letter| !is_part(letter))
        .map(|word| word.trim_end_matches(['.', ':']))
        .filter(|word| {
            let parts: Vec<_> = word.split('.').collect();
            let is_lower = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
            parts.len() > 1 && parts.iter().all(is_lower) && !matches!(parts[0], "org" | "www")
        })
        .map(str::to_owned)
        .collect::<Vec<_>>()
        .into_iter()
}
