//! The sender of a producer: it takes closed batches, sends them, ends transactions and looks topics up.
//!
//! It looks at everything whenever an owner notifies it, an answer comes or a pause is over, and decides nothing
//! by itself: the outbox knows which batches may be sent to which broker, and the transaction manager which
//! requests are needed.

mod topics;
mod under_way;

use std::sync::Arc;
use std::time::Duration;

use self::topics::Lookups;
use self::under_way::UnderWay;
use super::super::{Client, MetadataError};
use super::calls;
use super::shared::{Buffer, Core, FirstBatch, Gate, Shared, Turn};
use crate::cluster::Topic;
use crate::producer::outbox::{NeedsEpoch, Outbox, Produced, RequestId};
use crate::producer::transaction::RequestOutcome;
use crate::producer::{DeliveryCause, Pauses, ProducerConfig, RunsOn, TransactionCause};
use crate::time::Moment;
use crate::wire::Str;

pub(super) struct Sender {
    client: Client,
    shared: Arc<Shared>,
    outbox: Outbox,
    pauses: Pauses,
    /// Whether several owners share this producer: they wait for room in a queue, and see topics grow.
    has_many_owners: bool,
    /// The next time to look at open batches and at the time of day that records are given.
    linger_until: Option<Moment>,
    time_until: Option<Moment>,
    /// The time at which to register what the open transaction uses.
    register_at: Option<Moment>,
    lookups: Lookups,
    /// Whether nothing else runs on its thread.
    has_own_thread: bool,
    /// Whether the next thing to happen by itself is a request to the coordinator.
    waits_for_coordinator: bool,
    under_way: UnderWay,
    /// Whether metadata is being requested; after that, the earliest time of the next request.
    is_refreshing: bool,
    refresh_after: Moment,
    /// Whether the split was logged: once is enough, because every batch is split as long as the topic's limit is
    /// below the batch size.
    has_told_of_split: bool,
}

enum Event {
    Produced(RequestId, Produced),
    Asked(RequestOutcome),
    Refreshed,
    Found(Str, Result<Arc<Topic>, MetadataError>),
}

impl Sender {
    pub(super) fn new(client: Client, shared: Arc<Shared>, config: &ProducerConfig, has_many_owners: bool) -> Self {
        let of_client = client.config();
        let pauses = Pauses { min: of_client.retry_backoff_min, max: of_client.retry_backoff_max };
        Self {
            outbox: Outbox::new(config, of_client.request_timeout, pauses),
            has_many_owners,
            has_own_thread: config.runs_on == RunsOn::OwnThread,
            waits_for_coordinator: false,
            lookups: Lookups::new(client.now() + of_client.metadata_max_age),
            client,
            shared,
            pauses,
            linger_until: None,
            time_until: None,
            register_at: None,
            under_way: UnderWay::default(),
            is_refreshing: false,
            refresh_after: Moment::ZERO,
            has_told_of_split: false,
        }
    }

    /// Runs until the owners are gone.
    pub(super) async fn run(mut self) {
        let stopped = Stopped(Arc::clone(&self.shared));
        while let Some(wake_at) = self.look() {
            let pause = wake_at.map(|at| at - self.client.now());
            if let Some(pause) = pause.filter(|pause| self.may_block(*pause)) {
                block(pause);
                continue;
            }
            tokio::select! {
                biased;
                event = self.under_way.next() => self.take_in(event),
                () = stopped.0.wake.notified() => {}
                () = sleep(pause) => {}
            }
        }
        // The owners learn the fate of their records before that of the sender.
        drop(self);
        drop(stopped);
    }

    fn take_in(&mut self, event: Event) {
        let now = self.client.now();
        match event {
            Event::Produced(id, produced) => {
                self.learn_leaders(&produced);
                self.outbox.handle(now, id, produced);
            }
            Event::Asked(reply) => self.shared.core().manager.handle(now, reply, self.pauses),
            Event::Refreshed => {
                self.is_refreshing = false;
                self.refresh_after = now + self.pauses.min;
                let cluster = self.client.cluster();
                self.outbox.handle_metadata(&cluster);
                self.see_leaders(&cluster);
            }
            Event::Found(name, found) => self.answer_lookup(&name, found),
        }
    }

    /// Takes the leaders that a response names for the batches that it refuses.
    fn learn_leaders(&mut self, produced: &Produced) {
        let Produced::Answered(response) = produced else { return };
        let (hints, brokers) = Outbox::named_leaders(response);
        if !hints.is_empty() {
            self.client.learn_leaders(brokers, &hints);
            let cluster = self.client.cluster();
            self.outbox.handle_metadata(&cluster);
            self.see_leaders(&cluster);
        }
    }

    /// Does everything that is due; returns the time of the next check, or `None` at the end.
    fn look(&mut self) -> Option<Option<Moment>> {
        let shared = Arc::clone(&self.shared);
        let mut core = shared.core();
        if core.is_closed {
            self.warn_of_unsent(&core);
            return None;
        }
        let now = self.client.now();
        self.take_lookups(now);
        self.take_closed(now, &mut core);
        self.raise_epoch(&mut core);
        self.send(now, &mut core);
        if self.close_for_room() {
            self.take_closed(now, &mut core);
            self.send(now, &mut core);
        }
        // Records behind a batch that has failed may go on: the next look closes their batch, or raises its epoch.
        let after_failure = self.settle(&mut core).then_some(now);
        if let Some(call) = core.manager.poll(now, self.outbox.is_drained()) {
            let client = self.client.clone();
            self.under_way.spawn(async move { Event::Asked(calls::call(client, call).await) });
        }
        self.refresh(now);
        let turn_due = self.tell(now, &mut core);
        let batches_due =
            [self.outbox.next_timeout(now), self.linger_until, self.time_until, self.register_at, turn_due];
        let refresh_after = (!self.is_refreshing).then_some(self.refresh_after);
        let topics_due = [self.refresh_due(now), self.lookups.next_timeout(refresh_after), after_failure];
        let others_due = batches_due.into_iter().chain(topics_due).flatten().min();
        let coordinator_due = core.manager.next_timeout(now);
        self.waits_for_coordinator = coordinator_due.is_some_and(|at| others_due.is_none_or(|other| at < other));
        Some(others_due.into_iter().chain(coordinator_due).min())
    }

    /// Whether to stop the whole thread for this pause. Timers of the runtime count whole milliseconds and round up,
    /// and the pauses between requests to the coordinator are no longer than that. No answer can come meanwhile, and
    /// what the owners do waits a little.
    fn may_block(&self, pause: Duration) -> bool {
        pause <= BLOCKED_MAX && self.has_own_thread && self.waits_for_coordinator && self.under_way.is_empty()
    }

    /// Moves batches that were closed, or have lingered long enough, into the outbox.
    ///
    /// The owner closes batches before it asks to flush or to end the transaction, so whoever sees the request
    /// also sees the batches.
    fn take_closed(&mut self, now: Moment, core: &mut Core) {
        let mut buffer = self.shared.buffer();
        // Records that come after a pause must not get the time before it.
        self.time_until = buffer.time.is_warm().then_some(now + TIME_MAX);
        buffer.time.expire();
        let Buffer { accumulator, linger, bell, .. } = &mut *buffer;
        if core.manager.gives_up() {
            // No batch is open any more.
            (self.linger_until, self.register_at) = (None, None);
            accumulator.discard(DeliveryCause::TransactionFailed);
            bell.looked(None);
            if self.outbox.give_up() {
                core.manager.require_epoch();
            }
            return;
        }
        let due = linger.and_then(|linger| accumulator.close_due(now, linger, |slot| self.outbox.wants(now, slot)));
        self.linger_until = due;
        bell.looked(due);
        let mut closed = accumulator.take_closed();
        let known = self.outbox.partition_count();
        if !closed.is_empty() && known < accumulator.slots().len() {
            let cluster = self.client.cluster();
            for slot in &accumulator.slots()[known..] {
                self.outbox.add_partition(accumulator.topic_partition(*slot), &cluster);
            }
        }
        for batch in closed.drain(..) {
            core.manager.touch(batch.slot, || accumulator.topic_partition(batch.slot));
            self.outbox.push(now, batch);
        }
        accumulator.reuse(closed);
        self.register_at = register_early(now, &mut buffer, core);
    }

    /// Closes the open batches if they take the room that an owner waits for, and nothing in flight will give any back:
    /// closing them earlier would cut the records of many partitions into small batches. Returns whether it has.
    fn close_for_room(&self) -> bool {
        let mut buffer = self.shared.buffer();
        let room_bytes = buffer.accumulator.room_bytes();
        let lacks_room = buffer.waiting.front().is_some_and(|first| first.record_bytes > room_bytes);
        if !lacks_room || self.outbox.has_requests() || buffer.gate != Gate::Open {
            return false;
        }
        buffer.accumulator.close_all();
        buffer.accumulator.has_closed()
    }

    /// Without transactions: raises the epoch for partitions that have a gap.
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
            let id = produce.id;
            self.under_way.produce(id, calls::produce(&self.client, produce, manager.version()));
        }
    }

    /// Records acknowledged and failed batches. Returns whether any has failed.
    fn settle(&mut self, core: &mut Core) -> bool {
        let mut settled = self.outbox.take_settled();
        if !settled.batches.is_empty() {
            let mut buffer = self.shared.buffer();
            for batch in settled.batches.drain(..) {
                let topic = buffer.accumulator.topic_partition(batch.slot).topic;
                let records = u64::from(batch.record_count.unsigned_abs());
                self.shared.counters.settled(&topic, records, batch.batch_bytes, batch.is_acknowledged);
                buffer.accumulator.release(batch.released_bytes);
                if batch.ends_batch {
                    buffer.accumulator.settle(batch.slot);
                }
                if let Some(offset) = batch.last_offset {
                    buffer.acknowledge(batch.slot, offset);
                }
                buffer.keep(batch);
            }
        }
        self.outbox.reuse(std::mem::take(&mut settled.batches));
        if settled.retries > 0 || settled.split_batches > 0 {
            self.shared.counters.repeated(settled.retries, settled.split_batches);
        }
        if let Some((partition, batch_bytes)) = settled.split
            && !std::mem::replace(&mut self.has_told_of_split, true)
        {
            tracing::warn!(%partition, batch_bytes, "a batch is too large for its topic and goes in parts; raise max.message.bytes of the topic to spare the detour");
        }
        let Some(first) = settled.first_failure else { return false };
        if core.manager.is_transactional() {
            // Batches that an abort discards also come by here; the manager knows of its failure already.
            if core.manager.failure().is_none() && !core.manager.gives_up() {
                core.manager.fail(TransactionCause::Delivery(first));
                self.shared.wake.notify_one();
            }
        } else {
            let (_, count) = core.failed.get_or_insert((first, 0));
            *count += settled.failed_records;
        }
        true
    }

    fn refresh(&mut self, now: Moment) {
        if self.is_refreshing || now < self.refresh_after {
            return;
        }
        let mut topics = self.outbox.take_stale();
        if self.has_many_owners {
            topics.extend(self.lookups.take_old(now, &self.shared, self.client.config().metadata_max_age));
        }
        if topics.is_empty() {
            return;
        }
        self.is_refreshing = true;
        let client = self.client.clone();
        self.under_way.spawn(async move {
            if let Err(error) = client.metadata(&topics).await {
                tracing::debug!(?topics, %error, "metadata");
            }
            Event::Refreshed
        });
    }

    fn refresh_due(&self, now: Moment) -> Option<Moment> {
        Some(self.refresh_after).filter(|at| *at > now && self.outbox.has_stale() && !self.is_refreshing)
    }

    /// Keeps the promises to the owners. Returns the time at which to look at them again. An owner that has
    /// stopped waiting asks again.
    fn tell(&mut self, now: Moment, core: &mut Core) -> Option<Moment> {
        let has_failed = core.manager.failure().is_some();
        // Who waits for records is told of the failure, once its reason is known.
        let is_doubted = core.manager.is_doubted();
        if !core.on_ended.is_empty()
            && let Some(ended) = core.manager.take_ended()
        {
            for waiting in core.on_ended.drain(..) {
                let _ = waiting.send(ended.clone());
            }
        }
        if !core.on_settled.is_empty() && !is_doubted {
            let oldest = self.outbox.oldest_number();
            let is_settled = |mark: u64| has_failed || oldest.is_none_or(|oldest| oldest >= mark);
            let (settled, waiting) =
                std::mem::take(&mut core.on_settled).into_iter().partition(|(mark, _)| is_settled(*mark));
            core.on_settled = waiting;
            let settled: Vec<_> = settled;
            for (_, waiting) in settled {
                let _ = waiting.send(());
            }
        }
        let mut buffer = self.shared.buffer();
        if ((buffer.accumulator.has_room() && !is_doubted) || has_failed)
            && let Some(waiting) = buffer.on_room.take()
        {
            let _ = waiting.send(());
        }
        if has_failed && self.has_many_owners && buffer.gate == Gate::Open {
            buffer.set_gate(Gate::Failed);
        }
        give_turns(now, &mut buffer)
    }

    /// Logs a warning about records that nobody waits for any more. The failure of a transaction was reported before.
    fn warn_of_unsent(&self, core: &Core) {
        let records = self.outbox.record_count() + self.shared.buffer().accumulator.record_count();
        if records > 0 && core.manager.failure().is_none() {
            tracing::warn!(
                records,
                "a producer has ended with records that are not acknowledged; close it, or flush, before it is dropped"
            );
        }
    }
}

/// Registers the partitions of open batches in a transaction that has had records for a while, and those that the last
/// ones have used, so that its commit need not. Returns the time at which to do so.
///
/// A transaction that ends before that has one request for all its partitions, instead of two.
fn register_early(now: Moment, buffer: &mut Buffer, core: &mut Core) -> Option<Moment> {
    let FirstBatch::OpenedAt(opened_at) = buffer.first_batch else { return None };
    let due = opened_at + core.manager.expects_after();
    if due > now {
        return Some(due);
    }
    buffer.first_batch = FirstBatch::Done;
    let accumulator = &buffer.accumulator;
    for slot in accumulator.opened() {
        core.manager.expect(*slot, || accumulator.topic_partition(*slot));
    }
    core.manager.expect_usual();
    None
}

/// Lets the owners try again whose records have room now, and ends the waiting of those whose time is over.
/// Returns the time of the next one.
fn give_turns(now: Moment, buffer: &mut Buffer) -> Option<Moment> {
    let mut room_bytes = buffer.accumulator.room_bytes();
    // Its owner may be dropped before it takes its turn, which nothing tells: then the room is for the next one.
    let mut has_given = false;
    let is_shut = buffer.gate != Gate::Open;
    while let Some(first) = buffer.waiting.front() {
        let has_turn = is_shut || first.record_bytes <= room_bytes;
        if !has_turn && first.deadline > now {
            return Some(if has_given { first.deadline.min(now + TURN_MAX) } else { first.deadline });
        }
        let first = buffer.waiting.pop_front()?;
        let turn = if has_turn { Turn::TryAgain } else { Turn::TimeIsOver };
        // If an owner has gone away, its room is for the next one.
        if first.promise.send(turn).is_ok() && has_turn {
            room_bytes = room_bytes.saturating_sub(first.record_bytes);
            has_given = true;
        }
    }
    None
}

async fn sleep(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}

#[expect(clippy::disallowed_methods, reason = "only a thread can sleep for less than a millisecond")]
fn block(pause: Duration) {
    std::thread::sleep(pause);
}

/// Time after which room that was given is looked at again.
const TURN_MAX: Duration = Duration::from_millis(10);
/// Longest pause for which the sender stops its thread.
const BLOCKED_MAX: Duration = Duration::from_millis(2);
/// Greatest age of the time of day that a record is given.
const TIME_MAX: Duration = Duration::from_millis(10);

/// A guard that drops the promises to the owners, so that they learn of the end of the sender, whatever its reason.
struct Stopped(Arc<Shared>);

impl Drop for Stopped {
    fn drop(&mut self) {
        let mut core = self.0.core();
        core.has_stopped = true;
        core.on_settled.clear();
        core.on_ended.clear();
        let mut buffer = self.0.buffer();
        buffer.set_gate(if core.is_closed { Gate::Closed } else { Gate::Stopped });
        buffer.on_room = None;
        buffer.waiting.clear();
        buffer.lookups.clear();
        // The owners learn the fate of the records by the promises that belong to them.
        buffer.accumulator.discard(DeliveryCause::Ended);
        core.on_stopped.clear();
    }
}
