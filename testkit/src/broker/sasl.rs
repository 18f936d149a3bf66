//! The SASL listener: the users that it accepts, and the progress of each connection's authentication.
//!
//! As in Kafka, a connection that is not authenticated may send only ApiVersions; any other request closes it without
//! an answer. With a session lifetime it has to authenticate again in time (KIP-368).

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use kafka_wire::protocol::{ApiKey, ErrorCode};
use kafka_wire::rng::Rng;
use kafka_wire::sasl::{ScramHash, unescape_name};
use kafka_wire::time::Moment;
use kafka_wire::wire::Str;

use super::connection::ConnectionId;
use super::scram::{Credential, ScramCredentials};
use super::topics::random_bytes;

/// The users that a broker's SASL listener accepts.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct SaslConfig {
    /// `sasl.enabled.mechanisms`.
    pub mechanisms: Vec<SaslMechanism>,
    /// Passwords by user. SCRAM also accepts the users that AlterUserScramCredentials has made.
    pub users: BTreeMap<String, String>,
    /// `connections.max.reauth.ms`: the time after which a client has to authenticate again. `None`:
    /// never, as long as the connection lives.
    pub session_lifetime: Option<Duration>,
}

impl SaslConfig {
    /// Makes a listener that accepts every mechanism that this broker has, and one user.
    #[must_use]
    pub fn new(user: &str, password: &str) -> Self {
        let users = BTreeMap::from([(user.to_owned(), password.to_owned())]);
        let mechanisms = vec![SaslMechanism::Plain, SaslMechanism::ScramSha256, SaslMechanism::ScramSha512];
        Self { mechanisms, users, session_lifetime: None }
    }
}

/// Shows no password.
impl fmt::Debug for SaslConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mechanisms, users, session_lifetime } = self;
        f.debug_struct("SaslConfig")
            .field("mechanisms", mechanisms)
            .field("users", &users.keys())
            .field("session_lifetime", session_lifetime)
            .finish()
    }
}

/// A mechanism that the broker supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslMechanism {
    /// PLAIN.
    Plain,
    /// SCRAM-SHA-256.
    ScramSha256,
    /// SCRAM-SHA-512.
    ScramSha512,
}

impl SaslMechanism {
    /// Kafka's name for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => ScramHash::Sha256.mechanism(),
            Self::ScramSha512 => ScramHash::Sha512.mechanism(),
        }
    }

    /// Returns its hash, and Kafka's number for it in the requests that set credentials.
    pub(super) const fn scram(self) -> Option<(ScramHash, i8)> {
        match self {
            Self::Plain => None,
            Self::ScramSha256 => Some((ScramHash::Sha256, 1)),
            Self::ScramSha512 => Some((ScramHash::Sha512, 2)),
        }
    }
}

/// The progress of the connections' authentication.
#[derive(Debug)]
pub struct Logins {
    config: Option<SaslConfig>,
    by_connection: BTreeMap<ConnectionId, Login>,
    rng: Rng,
}

#[derive(Debug)]
enum Login {
    /// The connection has chosen a mechanism.
    Chosen(SaslMechanism),
    /// The connection has been asked for the proof of SCRAM.
    Challenged(Challenge),
    /// The connection is authenticated as this user, since this moment.
    Known { user: Str, since: Moment },
}

/// The values against which a client's proof is checked.
struct Challenge {
    mechanism: SaslMechanism,
    hash: ScramHash,
    user: Str,
    credential: Credential,
    /// The broker's part of the nonce.
    own_nonce: String,
    /// The client-first message without its header, a comma, and the server-first message.
    so_far: String,
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Challenge").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The broker's answer to a client's step.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) bytes: Vec<u8>,
    /// Time for which the client is authenticated; zero for ever, and as long as it is not authenticated yet.
    pub(super) lifetime: Duration,
}

impl Logins {
    pub(super) fn new(config: Option<SaslConfig>, rng: Rng) -> Self {
        Self { config, by_connection: BTreeMap::new(), rng }
    }

    /// Returns the SCRAM credentials of the configured users.
    pub(super) fn credentials(&mut self) -> ScramCredentials {
        let mut credentials = ScramCredentials::default();
        let Some(config) = &self.config else { return credentials };
        let hashes: Vec<_> = config.mechanisms.iter().filter_map(|mechanism| mechanism.scram()).collect();
        for (user, password) in &config.users {
            for &(hash, number) in &hashes {
                let salt = random_bytes(&mut self.rng).to_vec();
                let salted = hash.salted_password(password, &salt, ITERATIONS);
                let credential = Credential::new(hash, ITERATIONS.cast_signed(), salt, &salted);
                // A configuration with more users than the limit leaves the last ones out.
                let _ = credentials.upsert(&Str::from(user.as_str()), number, credential);
            }
        }
        credentials
    }

    /// Returns whether a connection may send this request now. If not, Kafka closes it.
    pub(super) fn may_ask(&self, now: Moment, connection: ConnectionId, api: ApiKey) -> bool {
        let Some(config) = &self.config else { return true };
        match api {
            ApiKey::ApiVersions | ApiKey::SaslHandshake | ApiKey::SaslAuthenticate => true,
            _ => match self.by_connection.get(&connection) {
                Some(Login::Known { since, .. }) => {
                    config.session_lifetime.is_none_or(|lifetime| now <= *since + lifetime)
                }
                Some(Login::Chosen(_) | Login::Challenged(_)) | None => false,
            },
        }
    }

    /// Returns the user as which a connection is authenticated.
    #[must_use]
    pub fn user(&self, connection: ConnectionId) -> Option<&Str> {
        match self.by_connection.get(&connection)? {
            Login::Known { user, .. } => Some(user),
            Login::Chosen(_) | Login::Challenged(_) => None,
        }
    }

    pub(super) fn disconnect(&mut self, connection: ConnectionId) {
        self.by_connection.remove(&connection);
    }

    /// Returns the mechanisms of the listener.
    pub(super) fn enabled(&self) -> Vec<Str> {
        let mechanisms = self.config.iter().flat_map(|config| &config.mechanisms);
        mechanisms.map(|mechanism| Str::from_static(mechanism.name())).collect()
    }

    /// Handles the choice of a mechanism by a connection.
    ///
    /// # Errors
    /// `ILLEGAL_SASL_STATE` if the listener has no authentication, or the connection is authenticated and need not do
    /// so again; `UNSUPPORTED_SASL_MECHANISM`.
    pub(super) fn choose(&mut self, now: Moment, connection: ConnectionId, name: &str) -> Result<(), ErrorCode> {
        let config = self.config.as_ref().ok_or(ErrorCode::ILLEGAL_SASL_STATE)?;
        if let Some(Login::Known { since, .. }) = self.by_connection.get(&connection) {
            // Kafka takes a second authentication within a second for a mistake.
            if config.session_lifetime.is_none() || now < *since + REAUTHENTICATION_PAUSE {
                return Err(ErrorCode::ILLEGAL_SASL_STATE);
            }
        }
        let known = config.mechanisms.iter().find(|mechanism| mechanism.name() == name);
        let mechanism = *known.ok_or(ErrorCode::UNSUPPORTED_SASL_MECHANISM)?;
        self.by_connection.insert(connection, Login::Chosen(mechanism));
        Ok(())
    }

    /// Handles the next step of a connection.
    ///
    /// # Errors
    /// The error code, and a text without a secret; the connection is not authenticated then.
    pub(super) fn step(
        &mut self,
        now: Moment,
        connection: ConnectionId,
        said: &[u8],
        credentials: &ScramCredentials,
    ) -> Result<Said, (ErrorCode, String)> {
        let outcome = match self.by_connection.remove(&connection) {
            Some(Login::Chosen(SaslMechanism::Plain)) => self.judge_plain(now, said).ok_or(SaslMechanism::Plain),
            Some(Login::Chosen(mechanism)) => self.challenge(mechanism, said, credentials).ok_or(mechanism),
            Some(Login::Challenged(challenge)) => challenge.judge(now, said).ok_or(challenge.mechanism),
            Some(Login::Known { .. }) | None => {
                let words = "SaslAuthenticate without a SaslHandshake before it".to_owned();
                return Err((ErrorCode::ILLEGAL_SASL_STATE, words));
            }
        };
        let (bytes, login) = outcome.map_err(|mechanism| {
            let words = match mechanism {
                SaslMechanism::Plain => "Authentication failed: Invalid username or password".to_owned(),
                _ => {
                    format!("Authentication failed due to invalid credentials with SASL mechanism {}", mechanism.name())
                }
            };
            (ErrorCode::SASL_AUTHENTICATION_FAILED, words)
        })?;
        let lifetime = self.config.as_ref().and_then(|config| config.session_lifetime);
        let lifetime = lifetime.filter(|_| matches!(login, Login::Known { .. })).unwrap_or_default();
        self.by_connection.insert(connection, login);
        Ok(Said { bytes, lifetime })
    }

    fn judge_plain(&self, now: Moment, said: &[u8]) -> Option<(Vec<u8>, Login)> {
        let mut parts = std::str::from_utf8(said).ok()?.split('\0');
        let (acting_for, user, password) = (parts.next()?, parts.next()?, parts.next()?);
        let is_known = self.config.as_ref()?.users.get(user).is_some_and(|known| known == password);
        let is_sound = parts.next().is_none() && (acting_for.is_empty() || acting_for == user);
        (is_known && is_sound).then(|| (Vec::new(), Login::Known { user: Str::from(user), since: now }))
    }

    /// Answers the client-first message of SCRAM.
    fn challenge(
        &mut self,
        mechanism: SaslMechanism,
        said: &[u8],
        credentials: &ScramCredentials,
    ) -> Option<(Vec<u8>, Login)> {
        let (hash, number) = mechanism.scram()?;
        let first = std::str::from_utf8(said).ok()?.strip_prefix("n,")?;
        // The name of a user to act for may stand here; Kafka's clients never send one.
        let bare = first.strip_prefix(',')?;
        let (user, rest) = bare.strip_prefix("n=")?.split_once(',')?;
        let user = unescape_name(user)?;
        let nonce = rest.strip_prefix("r=")?.split(',').next()?;
        let credential = credentials.of(&user)?.get(&number)?.clone();
        let own_nonce = BASE64.encode(random_bytes(&mut self.rng));
        let first = format!("r={nonce}{own_nonce},s={},i={}", BASE64.encode(&credential.salt), credential.iterations);
        let so_far = format!("{bare},{first}");
        let user = Str::from(user.as_str());
        let challenge = Challenge { mechanism, hash, user, credential, own_nonce, so_far };
        Some((first.into_bytes(), Login::Challenged(challenge)))
    }
}

impl Challenge {
    /// Answers the client-final message of SCRAM.
    fn judge(&self, now: Moment, said: &[u8]) -> Option<(Vec<u8>, Login)> {
        let (without_proof, proof) = std::str::from_utf8(said).ok()?.rsplit_once(",p=")?;
        let nonce = without_proof.strip_prefix("c=biws,r=")?.split(',').next()?;
        // librdkafka before 2.2 repeats its own part, and Kafka compares only the end.
        if !nonce.ends_with(&self.own_nonce) {
            return None;
        }
        let message = format!("{},{without_proof}", self.so_far);
        let mut key = BASE64.decode(proof).ok()?;
        let signature = self.hash.hmac(&self.credential.stored_key, message.as_bytes());
        key.iter_mut().zip(&signature).for_each(|(byte, other)| *byte ^= other);
        if key.len() != signature.len() || self.hash.hash(&key) != self.credential.stored_key {
            return None;
        }
        let signature = self.hash.hmac(&self.credential.server_key, message.as_bytes());
        let words = format!("v={}", BASE64.encode(signature));
        Some((words.into_bytes(), Login::Known { user: self.user.clone(), since: now }))
    }
}

/// Iterations of the credentials that the broker makes itself: the fewest that Kafka accepts.
const ITERATIONS: u32 = kafka_wire::sasl::ITERATIONS_MIN;
/// Shortest time after which Kafka accepts a second authentication.
const REAUTHENTICATION_PAUSE: Duration = Duration::from_secs(1);
