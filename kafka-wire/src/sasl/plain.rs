//! PLAIN: sends the name and the password themselves. Only TLS hides them from others on the way. Source: RFC 4616.

use std::fmt;

use super::{Exchange, SaslError, Step, malformed};

/// One run of PLAIN.
pub struct Plain {
    message: Option<Vec<u8>>,
}

impl Plain {
    /// Name of the mechanism.
    pub const MECHANISM: &'static str = "PLAIN";

    /// Makes an exchange that sends `username` and `password`.
    #[must_use]
    pub fn new(username: &str, password: &str) -> Self {
        let mut message = Vec::with_capacity(username.len() + password.len() + 2);
        // The first part is empty: the client acts for the user who logs in.
        for part in [username, password] {
            message.push(0);
            message.extend_from_slice(part.as_bytes());
        }
        Self { message: Some(message) }
    }
}

impl Exchange for Plain {
    fn step(&mut self, heard: Option<&[u8]>) -> Result<Step, SaslError> {
        match (self.message.take(), heard) {
            (Some(message), None) => Ok(Step::Send(message)),
            (None, Some(_)) => Ok(Step::Done),
            (Some(_), Some(_)) | (None, None) => Err(malformed(Self::MECHANISM, "a message out of turn")),
        }
    }
}

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plain").finish_non_exhaustive()
    }
}
