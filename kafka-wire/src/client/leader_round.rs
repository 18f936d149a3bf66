//! Queries about partitions, each at the leader of its partition, round by round until all have an outcome.

use std::collections::{BTreeMap, BTreeSet};

use super::{Backoff, CallOptions, Client, Lane, MetadataError, Node, RequestError, ResponseFuture};
use crate::cluster::TopicPartition;
use crate::protocol::{ErrorCode, Request};
use crate::time::Moment;
use crate::types::{BrokerId, LeaderEpoch};
use crate::wire::Str;

/// The outcomes of queries so far. A query is open while it has none, or failed in a way that another attempt may help.
pub(super) struct LeaderRound<A> {
    client: Client,
    outcomes: Vec<Option<Result<A, MetadataError>>>,
    /// The first version of the request that says what is asked.
    first_version: i16,
    deadline: Moment,
    backoff: Backoff,
    /// Number of open queries before the last pause.
    open_before: usize,
}

/// A request to one leader, and the queries that it answers.
struct Asked<R: Request> {
    /// Index of each partition's query.
    indices: BTreeMap<TopicPartition, usize>,
    response: ResponseFuture<R>,
}

impl<A> LeaderRound<A> {
    /// Begins with `count` open queries, which have `request_timeout` together.
    pub(super) fn new(client: &Client, count: usize) -> Self {
        Self {
            client: client.clone(),
            outcomes: (0..count).map(|_| None).collect(),
            first_version: 0,
            deadline: client.now() + client.config().request_timeout,
            backoff: client.backoff(),
            open_before: usize::MAX,
        }
    }

    /// Takes no answer of an older version: its leader has understood something else.
    pub(super) const fn since_version(mut self, first_version: i16) -> Self {
        self.first_version = first_version;
        self
    }

    /// Sends every open query once, and stores the outcomes.
    pub(super) async fn run<Q: Copy, R: Request>(
        &mut self,
        questions: &[(TopicPartition, Q)],
        ask: impl Fn(&[(TopicPartition, Q, LeaderEpoch)]) -> R,
        read: impl Fn(R::Response) -> Vec<(TopicPartition, Result<A, ErrorCode>)>,
    ) {
        let asked = self.ask_leaders(questions, ask).await;
        for Asked { indices, response } in asked {
            let answer = response.await;
            match answer {
                Ok(answered) if answered.version < self.first_version => {
                    let too_old = |partition: &TopicPartition| (partition.clone(), Err(ErrorCode::UNSUPPORTED_VERSION));
                    self.sort_in(indices.keys().map(too_old).collect(), &indices);
                }
                Ok(answered) => self.sort_in(read(answered.response), &indices),
                Err(error) => self.fail(&indices, &error),
            }
        }
    }

    /// Sends the open queries to the leaders of their partitions. While some have leaders, the others wait for the next
    /// round; otherwise this waits for leaders.
    ///
    /// Answers are matched by partition, so a partition that is listed twice is queried once per round.
    async fn ask_leaders<Q: Copy, R: Request>(
        &mut self,
        questions: &[(TopicPartition, Q)],
        ask: impl Fn(&[(TopicPartition, Q, LeaderEpoch)]) -> R,
    ) -> Vec<Asked<R>> {
        let mut leaders: BTreeMap<BrokerId, BTreeMap<TopicPartition, (usize, Q, LeaderEpoch)>> = BTreeMap::new();
        let client = self.client.clone();
        let open = questions.iter().zip(&self.outcomes).enumerate();
        let open = open.filter(|(_, (_, outcome))| is_open(outcome.as_ref()));
        let open: Vec<_> = open.map(|(index, (asked, _))| (index, asked)).collect();
        let is_known = |partition: &TopicPartition| client.known_leader(partition).is_some();
        let unknown = open.iter().map(|(_, (partition, _))| partition).filter(|partition| !is_known(partition));
        let unknown: BTreeSet<Str> = unknown.map(|partition| partition.topic.clone()).collect();
        let refreshed = match unknown.is_empty() {
            true => Ok(()),
            false => client.refresh_once(&unknown.into_iter().collect::<Vec<_>>()).await,
        };
        let waits = !open.iter().any(|(_, (partition, _))| is_known(partition));
        // All of them wait for leaders, or a missing topic, at the same time.
        let start = client.now();
        for (index, (partition, question)) in open {
            let found = match (client.known_leader(partition), &refreshed) {
                (Some(known), _) => Ok(known),
                // A leader that may be outdated is better than none, if no broker answers.
                (None, Err(error)) => {
                    let outdated = client.cluster().leader(&partition.topic, partition.partition);
                    outdated.ok_or_else(|| MetadataError::Request(error.clone()))
                }
                (None, Ok(())) if waits => client.leader_since(start, &partition.topic, partition.partition).await,
                (None, Ok(())) => Err(without_leader(&client, partition)),
            };
            match found {
                Ok((leader, epoch)) => {
                    let asked = leaders.entry(leader).or_default();
                    asked.entry(partition.clone()).or_insert((index, *question, epoch));
                }
                Err(error) => self.store(index, Err(error)),
            }
        }
        let asked = leaders.into_iter().map(|(leader, asked)| {
            let list: Vec<_> =
                asked.iter().map(|(partition, (_, question, epoch))| (partition.clone(), *question, *epoch)).collect();
            let response = client.start(Node::Broker(leader), Lane::General, ask(&list), CallOptions::default());
            Asked {
                indices: asked.into_iter().map(|(partition, (index, _, _))| (partition, index)).collect(),
                response,
            }
        });
        asked.collect()
    }

    fn store(&mut self, index: usize, outcome: Result<A, MetadataError>) {
        if let Some(slot) = self.outcomes.get_mut(index) {
            *slot = Some(outcome);
        }
    }

    /// Stores a leader's answers with their queries.
    fn sort_in(
        &mut self,
        answers: Vec<(TopicPartition, Result<A, ErrorCode>)>,
        indices: &BTreeMap<TopicPartition, usize>,
    ) {
        for (partition, answer) in answers {
            if answer.is_err() {
                self.client.invalidate(&partition.topic);
            }
            if let Some(index) = indices.get(&partition) {
                self.store(*index, answer.map_err(|code| MetadataError::Partition { partition, code }));
            }
        }
        for (partition, index) in indices {
            // An answer that leaves out a partition would be the same the next time.
            let left_out = || {
                Err(MetadataError::Partition { partition: partition.clone(), code: ErrorCode::UNKNOWN_SERVER_ERROR })
            };
            if let Some(slot) = self.outcomes.get_mut(*index) {
                slot.get_or_insert_with(left_out);
            }
        }
    }

    /// Stores the error of a leader that gave no answer.
    fn fail(&mut self, indices: &BTreeMap<TopicPartition, usize>, error: &RequestError) {
        for (partition, index) in indices {
            self.client.invalidate(&partition.topic);
            self.store(*index, Err(MetadataError::Request(error.clone())));
        }
    }

    /// Returns the first error that another attempt cannot help.
    pub(super) fn failure(&self) -> Option<MetadataError> {
        let errors = self.outcomes.iter().flatten().filter_map(|outcome| outcome.as_ref().err());
        errors.into_iter().find(|error| !error.is_retriable()).cloned()
    }

    /// Pauses if another round is due; returns `false` if no query is open, or the time is up.
    pub(super) async fn waits(&mut self) -> bool {
        let is_open = |outcome: &&Option<_>| is_open(outcome.as_ref());
        let (open, unsent) = (
            self.outcomes.iter().filter(is_open).count(),
            self.outcomes.iter().filter(|outcome| outcome.is_none()).count(),
        );
        // A query without an outcome was not sent, because its partition is listed twice.
        if open == unsent {
            return open > 0;
        }
        if self.client.now() >= self.deadline {
            return false;
        }
        // Brokers make the logs of a new topic one after the other, so that each round finds more of them.
        if open < std::mem::replace(&mut self.open_before, open) {
            self.backoff.reset();
        }
        tokio::time::sleep(self.backoff.next_pause()).await;
        true
    }

    /// Returns the outcomes in the order of the queries.
    pub(super) fn outcomes<Q>(self, questions: &[(TopicPartition, Q)]) -> Vec<Result<A, MetadataError>> {
        let timed_out = |partition: &TopicPartition| {
            Err(MetadataError::Partition { partition: partition.clone(), code: ErrorCode::REQUEST_TIMED_OUT })
        };
        let outcomes = questions.iter().zip(self.outcomes);
        outcomes.map(|((partition, _), outcome)| outcome.unwrap_or_else(|| timed_out(partition))).collect()
    }
}

/// The error of a partition that has no leader for now.
fn without_leader(client: &Client, partition: &TopicPartition) -> MetadataError {
    let code = client.cluster().topic(&partition.topic).map_or(ErrorCode::NONE, |topic| topic.error);
    let code = if code.is_none() { ErrorCode::LEADER_NOT_AVAILABLE } else { code };
    MetadataError::NoLeader { partition: partition.clone(), code }
}

/// Returns whether a query has to be sent (again).
fn is_open<A>(outcome: Option<&Result<A, MetadataError>>) -> bool {
    match outcome {
        None => true,
        Some(Ok(_)) => false,
        Some(Err(error)) => error.is_retriable(),
    }
}
