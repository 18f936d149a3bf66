//! Questions that any broker can answer: about metadata, coordinators, and what administration reads.
//!
//! A broker may be silent although a connection to it is open, or seems to be on its way: it is paused, or a route is
//! gone. A request has all of `request_timeout` (30 s by default), because a slow broker is better than none, and that
//! is how long Java's client waits before it asks another one. Whoever looks for the new leader of a partition cannot
//! wait for the old one to end its silence, so a question goes to another broker after a second, and the first answer
//! counts. It does no harm twice. A broker that was silent is asked last, until it has answered something.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::connection::RawAnswer;
use super::pool::{Pending, Submission, Target};
use super::request::Delivered;
use super::{Address, CallOptions, Client, Lane, NotSentCause, RequestError};
use crate::protocol::Request;
use crate::session::ByVersion;

impl Client {
    /// Asks any broker, and after a while others too; returns the first answer.
    pub(super) async fn ask<R: Request>(&self, request: R) -> Result<R::Response, RequestError> {
        let submission = self.submission(Arc::new(request), CallOptions::default());
        Ok(self.inquire(&submission).await?.open::<R>()?.response)
    }

    /// As [`Client::ask`]; also returns the version. `build` is called with the negotiated version.
    pub(super) async fn ask_any<R: Request>(
        &self,
        build: impl Fn(i16) -> R + Send + Sync + 'static,
    ) -> Result<(R::Response, i16), RequestError> {
        let submission = self.submission(Arc::new(ByVersion(build)), CallOptions::default());
        let answered = self.inquire(&submission).await?.open::<R>()?;
        Ok((answered.response, answered.version))
    }

    /// As [`Client::ask_any`], without a look at the answer.
    ///
    /// A broker that cannot be reached, or loses the connection, is followed by the next one at once. The bootstrap
    /// addresses count as brokers. If none answers, but one knows no version of the request, that is the error: callers
    /// know of another way.
    pub(super) async fn inquire(&self, submission: &Submission) -> Result<Delivered, RequestError> {
        let patience = PATIENCE.min(self.config().request_timeout / 4);
        let mut candidates = self.candidates().into_iter();
        let mut tried: BTreeSet<Address> = BTreeSet::new();
        let mut asked: Vec<(Target, Pending)> = Vec::new();
        let mut failure = None;
        loop {
            let next = match self.now() < submission.deadline {
                true => candidates.find(|target| self.endpoint(*target).is_some_and(|to| tried.insert(to.address))),
                false => None,
            };
            match next.and_then(|target| Some((target, self.submit(target, Lane::General, submission)?))) {
                Some((target, Ok(pending))) => asked.push((target, pending)),
                Some((_, Err(error))) => {
                    failure = Some(weightier(failure, error));
                    continue;
                }
                None if asked.is_empty() => break,
                None => {}
            }
            match first_outcome(&mut asked, next.map(|_| patience)).await {
                Some((pending, Ok(answer))) => return Ok(Delivered::new(answer, pending)),
                Some((_, Err(error))) => failure = Some(weightier(failure, error)),
                None => asked.iter().for_each(|(target, _)| self.shared.pool.note_silence(*target)),
            }
        }
        Err(failure.unwrap_or(RequestError::NotSent { to: None, cause: NotSentCause::NoBrokers }))
    }
}

fn weightier(former: Option<RequestError>, latter: RequestError) -> RequestError {
    match former {
        Some(former) if !matches!(latter, RequestError::UnsupportedVersion { .. }) => former,
        _ => latter,
    }
}

/// Waits for the outcome of any of the requests, and removes that one; `None` if none comes within `patience`.
async fn first_outcome(
    asked: &mut Vec<(Target, Pending)>,
    patience: Option<Duration>,
) -> Option<(Pending, Result<RawAnswer, RequestError>)> {
    let outcome = poll_fn(|cx| {
        for index in 0..asked.len() {
            if let Poll::Ready(outcome) = Pin::new(&mut asked[index].1).poll(cx) {
                return Poll::Ready((asked.swap_remove(index).1, outcome));
            }
        }
        Poll::Pending
    });
    match patience {
        Some(patience) => tokio::time::timeout(patience, outcome).await.ok(),
        None => Some(outcome.await),
    }
}

/// Time after which another broker is asked. A broker answers within milliseconds; a second is rare even while its
/// JVM collects garbage.
const PATIENCE: Duration = Duration::from_secs(1);
