//! The handle of a group member.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};

use super::consumer::sleep_until;
use super::lock::lock;
use super::{CallOptions, Client, CoordinatorError, Lane, Node, OwnLane, RequestError};
use crate::cluster::{CoordinatorKind, GroupMetadata, Topic, TopicPartition};
use crate::group::assignor::{PartitionCounts, PartitionRacks};
use crate::group::consumer::Releases;
use crate::group::membership::Membership;
use crate::group::request::{MemberAction, MemberRequest, MemberRequestId, MemberResponse, RequestFailure};
use crate::group::{GroupConfig, GroupEvent};
use crate::protocol::ErrorCode;
use crate::protocol::Request;
use crate::time::Moment;
use crate::wire::{Str, Uuid};

/// A member of a consumer group: tells its owner which partitions to read, and when to give them back.
///
/// A task in the background joins and sends heartbeats, on a connection of its own, whatever the owner does meanwhile.
/// Dropping the member ends the task without leaving the group: the coordinator then waits for the session timeout
/// before others get the partitions. [`leave`](Self::leave) hands them over at once.
#[derive(Debug)]
pub struct GroupMember {
    shared: Arc<Shared>,
    task: AbortHandle,
}

/// The state shared by the handle and its task.
#[derive(Debug)]
struct Shared {
    client: Client,
    /// The member's own connection, because a JoinGroup waits for all members, and so for their heartbeats.
    lane: OwnLane,
    config: GroupConfig,
    membership: Mutex<Membership>,
    /// Wakes the task: the owner wants something.
    work: Notify,
    /// Wakes the owner: there may be an event.
    news: Notify,
}

impl GroupMember {
    /// Starts to join the group; the first event tells the outcome. It spawns the member's task, so it has to be
    /// called in a Tokio runtime.
    #[must_use]
    pub fn join(client: Client, config: GroupConfig) -> Self {
        let mut membership = Membership::new(config.clone(), Str::from(random_id().to_string()));
        membership.handle_rejoin(client.now());
        let membership = Mutex::new(membership);
        let (lane, work, news) = (client.own_lane(), Notify::new(), Notify::new());
        let shared = Arc::new(Shared { client, lane, config, membership, work, news });
        let task = tokio::spawn(run(Arc::clone(&shared))).abort_handle();
        Self { shared, task }
    }

    /// Returns the next event, if there is one already.
    pub(super) fn try_event(&mut self) -> Option<GroupEvent> {
        self.shared.membership().poll_event()
    }

    /// Notes that the owner has polled, without waiting.
    pub(super) fn mark_polled(&self) {
        self.shared.membership().handle_poll_ended(self.shared.client.now());
    }

    /// Notes that the owner is polling until the guard is dropped.
    pub(super) fn begin_poll(&self) -> Polling {
        self.shared.membership().handle_poll_begun();
        Polling { shared: Arc::clone(&self.shared) }
    }

    /// As [`rejoin`](Self::rejoin), for a cooperative member that keeps these partitions and goes on reading them.
    /// With [`GroupProtocol::Consumer`](crate::group::GroupProtocol::Consumer) the owner has to call this after each
    /// assignment, with the partitions that it has then: others get a partition only after that.
    ///
    /// A member of the classic protocol that has lost the partitions meanwhile does not join with them: the next event
    /// is `Lost`, and the owner has to rejoin without them.
    pub fn rejoin_keeping(&mut self, kept: Vec<TopicPartition>) {
        self.shared.membership().handle_rejoin_keeping(self.shared.client.now(), kept);
        self.shared.work.notify_one();
    }

    /// Subscribes to other topics, from the next [`rejoin`](Self::rejoin) on.
    pub fn set_topics(&mut self, topics: Vec<Str>) {
        self.set_subscription(topics, None);
    }

    /// Subscribes a program whose members all read the same topics to others, with new
    /// [sets of topics](GroupConfig::together) that stay together. A member that leads a classic group shares out its
    /// own topics, to members also that do not know them yet: for it a rebalance begins.
    pub fn share_topics(&mut self, topics: Vec<Str>, together: Vec<Vec<Str>>) {
        self.shared.membership().share_topics(topics, together);
        self.shared.news.notify_one();
    }

    /// As [`set_topics`](Self::set_topics), with a pattern for the coordinator.
    pub(super) fn set_subscription(&mut self, topics: Vec<Str>, pattern: Option<Str>) {
        self.shared.membership().set_topics(topics, pattern);
    }

    /// Waits for the next event; after `Fatal`, for ever. Cancel safe.
    pub async fn next_event(&mut self) -> GroupEvent {
        loop {
            let event = self.shared.membership().poll_event();
            if let Some(event) = event {
                return event;
            }
            // A notification between the check and the wait is kept.
            self.shared.news.notified().await;
        }
    }

    /// Gives all partitions back and joins again; the next event is the new assignment, if nothing goes wrong.
    /// Call it when nothing is open over the partitions any more: after `Rebalancing`, after `Lost`, and when a commit
    /// was refused because the group has moved on. Does nothing while the member is joining.
    pub fn rejoin(&mut self) {
        self.shared.membership().handle_rejoin(self.shared.client.now());
        self.shared.work.notify_one();
    }

    /// The membership for commits of the last assignment. It stays the same after the membership was lost,
    /// so that the coordinator refuses those commits.
    #[must_use]
    pub fn group_metadata(&self) -> GroupMetadata {
        self.shared.membership().metadata().clone()
    }

    /// Returns a view of the membership for a task that commits or looks offsets up. `None` for the classic protocol:
    /// its requests are repeated as they are.
    pub(super) fn credentials(&self) -> Option<Credentials> {
        let releases = self.shared.membership().releases()?;
        Some(Credentials { shared: Arc::clone(&self.shared), releases })
    }

    /// Returns a view of the membership that tells whether it was lost since.
    pub(super) fn standing(&self) -> Standing {
        Standing { shared: Arc::clone(&self.shared), losses: self.shared.membership().losses() }
    }

    /// Leaves the group, even if the member is static, so that the others take over at once. Takes at most 1 s;
    /// if the coordinator cannot be reached by then, it notices by the session timeout.
    pub async fn leave(mut self) {
        self.leave_and_wait().await;
    }

    /// As [`leave`](Self::leave), for an owner that needs the handle afterwards.
    pub(super) async fn leave_and_wait(&mut self) {
        self.shared.membership().handle_leave(self.shared.client.now());
        self.wait_until_left().await;
    }

    /// As [`leave_and_wait`](Self::leave_and_wait), but the partitions of a static member wait for the process that
    /// comes back under its instance id.
    pub(super) async fn leave_to_return(&mut self) {
        self.shared.membership().handle_leave_to_return(self.shared.client.now());
        self.wait_until_left().await;
    }

    async fn wait_until_left(&mut self) {
        self.shared.work.notify_one();
        let left = async {
            while !self.shared.membership().is_finished() {
                self.shared.news.notified().await;
            }
        };
        // Without the answer in time, the coordinator notices by the session timeout.
        let _ = tokio::time::timeout(LEAVE_TIMEOUT, left).await;
    }
}

/// The membership of a member at one time, for requests that prove it and may have to be repeated: the epoch of a
/// member of the consumer protocol may change at any time without a change of its partitions.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    shared: Arc<Shared>,
    releases: Releases,
}

/// The membership of a member at one time.
#[derive(Debug)]
pub(super) struct Standing {
    shared: Arc<Shared>,
    losses: u64,
}

impl Standing {
    pub(super) fn is_lost(&self) -> bool {
        self.shared.membership().losses() != self.losses
    }
}

impl Credentials {
    /// The number of times that partitions had been given up.
    pub(super) const fn releases(&self) -> Releases {
        self.releases
    }

    /// Returns the metadata for the repetition of a look-up.
    ///
    /// # Errors
    /// The membership was lost since the credentials were made.
    pub(super) fn renewed_to_read(&self) -> Result<GroupMetadata, ErrorCode> {
        self.renewed().map(|(metadata, _)| metadata)
    }

    /// Returns the metadata for the repetition of a commit. The coordinator does not check who has the partitions, only
    /// the generation: under a later one it would take the offset of a partition that another member has gone on with.
    ///
    /// # Errors
    /// The membership was lost, or partitions were given up, since the credentials were made.
    pub(super) fn renewed_to_commit(&self) -> Result<GroupMetadata, ErrorCode> {
        let (metadata, revocations) = self.renewed()?;
        if revocations == self.releases.revocations { Ok(metadata) } else { Err(ErrorCode::ILLEGAL_GENERATION) }
    }

    /// The present metadata, and the number of revocations so far.
    fn renewed(&self) -> Result<(GroupMetadata, u64), ErrorCode> {
        let membership = self.shared.membership();
        match membership.releases() {
            Some(now) if now.losses == self.releases.losses => Ok((membership.metadata().clone(), now.revocations)),
            _ => Err(ErrorCode::UNKNOWN_MEMBER_ID),
        }
    }
}

/// A guard for the time of a poll: as long as it exists the owner counts as alive.
#[derive(Debug)]
pub(super) struct Polling {
    shared: Arc<Shared>,
}

impl Drop for Polling {
    fn drop(&mut self) {
        let mut membership = self.shared.membership();
        let before = membership.next_timeout();
        membership.handle_poll_ended(self.shared.client.now());
        // The task sleeps until the deadline that it knows, and has to be woken if the deadline is earlier now.
        if membership.next_timeout().is_some_and(|timeout| before.is_none_or(|before| timeout < before)) {
            self.shared.work.notify_one();
        }
    }
}

impl Drop for GroupMember {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn membership(&self) -> MutexGuard<'_, Membership> {
        lock(&self.membership)
    }

    /// Starts all due requests, and returns the time of the next check.
    fn start(
        self: &Arc<Self>,
        calls: &mut JoinSet<(MemberRequestId, Result<MemberResponse, RequestFailure>)>,
    ) -> Option<Moment> {
        let mut membership = self.membership();
        membership.handle_timeout(self.client.now());
        while let Some(action) = membership.poll() {
            match action {
                MemberAction::ForgetCoordinator => {
                    self.client.forget_coordinator(CoordinatorKind::Group, &self.config.group_id);
                }
                MemberAction::Request(id, call) => {
                    let shared = Arc::clone(self);
                    calls.spawn(async move { (id, shared.ask(call).await) });
                }
            }
        }
        membership.next_timeout()
    }

    async fn ask(&self, call: MemberRequest) -> Result<MemberResponse, RequestFailure> {
        let config = &self.config;
        // The coordinator answers when all members have joined, or when their time is up.
        let rebalance = config.rebalance_timeout.saturating_add(Duration::from_secs(5));
        match call {
            MemberRequest::Join(request) => {
                self.ask_coordinator(self.lane.lane(), request, rebalance).await.map(MemberResponse::Join)
            }
            MemberRequest::Sync(request) => {
                self.ask_coordinator(self.lane.lane(), request, rebalance).await.map(MemberResponse::Sync)
            }
            MemberRequest::Heartbeat(request) => {
                // The timeout leaves time for another heartbeat within the session.
                let timeout = self.client.config().request_timeout.min(config.session_timeout / 3);
                self.ask_coordinator(self.lane.lane(), request, timeout).await.map(MemberResponse::Heartbeat)
            }
            MemberRequest::Leave(request) => {
                self.ask_coordinator(Lane::General, request, LEAVE_TIMEOUT).await.map(MemberResponse::Leave)
            }
            MemberRequest::ConsumerHeartbeat(request) => {
                let is_last = request.member_epoch < 0;
                let timeout = if is_last { LEAVE_TIMEOUT } else { self.client.config().request_timeout };
                let timeout = timeout.min(config.session_timeout / 3);
                // In one lane, so that a coordinator sees the end of a membership after everything else.
                self.ask_coordinator(self.lane.lane(), request, timeout).await.map(MemberResponse::ConsumerHeartbeat)
            }
            MemberRequest::PartitionCounts(topics) => self.partition_counts(&topics).await,
            MemberRequest::TopicNames(ids) => {
                let names = self.client.topic_names(&ids).await;
                names.map(MemberResponse::TopicNames).map_err(|error| failure(&error))
            }
        }
    }

    async fn ask_coordinator<R: Request>(
        &self,
        lane: Lane,
        request: R,
        timeout: Duration,
    ) -> Result<R::Response, RequestFailure> {
        let coordinator = self.client.coordinator(CoordinatorKind::Group, &self.config.group_id).await;
        let coordinator = coordinator.map_err(|error| match &error {
            CoordinatorError::Request(error) => failure(error),
            CoordinatorError::Refused { code, .. } if code.is_retriable() => RequestFailure::Unreachable,
            CoordinatorError::Refused { .. } => RequestFailure::Unsupported(error.to_string()),
        })?;
        let options = CallOptions { timeout: Some(timeout), ..CallOptions::default() };
        let answer = self.client.request(Node::Broker(coordinator), lane, request, options).await;
        answer.map_err(|error| failure(&error))
    }

    async fn partition_counts(&self, topics: &[Str]) -> Result<MemberResponse, RequestFailure> {
        let cluster = self.client.metadata(topics).await.map_err(|error| failure(&error))?;
        let known = topics.iter().filter_map(|name| cluster.topic(name));
        let counts = known.map(|topic| (topic.name.clone(), u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX)));
        let counts: PartitionCounts = counts.filter(|(_, count)| *count > 0).collect();
        let racks = |topic: &Topic| topic.partitions.iter().map(|partition| cluster.racks(partition)).collect();
        let has_racks = cluster.brokers().any(|broker| broker.rack.is_some());
        let known = topics.iter().filter_map(|name| cluster.topic(name)).filter(|_| has_racks);
        let racks: PartitionRacks = known.map(|topic| (topic.name.clone(), racks(topic))).collect();
        Ok(MemberResponse::PartitionCounts(counts, racks))
    }
}

fn failure(error: &RequestError) -> RequestFailure {
    if error.is_retriable() { RequestFailure::Unreachable } else { RequestFailure::Unsupported(error.to_string()) }
}

/// An id that no other member has. It does not come from the client's seed, which may be the same in two processes.
fn random_id() -> Uuid {
    let half = |index: u8| RandomState::new().hash_one(index).to_be_bytes();
    let mut id = [0; 16];
    id[..8].copy_from_slice(&half(0));
    id[8..].copy_from_slice(&half(1));
    Uuid(id)
}

/// The member's task: drives the membership until the handle is dropped; its calls are dropped with it.
async fn run(shared: Arc<Shared>) {
    let mut calls = JoinSet::new();
    loop {
        let timeout = shared.start(&mut calls);
        shared.news.notify_one();
        tokio::select! {
            biased;
            Some(done) = calls.join_next() => {
                let (id, answer) = done.expect("a call neither panics nor is cancelled");
                shared.membership().handle_answer(shared.client.now(), id, answer);
            }
            () = shared.work.notified() => {}
            () = sleep_until(&shared.client, timeout) => {}
        }
    }
}

/// A program that is asked to stop has to end within 2 s.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);
