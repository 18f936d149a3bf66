//! The authentication of a connection: SaslHandshake, then SaslAuthenticate until the exchange is over.
//!
//! A connection authenticates before its first call, and again before the session that the broker granted is over:
//! on the same connection, behind the requests that are open, however long the broker takes for those. Meanwhile no
//! call is written (KIP-368).

use std::fmt;

use bytes::Bytes;

use crate::protocol::sasl_authenticate::{SaslAuthenticateRequest, SaslAuthenticateResponse};
use crate::protocol::sasl_handshake::{SaslHandshakeRequest, SaslHandshakeResponse};
use crate::protocol::{ApiKey, ErrorCode, Message};
use crate::sasl::{Exchange, SaslError, Step};
use crate::session::{CloseCause, Outgoing};
use crate::time::Moment;
use crate::wire::{Reader, Str};

/// An authentication under way.
pub(super) struct Login {
    mechanism: Str,
    /// Time by which it has to be over.
    pub(super) deadline: Moment,
    /// `None` until the owner of the session has provided it.
    exchange: Option<Box<dyn Exchange>>,
    next: Option<Next>,
}

/// The next request to write.
enum Next {
    Handshake,
    Authenticate(Vec<u8>),
}

/// The progress of an authentication by an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// There are more messages to send.
    Underway,
    /// The broker has authenticated the client for this many milliseconds; 0 for as long as the connection lives.
    Over { lifetime_ms: i64 },
}

impl Login {
    pub(super) fn new(mechanism: Str, deadline: Moment) -> Self {
        Self { mechanism, deadline, exchange: None, next: None }
    }

    /// Goes on with the credentials that it has waited for.
    pub(super) fn begin(&mut self, exchange: Box<dyn Exchange>) {
        if self.exchange.is_none() {
            self.exchange = Some(exchange);
            self.next = Some(Next::Handshake);
        }
    }

    /// Returns the API of the next request, if it is this side's turn.
    pub(super) const fn wants(&self) -> Option<ApiKey> {
        match self.next {
            Some(Next::Handshake) => Some(ApiKey::SaslHandshake),
            Some(Next::Authenticate(_)) => Some(ApiKey::SaslAuthenticate),
            None => None,
        }
    }

    /// Takes the next request to write.
    pub(super) fn take_request(&mut self) -> Option<Box<dyn Outgoing>> {
        match self.next.take()? {
            Next::Handshake => {
                Some(Box::new(SaslHandshakeRequest { mechanism: self.mechanism.clone(), ..Default::default() }))
            }
            Next::Authenticate(bytes) => {
                Some(Box::new(SaslAuthenticateRequest { auth_bytes: Bytes::from(bytes), ..Default::default() }))
            }
        }
    }

    /// Reads the answer to one of its requests.
    pub(super) fn handle_answer(&mut self, api: ApiKey, version: i16, body: &Bytes) -> Result<Progress, CloseCause> {
        let mut reader = Reader::new(body);
        if api == ApiKey::SaslHandshake {
            let answer = SaslHandshakeResponse::decode(&mut reader, version).map_err(CloseCause::Decode)?;
            self.check_handshake(answer).map_err(CloseCause::Sasl)?;
            return self.step(None, 0).map_err(CloseCause::Sasl);
        }
        let answer = SaslAuthenticateResponse::decode(&mut reader, version).map_err(CloseCause::Decode)?;
        let code = ErrorCode(answer.error_code);
        if !code.is_none() {
            let (mechanism, reason) = (self.mechanism.clone(), answer.error_message);
            return Err(CloseCause::Sasl(SaslError::Refused { mechanism, code, reason }));
        }
        self.step(Some(&answer.auth_bytes), answer.session_lifetime_ms).map_err(CloseCause::Sasl)
    }

    fn check_handshake(&self, answer: SaslHandshakeResponse) -> Result<(), SaslError> {
        match ErrorCode(answer.error_code) {
            ErrorCode::NONE => Ok(()),
            ErrorCode::UNSUPPORTED_SASL_MECHANISM => {
                Err(SaslError::UnsupportedMechanism { mechanism: self.mechanism.clone(), enabled: answer.mechanisms })
            }
            ErrorCode::ILLEGAL_SASL_STATE => Err(SaslError::NotWanted { code: ErrorCode::ILLEGAL_SASL_STATE }),
            code => Err(SaslError::Refused { mechanism: self.mechanism.clone(), code, reason: None }),
        }
    }

    fn step(&mut self, heard: Option<&[u8]>, lifetime_ms: i64) -> Result<Progress, SaslError> {
        let exchange = self.exchange.as_mut().expect("nothing was sent without an exchange");
        match exchange.step(heard)? {
            Step::Send(bytes) => {
                self.next = Some(Next::Authenticate(bytes));
                Ok(Progress::Underway)
            }
            Step::Done => Ok(Progress::Over { lifetime_ms }),
        }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mechanism, deadline, exchange: _, next: _ } = self;
        f.debug_struct("Login").field("mechanism", mechanism).field("deadline", deadline).finish_non_exhaustive()
    }
}
