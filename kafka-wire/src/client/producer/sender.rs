//! The background task of a producer: takes closed batches, sends them, ends transactions.
//!
//! It looks at everything whenever the owner rings, an answer comes or a pause is over, and decides nothing by itself:
//! the outbox knows what may be sent to whom, the transaction manager what has to be asked.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::super::Client;
use super::calls;
use super::shared::{Core, Shared};
use crate::producer::outbox::{NeedsEpoch, Outbox, Produced, RequestId};
use crate::producer::transaction::Reply;
use crate::producer::{Pauses, ProducerConfig, TransactionCause};
use crate::time::Moment;

pub(super) struct Sender {
    client: Client,
    shared: Arc<Shared>,
    outbox: Outbox,
    pauses: Pauses,
    /// `None` inside transactions, where only full batches and flushes are sent.
    linger: Option<Duration>,
    linger_until: Option<Moment>,
    under_way: JoinSet<Event>,
    /// Metadata is being asked for; then: not before this moment again.
    is_refreshing: bool,
    refresh_after: Moment,
    /// Once is enough: it goes on like this for as long as the topic takes less than a batch.
    has_told_of_split: bool,
}

enum Event {
    Produced(RequestId, Produced),
    Asked(Reply),
    Refreshed,
}

impl Sender {
    pub(super) fn new(client: Client, shared: Arc<Shared>, config: &ProducerConfig) -> Self {
        let of_client = client.config();
        let pauses = Pauses { min: of_client.retry_backoff_min, max: of_client.retry_backoff_max };
        Self {
            outbox: Outbox::new(config, of_client.request_timeout, pauses),
            linger: config.transactional_id.is_none().then_some(config.linger),
            client,
            shared,
            pauses,
            linger_until: None,
            under_way: JoinSet::new(),
            is_refreshing: false,
            refresh_after: Moment::ZERO,
            has_told_of_split: false,
        }
    }

    /// Runs until the owner is gone.
    pub(super) async fn run(mut self) {
        let stopped = Stopped(Arc::clone(&self.shared));
        while let Some(wake_at) = self.look() {
            let pause = wake_at.map(|at| at - self.client.now());
            tokio::select! {
                biased;
                Some(event) = self.under_way.join_next() => self.take_in(event.expect("requests do not panic")),
                () = stopped.0.wake.notified() => {}
                () = sleep(pause) => {}
            }
        }
    }

    fn take_in(&mut self, event: Event) {
        let now = self.client.now();
        match event {
            Event::Produced(id, produced) => self.outbox.handle(now, id, &produced),
            Event::Asked(reply) => self.shared.core().manager.handle(now, reply, self.pauses),
            Event::Refreshed => {
                self.is_refreshing = false;
                self.refresh_after = now + self.pauses.min;
                self.outbox.handle_metadata(&self.client.cluster());
            }
        }
    }

    /// Does everything that can be done now; when to look again, or `None` at the end.
    fn look(&mut self) -> Option<Option<Moment>> {
        let shared = Arc::clone(&self.shared);
        let mut core = shared.core();
        if core.is_closed {
            return None;
        }
        let now = self.client.now();
        self.take_closed(now, &mut core);
        self.raise_epoch(&mut core);
        self.send(now, &mut core);
        self.settle(&mut core);
        if let Some(call) = core.manager.poll(now, self.outbox.is_drained()) {
            let client = self.client.clone();
            self.under_way.spawn(async move { Event::Asked(calls::call(client, call).await) });
        }
        self.refresh(now);
        self.tell(&mut core);
        let outbox_due = self.outbox.next_timeout(now);
        let due = [outbox_due, core.manager.next_timeout(now), self.linger_until, self.refresh_due(now)];
        Some(due.into_iter().flatten().min())
    }

    /// Moves what was closed, or has lingered long enough, into the outbox.
    ///
    /// The owner closes batches before it asks to flush or to end the transaction, so whoever sees the wish has the batches.
    fn take_closed(&mut self, now: Moment, core: &mut Core) {
        let mut buffer = self.shared.buffer();
        let accumulator = &mut buffer.accumulator;
        if core.manager.gives_up() {
            accumulator.discard();
            if self.outbox.give_up() {
                core.manager.require_epoch();
            }
            return;
        }
        if let Some(linger) = self.linger {
            self.linger_until = accumulator.close_due(now, linger, |slot| self.outbox.wants(now, slot));
        }
        let closed = accumulator.take_closed();
        let known = self.outbox.partition_count();
        if !closed.is_empty() && known < accumulator.slots().len() {
            let cluster = self.client.cluster();
            for slot in &accumulator.slots()[known..] {
                self.outbox.add_partition(accumulator.topic_partition(*slot), &cluster);
            }
        }
        for batch in closed {
            core.manager.touch(batch.slot, || accumulator.topic_partition(batch.slot));
            self.outbox.push(now, batch);
        }
    }

    /// Without transactions: partitions that lost their place go on under a higher epoch.
    fn raise_epoch(&mut self, core: &mut Core) {
        if core.manager.is_transactional() {
            return;
        }
        let needs = self.outbox.needs_epoch(core.manager.identity());
        if needs == NeedsEpoch::Higher {
            core.manager.raise_epoch();
        }
        if needs != NeedsEpoch::No && core.manager.identity().is_some() {
            self.outbox.restart(core.manager.identity());
        }
    }

    fn send(&mut self, now: Moment, core: &mut Core) {
        let manager = &mut core.manager;
        while let Some(produce) = self.outbox.poll(now, manager.identity(), |slot| manager.may_produce(slot)) {
            manager.produced();
            let id = produce.id;
            let outcome = calls::produce(&self.client, produce, manager.version());
            self.under_way.spawn(async move { Event::Produced(id, outcome.await) });
        }
    }

    /// Books what was acknowledged and what failed.
    fn settle(&mut self, core: &mut Core) {
        let settled = self.outbox.take_settled();
        if settled.released_bytes > 0 {
            let mut buffer = self.shared.buffer();
            buffer.accumulator.release(settled.released_bytes);
            for (slot, offset) in settled.acknowledged {
                buffer.acknowledge(slot, offset);
            }
        }
        if let Some((partition, batch_bytes)) = settled.split
            && !std::mem::replace(&mut self.has_told_of_split, true)
        {
            tracing::warn!(%partition, batch_bytes, "a batch is too large for its topic and goes in parts; raise max.message.bytes of the topic to spare the detour");
        }
        let Some(first) = settled.first_failure else { return };
        if core.manager.is_transactional() {
            // Also what an abort throws away comes by here; the manager knows that it has failed.
            if core.manager.failure().is_none() && !core.manager.gives_up() {
                core.manager.fail(TransactionCause::Delivery(first));
                self.shared.wake.notify_one();
            }
        } else {
            let (_, count) = core.failed.get_or_insert((first, 0));
            *count += settled.failed_records;
        }
    }

    fn refresh(&mut self, now: Moment) {
        if self.is_refreshing || now < self.refresh_after {
            return;
        }
        let topics = self.outbox.take_stale();
        if topics.is_empty() {
            return;
        }
        self.is_refreshing = true;
        let client = self.client.clone();
        self.under_way.spawn(async move {
            if let Err(error) = client.metadata(&topics).await {
                tracing::debug!(%error, "metadata");
            }
            Event::Refreshed
        });
    }

    fn refresh_due(&self, now: Moment) -> Option<Moment> {
        Some(self.refresh_after).filter(|at| *at > now && self.outbox.has_stale() && !self.is_refreshing)
    }

    /// Keeps the promises to the owner. Whoever has stopped waiting asks again.
    fn tell(&mut self, core: &mut Core) {
        let has_failed = core.manager.failure().is_some();
        if core.on_ended.is_some()
            && let Some(ended) = core.manager.take_ended()
            && let Some(waiting) = core.on_ended.take()
        {
            let _ = waiting.send(ended);
        }
        if (self.outbox.is_drained() || has_failed)
            && let Some(waiting) = core.on_drained.take()
        {
            let _ = waiting.send(());
        }
        let mut buffer = self.shared.buffer();
        if (buffer.accumulator.has_room() || has_failed)
            && let Some(waiting) = buffer.on_room.take()
        {
            let _ = waiting.send(());
        }
    }
}

async fn sleep(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}

/// Lets the owner know, whatever ended the task, by dropping the promises that it waits for.
struct Stopped(Arc<Shared>);

impl Drop for Stopped {
    fn drop(&mut self) {
        let mut core = self.0.core();
        core.has_stopped = true;
        (core.on_drained, core.on_ended) = (None, None);
        self.0.buffer().on_room = None;
    }
}
