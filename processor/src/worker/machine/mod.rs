//! The machine itself: its inputs and outputs, and the interplay of a worker's parts.

mod assign;
mod calling;
mod commit;
mod discover;
mod firsts;
mod globals;
mod inputs;
mod marks;
mod missing;
mod queued;
mod reading;
mod records;
mod stages;
mod watch;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use kafka_wire::cluster::TopicPartition;
use kafka_wire::time::Moment;
use kafka_wire::types::{Offset, TimestampMs};
use tracing::warn;

use self::commit::Preparation;
use self::discover::Discovery;
use self::firsts::FirstLook;
use self::marks::Marks;
use self::missing::SecondLook;
pub use self::reading::{Reading, VisitPartition};
use self::stages::Stages;
use self::watch::Watch;
use super::action::{Action, Completion, Operation, OperationId};
use super::bounds::Ends;
use super::end::{End, Fatal};
use super::globals::GlobalTables;
use super::inspection::{Inspection, MissingTopic};
use super::membership::{Membership, Phase};
use super::outbox::Outbox;
use super::starts::ForeignOffsets;
use super::takeover::Takeover;
use super::tasks::Tasks;
use crate::commit::{CommitMachine, CommitPolicy};
use crate::operator::CallHub;
use crate::task::{SourcePartitions, Task, TaskId, TaskStatus};
use crate::topology::Topology;

/// The settings of a worker.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The transactional id; no two live workers share one.
    pub transactional_id: String,
    /// First sequence number; above every one that the transactional id has used, see [`CommitMachine::new`].
    pub first_sequence: u64,
    /// The time of day at the start of the worker's clock.
    pub wall_at_zero: TimestampMs,
    /// The policy of when to commit.
    pub policy: CommitPolicy,
    /// The time for which a task whose steps care for the order between inputs waits for an input that is at the end of
    /// its log; `None` processes what is at hand, in any order.
    pub task_idle_max: Option<Duration>,
    /// Bytes of an input that wait for their turn, from which on the input is not read.
    pub queue_bytes_max: usize,
    /// Shortest time between two marks that only advance the watermark; it is longer if there are many sources and
    /// targets, see [`mark_interval`](crate::watermark::mark_interval).
    pub mark_interval_min: Duration,
    /// Interval at which committed records are deleted from the job's own topics.
    pub purge_interval: Duration,
    /// Interval at which the worker checks that the topics of the job exist, and whether they have more partitions.
    pub inspection_interval: Duration,
    /// Interval at which the worker looks for topics that have come to match a pattern; `None` for a job whose topics
    /// are those of its start.
    pub discovery_interval: Option<Duration>,
    /// The reaction to the deletion of an input.
    pub missing_topic: MissingTopic,
    /// The reaction to offsets that this job did not commit.
    pub foreign_offsets: ForeignOffsets,
}

/// A worker, without I/O. The module describes its life.
pub struct Worker {
    topology: Arc<Topology>,
    settings: Settings,
    /// The ends of a bounded run; `None` runs until stopped.
    ends: Option<Arc<Ends>>,
    membership: Membership,
    globals: GlobalTables,
    takeovers: Vec<Takeover>,
    tasks: Tasks,
    commit: CommitMachine,
    /// Tasks whose offsets are in the commit in progress.
    committing: Vec<TaskId>,
    /// Whether one of these tasks has gone: its next owner may have committed since, so this commit must not be.
    has_lost_committing: bool,
    /// The inputs whose offsets are in the commit in progress, or were in the last one.
    last_committed: Vec<TopicPartition>,
    /// The time at which that commit began.
    committing_since: Moment,
    marks: Marks,
    /// Whether a commit waits for the ends of sources.
    is_looking: bool,
    /// The ends of sources that were looked up, but not passed to the tasks yet.
    source_ends: Option<BTreeMap<SourcePartitions, Offset>>,
    call_hub: Arc<CallHub>,
    /// The work of the tasks for a commit that has begun.
    preparation: Option<Preparation>,
    stages: Stages,
    /// The operation on the transaction in progress: no records are taken meanwhile.
    transaction_operation: Option<OperationId>,
    last_operation: u64,
    actions: VecDeque<Action>,
    /// A failure after which the worker ends once the open transaction is aborted.
    failure: Option<Fatal>,
    /// The end of the producer, after which it cannot go on.
    producer_end: Option<End>,
    is_stopping: bool,
    /// Whether the outputs outside of Kafka know that the worker stops.
    has_ended_outputs: bool,
    /// Number of times that they were told.
    last_attempts: u32,
    is_over: bool,
    /// Whether a task may be at the end of a bounded run without having been told.
    may_be_at_end: bool,
    /// Time of the next tick of the tasks.
    next_tick: Moment,
    /// Time at which queued records may have their turn, though nothing comes.
    queue_timeout: Option<Moment>,
    purged: Moment,
    inspection: Inspection,
    /// The inputs that tasks which have gone had not read up to their ends. Another worker may have done so since.
    unread: BTreeSet<TopicPartition>,
    discovery: Discovery,
    second_looks: Vec<SecondLook>,
    first_looks: Vec<FirstLook>,
    watch: Watch,
}

impl Worker {
    /// Makes a worker that has joined its group and waits for its first assignment.
    #[must_use]
    pub fn new(topology: Arc<Topology>, settings: Settings, ends: Option<Arc<Ends>>, now: Moment) -> Self {
        let commit = CommitMachine::new(settings.policy, settings.first_sequence);
        let globals = GlobalTables::new(&topology);
        let stages = Stages::new(&topology);
        let mut worker = Self {
            topology,
            settings,
            ends,
            membership: Membership::new(),
            globals,
            takeovers: Vec::new(),
            tasks: Tasks::default(),
            commit,
            committing: Vec::new(),
            has_lost_committing: false,
            last_committed: Vec::new(),
            committing_since: now,
            marks: Marks::default(),
            is_looking: false,
            source_ends: None,
            call_hub: Arc::default(),
            preparation: None,
            stages,
            transaction_operation: None,
            last_operation: 0,
            actions: VecDeque::new(),
            failure: None,
            producer_end: None,
            is_stopping: false,
            has_ended_outputs: false,
            last_attempts: 0,
            is_over: false,
            may_be_at_end: false,
            next_tick: now,
            queue_timeout: None,
            purged: now,
            inspection: Inspection::new(now),
            unread: BTreeSet::new(),
            discovery: Discovery::new(now),
            second_looks: Vec::new(),
            first_looks: Vec::new(),
            watch: Watch::default(),
        };
        worker.begin_globals();
        worker
    }

    /// The next action. Call it until `None` after each call of another method.
    pub fn poll(&mut self) -> Option<Action> {
        let action = self.actions.pop_front()?;
        self.is_over |= matches!(action, Action::End(_));
        Some(action)
    }

    /// Whether the worker may use the outbox, because no operation on the transaction is in progress.
    /// Only then may [`Worker::handle_time`] be called.
    #[must_use]
    pub const fn needs_outbox(&self) -> bool {
        self.transaction_operation.is_none() && !self.is_over
    }

    /// Whether records of inputs are taken now.
    #[must_use]
    pub fn accepts_records(&self) -> bool {
        self.needs_outbox()
            && self.failure.is_none()
            && !self.is_stopping
            && self.membership.phase == Phase::Assigned
            && self.commit.accepts_work()
            && self.tasks.calls().all(|calls| calls.waiting == 0)
    }

    /// Does what is due: ticks of tasks, the steps of a commit, the end of the worker. Call it while
    /// [`Worker::needs_outbox`], after each call of another method and at [`Worker::next_timeout`].
    pub fn handle_time(&mut self, now: Moment, outbox: &mut dyn Outbox) {
        self.watch.now = now;
        if self.accepts_records() {
            self.tell_ends(outbox, now);
        }
        // A result that fails at the end of an input has begun an abort.
        if self.accepts_records() {
            self.tick(now, outbox);
            self.inspect(now);
            self.discover(now);
        }
        // A commit that ends here may leave work for another one, so it comes before the question what is left.
        if self.needs_outbox() {
            self.advance_commit(now, outbox);
        }
        if self.needs_outbox() {
            self.end_outputs(now, outbox);
        }
        if self.needs_outbox() {
            self.begin_for_marks(now, outbox);
        }
        if self.needs_outbox() {
            self.advance_commit(now, outbox);
        }
        if self.needs_outbox() && self.commit.is_idle() {
            self.settle();
        }
    }

    /// The latest time for the next [`Worker::handle_time`]; `None` if nothing is due before something else happens,
    /// such as the end of an operation on the transaction.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Moment> {
        if !self.needs_outbox() {
            return None;
        }
        let of_tasks = [Some(self.next_tick), self.queue_timeout].into_iter().flatten();
        let of_tasks = of_tasks.filter(|_| self.accepts_records());
        let marks = self.marks.next_timeout().filter(|_| self.commit.is_idle() && self.failure.is_none());
        let calls = self.tasks.calls().filter_map(|calls| calls.next_timeout);
        of_tasks.chain(self.commit.next_timeout()).chain(marks).chain(calls).min()
    }

    /// Handles the completion of an operation; ignores it if nobody waits for it any more.
    pub fn handle_done(&mut self, now: Moment, id: OperationId, completion: Completion) {
        if self.handle_second_look(id, &completion) || self.handle_first_look(now, id, &completion) {
            return;
        }
        if self.transaction_operation == Some(id) {
            self.transaction_operation = None;
            self.handle_transaction(completion);
        } else if let Some(index) = self.takeovers.iter().position(|takeover| takeover.waits_for(id)) {
            self.handle_takeover(now, index, completion);
        } else if self.globals.waits_for(id) {
            self.handle_globals(now, completion);
        } else if self.inspection.waits_for(id) {
            self.handle_inspected(now, completion);
        } else if self.discovery.waits_for(id) {
            self.handle_discovered(completion);
        }
    }

    /// Commits the open transaction, lets outputs outside of Kafka end what they have begun, and ends.
    pub fn stop(&mut self) {
        self.is_stopping = true;
        if !self.commit.is_idle() {
            self.commit.request_commit();
        }
    }

    /// Aborts the open transaction and ends with a failure that needs a person.
    pub fn fail(&mut self, failure: Fatal) {
        self.failure.get_or_insert(failure);
        self.commit.request_abort();
    }

    /// Ends at once, without a further request to the brokers, with a temporary failure that a new worker recovers
    /// from.
    pub fn give_up(&mut self, end: End) {
        match end {
            End::Fatal(failure) => self.fail(failure),
            end => self.over(end),
        }
    }

    /// Sets the time of day at the start of the worker's clock, which changes when somebody sets the clock of the
    /// machine.
    pub fn set_wall_clock(&mut self, at_zero: TimestampMs) {
        self.settings.wall_at_zero = at_zero;
        self.tasks.iter_mut().for_each(|held| held.task.set_wall_clock(at_zero));
    }

    /// The status of each task.
    pub fn status(&mut self) -> Vec<(TaskId, TaskStatus)> {
        self.tasks.iter_mut().map(|held| (held.id, held.task.status())).collect()
    }

    /// The tasks, for callers that look into their stores.
    pub fn tasks_mut(&mut self) -> impl Iterator<Item = &mut Task> {
        self.tasks.iter_mut().map(|held| &mut held.task)
    }

    /// When no transaction is open: carries out what has waited for that.
    fn settle(&mut self) {
        if let Some(failure) = self.failure.take() {
            self.over(End::from(failure));
        } else if self.is_stopping {
            self.over(End::Stopped);
        } else if self.membership.phase == Phase::Returning {
            self.membership.phase = Phase::Joining;
            self.actions.push_back(Action::Rejoin);
        }
    }

    fn over(&mut self, end: End) {
        if !self.is_over {
            self.is_over = true;
            if let End::Restart(cause) = &end {
                warn!(worker = %self.settings.transactional_id, %cause, "worker starts over");
            }
            self.actions.push_back(Action::End(end));
        }
    }

    fn start(&mut self, operation: Operation) -> OperationId {
        self.last_operation += 1;
        let id = OperationId(self.last_operation);
        if operation.is_of_transaction() {
            self.transaction_operation = Some(id);
        }
        self.actions.push_back(Action::Start { id, operation });
        id
    }
}

/// Interval of the tasks' ticks, which is the precision of the time at which a source becomes idle.
const TICK_INTERVAL: Duration = Duration::from_millis(100);
