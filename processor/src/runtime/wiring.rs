//! One incarnation of a worker: its machine, connected to a cluster and to real time.
//!
//! A turn of the loop takes the records at hand (one fetch of changelogs and one of inputs), lets the machine do what
//! is due, carries out its actions, and waits for whatever comes first: a request to stop, news of the group,
//! the end of an operation, records, or the time. Records go from the frame that brought them through the tasks into
//! the producer's open batches; nothing is copied on the way.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use kafka_wire::client::{BatchReader, Client, Consumer, GroupMember};
use kafka_wire::cluster::TopicPartition;
use kafka_wire::compression::Decompressed;
use kafka_wire::consumer::{ConsumeError, Fetched};
use kafka_wire::group::GroupEvent;
use kafka_wire::time::Moment;
use kafka_wire::types::{Offset, TimestampMs};
use kafka_wire::wire::Str;
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use super::connect::{self, Parts};
use super::kill::Death;
use super::membership;
use super::operations::{carry_out, carry_out_in};
use super::remedy::{self, Failure};
use super::spec::Spec;
use super::transaction::Transaction;
use crate::commit::CommitPolicy;
use crate::worker::{Action, Assignment, Completion, End, Operation, OperationId, Position, Settings, Span, Worker};

/// The way in which an incarnation of a worker ended.
#[derive(Debug)]
pub(super) enum Over {
    /// By itself, or as requested.
    Ended(End),
    /// As in a crash.
    Killed,
}

/// A worker on a cluster.
struct Wiring<'s> {
    spec: &'s Spec,
    client: Client,
    member: GroupMember,
    /// The inputs. A fetch of them is taken in hand ahead, to know whether there is more.
    inputs: BatchReader,
    worker: Worker,
    /// `None` while an operation on the transaction has it.
    transaction: Option<Transaction>,
    /// The operation on the transaction in progress.
    ending: Option<Ending>,
    operations: JoinSet<(OperationId, Completion)>,
    restores: Restores,
    buffer: Decompressed,
    /// Time at which a worker that was asked to stop is given up.
    stop_by: Option<Moment>,
    reported: Moment,
    /// The time of day at the start of the worker's clock.
    wall_at_zero: TimestampMs,
    /// Number of ticks in a row without a transaction.
    idle_ticks: u32,
}

/// Reads changelogs, while there are any to read.
#[derive(Default)]
struct Restores {
    consumer: Option<Consumer>,
    changelogs: BTreeSet<TopicPartition>,
}

type Ending = Pin<Box<dyn Future<Output = Ended>>>;

/// The end of an operation on the transaction.
struct Ended {
    /// `None` if the worker died in it.
    transaction: Option<Transaction>,
    id: OperationId,
    completion: Completion,
}

/// Joins the group and works until something ends it.
pub(super) async fn run(spec: &Spec) -> Over {
    let connected = tokio::select! {
        biased;
        () = spec.control.stopped() => return Over::Ended(End::Stopped),
        connected = connect::connect(spec) => connected,
    };
    let mut wiring = match connected {
        Ok(parts) => Wiring::new(spec, parts),
        Err(end) => {
            warn!(worker = %spec.transactional_id, %end, "worker cannot begin");
            return Over::Ended(end);
        }
    };
    let over = wiring.work().await;
    let Wiring { member, stop_by, .. } = wiring;
    match &over {
        Over::Ended(End::Stopped) => {
            member.leave().await;
            info!(worker = %spec.transactional_id, "committed and left the group");
        }
        Over::Ended(End::Restart(cause)) if stop_by.is_some() => {
            member.leave().await;
            warn!(worker = %spec.transactional_id, cause, "left the group; the last transaction aborts");
            return Over::Ended(End::Stopped);
        }
        // Its partitions are free at once for workers that can go on.
        Over::Ended(End::Fatal(_)) => member.leave().await,
        Over::Ended(End::Restart(_)) | Over::Killed => {}
    }
    over
}

impl<'s> Wiring<'s> {
    fn new(spec: &'s Spec, parts: Parts) -> Self {
        let Parts { client, topology, member, transaction } = parts;
        let (config, now) = (&spec.config, client.now());
        let wall_at_zero = wall_at_zero(now);
        let settings = Settings {
            transactional_id: spec.transactional_id.to_string(),
            first_sequence: wall_clock_micros(),
            wall_at_zero,
            policy: CommitPolicy::adaptive(config.commit_interval_min, config.commit_interval_max),
            task_idle_max: config.task_idle_max,
            queue_bytes_max: QUEUE_BYTES_MAX,
            mark_interval_min: Duration::ZERO,
            purge_interval: config.purge_interval,
            inspection_interval: config.inspection_interval(),
            discovery_interval: spec.is_discovering.then_some(config.partition_discovery_interval),
            missing_topic: config.missing_topic,
            foreign_offsets: config.foreign_offsets,
        };
        let worker = Worker::new(topology, settings, spec.ends.clone(), now);
        let inputs = BatchReader::new(connect::consumer(&client, config));
        Self {
            spec,
            client,
            member,
            inputs,
            worker,
            transaction: Some(transaction),
            ending: None,
            operations: JoinSet::new(),
            restores: Restores::default(),
            buffer: Decompressed::new(config.decompression_limit),
            stop_by: None,
            reported: now,
            wall_at_zero,
            idle_ticks: 0,
        }
    }

    async fn work(&mut self) -> Over {
        loop {
            // Before records are taken, so that there is a moment for it after each commit.
            self.spec.questions.answer(&self.worker);
            self.resume_calls().await;
            let is_busy = self.take_records();
            if let Some(over) = self.turn() {
                return over;
            }
            let takes_records = self.worker.accepts_records() && self.inputs.fetched().is_none() && !is_busy;
            let now = self.client.now();
            let latest = self.stop_by.unwrap_or(now + LONGEST_PAUSE);
            let pause = self.worker.next_timeout().map_or(latest, |next| next.min(latest)).since(now);
            tokio::select! {
                biased;
                () = self.spec.control.stopped(), if self.stop_by.is_none() => {
                    self.stop_by = Some(now + STOP_TIMEOUT);
                    self.worker.stop();
                }
                () = calls_ready(&self.worker), if self.worker.makes_calls() => {}
                () = self.spec.questions.asked() => {}
                event = self.member.next_event() => self.handle_event(event),
                ended = ended(&mut self.ending), if self.ending.is_some() => {
                    self.ending = None;
                    let Ended { transaction: Some(transaction), id, completion } = ended else { return Over::Killed };
                    self.transaction = Some(transaction);
                    self.worker.handle_done(self.client.now(), id, completion);
                }
                Some(done) = self.operations.join_next(), if !self.operations.is_empty() => {
                    let (id, completion) = done.expect("an operation neither panics nor is cancelled");
                    self.worker.handle_done(self.client.now(), id, completion);
                }
                // Everything here shares the thread, so heartbeats, fetches and sends get their turn.
                () = tokio::task::yield_now(), if is_busy => {}
                fetched = self.inputs.fetch(), if takes_records => fetched.unwrap_or_else(|error| self.worker.give_up(error.end())),
                fetched = self.restores.poll(), if !is_busy && self.restores.consumer.is_some() => self.restore(fetched),
                () = tokio::time::sleep(pause), if !is_busy => {}
            }
            if self.stop_by.is_some_and(|stop_by| self.client.now() >= stop_by) {
                // An operation does not end: nothing of it is committed, as after a crash.
                return Over::Ended(End::Restart("the last commit takes too long".to_owned()));
            }
        }
    }

    /// Passes up to one fetch of changelogs and one of inputs through the machine. Returns whether there was any.
    fn take_records(&mut self) -> bool {
        let restored = self.restores.consumer.as_mut().and_then(Consumer::try_poll);
        let mut is_busy = restored.is_some();
        if let Some(fetched) = restored {
            self.restore(fetched);
        }
        self.look_ahead();
        if self.worker.accepts_records() && self.inputs.fetched().is_some() {
            is_busy = true;
            self.process();
        }
        is_busy | self.process_queued()
    }

    /// Takes the results of calls to the outside.
    async fn resume_calls(&mut self) {
        let Self { worker, transaction, client, .. } = self;
        let Some(transaction) = transaction.as_mut().filter(|_| worker.makes_calls()) else { return };
        // All calls share one budget of the runtime otherwise, however many they are.
        tokio::task::unconstrained(async { worker.resume_calls(client.now(), transaction) }).await;
    }

    /// Processes records that wait for those of other inputs. Returns whether there is more to be processed at once.
    fn process_queued(&mut self) -> bool {
        let Self { worker, transaction, inputs, client, .. } = self;
        let Some(transaction) = transaction.as_mut().filter(|_| worker.orders_inputs()) else { return false };
        let ends = |input: &TopicPartition| inputs.consumer().watermarks_within(input, ENDS_AGE_MAX);
        let log_end = |input: &TopicPartition| ends(input).map(|ends| ends.last_stable_offset);
        worker.process_queued(client.now(), &log_end, transaction)
    }

    /// Passes the records of one fetch through their task. It stops where a commit begins, however large the backlog,
    /// so that a transaction stays short; the rest follows after it.
    fn process(&mut self) {
        let Self { worker, transaction, inputs, buffer, client, .. } = self;
        let Some(transaction) = transaction else { return };
        while worker.accepts_records() {
            let batch = match inputs.next_batch() {
                None => break,
                Some(Err(error)) => return worker.give_up(error.end()),
                Some(Ok(batch)) => batch,
            };
            let now = client.now();
            let header = &batch.batch.header;
            let (offset, leader_epoch) = (Offset(header.next_offset()), header.partition_leader_epoch);
            let span = Span { start: batch.position, end: Position { offset, leader_epoch } };
            match batch.open(buffer) {
                Ok(records) => worker.process(now, batch.partition(), records, span, transaction),
                Err(error) => return worker.give_up(error.end()),
            }
            worker.handle_at_hand(true);
            worker.handle_time(now, transaction);
        }
        if worker.accepts_records()
            && let Some(read) = inputs.finish()
        {
            let next = Position { offset: read.next_offset(), leader_epoch: read.leader_epoch() };
            worker.advance(client.now(), read.partition(), (next, read.last_stable_offset()), transaction);
        }
    }

    /// Lets the machine do what is due, and carries out its actions.
    fn turn(&mut self) -> Option<Over> {
        self.look_ahead();
        self.worker.handle_at_hand(self.inputs.fetched().is_some());
        let now = self.client.now();
        self.follow_wall_clock(now);
        if self.worker.needs_outbox()
            && let Some(transaction) = &mut self.transaction
        {
            self.worker.handle_time(now, transaction);
        }
        while let Some(action) = self.worker.poll() {
            if let Action::End(end) = action {
                self.publish(now);
                return Some(Over::Ended(end));
            }
            self.act(action);
        }
        self.publish(now)
    }

    /// Follows the time of day when somebody has set it.
    fn follow_wall_clock(&mut self, now: Moment) {
        let at_zero = wall_at_zero(now);
        if at_zero.0.abs_diff(self.wall_at_zero.0) > CLOCK_STEP_MS {
            info!(worker = %self.spec.transactional_id, ms = at_zero.0 - self.wall_at_zero.0, "the time of day was set");
            self.wall_at_zero = at_zero;
            self.worker.set_wall_clock(at_zero);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Assign { input, position } => {
                self.inputs.assign_at(input, position.offset, position.leader_epoch);
            }
            Action::Unassign { input } => {
                self.inputs.unassign(&input);
            }
            Action::Seek { input, position } => {
                self.inputs.assign_at(input.clone(), position.offset, position.leader_epoch);
                self.inputs.resume(&input);
            }
            Action::SkipTo { input, offset } => self.inputs.skip_to(&input, offset),
            Action::Stop { input, offset } => {
                // Seeking discards what was fetched beyond the end: parked, it would take the room of others for ever.
                self.inputs.pause(&input);
                self.inputs.seek(&input, offset);
            }
            Action::OpenChangelog { changelog, offset } => self.open_changelog(changelog, offset),
            Action::CloseChangelog { changelog } => self.restores.close(&changelog),
            Action::Start { id, operation } if operation.is_of_transaction() => self.begin_ending(id, operation),
            Action::Start { id, operation } => {
                let (client, group) = (self.client.clone(), self.member.group_metadata().group_id);
                self.operations.spawn(async move { (id, carry_out(client, group, operation).await) });
            }
            Action::Rejoin => self.member.rejoin(),
            Action::Subscribe { topics, together } => {
                let names = |topics: Vec<String>| topics.into_iter().map(Str::from).collect();
                self.member.share_topics(names(topics), together.into_iter().map(names).collect());
            }
            Action::Purge(done) => {
                let client = self.client.clone();
                // This is not waited for, because a slow leader must not delay commits.
                tokio::spawn(async move {
                    if let Err(error) = client.delete_records(&done).await {
                        warn!(%error, "repartition topics are not purged; the next try comes later");
                    }
                });
            }
            Action::End(_) => unreachable!("the loop ends by it"),
        }
    }

    fn begin_ending(&mut self, id: OperationId, operation: Operation) {
        let mut transaction =
            self.transaction.take().expect("the machine has one operation on the transaction at a time");
        let (client, group) = (self.client.clone(), self.member.group_metadata());
        let is_commit = matches!(operation, Operation::Commit { .. });
        let deaths = self.spec.deaths.as_ref().filter(|_| is_commit);
        let death = deaths.and_then(|deaths| deaths.takes_in_commit(self.spec.index, self.client.now()));
        self.ending = Some(Box::pin(async move {
            let ending = carry_out_in(&mut transaction, client, group, operation);
            let completion = match death {
                None => ending.await,
                Some(Death::Now) => return Ended { transaction: None, id, completion: Completion::Done },
                Some(Death::After(moment)) => {
                    let _ = tokio::time::timeout(moment, ending).await;
                    return Ended { transaction: None, id, completion: Completion::Done };
                }
            };
            Ended { transaction: Some(transaction), id, completion }
        }));
    }

    fn handle_event(&mut self, event: GroupEvent) {
        match event {
            GroupEvent::Assigned { generation, partitions, user_data } => {
                debug!(worker = %self.spec.transactional_id, generation, partitions = partitions.len(), "assigned");
                let live_ids = membership::decode(&user_data);
                self.worker.handle_assigned(self.client.now(), Assignment { generation, partitions, live_ids });
            }
            GroupEvent::Rebalancing => self.worker.handle_rebalancing(),
            GroupEvent::Lost { cause } => self.worker.handle_lost(&cause.to_string()),
            GroupEvent::Fatal(error) => self.worker.give_up(error.end()),
            other => self.worker.handle_lost(&format!("an event of the group that is not known here: {other:?}")),
        }
    }

    /// Takes a fetch in hand, if there is none and records are taken.
    fn look_ahead(&mut self) {
        if self.worker.accepts_records()
            && self.inputs.fetched().is_none()
            && let Err(error) = self.inputs.try_fetch()
        {
            self.worker.give_up(error.end());
        }
    }

    fn restore(&mut self, fetched: Result<Fetched, ConsumeError>) {
        let mut fetched = match fetched {
            Ok(fetched) => fetched,
            Err(error) => return self.worker.give_up(remedy::unrestored(&error)),
        };
        let changelog = fetched.partition().clone();
        while let Some(batch) = fetched.next_batch() {
            let batch = match batch {
                Ok(batch) => batch,
                Err(error) => return self.worker.give_up(error.end()),
            };
            match batch.open(&mut self.buffer) {
                Ok(records) => self.worker.restore(&changelog, records, batch.position),
                Err(error) => return self.worker.give_up(error.end()),
            }
        }
        self.worker.restored_to(self.client.now(), &changelog, fetched.next_offset());
    }

    fn open_changelog(&mut self, changelog: TopicPartition, offset: Offset) {
        let config = &self.spec.config;
        let consumer = || connect::consumer(&self.client, config);
        self.restores.consumer.get_or_insert_with(consumer).assign(changelog.clone(), offset);
        self.restores.changelogs.insert(changelog);
    }

    /// Publishes news for observers. If a kill was requested and there is no transaction to die in,
    /// the worker dies here.
    fn publish(&mut self, now: Moment) -> Option<Over> {
        let totals = self.worker.take_totals()?;
        self.spec.board.publish(totals);
        if now.since(self.reported) >= REPORT_INTERVAL {
            self.reported = now;
            self.spec.board.report(self.worker.report());
            self.idle_ticks = if self.worker.is_idle() { self.idle_ticks + 1 } else { 0 };
        }
        let deaths = self.spec.deaths.as_ref().filter(|_| self.idle_ticks >= IDLE_TICKS);
        deaths.is_some_and(|deaths| deaths.takes(self.spec.index)).then_some(Over::Killed)
    }
}

impl Restores {
    fn close(&mut self, changelog: &TopicPartition) {
        self.changelogs.remove(changelog);
        match &mut self.consumer {
            Some(_) if self.changelogs.is_empty() => self.consumer = None,
            Some(consumer) => {
                consumer.unassign(changelog);
            }
            None => {}
        }
    }

    /// Waits for records of a changelog. Cancel safe.
    async fn poll(&mut self) -> Result<Fetched, ConsumeError> {
        match &mut self.consumer {
            Some(consumer) => consumer.poll().await,
            None => std::future::pending().await,
        }
    }
}

/// Waits until a call to the outside can go on. Cancel safe.
async fn calls_ready(worker: &Worker) {
    std::future::poll_fn(|context| worker.call_hub().poll_ready(context)).await;
}

/// Waits for the operation on the transaction. Cancel safe.
async fn ended(ending: &mut Option<Ending>) -> Ended {
    match ending {
        Some(ending) => ending.await,
        None => std::future::pending().await,
    }
}

#[expect(clippy::disallowed_methods, reason = "the runtime is where real time enters the processor")]
fn wall_clock_micros() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The time of day at the start of the clock that shows `now`.
fn wall_at_zero(now: Moment) -> TimestampMs {
    let wall = i64::try_from(wall_clock_micros() / 1_000).unwrap_or(i64::MAX);
    TimestampMs(wall.saturating_sub(i64::try_from(now.as_millis()).unwrap_or(i64::MAX)))
}

/// Time in which a worker that is asked to stop has to commit. Leaving the group takes at most 1 s more, and
/// `docker stop` kills after 10 s. A commit that is cut off repeats little, but it leaves files hidden until the next
/// start.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of an input that wait for records of other inputs, from which on the input is not read: no less than one fetch
/// brings of a partition.
const QUEUE_BYTES_MAX: usize = 1 << 20;

/// Milliseconds by which the two clocks of a machine differ from one moment to another only if its time of day was set.
const CLOCK_STEP_MS: u64 = 1_000;

/// Interval of the reports about tasks.
const REPORT_INTERVAL: Duration = Duration::from_millis(100);

/// How long ago the leader of an input may have said that its log ends: some answers' distance, and less than a cluster
/// takes for the choice of another leader, which might take records that are not known here.
const ENDS_AGE_MAX: Duration = Duration::from_secs(1);

const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// After this many reports without work, a requested kill no longer waits for a transaction.
const IDLE_TICKS: u32 = 3;
