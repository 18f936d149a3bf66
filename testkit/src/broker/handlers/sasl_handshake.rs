//! SaslHandshake: a connection chooses the mechanism of its authentication.

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::sasl_handshake::{SaslHandshakeRequest, SaslHandshakeResponse};

use super::{Client, Handled, Handler, code};
use crate::broker::state::State;

impl Handler for SaslHandshakeRequest {
    fn handle(self, state: &mut State, client: &Client) -> Handled<SaslHandshakeResponse> {
        // The bytes after version 0 have no headers; this broker does not read them.
        let chosen = match client.context.version {
            0 => Err(ErrorCode::UNSUPPORTED_VERSION),
            _ => state.logins.choose(state.now, client.context.connection, &self.mechanism),
        };
        let mechanisms = state.logins.enabled();
        Handled::Now(SaslHandshakeResponse { error_code: code(chosen), mechanisms, ..Default::default() })
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> SaslHandshakeResponse {
        SaslHandshakeResponse { error_code: error.0, ..Default::default() }
    }
}
