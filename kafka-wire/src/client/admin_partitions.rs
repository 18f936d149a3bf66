//! Administration of topics and partitions: descriptions, replicas, log directories, elections.

use std::collections::{BTreeMap, BTreeSet};

use super::at_controller::Repetition;
use super::{AdminError, Client, MetadataError, RequestError};
use crate::admin::describe_topics::{self, Page};
use crate::admin::{
    ActiveProducer, ElectionType, ItemError, LogDir, OngoingReassignment, Outcomes, Reassignment, ReplicaLogDirs,
    TopicDescription, TopicListing,
};
use crate::admin::{describe_producers, elect_leaders, log_dirs, outcomes_by, reassignments};
use crate::cluster::TopicPartition;
use crate::protocol::ErrorCode;
use crate::types::BrokerId;
use crate::wire::{Str, Uuid};

impl Client {
    /// Returns all topics that this client may describe, sorted by name, Kafka's internal ones included.
    ///
    /// # Errors
    /// If no broker answers.
    pub async fn list_topics(&self) -> Result<Vec<TopicListing>, AdminError> {
        let build = |version| describe_topics::metadata_request(None, version);
        let (response, _) = self.ask_any(build).await?;
        ItemError::check(response.error_code, None)?;
        let found = describe_topics::read_metadata(response).into_iter().filter_map(|(_, topic)| topic.ok());
        let found = found.map(|topic| TopicListing { name: topic.name, id: topic.id, is_internal: topic.is_internal });
        let mut found: Vec<_> = found.collect();
        found.sort();
        Ok(found)
    }

    /// Returns topics with the replicas of their partitions, in the order of `names`.
    ///
    /// A topic that does not exist is an outcome of `UNKNOWN_TOPIC_OR_PARTITION`. Large topics are asked for page by
    /// page where brokers can do that (Kafka 3.7 and later). Cancel safe.
    ///
    /// ```no_run
    /// # async fn run(client: kafka_wire::client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// for (name, topic) in client.describe_topics(&["orders".into()]).await? {
    ///     for partition in topic?.partitions {
    ///         println!("{name}-{}: leader {:?}, in sync {:?}", partition.id, partition.leader, partition.in_sync);
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If no broker answers.
    pub async fn describe_topics(&self, names: &[Str]) -> Result<Outcomes<Str, TopicDescription>, AdminError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let asked: Vec<Str> = names.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
        let found = match self.topic_pages(&asked).await {
            Err(AdminError::Request(RequestError::UnsupportedVersion { .. })) => self.topics_at_once(&asked).await?,
            paged => paged?,
        };
        Ok(outcomes_by(names, Str::clone, found.into_iter()))
    }

    /// As [`Client::describe_topics`], by the ids of the topics. A topic that does not exist is an outcome of
    /// `UNKNOWN_TOPIC_ID`.
    ///
    /// # Errors
    /// If no broker answers, or the brokers are older than Kafka 3.1.
    pub async fn describe_topics_by_id(&self, ids: &[Uuid]) -> Result<Outcomes<Uuid, TopicDescription>, AdminError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let request = describe_topics::metadata_request_by_id(ids);
        let response = self.ask(request).await?;
        ItemError::check(response.error_code, None)?;
        Ok(describe_topics::read_metadata_by_id(ids, response))
    }

    async fn topics_at_once(&self, names: &[Str]) -> Result<TopicsFound, AdminError> {
        let asked = names.to_vec();
        let build = move |version| describe_topics::metadata_request(Some(&asked), version);
        let (response, _) = self.ask_any(build).await?;
        ItemError::check(response.error_code, None)?;
        Ok(describe_topics::read_metadata(response).into_iter().collect())
    }

    async fn topic_pages(&self, names: &[Str]) -> Result<TopicsFound, AdminError> {
        let mut found = TopicsFound::new();
        let mut cursor = None;
        loop {
            let request = describe_topics::page_request(names, PAGE_PARTITIONS, cursor.clone());
            let response = self.ask(request).await?;
            let Page { topics, next } = describe_topics::read_page(response);
            for (name, outcome) in topics {
                match (found.get_mut(&name), outcome) {
                    (Some(Ok(known)), Ok(more)) => known.partitions.extend(more.partitions),
                    (_, outcome) => drop(found.insert(name, outcome)),
                }
            }
            // A broker that does not get on would be asked for ever.
            if next.is_none() || next == cursor {
                break;
            }
            cursor = next;
        }
        for topic in found.values_mut().flatten() {
            topic.partitions.sort_by_key(|partition| partition.id);
        }
        Ok(found)
    }

    /// Moves partitions to other brokers, or cancels moves. Returns the outcome of each, in the order of `moves`.
    ///
    /// An accepted move goes on in the background: see [`Client::list_partition_reassignments`]. Retried, because a
    /// repetition has no other effect. Source: KIP-455.
    ///
    /// ```no_run
    /// use kafka_wire::admin::Reassignment;
    /// use kafka_wire::cluster::TopicPartition;
    ///
    /// # async fn run(client: kafka_wire::client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let partition = TopicPartition::new("orders", 0.into());
    /// let to = Reassignment::To(vec![2.into(), 3.into()]);
    /// for (partition, outcome) in client.alter_partition_reassignments(&[(partition, to)]).await? {
    ///     println!("{partition}: {outcome:?}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If no broker answers, or the controller refuses all.
    pub async fn alter_partition_reassignments(
        &self,
        moves: &[(TopicPartition, Reassignment)],
    ) -> Result<Outcomes<TopicPartition>, AdminError> {
        let (broker_ms, _) = self.slow_options();
        let request = reassignments::alter_request(moves, broker_ms);
        let response = self.at_controller(Repetition::Harmless, request, |one| ErrorCode(one.error_code)).await?;
        let partitions: Vec<_> = moves.iter().map(|(partition, _)| partition.clone()).collect();
        Ok(reassignments::read_altered(&partitions, response)?)
    }

    /// Returns the moves of these partitions that are under way, or all moves if `partitions` is empty.
    ///
    /// # Errors
    /// If no broker answers, or the controller refuses.
    pub async fn list_partition_reassignments(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<OngoingReassignment>, AdminError> {
        let (broker_ms, _) = self.slow_options();
        let request = reassignments::list_request(partitions, broker_ms);
        let response = self.at_controller(Repetition::Harmless, request, |one| ErrorCode(one.error_code)).await?;
        Ok(reassignments::read_listed(response)?)
    }

    /// Elects the leaders of these partitions, or of all if it is `None`. Returns the outcome of each, in order; for
    /// all, only of those that had an election.
    ///
    /// A partition that has the right leader already is an outcome of `ELECTION_NOT_NEEDED`.
    ///
    /// # Errors
    /// If no broker answers, or the controller refuses all.
    pub async fn elect_leaders(
        &self,
        election: ElectionType,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<Outcomes<TopicPartition>, AdminError> {
        let (broker_ms, _) = self.slow_options();
        let request = elect_leaders::request(election, partitions, broker_ms);
        let response = self.at_controller(Repetition::Visible, request, |one| ErrorCode(one.error_code)).await?;
        partitions.unwrap_or_default().iter().for_each(|partition| self.invalidate(&partition.topic));
        Ok(elect_leaders::read(partitions, response)?)
    }

    /// Returns the log directories of brokers with the replicas in them, in the order of `brokers`.
    ///
    /// ```no_run
    /// # async fn run(client: kafka_wire::client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let brokers: Vec<_> = client.describe_cluster().await?.brokers.iter().map(|broker| broker.id).collect();
    /// for (broker, outcome) in client.describe_log_dirs(&brokers).await {
    ///     for dir in outcome? {
    ///         let bytes: i64 = dir.replicas.iter().map(|replica| replica.size_bytes).sum();
    ///         println!("broker {broker}, {}: {bytes} bytes", dir.path);
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A broker that does not answer or refuses is an error of its own, and hides no other. One that is at another
    /// address than before is found.
    pub async fn describe_log_dirs(&self, brokers: &[BrokerId]) -> Vec<(BrokerId, Result<Vec<LogDir>, AdminError>)> {
        let asked = brokers.iter().map(|broker| {
            let request = log_dirs::describe_request();
            (*broker, self.at_broker(*broker, request))
        });
        let asked: Vec<_> = asked.collect();
        let mut found = Vec::with_capacity(asked.len());
        for (broker, response) in asked {
            let outcome = match response.await {
                Ok(response) => log_dirs::read_described(response).map_err(AdminError::from),
                Err(error) => Err(error.into()),
            };
            found.push((broker, outcome));
        }
        found
    }

    /// Returns the log directory of each of these replicas, and the one to which it is being moved, in the order of
    /// `replicas`. A broker that does not have the replica is an outcome without directories.
    ///
    /// A broker that does not answer is an error of its replicas, and hides no other.
    pub async fn describe_replica_log_dirs(
        &self,
        replicas: &[(BrokerId, TopicPartition)],
    ) -> Vec<((BrokerId, TopicPartition), Result<ReplicaLogDirs, AdminError>)> {
        let brokers: BTreeSet<BrokerId> = replicas.iter().map(|(broker, _)| *broker).collect();
        let brokers: Vec<_> = brokers.into_iter().collect();
        let found: BTreeMap<_, _> = self.describe_log_dirs(&brokers).await.into_iter().collect();
        let of = |(broker, partition): &(BrokerId, TopicPartition)| match found.get(broker) {
            Some(Ok(dirs)) => Ok(log_dirs::of_replica(partition, dirs)),
            Some(Err(error)) => Err(error.clone()),
            None => Err(ItemError::missing().into()),
        };
        replicas.iter().map(|replica| (replica.clone(), of(replica))).collect()
    }

    /// Moves replicas to other log directories of their broker, each to the directory of this absolute path. Returns
    /// the outcome of each, in the order of `moves`.
    ///
    /// An accepted move goes on in the background: [`LogDirReplica::is_future`](crate::admin::LogDirReplica) marks the
    /// copy. A broker that does not answer is an error of its replicas, and hides no other.
    pub async fn alter_replica_log_dirs(
        &self,
        moves: &[(BrokerId, TopicPartition, Str)],
    ) -> Vec<((BrokerId, TopicPartition), Result<(), AdminError>)> {
        let mut by_broker: BTreeMap<BrokerId, Vec<(TopicPartition, Str)>> = BTreeMap::new();
        for (broker, partition, path) in moves {
            by_broker.entry(*broker).or_default().push((partition.clone(), path.clone()));
        }
        let mut answers = BTreeMap::new();
        for (broker, moves) in by_broker {
            let request = log_dirs::alter_request(&moves);
            let asked = self.at_broker(broker, request).await;
            answers.insert(broker, asked.map(log_dirs::read_altered));
        }
        let outcome = |broker: &BrokerId, partition: &TopicPartition| match answers.get(broker) {
            Some(Ok(answer)) => {
                let outcome = answer.get(partition).cloned().unwrap_or_else(|| Err(ItemError::missing()));
                outcome.map_err(AdminError::from)
            }
            Some(Err(error)) => Err(AdminError::from(error.clone())),
            None => Err(ItemError::missing().into()),
        };
        let outcomes = moves.iter();
        outcomes.map(|(broker, partition, _)| ((*broker, partition.clone()), outcome(broker, partition))).collect()
    }

    /// Returns the producers that have written to partitions lately, with their open transactions, in the order of
    /// `partitions`. Leaders are asked; moved ones are followed until `request_timeout` is over. Source: KIP-664.
    pub async fn describe_producers(
        &self,
        partitions: &[TopicPartition],
    ) -> Vec<(TopicPartition, Result<Vec<ActiveProducer>, MetadataError>)> {
        let questions: Vec<_> = partitions.iter().map(|partition| (partition.clone(), ())).collect();
        let ask = |asked: &[(TopicPartition, (), _)]| {
            let asked: Vec<_> = asked.iter().map(|(partition, ..)| partition.clone()).collect();
            describe_producers::request(&asked)
        };
        let read = |response| {
            let found = describe_producers::read(response);
            found.map(|(partition, outcome)| (partition, outcome.map_err(|error| error.code))).collect()
        };
        let outcomes = self.each_at_leader(&questions, ask, read).await;
        partitions.iter().cloned().zip(outcomes).collect()
    }
}

type TopicsFound = BTreeMap<Str, Result<TopicDescription, ItemError>>;

/// Most partitions of a page of descriptions; Kafka's default.
const PAGE_PARTITIONS: i32 = 2_000;
