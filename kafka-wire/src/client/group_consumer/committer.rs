//! Commits in the order in which they are asked for: one request at a time, so that none overtakes another.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tracing::warn;

use super::OffsetCommitError;
use crate::client::group::{Credentials, Standing};
use crate::client::offsets::commit_offsets_as;
use crate::client::{Client, GroupMember, OffsetsError};
use crate::cluster::{CommittedOffset, GroupMetadata, TopicPartition};
use crate::protocol::ErrorCode;

/// Offsets of the next records to read, by partition.
pub(super) type Offsets = Vec<(TopicPartition, CommittedOffset)>;

/// A commit on its way. Its result may be awaited; a failure that nobody awaits is logged as a warning.
#[derive(Debug)]
pub struct PendingCommit {
    answer: oneshot::Receiver<Result<(), OffsetCommitError>>,
}

impl Future for PendingCommit {
    type Output = Result<(), OffsetCommitError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.answer).poll(cx));
        Poll::Ready(answer.unwrap_or(Err(OffsetCommitError::Closed)))
    }
}

/// The reason of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    User,
    Timer,
    /// Partitions are given up after it.
    Revocation,
}

/// The outcome of a commit that was answered.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) origin: Origin,
    pub(super) offsets: Offsets,
    pub(super) is_done: bool,
}

struct Job {
    member: Option<Credentials>,
    standing: Standing,
    group: GroupMetadata,
    offsets: Offsets,
    origin: Origin,
    answer: oneshot::Sender<Result<(), OffsetCommitError>>,
}

/// The task that commits. Commits that wait for their turn are joined into one request.
#[derive(Debug)]
pub(super) struct Committer {
    jobs: mpsc::UnboundedSender<Job>,
    outcomes: mpsc::UnboundedReceiver<Outcome>,
    task: AbortHandle,
}

impl Committer {
    pub(super) fn start(client: Client) -> Self {
        let ((jobs, asked), (told, outcomes)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let task = tokio::spawn(run(client, asked, told)).abort_handle();
        Self { jobs, outcomes, task }
    }

    pub(super) fn commit(&self, member: &GroupMember, offsets: Offsets, origin: Origin) -> PendingCommit {
        let (sender, answer) = oneshot::channel();
        let (standing, group) = (member.standing(), member.group_metadata());
        let member = member.credentials();
        // If the task is gone, the sender of the result is dropped, which tells the receiver.
        let _ = self.jobs.send(Job { member, standing, group, offsets, origin, answer: sender });
        PendingCommit { answer }
    }

    pub(super) fn try_outcome(&mut self) -> Option<Outcome> {
        self.outcomes.try_recv().ok()
    }

    pub(super) async fn outcome(&mut self) -> Option<Outcome> {
        self.outcomes.recv().await
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(client: Client, mut asked: mpsc::UnboundedReceiver<Job>, told: mpsc::UnboundedSender<Outcome>) {
    while let Some(first) = asked.recv().await {
        let mut jobs = VecDeque::from([first]);
        while let Ok(job) = asked.try_recv() {
            jobs.push_back(job);
        }
        while let Some(first) = jobs.pop_front() {
            let (member, group) = (first.member.clone(), first.group.clone());
            let releases = member.as_ref().map(Credentials::releases);
            let mut turn = vec![first];
            // Commits of another generation get a request of their own, in order.
            let is_alike = |job: &Job| job.group == group && job.member.as_ref().map(Credentials::releases) == releases;
            while jobs.front().is_some_and(is_alike) {
                turn.extend(jobs.pop_front());
            }
            let offsets = turn.iter().flat_map(|job| job.offsets.iter().cloned());
            let offsets: Offsets = offsets.collect::<BTreeMap<_, _>>().into_iter().collect();
            let done = commit_offsets_as(&client, &group, &offsets, member.as_ref()).await;
            for job in turn {
                answer(job, done.clone(), &told);
            }
        }
    }
}

fn answer(job: Job, done: Result<(), OffsetsError>, told: &mpsc::UnboundedSender<Outcome>) {
    let Job { group, offsets, origin, answer, standing, .. } = job;
    let done = done.map_err(|error| explain(error, &standing));
    let shown = done.as_ref().err().map(|_| show(&offsets)).unwrap_or_default();
    // The receiver may be gone.
    let _ = told.send(Outcome { origin, offsets, is_done: done.is_ok() });
    match answer.send(done) {
        // The timer tries again after the rebalance.
        Err(Err(OffsetCommitError::RebalanceInProgress)) if origin == Origin::Timer => {}
        Err(Err(error)) => {
            let (member, generation) = (&group.member_id, group.generation);
            warn!(group = %group.group_id, %member, generation, offsets = shown, %error, "offsets were not committed");
        }
        Ok(()) | Err(Ok(())) => {}
    }
}

/// A coordinator takes no commits of the former generation once all have joined, a while before the member learns of
/// its new one. In a later generation without the member, the member learns that it was lost.
fn explain(error: OffsetsError, standing: &Standing) -> OffsetCommitError {
    match OffsetCommitError::from(error) {
        OffsetCommitError::StaleGeneration { code: ErrorCode::ILLEGAL_GENERATION } if !standing.is_lost() => {
            OffsetCommitError::RebalanceInProgress
        }
        error => error,
    }
}

/// Shows partitions with their offsets, for the log.
fn show(offsets: &Offsets) -> String {
    let shown = offsets.iter().map(|(partition, committed)| format!("{partition} @ {}", committed.offset));
    shown.collect::<Vec<_>>().join(", ")
}
