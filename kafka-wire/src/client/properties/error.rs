//! Mistakes in a configuration. No text of them shows the value of a key that holds a secret.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A configuration that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PropertiesError {
    /// No such key.
    UnknownKey {
        /// As it was given.
        key: String,
        /// The known key that was probably meant, if one is near.
        nearest: Option<&'static str>,
    },
    /// The key is known, its value is not of its kind or out of its range.
    InvalidValue {
        /// The key, by its first name.
        key: &'static str,
        /// As it was given; `None` where it may be a secret.
        value: Option<String>,
        /// The values that the key takes.
        expected: &'static str,
    },
    /// A key that has to be set and is not.
    Missing {
        /// The key.
        key: &'static str,
        /// Why, and what to set it to.
        why: &'static str,
    },
    /// Keys that do not go together, or one that this client cannot follow.
    Unusable {
        /// The key.
        key: &'static str,
        /// The reason and the way out, without the value.
        why: &'static str,
    },
    /// A line of a properties file that is none.
    Syntax {
        /// Counted from 1.
        line: usize,
        /// Its fault, without its text.
        why: &'static str,
    },
    /// A properties file that cannot be read.
    File {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        kind: io::ErrorKind,
    },
}

impl fmt::Display for PropertiesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey { key, nearest: Some(nearest) } => {
                write!(f, "unknown configuration key `{key}`: did you mean `{nearest}`?")
            }
            Self::UnknownKey { key, nearest: None } => {
                write!(f, "unknown configuration key `{key}`; docs/reference/client-config.md lists the keys")
            }
            Self::InvalidValue { key, value: Some(value), expected } => {
                write!(f, "`{key}` takes {expected}, not `{value}`")
            }
            Self::InvalidValue { key, value: None, expected } => write!(f, "`{key}` takes {expected}"),
            Self::Missing { key, why } => write!(f, "`{key}` is not set: {why}"),
            Self::Unusable { key, why } => write!(f, "`{key}`: {why}"),
            Self::Syntax { line, why } => write!(f, "line {line} of the properties: {why}"),
            Self::File { path, kind } => write!(f, "cannot read {}: {kind}", path.display()),
        }
    }
}

impl std::error::Error for PropertiesError {}
