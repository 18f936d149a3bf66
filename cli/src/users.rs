//! The users of a SASL listener: a file of names and passwords, and the mechanisms that they may use.

use std::collections::BTreeMap;
use std::path::Path;

use testkit::broker::SaslMechanism;

/// Reads a file of lines `NAME=PASSWORD`. Blank lines and those that begin with `#` are skipped. A password may have
/// any characters but a line break; no error shows one.
pub(crate) fn read(file: &Path) -> Result<BTreeMap<String, String>, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("--sasl-users {}: {error}", file.display()))?;
    parse(&text).map_err(|why| format!("--sasl-users {}: {why}", file.display()))
}

fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut users = BTreeMap::new();
    for (line, text) in (1..).zip(text.lines()) {
        if text.trim().is_empty() || text.starts_with('#') {
            continue;
        }
        let (name, password) = text.split_once('=').ok_or_else(|| format!("line {line} is not NAME=PASSWORD"))?;
        let name = name.trim();
        if name.is_empty() || password.is_empty() {
            return Err(format!("line {line} has an empty name or password"));
        }
        if users.insert(name.to_owned(), password.to_owned()).is_some() {
            return Err(format!("line {line} names {name} for the second time"));
        }
    }
    if users.is_empty() { Err("it has no users".to_owned()) } else { Ok(users) }
}

/// Parses the name of a mechanism.
pub(crate) fn mechanism(text: &str) -> Result<SaslMechanism, String> {
    ALL.into_iter()
        .find(|mechanism| mechanism.name().eq_ignore_ascii_case(text))
        .ok_or_else(|| format!("{text} is none of PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512"))
}

/// Every mechanism that the broker has.
pub(crate) const ALL: [SaslMechanism; 3] =
    [SaslMechanism::Plain, SaslMechanism::ScramSha256, SaslMechanism::ScramSha512];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_read_line_by_line() {
        let users = parse("# developers\nalice=with = signs\n\n bob =\u{e9}\n").unwrap();
        assert_eq!(users["alice"], "with = signs");
        assert_eq!(users["bob"], "\u{e9}");
    }

    #[test]
    fn a_mistake_is_told_by_its_line_and_without_a_password() {
        for (text, why) in [
            ("", "no users"),
            ("a=1\nsecret", "line 2 is not NAME=PASSWORD"),
            ("=secret", "line 1 has an empty name"),
            ("a=", "line 1 has an empty name or password"),
            ("a=secret\na=secret", "line 2 names a for the second time"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why) && !error.contains("secret"), "{error}");
        }
    }
}
