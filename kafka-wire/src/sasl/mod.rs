//! Authentication by SASL, without I/O: the messages of a client to a broker that asks for it.
//!
//! An [`Exchange`] is one run of a mechanism on one connection. [`Plain`] and [`OAuthBearer`] send one message;
//! [`Scram`] (feature `sasl`) proves that the client knows a password without sending it, and has the broker prove
//! the same. The session carries the messages: SaslHandshake with the name of the mechanism, then one SaslAuthenticate
//! for each message (KIP-43, KIP-152).
//!
//! No text of this module's errors, and no `Debug` of its types, shows a password, a token, or anything
//! that is made of one.

mod oauthbearer;
mod plain;
#[cfg(feature = "sasl")]
mod scram;

use std::fmt;

pub use oauthbearer::{OAuthBearer, OAuthToken};
pub use plain::Plain;
#[cfg(feature = "sasl")]
pub use scram::{ITERATIONS_MAX, ITERATIONS_MIN, Scram, ScramHash, escape_name, unescape_name};

use crate::protocol::{ApiKey, ErrorCode};
use crate::wire::Str;

/// One run of a mechanism. Its steps alternate with the broker's messages.
pub trait Exchange: Send {
    /// Takes the client's next step. `heard` is the broker's answer to the previous one; `None` before the first.
    ///
    /// # Errors
    /// If the broker's message is not of this mechanism, or proves that the broker does not know the password.
    fn step(&mut self, heard: Option<&[u8]>) -> Result<Step, SaslError>;
}

/// The client's next step in an [`Exchange`].
#[derive(Clone, PartialEq, Eq)]
pub enum Step {
    /// Send these bytes and wait for the answer.
    Send(Vec<u8>),
    /// The exchange is over: the broker has sent everything that this side needs.
    Done,
}

/// Shows no bytes, since they may hold a password.
impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(bytes) => write!(f, "Send({} bytes)", bytes.len()),
            Self::Done => f.write_str("Done"),
        }
    }
}

/// The reason why an authentication failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SaslError {
    /// The listener does not support this mechanism.
    UnsupportedMechanism {
        /// Mechanism of the client.
        mechanism: Str,
        /// The mechanisms that the listener supports, according to the broker.
        enabled: Vec<Str>,
    },
    /// The listener does not ask for authentication: its protocol is PLAINTEXT or SSL.
    NotWanted {
        /// The broker's code.
        code: ErrorCode,
    },
    /// The broker does not support an API that authentication needs in a version that this client knows.
    NotServed {
        /// The API.
        api: ApiKey,
    },
    /// The broker does not accept the client's name, password or token.
    Refused {
        /// Mechanism of the client.
        mechanism: Str,
        /// The broker's code.
        code: ErrorCode,
        /// The broker's words, if it has any.
        reason: Option<Str>,
    },
    /// The broker's message does not follow the mechanism.
    Malformed {
        /// Mechanism of the client.
        mechanism: Str,
        /// The mistake.
        reason: &'static str,
    },
    /// The broker could not prove that it knows the user's password: it is not the broker that it claims to be.
    Impostor {
        /// Mechanism of the client.
        mechanism: Str,
    },
    /// The client has no name, password or token to send.
    NoCredentials {
        /// Mechanism of the client.
        mechanism: Str,
        /// The reason, in the words of the code that should provide them, which must not put a secret into it.
        reason: String,
    },
}

impl SaslError {
    /// Returns whether another attempt with the same settings must fail in the same way.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        match self {
            Self::UnsupportedMechanism { .. }
            | Self::NotWanted { .. }
            | Self::NotServed { .. }
            | Self::Refused { .. }
            | Self::Impostor { .. } => true,
            Self::Malformed { .. } | Self::NoCredentials { .. } => false,
        }
    }
}

impl fmt::Display for SaslError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnsupportedMechanism { mechanism, enabled } if enabled.is_empty() => {
                write!(f, "the listener does not take sasl.mechanism={mechanism}, and does not say what it takes")
            }
            Self::UnsupportedMechanism { mechanism, enabled } => {
                write!(f, "the listener does not take sasl.mechanism={mechanism}; it takes {}", list(enabled))
            }
            Self::NotWanted { code } => write!(
                f,
                "the listener does not ask for authentication ({}): use the port of a SASL listener, or set \
                 security.protocol to PLAINTEXT or SSL",
                code.name()
            ),
            Self::NotServed { api } => write!(f, "the broker does not serve {}, which SASL needs", api.name()),
            Self::Refused { mechanism, code, reason } => {
                write!(f, "the broker refuses the credentials of {mechanism}: {}", code.name())?;
                if let Some(reason) = reason {
                    write!(f, " ({reason})")?;
                }
                f.write_str(match &**mechanism {
                    "OAUTHBEARER" => ". Check that the token has not expired, and its issuer, audience and scope",
                    _ => ". Check sasl.username and sasl.password (in Java's form, sasl.jaas.config), and that the broker has this user for this mechanism",
                })
            }
            Self::Malformed { mechanism, reason } => write!(f, "the broker's part of {mechanism} is wrong: {reason}"),
            Self::Impostor { mechanism } => write!(
                f,
                "the broker could not prove by {mechanism} that it knows the password: something else answers in its place"
            ),
            Self::NoCredentials { mechanism, reason } => write!(f, "no credentials for {mechanism}: {reason}"),
        }
    }
}

impl std::error::Error for SaslError {}

fn list(names: &[Str]) -> String {
    names.iter().map(|name| &**name).collect::<Vec<_>>().join(", ")
}

fn malformed(mechanism: &'static str, reason: &'static str) -> SaslError {
    SaslError::Malformed { mechanism: Str::from_static(mechanism), reason }
}

#[cfg(test)]
mod tests;
