//! SCRAM: both sides prove that they know the password, or a value derived from it, and neither sends it.
//! Source: RFC 5802, RFC 7677.
//!
//! ```text
//! client  n,,n=NAME,r=NONCE                                    client-first
//! broker  r=NONCE+ITS OWN,s=SALT,i=ITERATIONS                  server-first
//! client  c=biws,r=NONCE+ITS OWN,p=PROOF                       client-final
//! broker  v=SIGNATURE                                          server-final
//!
//! SaltedPassword = PBKDF2(password, salt, iterations)
//! ClientKey = HMAC(SaltedPassword, "Client Key")     StoredKey = H(ClientKey)
//! ServerKey = HMAC(SaltedPassword, "Server Key")
//! AuthMessage = client-first without "n,," + "," + server-first + "," + client-final without ",p=..."
//! PROOF = ClientKey xor HMAC(StoredKey, AuthMessage)     SIGNATURE = HMAC(ServerKey, AuthMessage)
//! ```
//!
//! As in Kafka, names and passwords are taken as UTF-8 without SASLprep.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};

use super::{Exchange, SaslError, Step, malformed};
use crate::wire::Str;

/// The hash of a SCRAM mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScramHash {
    /// SCRAM-SHA-256.
    Sha256,
    /// SCRAM-SHA-512.
    Sha512,
}

impl ScramHash {
    /// Returns the name of the mechanism.
    #[must_use]
    pub const fn mechanism(self) -> &'static str {
        match self {
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }

    /// Computes `H(bytes)`.
    #[must_use]
    pub fn hash(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }

    /// Computes `HMAC(key, message)`.
    #[must_use]
    pub fn hmac(self, key: &[u8], message: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => keyed::<Hmac<Sha256>>(key, message),
            Self::Sha512 => keyed::<Hmac<Sha512>>(key, message),
        }
    }

    /// Computes `PBKDF2(password, salt, iterations)`, which replaces the password in the following steps.
    /// The time grows with the iterations, by intention: 4,096 take some milliseconds.
    #[must_use]
    pub fn salted_password(self, password: &str, salt: &[u8], iterations: u32) -> Vec<u8> {
        let password = password.as_bytes();
        match self {
            Self::Sha256 => pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password, salt, iterations).to_vec(),
            Self::Sha512 => pbkdf2::pbkdf2_hmac_array::<Sha512, 64>(password, salt, iterations).to_vec(),
        }
    }
}

fn keyed<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

/// One run of SCRAM.
pub struct Scram {
    hash: ScramHash,
    password: String,
    nonce: String,
    /// The client-first message without its header.
    first_bare: String,
    state: State,
}

enum State {
    Start,
    SaidFirst,
    SaidProof { signature: Vec<u8> },
    Over,
}

impl Scram {
    /// Makes an exchange that proves to know `password` of `username`. `nonce` must be new and impossible to guess:
    /// 18 random bytes or more in base64.
    ///
    /// # Panics
    /// If the nonce is empty, or holds a comma or a character that is not printable ASCII.
    #[must_use]
    pub fn new(hash: ScramHash, username: &str, password: &str, nonce: &str) -> Self {
        let is_sound = !nonce.is_empty() && nonce.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
        assert!(is_sound, "a nonce is of printable ASCII without commas");
        let first_bare = format!("n={},r={nonce}", escape_name(username));
        Self { hash, password: password.to_owned(), nonce: nonce.to_owned(), first_bare, state: State::Start }
    }

    /// Answers the server-first message with the proof.
    fn prove(&self, heard: &[u8]) -> Result<(Vec<u8>, State), SaslError> {
        let broken = |reason| malformed(self.hash.mechanism(), reason);
        let text = std::str::from_utf8(heard).map_err(|_| broken("its first message is not text"))?;
        let ServerFirst { nonce, salt, iterations } = ServerFirst::read(text).map_err(broken)?;
        // The broker's part of the nonce prevents the replay of an old exchange.
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(broken("its nonce does not go on from the client's"));
        }
        if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) {
            return Err(broken("it asks for fewer than 4096 iterations, or for more than 1000000"));
        }
        let salted = self.hash.salted_password(&self.password, &salt, iterations);
        let without_proof = format!("c={CHANNEL_BINDING},r={nonce}");
        let auth_message = format!("{},{text},{without_proof}", self.first_bare);
        let client_key = self.hash.hmac(&salted, b"Client Key");
        let mut proof = self.hash.hmac(&self.hash.hash(&client_key), auth_message.as_bytes());
        proof.iter_mut().zip(&client_key).for_each(|(byte, key)| *byte ^= key);
        let server_key = self.hash.hmac(&salted, b"Server Key");
        let signature = self.hash.hmac(&server_key, auth_message.as_bytes());
        let message = format!("{without_proof},p={}", BASE64.encode(proof));
        Ok((message.into_bytes(), State::SaidProof { signature }))
    }

    /// Checks the server-final message.
    fn check(&self, heard: &[u8], signature: &[u8]) -> Result<(), SaslError> {
        let mechanism = self.hash.mechanism();
        let text = std::str::from_utf8(heard).map_err(|_| malformed(mechanism, "its last message is not text"))?;
        if text.starts_with("e=") {
            return Err(malformed(mechanism, "it ends with an error of its own"));
        }
        let said = text.strip_prefix("v=").ok_or_else(|| malformed(mechanism, "its last message has no signature"))?;
        let said = said.split(',').next().unwrap_or_default();
        let said = BASE64.decode(said).map_err(|_| malformed(mechanism, "its signature is not base64"))?;
        // The signature belongs to this exchange alone, so the time of the comparison reveals nothing
        // that can be used later.
        if said == signature { Ok(()) } else { Err(SaslError::Impostor { mechanism: Str::from_static(mechanism) }) }
    }
}

impl Exchange for Scram {
    fn step(&mut self, heard: Option<&[u8]>) -> Result<Step, SaslError> {
        let (step, next) = match (std::mem::replace(&mut self.state, State::Over), heard) {
            (State::Start, None) => {
                (Step::Send(format!("{GS2_HEADER}{}", self.first_bare).into_bytes()), State::SaidFirst)
            }
            (State::SaidFirst, Some(heard)) => {
                let (message, next) = self.prove(heard)?;
                (Step::Send(message), next)
            }
            (State::SaidProof { signature }, Some(heard)) => {
                self.check(heard, &signature)?;
                (Step::Done, State::Over)
            }
            (State::Start | State::Over, Some(_))
            | (State::SaidFirst | State::SaidProof { .. } | State::Over, None) => {
                return Err(malformed(self.hash.mechanism(), "a message out of turn"));
            }
        };
        self.state = next;
        Ok(step)
    }
}

impl fmt::Debug for Scram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scram").field("hash", &self.hash).finish_non_exhaustive()
    }
}

/// The broker's first message.
struct ServerFirst<'a> {
    nonce: &'a str,
    salt: Vec<u8>,
    iterations: u32,
}

impl<'a> ServerFirst<'a> {
    fn read(text: &'a str) -> Result<Self, &'static str> {
        let mut parts = text.split(',');
        let mut next = |key: &str| parts.next().and_then(|part| part.strip_prefix(key));
        // An extension that must be understood (m=) would stand first.
        let nonce = next("r=").ok_or("its first message does not begin with a nonce")?;
        let salt = next("s=").ok_or("its first message has no salt")?;
        let salt = BASE64.decode(salt).map_err(|_| "its salt is not base64")?;
        if salt.is_empty() {
            return Err("its salt is empty");
        }
        let iterations = next("i=").and_then(|count| count.parse().ok()).ok_or("it names no count of iterations")?;
        Ok(Self { nonce, salt, iterations })
    }
}

/// Writes a user's name as SCRAM's messages have it: without the characters that separate their parts.
#[must_use]
pub fn escape_name(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

/// Reads a user's name from a message of SCRAM. `None` if it is not written as by [`escape_name`].
#[must_use]
pub fn unescape_name(escaped: &str) -> Option<String> {
    let mut parts = escaped.split('=');
    let mut name = parts.next()?.to_owned();
    for part in parts {
        let (character, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (None, Some(rest)) => ('=', rest),
            (None, None) => return None,
        };
        name.push(character);
        name.push_str(rest);
    }
    Some(name)
}

/// Fewest iterations that are accepted, as by Kafka's clients: with fewer, a password is quickly guessed from
/// the proof.
pub const ITERATIONS_MIN: u32 = 4_096;
/// Most iterations that are accepted, so that a broker cannot keep a client busy for ever.
/// A million takes about a second.
pub const ITERATIONS_MAX: u32 = 1_000_000;
/// The header for no channel binding, and no other user to act for.
const GS2_HEADER: &str = "n,,";
/// [`GS2_HEADER`] in base64.
const CHANNEL_BINDING: &str = "biws";
