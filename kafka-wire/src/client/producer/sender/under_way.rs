//! The requests that have no outcome yet.
//!
//! Produce requests are polled by the sender itself: a task for each would cost memory and one more switch per batch.
//! The others are rare, take several steps, and are tasks.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::task::JoinSet;

use super::Event;
use super::calls::ProduceCall;
use crate::producer::outbox::RequestId;

/// The requests under way.
#[derive(Default)]
pub(super) struct UnderWay {
    /// In the order in which they were sent; few, because each broker gets at most [`REQUESTS_MAX`] at a time.
    ///
    /// [`REQUESTS_MAX`]: crate::producer::outbox::REQUESTS_MAX
    produces: Vec<(RequestId, ProduceCall)>,
    others: JoinSet<Event>,
}

impl UnderWay {
    /// Adds a Produce request.
    pub(super) fn produce(&mut self, id: RequestId, call: ProduceCall) {
        self.produces.push((id, call));
    }

    /// Adds any other work.
    pub(super) fn spawn(&mut self, work: impl Future<Output = Event> + Send + 'static) {
        self.others.spawn(work);
    }

    /// Whether no outcome can come.
    pub(super) fn is_empty(&self) -> bool {
        self.produces.is_empty() && self.others.is_empty()
    }

    /// The next outcome. It is never ready while nothing is under way. Cancel safe.
    pub(super) async fn next(&mut self) -> Event {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        for index in 0..self.produces.len() {
            let (id, call) = &mut self.produces[index];
            if let Poll::Ready(produced) = Pin::new(call).poll(cx) {
                let id = *id;
                self.produces.remove(index);
                return Poll::Ready(Event::Produced(id, produced));
            }
        }
        match self.others.poll_join_next(cx) {
            Poll::Ready(Some(event)) => Poll::Ready(event.expect("requests do not panic")),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}
