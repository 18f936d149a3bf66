//! Descriptions of the SCRAM credentials of users, without their secrets (KIP-554).

use super::{ItemError, ScramMechanism};
use crate::protocol::describe_user_scram_credentials::{
    DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse, UserName,
};
use crate::wire::Str;

/// A user, with the mechanisms and iterations of its credentials.
pub type ScramUser = (Str, Result<Vec<(ScramMechanism, i32)>, ItemError>);

/// Makes a request for these users, or for all users if `users` is empty.
#[must_use]
pub fn request(users: &[Str]) -> DescribeUserScramCredentialsRequest {
    let names = users.iter().map(|name| UserName { name: name.clone(), ..Default::default() });
    let users = (!users.is_empty()).then(|| names.collect());
    DescribeUserScramCredentialsRequest { users, ..Default::default() }
}

/// Returns the credentials of each user, in the order of the response, which is by name.
///
/// # Errors
/// The broker's error for the whole request.
pub fn read(response: DescribeUserScramCredentialsResponse) -> Result<Vec<ScramUser>, ItemError> {
    ItemError::check(response.error_code, response.error_message)?;
    let users = response.results.into_iter().map(|result| {
        let credentials = result.credential_infos.iter().filter_map(|credential| {
            ScramMechanism::from_number(credential.mechanism).map(|mechanism| (mechanism, credential.iterations))
        });
        let credentials = credentials.collect();
        (result.user, ItemError::check(result.error_code, result.error_message).map(|()| credentials))
    });
    Ok(users.collect())
}
