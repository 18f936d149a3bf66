//! Requests of the producer's state machines, sent as requests of the client, and their outcomes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::super::{BoxFuture, CallOptions, Client, CoordinatorError, Lane, Node, RequestError, ResponseFuture};
use crate::producer::outbox::{Produce, Produced};
use crate::producer::transaction::{CoordinatorRequest, Request, RequestOutcome, TransactionVersion};
use crate::protocol;
use crate::protocol::produce::ProduceRequest;
use crate::types::BrokerId;
use crate::wire::Str;

/// Hands a Produce request to the connection at once, so that requests are sent in the order in which they were made.
pub(super) fn produce(client: &Client, produce: Produce, version: TransactionVersion) -> ProduceCall {
    // Version 12 registers partitions by itself, which transactions of version 1 must not do. Version 13 takes topic
    // ids instead of names.
    let is_v1 = version == TransactionVersion::V1 && produce.request.transactional_id.is_some();
    let options = CallOptions { max_version: Some(if is_v1 { 11 } else { 12 }), timeout: None };
    let Produce { broker, request, .. } = produce;
    let transactional_id = request.transactional_id.clone();
    let answer = if request.acks == 0 {
        Answer::None(Box::pin(client.start_unanswered(broker, Lane::Produce, request, options)))
    } else {
        Answer::Response(client.start(Node::Broker(broker), Lane::Produce, request, options))
    };
    ProduceCall { broker, transactional_id, answer }
}

/// The outcome of a Produce request that was handed over, as a future.
pub(super) struct ProduceCall {
    broker: BrokerId,
    transactional_id: Option<Str>,
    answer: Answer,
}

enum Answer {
    /// `acks=0`: ready when the request was written.
    None(BoxFuture<Result<(), RequestError>>),
    Response(ResponseFuture<ProduceRequest>),
}

impl Future for ProduceCall {
    type Output = Produced;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Produced> {
        let outcome = match &mut self.answer {
            Answer::None(written) => ready!(written.as_mut().poll(cx)).map(|()| Produced::Written),
            Answer::Response(response) => {
                ready!(Pin::new(response).poll(cx)).map(|answered| Produced::Answered(answered.response))
            }
        };
        Poll::Ready(outcome.unwrap_or_else(|error| {
            let (broker, transactional_id) = (self.broker, self.transactional_id.as_deref());
            tracing::debug!(%broker, transactional_id, %error, "produce");
            match error {
                RequestError::UnsupportedVersion { .. } | RequestError::Encode { .. } => Produced::Unsendable,
                error if error.is_possibly_written() => Produced::Unanswered,
                _ => Produced::NotSent,
            }
        }))
    }
}

/// Finds the coordinator, sends the request, and waits for the response.
pub(super) async fn call(client: Client, call: CoordinatorRequest) -> RequestOutcome {
    let node = match find(&client, &call).await {
        Ok(node) => node,
        Err(reply) => return reply,
    };
    let lane = if call.coordinator.is_some() { Lane::Transaction } else { Lane::General };
    let options = CallOptions {
        max_version: Some(call.max_version),
        timeout: Some(call.timeout.min(client.config().request_timeout).max(TIMEOUT_MIN)),
    };
    match call.request {
        Request::InitProducerId(request) => {
            ask(&client, node, lane, request, options, RequestOutcome::InitProducerId).await
        }
        Request::AddPartitionsToTxn(request) => {
            ask(&client, node, lane, request, options, RequestOutcome::AddPartitionsToTxn).await
        }
        Request::AddOffsetsToTxn(request) => {
            ask(&client, node, lane, request, options, RequestOutcome::AddOffsetsToTxn).await
        }
        Request::TxnOffsetCommit(request) => {
            ask(&client, node, lane, request, options, RequestOutcome::TxnOffsetCommit).await
        }
        Request::EndTxn(request) => ask(&client, node, lane, request, options, RequestOutcome::EndTxn).await,
    }
}

async fn ask<R: protocol::Request>(
    client: &Client,
    node: Node,
    lane: Lane,
    request: R,
    options: CallOptions,
    reply: impl FnOnce(R::Response) -> RequestOutcome,
) -> RequestOutcome {
    match client.request(node, lane, request, options).await {
        Ok(response) => reply(response),
        Err(error) => {
            tracing::debug!(?node, api = R::KEY.name(), %error, "transaction");
            match error {
                RequestError::UnsupportedVersion { .. } | RequestError::Encode { .. } => RequestOutcome::Unsendable,
                error if error.is_possibly_written() => RequestOutcome::Unanswered,
                _ => RequestOutcome::NotSent,
            }
        }
    }
}

async fn find(client: &Client, call: &CoordinatorRequest) -> Result<Node, RequestOutcome> {
    let Some((kind, key)) = &call.coordinator else { return Ok(Node::Any) };
    if call.find_again {
        client.forget_coordinator(*kind, key);
    }
    let found: Result<BrokerId, CoordinatorError> = client.coordinator(*kind, key).await;
    match found {
        Ok(broker) => Ok(Node::Broker(broker)),
        Err(CoordinatorError::Refused { code, .. }) => Err(RequestOutcome::NoCoordinator(code)),
        Err(CoordinatorError::Request(error)) => {
            tracing::debug!(%kind, key = %key, %error, "coordinator");
            Err(RequestOutcome::NotSent)
        }
    }
}

/// Shortest timeout, also for a request whose time is nearly over: it may be the one that settles the outcome.
const TIMEOUT_MIN: Duration = Duration::from_secs(1);
