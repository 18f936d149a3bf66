//! PLAIN: name and password as they are. Only TLS keeps them from whoever listens on the way. Source: RFC 4616.

use std::fmt;

use super::{Exchange, SaslError, Step, malformed};

/// One run of PLAIN.
pub struct Plain {
    message: Option<Vec<u8>>,
}

impl Plain {
    /// Mechanism that brokers know it by.
    pub const MECHANISM: &'static str = "PLAIN";

    /// Says that it is `username`, whose password is `password`.
    #[must_use]
    pub fn new(username: &str, password: &str) -> Self {
        let mut message = Vec::with_capacity(username.len() + password.len() + 2);
        // The first part is empty: to act as the one who logs in.
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
