//! The offsets of a group: look-ups, and commits outside of transactions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::group::Credentials;
use super::{Backoff, CallOptions, Client, CoordinatorError, Lane, Node, RequestError};
use crate::cluster::{CommittedOffset, CoordinatorKind, GroupMetadata, TopicPartition, UNKNOWN_TOPIC_PATIENCE};
use crate::group::commit::{self, Stability};
use crate::protocol::ErrorCode;
use crate::protocol::offset_commit::OffsetCommitRequest;
use crate::protocol::offset_fetch::OffsetFetchRequest;
use crate::time::Moment;
use crate::wire::Str;

/// The reason why offsets could not be looked up or committed.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum OffsetsError {
    /// The coordinator was not found.
    Coordinator(CoordinatorError),
    /// The coordinator did not answer.
    Request(RequestError),
    /// The coordinator refuses for the whole group.
    Group {
        /// The group.
        group_id: Str,
        /// The error code. A retriable one was still returned when the time was up.
        code: ErrorCode,
    },
    /// The coordinator refuses for this partition, and perhaps for others.
    Partition {
        /// The partition.
        partition: TopicPartition,
        /// The error code. A retriable one was still returned when the time was up.
        code: ErrorCode,
    },
}

impl OffsetsError {
    /// The coordinator's error code, if it refused.
    #[must_use]
    pub const fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Group { code, .. } | Self::Partition { code, .. } => Some(*code),
            Self::Coordinator(_) | Self::Request(_) => None,
        }
    }

    /// Returns whether the same call may succeed later.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        match self {
            Self::Coordinator(error) => error.is_retriable(),
            Self::Request(error) => error.is_retriable(),
            Self::Group { code, .. } | Self::Partition { code, .. } => code.is_retriable(),
        }
    }

    /// Returns whether the same call must fail in the same way, unless the cluster or a permission changes.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        !self.is_retriable()
    }

    /// Whether the group has moved on without the committer: drop the work and rejoin, never commit it again.
    #[must_use]
    pub const fn is_group_changed(&self) -> bool {
        matches!(
            self.code(),
            Some(
                ErrorCode::ILLEGAL_GENERATION
                    | ErrorCode::UNKNOWN_MEMBER_ID
                    | ErrorCode::FENCED_INSTANCE_ID
                    | ErrorCode::REBALANCE_IN_PROGRESS
                    | ErrorCode::STALE_MEMBER_EPOCH
                    | ErrorCode::FENCED_MEMBER_EPOCH
            )
        )
    }
}

impl fmt::Display for OffsetsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coordinator(error) => error.fmt(f),
            Self::Request(error) => error.fmt(f),
            Self::Group { group_id, code } => write!(f, "offsets of group {group_id:?}: {code}"),
            Self::Partition { partition, code } => write!(f, "offset of {partition}: {code}"),
        }
    }
}

debug_as_text!(OffsetsError);

impl std::error::Error for OffsetsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Coordinator(error) => Some(error),
            Self::Request(error) => Some(error),
            Self::Group { code, .. } | Self::Partition { code, .. } => Some(code),
        }
    }
}

/// Looks up the committed offsets of a group in these partitions: in the order of `partitions`, `None` if
/// nothing is committed.
///
/// The look-up waits for offsets that an open transaction is about to change (UNSTABLE_OFFSET_COMMIT), because a reader
/// that starts from the old ones would do the transaction's work twice. Source: KIP-447.
///
/// # Errors
/// If the coordinator is not found, does not answer or refuses. Temporary failures are retried for
/// [`request_timeout`](super::ClientConfig::request_timeout), unstable offsets for as long as they are unstable.
pub async fn fetch_offsets(
    client: &Client,
    group_id: &str,
    partitions: &[TopicPartition],
) -> Result<Vec<(TopicPartition, Option<CommittedOffset>)>, OffsetsError> {
    fetch(client, group_id, partitions, Stability::Stable, None).await
}

/// Looks up the committed offsets of a group in all partitions for which it has committed one, sorted. It waits for
/// open transactions as [`fetch_offsets`] does.
///
/// The coordinator lists partitions by their committed offsets: one whose first offset is in a transaction that is
/// still being ended is left out. [`fetch_offsets`] waits for it.
///
/// # Errors
/// As for [`fetch_offsets`].
pub async fn fetch_all_offsets(
    client: &Client,
    group_id: &str,
) -> Result<Vec<(TopicPartition, CommittedOffset)>, OffsetsError> {
    let group_id = Str::from(group_id);
    let mut retry = Retry::new(client, group_id.clone(), None);
    loop {
        match fetch_all_once(client, &group_id).await {
            Ok(found) => return Ok(found),
            Err(error) => retry.note(error)?,
        }
        retry.pause().await;
    }
}

async fn fetch_all_once(
    client: &Client,
    group_id: &Str,
) -> Result<Vec<(TopicPartition, CommittedOffset)>, OffsetsError> {
    let id = group_id.clone();
    let found = ask(client, group_id, move |version| commit::fetch_all_request(&id, version)).await?;
    let mut all = Vec::with_capacity(found.len());
    for (partition, committed) in found {
        match committed {
            Ok(committed) => all.extend(committed.map(|committed| (partition, committed))),
            Err(code) => return Err(OffsetsError::Partition { partition, code }),
        }
    }
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(all)
}

/// As [`fetch_offsets`], for a member: with the consumer protocol, the coordinator refuses the look-up of a member that
/// has lost its partitions, and the look-up of an outdated epoch, which is repeated with the present one.
pub(super) async fn fetch_offsets_as(
    client: &Client,
    group_id: &str,
    partitions: &[TopicPartition],
    member: Option<&Credentials>,
) -> Result<Vec<(TopicPartition, Option<CommittedOffset>)>, OffsetsError> {
    fetch(client, group_id, partitions, Stability::Stable, member).await
}

/// As [`fetch_offsets`], but does not wait for open transactions: the offsets that are committed now, even if that is
/// about to change. Use it to see who committed last, never to start processing from.
///
/// # Errors
/// As for [`fetch_offsets`].
pub async fn fetch_unstable_offsets(
    client: &Client,
    group_id: &str,
    partitions: &[TopicPartition],
) -> Result<Vec<(TopicPartition, Option<CommittedOffset>)>, OffsetsError> {
    fetch(client, group_id, partitions, Stability::Any, None).await
}

async fn fetch(
    client: &Client,
    group_id: &str,
    partitions: &[TopicPartition],
    stability: Stability,
    member: Option<&Credentials>,
) -> Result<Vec<(TopicPartition, Option<CommittedOffset>)>, OffsetsError> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let group_id = Str::from(group_id);
    let mut found: BTreeMap<TopicPartition, Option<CommittedOffset>> = BTreeMap::new();
    let mut retry = Retry::new(client, group_id.clone(), member);
    let mut missing = partitions.to_vec();
    while !missing.is_empty() {
        let wanted = Wanted { partitions: missing.clone(), stability, member: retry.member_to_read()? };
        match fetch_once(client, &group_id, wanted).await {
            Ok(answers) => {
                for (partition, answer) in answers {
                    match answer {
                        Ok(committed) => drop(found.insert(partition, committed)),
                        Err(code) => retry.note(OffsetsError::Partition { partition, code })?,
                    }
                }
                missing.retain(|partition| !found.contains_key(partition));
            }
            Err(error) => retry.note(error)?,
        }
        if !missing.is_empty() {
            retry.pause().await;
        }
    }
    let mut take = |partition: &TopicPartition| (partition.clone(), found.get(partition).cloned().flatten());
    Ok(partitions.iter().map(&mut take).collect())
}

/// Commits offsets outside of a transaction, each the next one to read, for a member or for a reader without
/// membership (`without_membership`).
///
/// # Errors
/// As for [`fetch_offsets`], but a topic that stays unknown is one after 5 s. [`OffsetsError::is_group_changed`] errors
/// are returned at once: such a commit must not be repeated. After an unanswered request the commit may have happened;
/// a repetition is harmless.
pub async fn commit_offsets(
    client: &Client,
    group: &GroupMetadata,
    offsets: &[(TopicPartition, CommittedOffset)],
) -> Result<(), OffsetsError> {
    commit(client, group, offsets, None).await
}

/// As [`commit_offsets`], for a member, whose epoch in the consumer protocol may have changed since `group` was read:
/// then the commit is repeated with the present epoch, unless partitions were given up meanwhile.
pub(super) async fn commit_offsets_as(
    client: &Client,
    group: &GroupMetadata,
    offsets: &[(TopicPartition, CommittedOffset)],
    member: Option<&Credentials>,
) -> Result<(), OffsetsError> {
    commit(client, group, offsets, member).await
}

async fn commit(
    client: &Client,
    group: &GroupMetadata,
    offsets: &[(TopicPartition, CommittedOffset)],
    member: Option<&Credentials>,
) -> Result<(), OffsetsError> {
    let mut retry = Retry::new(client, group.group_id.clone(), member);
    let unknown_until = client.now() + UNKNOWN_TOPIC_PATIENCE;
    let mut group = group.clone();
    let mut left = offsets.to_vec();
    while !left.is_empty() {
        match commit_once(client, commit::commit_request(&group, &left), &group.group_id).await {
            Ok(refused) => {
                let refused: BTreeMap<TopicPartition, ErrorCode> = refused.collect();
                left.retain(|(partition, _)| refused.contains_key(partition));
                for (partition, code) in refused {
                    let error = OffsetsError::Partition { partition, code };
                    if code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION && client.now() >= unknown_until {
                        return Err(error);
                    }
                    retry.note(error)?;
                }
            }
            Err(error) => retry.note(error)?,
        }
        if !left.is_empty() {
            retry.pause().await;
            if let Some(member) = member {
                group = retry.as_error(member.renewed_to_commit())?;
            }
        }
    }
    Ok(())
}

struct Wanted {
    partitions: Vec<TopicPartition>,
    stability: Stability,
    member: Option<GroupMetadata>,
}

async fn fetch_once(client: &Client, group_id: &Str, wanted: Wanted) -> Result<Vec<commit::Found>, OffsetsError> {
    let Wanted { partitions, stability, member } = wanted;
    let (id, asked) = (group_id.clone(), partitions.clone());
    let build = move |version| {
        let mut request = commit::fetch_request(&id, &partitions, stability, version);
        if let Some(member) = &member {
            commit::prove(&mut request, member);
        }
        request
    };
    Ok(with_omitted(asked, ask(client, group_id, build).await?))
}

/// Sends a look-up to the coordinator.
async fn ask(
    client: &Client,
    group_id: &Str,
    build: impl Fn(i16) -> OffsetFetchRequest + Send + Sync + 'static,
) -> Result<Vec<commit::Found>, OffsetsError> {
    let coordinator = client.coordinator(CoordinatorKind::Group, group_id).await.map_err(OffsetsError::Coordinator)?;
    let answer = client.request_by_version(Node::Broker(coordinator), Lane::General, build, by_name()).await;
    let (response, _) = answer.map_err(OffsetsError::Request)?;
    commit::read_fetched(response).map_err(|code| OffsetsError::Group { group_id: group_id.clone(), code })
}

/// A partition that the response leaves out must not be taken for one without a committed offset.
fn with_omitted(asked: Vec<TopicPartition>, mut found: Vec<commit::Found>) -> Vec<commit::Found> {
    let answered: BTreeSet<TopicPartition> = found.iter().map(|(partition, _)| partition.clone()).collect();
    let omitted = asked.into_iter().filter(|partition| !answered.contains(partition));
    found.extend(omitted.map(|partition| (partition, Err(ErrorCode::UNKNOWN_SERVER_ERROR))));
    found
}

async fn commit_once(
    client: &Client,
    request: OffsetCommitRequest,
    group_id: &Str,
) -> Result<impl Iterator<Item = (TopicPartition, ErrorCode)>, OffsetsError> {
    let coordinator = client.coordinator(CoordinatorKind::Group, group_id).await.map_err(OffsetsError::Coordinator)?;
    let answer = client.request(Node::Broker(coordinator), Lane::General, request, by_name()).await;
    answer.map(commit::read_refused).map_err(OffsetsError::Request)
}

fn by_name() -> CallOptions {
    CallOptions { max_version: Some(commit::LAST_VERSION_WITH_NAMES), ..CallOptions::default() }
}

/// The choice of failures to retry, and the time until which to do so.
struct Retry<'a> {
    client: &'a Client,
    group_id: Str,
    /// The member, if its epoch may change without the loss of its partitions.
    member: Option<&'a Credentials>,
    backoff: Backoff,
    end: Moment,
}

impl<'a> Retry<'a> {
    fn new(client: &'a Client, group_id: Str, member: Option<&'a Credentials>) -> Self {
        let end = client.now() + client.config().request_timeout;
        Self { client, group_id, member, backoff: client.backoff(), end }
    }

    /// The present proof of the membership; an error if that was lost.
    fn member_to_read(&self) -> Result<Option<GroupMetadata>, OffsetsError> {
        self.member.map(|member| self.as_error(member.renewed_to_read())).transpose()
    }

    fn as_error<T>(&self, result: Result<T, ErrorCode>) -> Result<T, OffsetsError> {
        result.map_err(|code| OffsetsError::Group { group_id: self.group_id.clone(), code })
    }

    /// Notes a temporary failure; returns any other error, and every error once the time is up.
    fn note(&mut self, error: OffsetsError) -> Result<(), OffsetsError> {
        let is_temporary = match &error {
            // The client has looked for the coordinator for its whole request timeout already.
            OffsetsError::Coordinator(_) => false,
            OffsetsError::Request(error) => error.is_retriable(),
            // The coordinator has raised the epoch, and the member is about to learn of it by a heartbeat.
            OffsetsError::Group { code: ErrorCode::STALE_MEMBER_EPOCH, .. }
            | OffsetsError::Partition { code: ErrorCode::STALE_MEMBER_EPOCH, .. } => self.member.is_some(),
            OffsetsError::Group { code, .. } | OffsetsError::Partition { code, .. } => {
                code.is_retriable() && *code != ErrorCode::REBALANCE_IN_PROGRESS
            }
        };
        // This ends with the transaction, which its coordinator ends at its timeout at the latest.
        let is_unstable = error.code() == Some(ErrorCode::UNSTABLE_OFFSET_COMMIT);
        if !is_temporary || (!is_unstable && self.client.now() >= self.end) {
            return Err(error);
        }
        let is_elsewhere =
            matches!(error.code(), None | Some(ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE));
        if is_elsewhere {
            self.client.forget_coordinator(CoordinatorKind::Group, &self.group_id);
        }
        Ok(())
    }

    async fn pause(&mut self) {
        tokio::time::sleep(self.backoff.next_pause()).await;
    }
}
