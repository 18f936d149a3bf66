//! SCRAM credentials of users: the part of them that is shown, and the part against which a SASL listener
//! checks a client's proof.
//!
//! Source: KIP-554; the rules are those of Kafka's `ScramControlManager`.

use std::collections::BTreeMap;
use std::fmt;

use kafka_wire::protocol::ErrorCode;
use kafka_wire::sasl::ScramHash;
use kafka_wire::wire::Str;

/// The credentials of every user.
#[derive(Clone, Debug, Default)]
pub struct ScramCredentials {
    /// Credentials by user and by Kafka's number of the mechanism. Every user in it has one.
    by_user: BTreeMap<Str, BTreeMap<i8, Credential>>,
}

/// The broker's knowledge of a user's password: enough to check that a client knows it, but not the password itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// Iterations of the hash.
    pub iterations: i32,
    pub(super) salt: Vec<u8>,
    pub(super) stored_key: Vec<u8>,
    pub(super) server_key: Vec<u8>,
}

impl Credential {
    pub(super) fn new(hash: ScramHash, iterations: i32, salt: Vec<u8>, salted_password: &[u8]) -> Self {
        let stored_key = hash.hash(&hash.hmac(salted_password, b"Client Key"));
        Self { iterations, salt, stored_key, server_key: hash.hmac(salted_password, b"Server Key") }
    }

    /// Makes the credential for a mechanism by Kafka's number, which has been checked.
    pub(super) fn of(mechanism: i8, iterations: i32, salt: &[u8], salted_password: &[u8]) -> Self {
        let hash = if mechanism == SCRAM_SHA_256 { ScramHash::Sha256 } else { ScramHash::Sha512 };
        Self::new(hash, iterations, salt.to_vec(), salted_password)
    }
}

/// Shows no key.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

impl ScramCredentials {
    /// Checks whether this credential could be deleted.
    ///
    /// # Errors
    /// `UNACCEPTABLE_CREDENTIAL` for a user with an empty or very long name; `UNSUPPORTED_SASL_MECHANISM`;
    /// `RESOURCE_NOT_FOUND` for a credential that does not exist.
    pub fn check_deletion(&self, user: &str, mechanism: i8) -> Result<(), ErrorCode> {
        check(user, mechanism)?;
        let is_there = self.by_user.get(user).is_some_and(|credentials| credentials.contains_key(&mechanism));
        if is_there { Ok(()) } else { Err(ErrorCode::RESOURCE_NOT_FOUND) }
    }

    /// Checks whether this credential could be set.
    ///
    /// # Errors
    /// `UNACCEPTABLE_CREDENTIAL` for a user with an empty or very long name, or for too few or too many
    /// iterations; `UNSUPPORTED_SASL_MECHANISM`.
    pub fn check_upsertion(&self, user: &str, mechanism: i8, iterations: i32) -> Result<(), ErrorCode> {
        check(user, mechanism)?;
        if ITERATIONS.contains(&iterations) { Ok(()) } else { Err(ErrorCode::UNACCEPTABLE_CREDENTIAL) }
    }

    /// Deletes a credential, if it exists.
    pub fn delete(&mut self, user: &str, mechanism: i8) {
        if let Some(credentials) = self.by_user.get_mut(user) {
            credentials.remove(&mechanism);
            if credentials.is_empty() {
                self.by_user.remove(user);
            }
        }
    }

    /// Sets or replaces a credential that has been checked.
    ///
    /// # Errors
    /// `POLICY_VIOLATION` beyond [`USERS_MAX`].
    pub fn upsert(&mut self, user: &Str, mechanism: i8, credential: Credential) -> Result<(), ErrorCode> {
        if self.by_user.len() >= USERS_MAX && !self.by_user.contains_key(user) {
            return Err(ErrorCode::POLICY_VIOLATION);
        }
        self.by_user.entry(user.detached()).or_default().insert(mechanism, credential);
        Ok(())
    }

    /// Returns a user's credentials, by Kafka's number of the mechanism.
    #[must_use]
    pub fn of(&self, user: &str) -> Option<&BTreeMap<i8, Credential>> {
        self.by_user.get(user)
    }

    /// Every user with a credential, in order.
    pub fn users(&self) -> impl Iterator<Item = &Str> {
        self.by_user.keys()
    }
}

fn check(user: &str, mechanism: i8) -> Result<(), ErrorCode> {
    if user.is_empty() || user.len() > NAME_LIMIT_BYTES {
        return Err(ErrorCode::UNACCEPTABLE_CREDENTIAL);
    }
    match mechanism {
        SCRAM_SHA_256 | SCRAM_SHA_512 => Ok(()),
        _ => Err(ErrorCode::UNSUPPORTED_SASL_MECHANISM),
    }
}

/// Most users with credentials in the whole cluster.
pub const USERS_MAX: usize = 10_000;

const NAME_LIMIT_BYTES: usize = 2048;
const SCRAM_SHA_256: i8 = 1;
const SCRAM_SHA_512: i8 = 2;
const ITERATIONS: std::ops::RangeInclusive<i32> = 4096..=16384;
