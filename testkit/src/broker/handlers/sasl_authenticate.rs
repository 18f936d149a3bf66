//! SaslAuthenticate: a step of the mechanism that SaslHandshake chose.

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::sasl_authenticate::{SaslAuthenticateRequest, SaslAuthenticateResponse};
use kafka_wire::wire::Str;

use super::{Client, Handled, Handler};
use crate::broker::state::State;

impl Handler for SaslAuthenticateRequest {
    fn handle(self, state: &mut State, client: &Client) -> Handled<SaslAuthenticateResponse> {
        let said = state.logins.step(state.now, client.context.connection, &self.auth_bytes, &state.scram);
        Handled::Now(match said {
            Ok(said) => SaslAuthenticateResponse {
                auth_bytes: said.bytes.into(),
                session_lifetime_ms: i64::try_from(said.lifetime.as_millis()).unwrap_or(i64::MAX),
                ..Default::default()
            },
            Err((code, words)) => SaslAuthenticateResponse {
                error_code: code.0,
                error_message: Some(Str::from(words)),
                ..Default::default()
            },
        })
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> SaslAuthenticateResponse {
        SaslAuthenticateResponse {
            error_code: error.0,
            error_message: Some(Str::from_static(error.meaning())),
            ..Default::default()
        }
    }
}
