//! Changes of the SCRAM credentials of users (KIP-554). Only the salted hash of a password leaves this process.

use std::fmt;

use bytes::Bytes;

use super::{ItemError, Outcomes, ScramMechanism, outcomes_by};
use crate::protocol::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, ScramCredentialDeletion,
    ScramCredentialUpsertion,
};
use crate::wire::Str;

/// The change of a user's credential. A request may have only one change for a user.
#[derive(Clone, PartialEq, Eq)]
pub enum ScramChange {
    /// Adds a credential, or replaces it.
    Upsert {
        /// The user.
        user: Str,
        /// The mechanism.
        mechanism: ScramMechanism,
        /// Iterations of the hash; Kafka accepts 4,096 to 16,384.
        iterations: i32,
        /// Salt: random bytes.
        salt: Bytes,
        /// Hash of the password with this salt and these iterations, by `ScramHash::salted_password`.
        salted_password: Bytes,
    },
    /// Deletes a credential.
    Delete {
        /// The user.
        user: Str,
        /// The mechanism.
        mechanism: ScramMechanism,
    },
}

impl ScramChange {
    /// Returns the user whose credential is changed.
    #[must_use]
    pub const fn user(&self) -> &Str {
        match self {
            Self::Upsert { user, .. } | Self::Delete { user, .. } => user,
        }
    }
}

/// Does not show the salted password, which is as good as the password.
impl fmt::Debug for ScramChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upsert { user, mechanism, iterations, .. } => {
                write!(f, "Upsert({user:?}, {mechanism:?}, {iterations} iterations)")
            }
            Self::Delete { user, mechanism } => write!(f, "Delete({user:?}, {mechanism:?})"),
        }
    }
}

/// Makes a request for these changes.
#[must_use]
pub fn request(changes: &[ScramChange]) -> AlterUserScramCredentialsRequest {
    let mut request = AlterUserScramCredentialsRequest::default();
    for change in changes {
        match change {
            ScramChange::Upsert { user, mechanism, iterations, salt, salted_password } => {
                request.upsertions.push(ScramCredentialUpsertion {
                    name: user.clone(),
                    mechanism: mechanism.number(),
                    iterations: *iterations,
                    salt: salt.clone(),
                    salted_password: salted_password.clone(),
                    ..Default::default()
                });
            }
            ScramChange::Delete { user, mechanism } => request.deletions.push(ScramCredentialDeletion {
                name: user.clone(),
                mechanism: mechanism.number(),
                ..Default::default()
            }),
        }
    }
    request
}

/// Returns the outcome of each change, in the order of `changes`.
#[must_use]
pub fn read(changes: &[ScramChange], response: AlterUserScramCredentialsResponse) -> Outcomes<Str> {
    let users: Vec<_> = changes.iter().map(|change| change.user().clone()).collect();
    let answers = response.results.into_iter();
    let answers = answers.map(|result| (result.user, ItemError::check(result.error_code, result.error_message)));
    outcomes_by(&users, Str::clone, answers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ErrorCode;
    use crate::protocol::alter_user_scram_credentials::AlterUserScramCredentialsResult;

    #[test]
    fn the_outcome_for_a_user_is_that_of_each_change() {
        let change = |user, mechanism| ScramChange::Delete { user: Str::from(user), mechanism };
        let changes = [
            change("alice", ScramMechanism::Sha256),
            change("bob", ScramMechanism::Sha256),
            change("alice", ScramMechanism::Sha512),
        ];
        let result = |user, error: ErrorCode| AlterUserScramCredentialsResult {
            user: Str::from(user),
            error_code: error.0,
            ..Default::default()
        };
        // Brokers answer once for each user.
        let results = vec![result("alice", ErrorCode::DUPLICATE_RESOURCE), result("bob", ErrorCode::NONE)];
        let response = AlterUserScramCredentialsResponse { results, ..Default::default() };
        let codes = read(&changes, response).into_iter().map(|(_, outcome)| outcome.err().map(|error| error.code));
        let duplicate = Some(ErrorCode::DUPLICATE_RESOURCE);
        assert_eq!(codes.collect::<Vec<_>>(), [duplicate, None, duplicate]);
    }
}
