//! Errors in a configuration. Their texts never show the value of a key that holds a secret.

use std::fmt;
use std::io;
use std::path::PathBuf;

#[cfg(feature = "oauth")]
use crate::client::OAuthConfigError;

/// A configuration that cannot be used.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PropertiesError {
    /// No such key.
    UnknownKey {
        /// As it was given; `None` if it looks like a part of a value, which may be a secret.
        key: Option<String>,
        /// The known key that was probably meant, if one is near.
        nearest: Option<&'static str>,
    },
    /// The key is known, but its value is not of its type or out of its range.
    InvalidValue {
        /// First name of the key.
        key: &'static str,
        /// The value as it was given, which may be empty; `None` if it may be a secret.
        value: Option<String>,
        /// The values that the key takes.
        expected: &'static str,
    },
    /// A required key is not set.
    Missing {
        /// The key.
        key: &'static str,
        /// The reason, and the value to set.
        why: &'static str,
    },
    /// Keys contradict each other, or this client cannot follow one of them.
    Unusable {
        /// The key.
        key: &'static str,
        /// The reason and the remedy, without the value.
        why: &'static str,
    },
    /// The source of tokens for OAUTHBEARER cannot be used.
    #[cfg(feature = "oauth")]
    OAuth(Box<OAuthConfigError>),
    /// A variable of the environment cannot be used.
    Variable {
        /// Name of the variable.
        name: String,
        /// The reason.
        error: Box<PropertiesError>,
    },
    /// A line of a properties file is malformed.
    Syntax {
        /// Number of the line, from 1.
        line: usize,
        /// The mistake, without the text of the line.
        why: &'static str,
    },
    /// A properties file cannot be read.
    File {
        /// The file.
        path: PathBuf,
        /// Kind of the error of the operating system.
        kind: io::ErrorKind,
    },
}

impl fmt::Display for PropertiesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey { key: Some(key), nearest: Some(nearest) } => {
                write!(f, "unknown configuration key `{key}`: did you mean `{nearest}`?")
            }
            Self::UnknownKey { key: Some(key), nearest: None } => {
                write!(f, "unknown configuration key `{key}`; docs/reference/client-config.md lists the keys")
            }
            Self::UnknownKey { key: None, .. } => f.write_str(
                "a line begins with what is no configuration key, but may be a part of the value before it: a line that \
                 goes on in the next one ends with a backslash",
            ),
            Self::InvalidValue { key, value: Some(value), expected } if value.is_empty() => {
                write!(f, "`{key}` has no value: leave it out, or set it; it takes {expected}")
            }
            Self::InvalidValue { key, value: Some(value), expected } => {
                write!(f, "`{key}` takes {expected}, not `{value}`")
            }
            Self::InvalidValue { key, value: None, expected } => write!(f, "`{key}` takes {expected}"),
            Self::Missing { key, why } => write!(f, "`{key}` is not set: {why}"),
            Self::Unusable { key, why } => write!(f, "`{key}`: {why}"),
            #[cfg(feature = "oauth")]
            Self::OAuth(error) => error.fmt(f),
            Self::Variable { name, error } => write!(f, "{name} in the environment: {error}"),
            Self::Syntax { line, why } => write!(f, "line {line} of the properties: {why}"),
            Self::File { path, kind } => write!(f, "cannot read {}: {kind}", path.display()),
        }
    }
}

debug_as_text!(PropertiesError);

impl std::error::Error for PropertiesError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            #[cfg(feature = "oauth")]
            Self::OAuth(error) => Some(&**error),
            Self::Variable { error, .. } => Some(&**error),
            _ => None,
        }
    }
}
