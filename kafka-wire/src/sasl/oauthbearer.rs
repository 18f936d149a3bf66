//! OAUTHBEARER: a token that a third party has issued. Source: RFC 7628, KIP-255; extensions: KIP-342.

use std::fmt;

use super::{Exchange, SaslError, Step, malformed};
use crate::wire::Str;

/// A token and its extensions.
#[derive(Clone, PartialEq, Eq)]
pub struct OAuthToken {
    value: String,
    extensions: Vec<(String, String)>,
}

impl OAuthToken {
    /// Makes a token from the issuer's text: a JWT, or any other text without control characters.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self { value: value.into(), extensions: Vec::new() }
    }

    /// Adds an extension for the broker's validator.
    #[must_use]
    pub fn with_extension(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.extensions.push((key.into(), value.into()));
        self
    }
}

/// Shows nothing of the token.
impl fmt::Debug for OAuthToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.extensions.iter().map(|(name, _)| name).collect();
        f.debug_struct("OAuthToken").field("extensions", &names).finish_non_exhaustive()
    }
}

/// One run of OAUTHBEARER.
pub struct OAuthBearer {
    state: State,
}

enum State {
    Start(Vec<u8>),
    Said,
    /// The broker has refused the token with a reason in JSON, and waits for an acknowledgement before it
    /// sends the error code.
    Refused,
}

impl OAuthBearer {
    /// Name of the mechanism.
    pub const MECHANISM: &'static str = "OAUTHBEARER";

    /// Makes an exchange that sends `token`.
    ///
    /// # Errors
    /// If the token is empty, or a part of it cannot be sent: it holds a control character, or a key is `auth` or
    /// not of letters alone.
    pub fn new(token: &OAuthToken) -> Result<Self, SaslError> {
        let unusable = |reason: &str| SaslError::NoCredentials {
            mechanism: Str::from_static(Self::MECHANISM),
            reason: reason.to_owned(),
        };
        if token.value.is_empty() {
            return Err(unusable("the token is empty"));
        }
        if token.value.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(unusable("the token holds a control character, perhaps a line break at its end"));
        }
        let mut message = format!("n,,{SEPARATOR}auth=Bearer {}{SEPARATOR}", token.value);
        for (key, value) in &token.extensions {
            if key.is_empty() || key == "auth" || !key.bytes().all(|byte| byte.is_ascii_alphabetic()) {
                return Err(unusable("the key of an extension is not of letters alone, or is `auth`"));
            }
            if value.contains(SEPARATOR) {
                return Err(unusable("the value of an extension holds the separator"));
            }
            message.push_str(&format!("{key}={value}{SEPARATOR}"));
        }
        message.push(SEPARATOR);
        Ok(Self { state: State::Start(message.into_bytes()) })
    }
}

impl Exchange for OAuthBearer {
    fn step(&mut self, heard: Option<&[u8]>) -> Result<Step, SaslError> {
        let (step, next) = match (std::mem::replace(&mut self.state, State::Refused), heard) {
            (State::Start(message), None) => (Step::Send(message), State::Said),
            (State::Said, Some([])) => (Step::Done, State::Said),
            (State::Said, Some(_)) => (Step::Send(vec![1]), State::Refused),
            (State::Refused, Some(_)) => {
                return Err(malformed(Self::MECHANISM, "it refused the token, and then accepted it"));
            }
            (State::Start(_), Some(_)) | (State::Said | State::Refused, None) => {
                return Err(malformed(Self::MECHANISM, "a message out of turn"));
            }
        };
        self.state = next;
        Ok(step)
    }
}

impl fmt::Debug for OAuthBearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuthBearer").finish_non_exhaustive()
    }
}

const SEPARATOR: char = '\u{1}';
