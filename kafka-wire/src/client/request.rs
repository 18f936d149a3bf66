//! The way of a request to a connection, and of its answer back.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tracing::debug;

use super::connection::RawAnswer;
use super::lock::lock;
use super::pool::{Pending, Readiness, Submission, Target};
use super::{Answered, BoxFuture, CallOptions, Client, Endpoint, Lane, Node, NotSentCause, RequestError};
use crate::protocol::api_versions::ApiVersionsRequest;
use crate::protocol::{Message, Request};
use crate::session::{BrokerVersions, ByVersion, Outgoing, Unanswered};
use crate::types::BrokerId;
use crate::wire::Reader;

impl Client {
    /// Sends a request and waits for its answer.
    ///
    /// The first poll hands it to a connection; requests to the same broker and lane are sent in that order,
    /// without waiting for each other's answers. Errors inside the answer are left to the caller.
    ///
    /// Cancel safe in this sense: dropping the future discards the answer and disturbs nothing else; the request may
    /// still be carried out.
    ///
    /// # Errors
    /// See [`RequestError`], which distinguishes requests that were certainly not sent from those that may
    /// have been carried out.
    pub async fn request<R: Request>(
        &self,
        to: Node,
        lane: Lane,
        request: R,
        options: CallOptions,
    ) -> Result<R::Response, RequestError> {
        self.start(to, lane, request, options).await.map(|answered| answered.response)
    }

    /// As [`Client::request`]; also returns the version.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn request_versioned<R: Request>(
        &self,
        to: Node,
        lane: Lane,
        request: R,
        options: CallOptions,
    ) -> Result<(R::Response, i16), RequestError> {
        self.start(to, lane, request, options).await.map(|answered| (answered.response, answered.version))
    }

    /// As [`Client::request_versioned`], for an API that has the same content in other fields at other versions.
    ///
    /// `build` is called with the negotiated version when the request is written.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn request_by_version<R: Request>(
        &self,
        to: Node,
        lane: Lane,
        build: impl Fn(i16) -> R + Send + Sync + 'static,
        options: CallOptions,
    ) -> Result<(R::Response, i16), RequestError> {
        let response: ResponseFuture<R> = self.start_message(to, lane, Arc::new(ByVersion(build)), options);
        response.await.map(|answered| (answered.response, answered.version))
    }

    /// Hands a request to its connection at once, and returns the answer as a future.
    ///
    /// "At once" holds for [`Node::Broker`] if the broker's address is known, which it is after [`Client::leader`] or
    /// [`Client::coordinator`] named the broker. Otherwise the first poll of the future looks for a broker.
    ///
    /// Dropping the future discards the answer, not the request.
    pub fn start<R: Request>(&self, to: Node, lane: Lane, request: R, options: CallOptions) -> ResponseFuture<R> {
        self.start_message(to, lane, Arc::new(request), options)
    }

    /// Hands a request without a response to its connection at once; completes when the request was
    /// handed to the transport.
    pub(super) fn start_unanswered<R: Request>(
        &self,
        to: BrokerId,
        lane: Lane,
        request: R,
        options: CallOptions,
    ) -> impl Future<Output = Result<(), RequestError>> + Send + use<R> {
        let submission = self.submission(Arc::new(Unanswered(request)), options);
        let submitted = self.submit(Target::Broker(to), lane, &submission);
        async move {
            match submitted {
                Some(pending) => pending?.await.map(drop),
                None => Err(RequestError::NotSent { to: None, cause: NotSentCause::UnknownBroker(to) }),
            }
        }
    }

    /// The versions of a broker, requested on its general connection. One that is at another address than before is
    /// found.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn api_versions(&self, broker: BrokerId) -> Result<BrokerVersions, RequestError> {
        let request = ApiVersionsRequest {
            client_software_name: SOFTWARE_NAME.into(),
            client_software_version: env!("CARGO_PKG_VERSION").into(),
            ..Default::default()
        };
        let response = self.at_broker(broker, request).await?;
        Ok(BrokerVersions::from_response(&response))
    }

    /// Sends a request to one broker, at once; and again if it was certainly not sent, and metadata say that the broker
    /// is at another address by now.
    pub(super) fn at_broker<R: Request>(
        &self,
        broker: BrokerId,
        request: R,
    ) -> impl Future<Output = Result<R::Response, RequestError>> + use<R> {
        let (client, message): (Self, Arc<dyn Outgoing>) = (self.clone(), Arc::new(request));
        let options = CallOptions::default();
        let start = move |client: &Self| {
            client.start_message::<R>(Node::Broker(broker), Lane::General, Arc::clone(&message), options)
        };
        let (known, first) = (client.endpoint(Target::Broker(broker)), start(&client));
        async move {
            let mut outcome = first.await;
            let is_unsent = matches!(outcome, Err(RequestError::NotSent { .. }));
            if let Some(known) = known.filter(|_| is_unsent) {
                // A failure leaves the address as it is.
                drop(client.refresh(&[]).await);
                let now = client.endpoint(Target::Broker(broker));
                if now.is_some_and(|now| now.address != known.address) {
                    outcome = start(&client).await;
                }
            }
            outcome.map(|answered| answered.response)
        }
    }

    pub(super) fn start_message<R: Request>(
        &self,
        to: Node,
        lane: Lane,
        message: Arc<dyn Outgoing>,
        options: CallOptions,
    ) -> ResponseFuture<R> {
        let submission = self.submission(message, options);
        let known = match to {
            Node::Broker(id) => self.submit(Target::Broker(id), lane, &submission),
            Node::Any => None,
        };
        let state = match known {
            Some(Ok(pending)) => State::Pending(pending),
            Some(Err(error)) => State::Failed(Some(error)),
            None => {
                let client = self.clone();
                State::Routed(Box::pin(async move { client.route(to, lane, submission).await }))
            }
        };
        ResponseFuture { state, of: PhantomData }
    }

    pub(super) fn submission(&self, message: Arc<dyn Outgoing>, options: CallOptions) -> Submission {
        let timeout = options.timeout.unwrap_or(self.config().request_timeout);
        Submission { message, max_version: options.max_version, deadline: self.now() + timeout }
    }

    /// Finds a broker for the request and waits for the answer.
    async fn route(&self, to: Node, lane: Lane, submission: Submission) -> Result<Delivered, RequestError> {
        match to {
            Node::Any => self.call_any(lane, &submission).await,
            Node::Broker(id) => {
                self.refresh(&[]).await?;
                match self.submit(Target::Broker(id), lane, &submission) {
                    Some(pending) => deliver(pending?).await,
                    None => Err(RequestError::NotSent { to: None, cause: NotSentCause::UnknownBroker(id) }),
                }
            }
        }
    }

    /// Tries one broker after another until the request was sent. The bootstrap addresses count as brokers.
    pub(super) async fn call_any(&self, lane: Lane, submission: &Submission) -> Result<Delivered, RequestError> {
        let mut failure = None;
        for target in self.candidates() {
            let Some(submitted) = self.submit(target, lane, submission) else { continue };
            let outcome = match submitted {
                Ok(pending) => deliver(pending).await,
                Err(error) => Err(error),
            };
            match outcome {
                Err(error @ RequestError::NotSent { .. }) => failure = failure.or(Some(error)),
                outcome => return outcome,
            }
            if self.now() >= submission.deadline {
                break;
            }
        }
        Err(failure.unwrap_or(RequestError::NotSent { to: None, cause: NotSentCause::NoBrokers }))
    }

    /// The brokers to try, best first: those with an open connection, those that were not tried lately, the bootstrap
    /// addresses, and finally those that were silent, or failed, a moment ago.
    pub(super) fn candidates(&self) -> Vec<Target> {
        let cluster = self.cluster();
        let mut brokers: Vec<_> = cluster.brokers().map(|broker| Target::Broker(broker.id)).collect();
        // Different clients of one cluster begin with different brokers.
        let start = usize::try_from(self.config().seed % brokers.len().max(1) as u64).unwrap_or(0);
        brokers.rotate_left(start);
        let mut targets: Vec<_> =
            brokers.into_iter().map(|target| (self.shared.pool.readiness(target), target)).collect();
        let bootstrap = (0..self.shared.bootstrap.len()).map(Target::Bootstrap);
        let after_idle = targets.iter().filter(|(readiness, _)| *readiness < Readiness::Silent).count();
        targets.sort_by_key(|(readiness, _)| *readiness);
        let mut targets: Vec<_> = targets.into_iter().map(|(_, target)| target).collect();
        targets.splice(after_idle..after_idle, bootstrap);
        targets
    }

    /// Hands the request to the connection of `target`; `None` if its address is unknown.
    pub(super) fn submit(
        &self,
        target: Target,
        lane: Lane,
        submission: &Submission,
    ) -> Option<Result<Pending, RequestError>> {
        let endpoint = self.endpoint(target)?;
        Some(self.shared.pool.submit(target, lane, endpoint, submission))
    }

    /// The address of `target`, if it is known.
    pub(super) fn endpoint(&self, target: Target) -> Option<Endpoint> {
        match target {
            Target::Bootstrap(index) => {
                Some(Endpoint { broker: None, address: self.shared.bootstrap.get(index)?.clone(), told_by: None })
            }
            Target::Broker(id) => lock(&self.shared.metadata).endpoint(id),
        }
    }
}

/// An answer, and the connection that it came from.
pub(super) struct Delivered {
    pub(super) answer: RawAnswer,
    pub(super) endpoint: Arc<Endpoint>,
    pending: Pending,
}

pub(super) async fn deliver(mut pending: Pending) -> Result<Delivered, RequestError> {
    let answer = (&mut pending).await?;
    Ok(Delivered::new(answer, pending))
}

impl Delivered {
    pub(super) fn new(answer: RawAnswer, pending: Pending) -> Self {
        Self { answer, endpoint: Arc::clone(pending.endpoint()), pending }
    }

    /// Decodes the answer, and applies the broker's throttle time.
    pub(super) fn open<R: Request>(self) -> Result<Answered<R::Response>, RequestError> {
        decode::<R>(self.answer, &self.pending)
    }
}

fn decode<R: Request>(answer: RawAnswer, pending: &Pending) -> Result<Answered<R::Response>, RequestError> {
    let RawAnswer { version, body } = answer;
    let mut reader = Reader::new(&body);
    let response = R::Response::decode(&mut reader, version);
    let response = response.map_err(|error| RequestError::Decode { api: R::KEY, version, error })?;
    if let left @ 1.. = reader.left() {
        debug!(api = %R::KEY, version, bytes = left, "bytes behind the last field of an answer are ignored");
        pending.count_ignored(left);
    }
    if let Ok(pause @ 1..) = u64::try_from(R::throttle_time_ms(&response)) {
        pending.throttle(Duration::from_millis(pause));
    }
    Ok(Answered { response, version })
}

/// The answer to a request in flight, as [`Client::start`] returns it.
#[must_use = "the answer, and whether there is one, would be lost"]
pub struct ResponseFuture<R: Request> {
    state: State,
    of: PhantomData<fn() -> R>,
}

enum State {
    /// A connection has the request.
    Pending(Pending),
    /// A broker for the request is still being looked for.
    Routed(BoxFuture<Result<Delivered, RequestError>>),
    /// The request failed at once; `None` once the error was returned.
    Failed(Option<RequestError>),
}

impl<R: Request> Future for ResponseFuture<R> {
    type Output = Result<Answered<R::Response>, RequestError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            State::Pending(pending) => {
                let answer = ready!(Pin::new(&mut *pending).poll(cx));
                Poll::Ready(answer.and_then(|answer| decode::<R>(answer, pending)))
            }
            State::Routed(route) => {
                let delivered = ready!(route.as_mut().poll(cx));
                Poll::Ready(delivered.and_then(Delivered::open::<R>))
            }
            State::Failed(error) => Poll::Ready(Err(error.take().expect("polled after it was ready"))),
        }
    }
}

/// The name that brokers show in their metrics of connected clients (KIP-511).
const SOFTWARE_NAME: &str = "waterwheel";
