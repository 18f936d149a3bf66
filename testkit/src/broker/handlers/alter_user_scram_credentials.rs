//! AlterUserScramCredentials: sets and deletes credentials of users, who log in with them on a SASL listener.

use std::collections::BTreeMap;

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, AlterUserScramCredentialsResult,
    ScramCredentialUpsertion,
};
use kafka_wire::wire::Str;

use super::{Client, Handled, Handler, code_and_words};
use crate::broker::scram::Credential;
use crate::broker::state::State;

impl Handler for AlterUserScramCredentialsRequest {
    fn handle(self, state: &mut State, _client: &Client) -> Handled<AlterUserScramCredentialsResponse> {
        // There is one result for each user, who may occur only once in the request.
        let mut changes: BTreeMap<&Str, Result<Change<'_>, ErrorCode>> = BTreeMap::new();
        let deletions = self.deletions.iter().map(|one| (&one.name, Change::Delete(one.mechanism)));
        let upsertions = self.upsertions.iter().map(|one| (&one.name, Change::Upsert(one)));
        for (user, change) in deletions.chain(upsertions) {
            let change = match changes.get(user) {
                None => change.check(state, user).map(|()| change),
                Some(Ok(_)) => Err(ErrorCode::DUPLICATE_RESOURCE),
                Some(Err(error)) => Err(*error),
            };
            changes.insert(user, change);
        }
        let results = changes.into_iter().map(|(user, change)| (user, change.and_then(|one| one.apply(state, user))));
        Handled::Now(respond(results))
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> AlterUserScramCredentialsResponse {
        let users = self.deletions.iter().map(|one| &one.name).chain(self.upsertions.iter().map(|one| &one.name));
        respond(users.map(|user| (user, Err(error))))
    }
}

#[derive(Clone, Copy)]
enum Change<'a> {
    /// Deletes the credential of this mechanism.
    Delete(i8),
    Upsert(&'a ScramCredentialUpsertion),
}

impl Change<'_> {
    fn check(self, state: &State, user: &Str) -> Result<(), ErrorCode> {
        match self {
            Self::Delete(mechanism) => state.scram.check_deletion(user, mechanism),
            Self::Upsert(one) => state.scram.check_upsertion(user, one.mechanism, one.iterations),
        }
    }

    fn apply(self, state: &mut State, user: &Str) -> Result<(), ErrorCode> {
        match self {
            Self::Delete(mechanism) => {
                state.scram.delete(user, mechanism);
                Ok(())
            }
            // Kafka fails to derive a key from an empty password.
            Self::Upsert(one) if one.salted_password.is_empty() => Err(ErrorCode::UNKNOWN_SERVER_ERROR),
            Self::Upsert(one) => {
                let credential = Credential::of(one.mechanism, one.iterations, &one.salt, &one.salted_password);
                state.scram.upsert(user, one.mechanism, credential)
            }
        }
    }
}

fn respond<'a>(results: impl Iterator<Item = (&'a Str, Result<(), ErrorCode>)>) -> AlterUserScramCredentialsResponse {
    let results = results.map(|(user, result)| {
        let (error_code, error_message) = code_and_words(result);
        AlterUserScramCredentialsResult { user: user.clone(), error_code, error_message, ..Default::default() }
    });
    AlterUserScramCredentialsResponse { results: results.collect(), ..AlterUserScramCredentialsResponse::default() }
}
