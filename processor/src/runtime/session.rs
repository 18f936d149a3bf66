//! One membership of a worker in its group, from joining to leaving: the loop in which everything meets.
//!
//! A turn of the loop takes one event, whichever comes first: a wish to stop, news of the group, fetched records, or the
//! time to commit. Records go through the tasks into the producer's open transaction; a commit ends the transaction with
//! the tasks' changes and the input offsets in it. Between the two nothing that a reader can see has changed, so any
//! error that passes ends in "drop it all and start over".

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use kafka_wire::client::{Client, Consumer, GroupMember};
use kafka_wire::cluster::TopicPartition;
use kafka_wire::compression::Decompressed;
use kafka_wire::consumer::{ConsumeError, Fetched};
use kafka_wire::group::GroupEvent;
use kafka_wire::time::Moment;
use kafka_wire::types::Offset;
use tracing::{debug, info};

use super::commit::Committed;
use super::output::Transaction;
use super::takeover::Held;
use super::worker::{SessionEnd, Worker};
use super::{membership, open};
use crate::commit::{CommitMachine, CommitPolicy};

/// A worker that is in its group.
pub(crate) struct Session<'w> {
    pub(crate) worker: &'w Worker,
    pub(crate) client: Client,
    pub(crate) member: GroupMember,
    pub(crate) consumer: Consumer,
    pub(crate) transaction: Transaction,
    /// When to commit, and what an outcome means.
    pub(crate) machine: CommitMachine,
    /// Why the machine gives up, if it does.
    pub(crate) failure: Option<SessionEnd>,
    /// The tasks, by the input partition that drives each.
    pub(crate) tasks: BTreeMap<TopicPartition, Held>,
    /// The partitions whose offsets are in the commit that is under way.
    pub(crate) committing: Vec<TopicPartition>,
    /// Whether the partitions are ours to process: not between a rebalance and the next assignment.
    pub(crate) is_assigned: bool,
    /// The group's generation at the last assignment.
    pub(crate) generation: Option<i32>,
    /// What the next turn processes; looked for ahead, to know whether there is more.
    pub(crate) next_fetched: Option<Result<Fetched, ConsumeError>>,
    /// Transactional ids of the group's members at the last assignment.
    pub(crate) live_ids: Vec<String>,
    pub(crate) buffer: Decompressed,
    pub(crate) purged: Moment,
    ticked: Moment,
    /// Ticks in a row without a transaction.
    idle_ticks: u32,
}

impl<'w> Session<'w> {
    /// Joins and works until something ends it.
    pub(crate) async fn run(worker: &'w Worker) -> SessionEnd {
        let opened = tokio::select! {
            biased;
            () = worker.control.stopped() => return SessionEnd::Stopped,
            opened = open::open(worker) => opened,
        };
        let mut session = match opened {
            Ok(session) => session,
            Err(end) => return end,
        };
        let overdue = async {
            worker.control.stopped().await;
            tokio::time::sleep(STOP_TIMEOUT).await;
        };
        let end = tokio::select! {
            biased;
            end = session.work() => end,
            // In the middle of something that does not end: nothing of it is committed, as after a crash.
            () = overdue => Err(SessionEnd::Restart("stopped in the middle".to_owned())),
        };
        match end {
            Err(SessionEnd::Stopped) => session.finish().await,
            Err(SessionEnd::Restart(cause)) if worker.control.is_stopped() => {
                info!(worker = %worker.transactional_id, cause, "leaves the group; the last transaction aborts");
                session.member.leave().await;
                SessionEnd::Stopped
            }
            Err(end) => end,
            Ok(never) => match never {},
        }
    }

    pub(crate) fn new(worker: &'w Worker, parts: open::Parts) -> Self {
        let open::Parts { client, member, consumer, transaction, first_sequence } = parts;
        let now = client.now();
        let policy = CommitPolicy::adaptive(worker.config.commit_interval_min, worker.config.commit_interval_max);
        Self {
            worker,
            client,
            member,
            consumer,
            transaction,
            machine: CommitMachine::new(policy, first_sequence),
            failure: None,
            tasks: BTreeMap::new(),
            committing: Vec::new(),
            is_assigned: false,
            generation: None,
            next_fetched: None,
            live_ids: Vec::new(),
            buffer: Decompressed::default(),
            purged: now,
            ticked: now,
            idle_ticks: 0,
        }
    }

    async fn work(&mut self) -> Result<Infallible, SessionEnd> {
        loop {
            self.look_ahead();
            let now = self.client.now();
            let pause = self.wake_at(now).since(now);
            let next_fetched = &mut self.next_fetched;
            let consumer = &mut self.consumer;
            let fetched = async {
                match next_fetched.take() {
                    Some(fetched) => fetched,
                    None => consumer.poll().await,
                }
            };
            tokio::select! {
                biased;
                () = self.worker.control.stopped() => return Err(SessionEnd::Stopped),
                event = self.member.next_event() => self.handle_event(event).await?,
                fetched = fetched, if self.is_assigned => {
                    self.process(fetched.map_err(open::consume_error)?).await?;
                    // Everything here shares the thread: heartbeats, fetches and sends get their turn.
                    tokio::task::yield_now().await;
                }
                () = tokio::time::sleep(pause) => {}
            }
            if self.is_assigned {
                self.tick()?;
                self.commit_if_due().await?;
            }
        }
    }

    /// Finds out whether there is more to process at once; without it a commit need not wait.
    fn look_ahead(&mut self) {
        if self.is_assigned && self.next_fetched.is_none() {
            self.next_fetched = self.consumer.try_poll();
        }
        self.machine.handle_drained(self.next_fetched.is_none());
    }

    /// When the loop has to turn without an event: for the commit that is due, or for the tasks' clocks.
    fn wake_at(&self, now: Moment) -> Moment {
        let tick = self.ticked + TICK_INTERVAL;
        self.machine.next_timeout().filter(|_| self.is_assigned).map_or(tick, |commit| commit.min(tick)).max(now)
    }

    async fn handle_event(&mut self, event: GroupEvent) -> Result<(), SessionEnd> {
        match event {
            GroupEvent::Assigned { generation, partitions, user_data } => {
                debug!(worker = %self.worker.transactional_id, generation, partitions = partitions.len(), "assigned");
                self.take_over(generation, partitions, membership::decode(&user_data)).await
            }
            GroupEvent::Rebalancing => {
                // The partitions are ours until we rejoin: what is begun can still be committed.
                self.commit().await?;
                self.is_assigned = false;
                self.publish();
                self.member.rejoin();
                Ok(())
            }
            GroupEvent::Lost { cause } => Err(SessionEnd::Restart(format!("partitions lost: {cause}"))),
            GroupEvent::Fatal(error) => Err(open::group_error(&error)),
            other => Err(SessionEnd::Restart(format!("an event of the group that is not known here: {other:?}"))),
        }
    }

    /// Takes the records of one fetch through their task, committing on the way when it is time: however large the
    /// backlog, a transaction stays short.
    async fn process(&mut self, mut fetched: Fetched) -> Result<(), SessionEnd> {
        let partition = fetched.partition().clone();
        while let Some(batch) = fetched.next_batch() {
            let batch = batch.map_err(open::consume_error)?;
            self.begin()?;
            let Some(held) = self.tasks.get_mut(&partition) else { return Ok(()) };
            held.process(&batch, &mut self.buffer, self.client.now(), &mut self.transaction)?;
            self.transaction.check()?;
            let (records, bytes) = self.transaction.take_written();
            self.machine.handle_work(records, bytes);
            if self.commit_if_due().await? == Committed::RolledBack {
                // The rest of the fetch lies behind the position that was gone back to, and will be fetched again.
                return Ok(());
            }
            self.transaction.ready().await?;
        }
        self.begin_if_at_end(&partition, &fetched)?;
        if let Some(held) = self.tasks.get_mut(&partition) {
            held.advance(&fetched, &mut self.transaction)?;
            if held.has_ended() {
                stop_reading(&mut self.consumer, &partition, held.position);
            }
        }
        Ok(())
    }

    /// Reaching the end of a bounded run puts something out, so it needs a transaction.
    fn begin_if_at_end(&mut self, partition: &TopicPartition, fetched: &Fetched) -> Result<(), SessionEnd> {
        let is_at_end = self.tasks.get(partition).is_some_and(|held| held.reaches_end(fetched.next_offset()));
        if is_at_end { self.begin() } else { Ok(()) }
    }

    fn tick(&mut self) -> Result<(), SessionEnd> {
        let now = self.client.now();
        if now.since(self.ticked) < TICK_INTERVAL {
            return Ok(());
        }
        self.ticked = now;
        self.idle_ticks = if self.machine.is_idle() { self.idle_ticks + 1 } else { 0 };
        if self.idle_ticks >= IDLE_TICKS && self.worker.control.takes_kill() {
            return Err(SessionEnd::Killed);
        }
        let is_due = |held: &Held| held.task.next_timeout().is_some_and(|timeout| timeout <= now);
        let has_work = |held: &Held| is_due(held) || !held.task.doubts().is_empty();
        if self.tasks.values().any(has_work) {
            self.begin()?;
            for held in self.tasks.values_mut().filter(|held| is_due(held)) {
                held.task.tick(now, &mut self.transaction)?;
            }
            self.transaction.check()?;
        }
        self.publish();
        Ok(())
    }

    /// Commits what there is, leaves the group.
    async fn finish(mut self) -> SessionEnd {
        let late = || SessionEnd::Restart("the last commit takes too long".to_owned());
        let committed = match self.is_assigned {
            true => tokio::time::timeout(STOP_TIMEOUT, self.commit()).await.unwrap_or_else(|_| Err(late())).map(drop),
            false => Ok(()),
        };
        let worker = self.worker;
        self.member.leave().await;
        match committed {
            Ok(()) => info!(worker = %worker.transactional_id, "committed and left the group"),
            Err(SessionEnd::Fatal(error)) => return SessionEnd::Fatal(error),
            Err(end) => info!(worker = %worker.transactional_id, ?end, "left the group; the last transaction aborts"),
        }
        SessionEnd::Stopped
    }
}

/// Fetches nothing more of a partition whose part in a bounded run is over. Seeking throws away what was fetched behind the
/// end: parked, it would take the room of other partitions for ever.
pub(crate) fn stop_reading(consumer: &mut Consumer, partition: &TopicPartition, end: Offset) {
    consumer.pause(partition);
    consumer.seek(partition, end);
}

/// How long a worker that is asked to stop may take to commit; leaving the group takes 1 s at most.
const STOP_TIMEOUT: Duration = Duration::from_millis(800);

/// How often the tasks' clocks are looked at; the time of a source falling idle is that exact.
const TICK_INTERVAL: Duration = Duration::from_millis(100);

/// So many ticks without work, and a kill that waits for a transaction waits no longer.
const IDLE_TICKS: u32 = 3;
