//! The handle of a consumer: its assignment, and the fetched records.

use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};

use super::lock::lock;
use super::lookup::look_up;
use super::{CallOptions, Client, Lane, Node, OwnLane, RequestError};
use crate::cluster::TopicPartition;
use crate::consumer::{
    ConsumeError, ConsumerConfig, FetchFailure, FetchKind, Fetched, Fetcher, FetcherAction, Looked, Lookup,
    NamedLeaders, Ticket, Watermarks, at_version,
};
use crate::metrics::{ConsumerCounters, ConsumerMetrics};
use crate::protocol::fetch::FetchResponse;
use crate::protocol::offset_for_leader_epoch::OffsetForLeaderEpochResponse;
use crate::time::Moment;
use crate::types::{BrokerId, LeaderEpoch, Offset};
use crate::wire::Str;

/// Reads the partitions that it is assigned, from the given offsets; it belongs to no group.
///
/// A task in the background keeps one fetch per leader in flight, even while the application processes records,
/// and parks received data up to [`ConsumerConfig::buffer_limit_bytes`]. It has connections of its own, because a fetch
/// waits at the broker: one to each leader, and another one from the first time that a partition is assigned, sought or
/// resumed while a fetch waits. Dropping the consumer ends the task and closes them.
#[derive(Debug)]
pub struct Consumer {
    shared: Arc<Shared>,
    task: AbortHandle,
}

/// The state shared by the handle and its task: the handle takes the data that the task has parked.
#[derive(Debug)]
struct Shared {
    client: Client,
    /// The connections of regular fetches.
    lane: OwnLane,
    /// The connections of extra fetches.
    extra_lane: OwnLane,
    config: ConsumerConfig,
    fetcher: Mutex<Fetcher>,
    /// Wakes the task: something was assigned, or taken.
    work: Notify,
    /// Wakes the reader: something was parked.
    data: Notify,
    counters: ConsumerCounters,
}

impl Consumer {
    /// Makes a consumer without assigned partitions. It spawns its task, so it has to be called in a Tokio runtime.
    #[must_use]
    pub fn new(client: Client, config: ConsumerConfig) -> Self {
        let fetcher = Mutex::new(Fetcher::new(config));
        let (lane, extra_lane) = (client.own_lane(), client.own_lane());
        let (work, data) = (Notify::new(), Notify::new());
        let counters = ConsumerCounters::default();
        let shared = Arc::new(Shared { client, lane, extra_lane, config, fetcher, work, data, counters });
        let task = tokio::spawn(run(Arc::clone(&shared))).abort_handle();
        Self { shared, task }
    }

    /// Reads the partition from `offset` on; if it is assigned already, moves it, as [`seek`](Self::seek) does.
    pub fn assign(&mut self, partition: TopicPartition, offset: Offset) {
        self.assign_at(partition, offset, LeaderEpoch(-1));
    }

    /// As [`assign`](Self::assign), with the epoch of the record before `offset`, as it was committed with it: if the
    /// log was cut and written anew since then, that is an error ([`ConsumeError::Diverged`]) instead of records of
    /// another history.
    pub fn assign_at(&mut self, partition: TopicPartition, offset: Offset, epoch: LeaderEpoch) {
        self.shared.fetcher().assign(partition, offset, epoch);
        self.shared.work.notify_one();
    }

    /// Reads the partition from where [`ConsumerConfig::reset`] says. Without such a policy the next poll fails
    /// with [`ConsumeError::NoOffset`].
    pub fn assign_by_reset(&mut self, partition: TopicPartition) {
        self.shared.fetcher().assign_unplaced(partition);
        self.shared.work.notify_one();
    }

    /// Stops reading the partition: after this, no poll returns any of its data. Returns whether it was assigned.
    pub fn unassign(&mut self, partition: &TopicPartition) -> bool {
        let was_assigned = self.shared.fetcher().unassign(partition);
        self.shared.work.notify_one();
        was_assigned
    }

    /// Stops reading all partitions.
    pub fn unassign_all(&mut self) {
        for partition in self.assignment() {
            self.unassign(&partition);
        }
    }

    /// Moves the position: the next data of this partition starts at `offset` of the log as it is now, whatever was
    /// read before. So it also ends every error by which the partition stands still: after [`ConsumeError::Diverged`],
    /// a seek to its `end_offset` reads all records that stand in the place of those that are gone. Returns whether the
    /// partition is assigned.
    pub fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> bool {
        let is_assigned = self.shared.fetcher().is_assigned(partition);
        if is_assigned {
            self.assign(partition.clone(), offset);
        }
        is_assigned
    }

    /// Delivers nothing of the partition below `offset` any more, for a reader that has those records from elsewhere,
    /// such as a producer that knows the offsets of its own. Unlike [`seek`](Self::seek), it keeps what is being
    /// fetched, so that no request is made anew. Does nothing if the partition is not assigned, has no place yet,
    /// or is past that offset.
    pub fn skip_to(&mut self, partition: &TopicPartition, offset: Offset) {
        self.shared.fetcher().skip_to(partition, offset);
    }

    /// Neither fetches nor delivers the partition until it is resumed; received data stays, as far as it leaves other
    /// partitions room: see [`ConsumerConfig::buffer_limit_bytes`]. Returns whether it is assigned.
    pub fn pause(&mut self, partition: &TopicPartition) -> bool {
        let is_assigned = self.shared.fetcher().set_paused(partition, true);
        // Others may have room now.
        self.shared.work.notify_one();
        is_assigned
    }

    /// Resumes a paused partition. Returns whether it is assigned.
    pub fn resume(&mut self, partition: &TopicPartition) -> bool {
        let is_assigned = self.shared.fetcher().set_paused(partition, false);
        self.shared.work.notify_one();
        is_assigned
    }

    /// `client.rack`: the rack, or availability zone, in which this consumer runs. Leaders then name a replica there,
    /// from which it reads, if the brokers have racks and a `replica.selector.class`.
    pub fn set_rack(&mut self, rack: impl Into<Str>) {
        self.shared.fetcher().set_rack(rack.into());
    }

    /// The replica from which the partition is read instead of from its leader: see [`set_rack`](Self::set_rack).
    #[must_use]
    pub fn replica(&self, partition: &TopicPartition) -> Option<BrokerId> {
        self.shared.fetcher().replica(partition)
    }

    /// The assigned partitions, sorted.
    #[must_use]
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.shared.fetcher().assignment()
    }

    /// Returns the offset at which the next poll of this partition starts: behind all records that polls
    /// returned, whether or not they were read. `None` if the partition is not assigned, or its first offset is
    /// still being looked up.
    #[must_use]
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.shared.fetcher().position(partition)
    }

    /// The ends of the partition as of its last fetch, even if that brought no data; `None` before the first.
    #[must_use]
    pub fn watermarks(&self, partition: &TopicPartition) -> Option<Watermarks> {
        self.shared.fetcher().watermarks(partition)
    }

    /// The ends of the partition as of a fetch that ended at most `age_max` ago. `None` if there was none, or if the
    /// last one failed, as when the leader is gone: what came into the log since may not be known here.
    #[must_use]
    pub fn watermarks_within(&self, partition: &TopicPartition, age_max: Duration) -> Option<Watermarks> {
        self.shared.fetcher().watermarks_within(partition, self.shared.client.now(), age_max)
    }

    /// Returns the number of offsets between the position and the end (the last stable offset if only committed records
    /// are read), as of the last fetch. `None` before the first fetch.
    #[must_use]
    pub fn lag(&self, partition: &TopicPartition) -> Option<u64> {
        let fetcher = self.shared.fetcher();
        let watermarks = fetcher.watermarks(partition)?;
        Some(watermarks.lag(self.shared.config.isolation, fetcher.position(partition)?))
    }

    /// The numbers of what it has fetched so far, with the lags of the assigned partitions.
    #[must_use]
    pub fn metrics(&self) -> ConsumerMetrics {
        let lags = self.assignment().into_iter().map(|partition| {
            let lag = self.lag(&partition);
            (partition, lag)
        });
        self.shared.counters.read(&self.shared.client.config().client_id, lags)
    }

    /// Waits for data of any partition, in the order of arrival; waits for ever if nothing is assigned.
    ///
    /// The result may have no batch to deliver and yet move the position, over markers and aborted transactions.
    /// Cancel safe: data that is not returned is still there for the next poll.
    ///
    /// # Errors
    /// If a partition cannot be read any further; see [`ConsumeError`] for the consequences for it and for the others.
    pub async fn poll(&mut self) -> Result<Fetched, ConsumeError> {
        loop {
            if let Some(next) = self.try_poll() {
                return next;
            }
            // A notification between the check and the wait is kept.
            self.shared.data.notified().await;
        }
    }

    /// The result that [`poll`](Self::poll) would return without waiting.
    pub fn try_poll(&mut self) -> Option<Result<Fetched, ConsumeError>> {
        let mut fetcher = self.shared.fetcher();
        let next = fetcher.take();
        let has_made_room = fetcher.lacks_room();
        drop(fetcher);
        if let Some(next) = &next {
            if has_made_room {
                self.shared.work.notify_one();
            }
            if let Ok(fetched) = next {
                self.shared.counters.delivered(fetched.partition(), fetched.size_bytes());
            }
        }
        next
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn fetcher(&self) -> MutexGuard<'_, Fetcher> {
        lock(&self.fetcher)
    }

    /// Starts all due actions, wakes the reader if there is data, and returns the time of the next check.
    fn start(self: &Arc<Self>, calls: &mut JoinSet<Done>) -> Option<Moment> {
        let mut fetcher = self.fetcher();
        let (now, mut cluster) = (self.client.now(), self.client.cluster());
        while let Some(action) = fetcher.poll(now, &cluster) {
            if let FetcherAction::Learn(NamedLeaders { hints, brokers }) = action {
                self.client.learn_leaders(brokers, &hints);
                cluster = self.client.cluster();
                continue;
            }
            let lane = match &action {
                FetcherAction::Fetch { kind: FetchKind::Extra, .. } => self.extra_lane.lane(),
                _ => self.lane.lane(),
            };
            calls.spawn(perform(self.client.clone(), lane, self.config, action));
        }
        if fetcher.is_ready() {
            self.data.notify_one();
        }
        fetcher.next_timeout(now)
    }

    fn finish(&self, done: Done) {
        let now = self.client.now();
        let mut fetcher = self.fetcher();
        match done {
            Done::Fetched(ticket, answer) => {
                self.counters.fetched(answer.is_ok());
                fetcher.handle_fetched(now, ticket, answer);
            }
            Done::Checked(ticket, answer) => fetcher.handle_checked(now, ticket, answer),
            Done::Refreshed => fetcher.handle_refreshed(now),
            Done::LookedUp(lookup, results) => {
                let policy = lookup.policy;
                for ((partition, _), result) in lookup.partitions.iter().zip(&results) {
                    match result {
                        Looked::Found(offset) => tracing::info!(%partition, %offset, ?policy, "the position was reset"),
                        Looked::Led => tracing::debug!(%partition, "the leader is known"),
                        Looked::Refused(code) => {
                            tracing::debug!(%partition, %code, ?policy, "no offset to reset the position to");
                        }
                    }
                }
                fetcher.handle_lookup(now, &lookup, &results);
            }
        }
    }
}

/// A call that has ended.
enum Done {
    Fetched(Ticket, Result<(i16, FetchResponse), FetchFailure>),
    Checked(Ticket, Result<OffsetForLeaderEpochResponse, FetchFailure>),
    Refreshed,
    LookedUp(Lookup, Vec<Looked>),
}

/// The consumer's task: drives the fetcher until the handle is dropped; its calls are dropped with it.
async fn run(shared: Arc<Shared>) {
    let mut calls = JoinSet::new();
    loop {
        let timeout = shared.start(&mut calls);
        tokio::select! {
            biased;
            // A call is cancelled only by the end of the runtime, which ends this task too.
            Some(done) = calls.join_next() => match done {
                Ok(done) => shared.finish(done),
                Err(_) => return,
            },
            () = shared.work.notified() => {}
            () = sleep_until(&shared.client, timeout) => {}
        }
    }
}

async fn perform(client: Client, lane: Lane, config: ConsumerConfig, action: FetcherAction) -> Done {
    match action {
        FetcherAction::Learn(_) => unreachable!("leaders are learnt without a request"),
        FetcherAction::Fetch { broker, request, max_version, ticket, .. } => {
            let options = CallOptions { max_version, timeout: Some(client.config().request_timeout + config.max_wait) };
            let build = move |version| at_version(&request, version);
            let answer = client.request_by_version(Node::Broker(broker), lane, build, options).await;
            let answer = answer.map(|(response, version)| (version, response));
            Done::Fetched(ticket, answer.map_err(|error| failure(broker, &error)))
        }
        FetcherAction::Check { broker, request, ticket } => {
            // Not in the lane of the fetches, where it would wait behind one.
            let answer = client.request(Node::Broker(broker), Lane::General, request, CallOptions::default()).await;
            Done::Checked(ticket, answer.map_err(|error| failure(broker, &error)))
        }
        FetcherAction::Refresh(topics) => {
            // If this fails, the same topics turn out to be stale again.
            let _ = client.metadata(&topics).await;
            Done::Refreshed
        }
        FetcherAction::Lookup(lookup) => {
            let results = look_up(&client, config.isolation, &lookup).await;
            Done::LookedUp(lookup, results)
        }
    }
}

fn failure(broker: BrokerId, error: &RequestError) -> FetchFailure {
    tracing::debug!(%broker, %error, "fetch");
    if error.is_retriable() { FetchFailure::Unreachable } else { FetchFailure::Unsupported(error.to_string()) }
}

/// Sleeps until the client's clock shows `moment`; for ever if it is `None`.
pub(super) async fn sleep_until(client: &Client, moment: Option<Moment>) {
    match moment {
        Some(moment) => tokio::time::sleep(moment.since(client.now())).await,
        None => pending().await,
    }
}
