//! DescribeUserScramCredentials: lists mechanism and iterations of users' credentials, never a secret.

use std::collections::BTreeSet;

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::describe_user_scram_credentials::{
    CredentialInfo, DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
    DescribeUserScramCredentialsResult,
};
use kafka_wire::wire::Str;

use super::{Client, Handled, Handler, code_and_words, repeated};
use crate::broker::scram::Credential;
use crate::broker::state::State;

impl Handler for DescribeUserScramCredentialsRequest {
    fn handle(self, state: &mut State, _client: &Client) -> Handled<DescribeUserScramCredentialsResponse> {
        let named = self.users.as_deref().unwrap_or_default();
        let repeated = repeated(named.iter().map(|user| &user.name));
        let users: BTreeSet<&Str> = match named {
            [] => state.scram.users().collect(),
            named => named.iter().map(|user| &user.name).collect(),
        };
        let results = users.into_iter().map(|user| match repeated.contains(user) {
            true => result(user, Err(ErrorCode::DUPLICATE_RESOURCE)),
            false => result(user, find(state, user)),
        });
        Handled::Now(DescribeUserScramCredentialsResponse { results: results.collect(), ..Default::default() })
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> DescribeUserScramCredentialsResponse {
        let (error_code, error_message) = code_and_words(Err(error));
        DescribeUserScramCredentialsResponse { error_code, error_message, ..Default::default() }
    }
}

fn find(state: &State, user: &str) -> Result<Vec<CredentialInfo>, ErrorCode> {
    let credentials = state.scram.of(user).ok_or(ErrorCode::RESOURCE_NOT_FOUND)?.iter();
    let info = |(&mechanism, credential): (&i8, &Credential)| CredentialInfo {
        mechanism,
        iterations: credential.iterations,
        ..Default::default()
    };
    Ok(credentials.map(info).collect())
}

fn result(user: &Str, found: Result<Vec<CredentialInfo>, ErrorCode>) -> DescribeUserScramCredentialsResult {
    let (error_code, error_message) = code_and_words(found.as_ref().map(|_| ()).map_err(|&error| error));
    DescribeUserScramCredentialsResult {
        user: user.clone(),
        error_code,
        error_message,
        credential_infos: found.unwrap_or_default(),
        ..Default::default()
    }
}
