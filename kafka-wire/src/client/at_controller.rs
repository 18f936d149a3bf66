//! Requests to the controller, which may be another broker by now.

use std::sync::Arc;

use super::{Client, Lane, RequestError};
use crate::protocol::{ErrorCode, Request};
use crate::session::{ByVersion, Outgoing};

impl Client {
    /// Sends a request to the controller, and again while that is another broker or cannot be reached, until
    /// `request_timeout` is over; then it returns the last outcome. `code` finds the code that says where the
    /// controller is.
    pub(super) async fn at_controller<R: Request>(
        &self,
        repetition: Repetition,
        request: R,
        code: impl Fn(&R::Response) -> ErrorCode,
    ) -> Result<R::Response, RequestError> {
        self.message_to_controller::<R>(repetition, Arc::new(request), code).await
    }

    /// As `at_controller`, for an API that has the same content in other fields at other versions.
    pub(super) async fn at_controller_by_version<R: Request>(
        &self,
        repetition: Repetition,
        build: impl Fn(i16) -> R + Send + Sync + 'static,
        code: impl Fn(&R::Response) -> ErrorCode,
    ) -> Result<R::Response, RequestError> {
        self.message_to_controller::<R>(repetition, Arc::new(ByVersion(build)), code).await
    }

    async fn message_to_controller<R: Request>(
        &self,
        repetition: Repetition,
        message: Arc<dyn Outgoing>,
        code: impl Fn(&R::Response) -> ErrorCode,
    ) -> Result<R::Response, RequestError> {
        let deadline = self.now() + self.config().request_timeout;
        let (_, options) = self.slow_options();
        let mut backoff = self.backoff();
        loop {
            let sent = self.start_message::<R>(self.controller(), Lane::General, Arc::clone(&message), options);
            let outcome = sent.await.map(|answered| answered.response);
            let is_elsewhere = match &outcome {
                Ok(response) => {
                    matches!(code(response), ErrorCode::NOT_CONTROLLER | ErrorCode::NOT_LEADER_OR_FOLLOWER)
                }
                Err(error) => {
                    let is_unclear = repetition == Repetition::Visible && error.is_possibly_written();
                    error.is_retriable() && !is_unclear
                }
            };
            if !is_elsewhere || self.now() >= deadline {
                return outcome;
            }
            tracing::debug!(api = %R::KEY, error = ?outcome.err(), "controller: trying again");
            tokio::time::sleep(backoff.next_pause()).await;
            // A failure is told by the next attempt.
            drop(self.metadata(&[]).await);
        }
    }
}

/// The effect of a request that a controller or coordinator gets twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repetition {
    /// None: it is sent again although the first one may have been carried out.
    Harmless,
    /// The answer differs, so that the caller could not tell success from failure: it is sent again only if the first
    /// one was certainly not sent.
    Visible,
}

/// The code of the first item of an answer. A broker that is not the controller refuses every item with the same one.
pub(super) fn code_of(first: Option<i16>) -> ErrorCode {
    first.map_or(ErrorCode::NONE, ErrorCode)
}
