//! Administration: the choice of brokers for its requests, and retries.

use std::time::Duration;

use super::at_controller::{Repetition, code_of};
use super::leader_round::LeaderRound;
use super::{CallOptions, Client, MetadataError, Node, RequestError};
use crate::admin::{ListedOffset, NewTopic, OffsetSpec, Outcomes, TopicOutcomes};
use crate::admin::{create_topics, delete_records, delete_topics, list_offsets};
use crate::cluster::TopicPartition;
use crate::protocol::create_topics::{CreateTopicsRequest, CreateTopicsResponse};
use crate::protocol::delete_topics::DeleteTopicsResponse;
use crate::protocol::{ErrorCode, Request};
use crate::types::{IsolationLevel, LeaderEpoch, Offset, TimestampMs};
use crate::wire::{Str, Uuid};

impl Client {
    /// Creates topics; returns the outcome of each, in the order of `topics`.
    ///
    /// If a topic exists, its outcome is `TOPIC_ALREADY_EXISTS`. Not retried once it was sent: a second attempt could
    /// not tell a topic of its first one from another client's. Brokers learn of a new topic a moment later;
    /// [`Client::topic`] waits for that.
    ///
    /// # Errors
    /// No broker answered, or the response got lost.
    pub async fn create_topics(&self, topics: &[NewTopic]) -> Result<TopicOutcomes, RequestError> {
        let outcomes = self.ask_for_topics(topics, false).await?;
        topics.iter().for_each(|topic| self.invalidate(&topic.name));
        Ok(outcomes)
    }

    /// Checks whether topics could be created, and creates none. Returns the outcome of each, in the order of `topics`.
    ///
    /// # Errors
    /// If no broker answers.
    pub async fn validate_topics(&self, topics: &[NewTopic]) -> Result<TopicOutcomes, RequestError> {
        self.ask_for_topics(topics, true).await
    }

    async fn ask_for_topics(&self, topics: &[NewTopic], validate_only: bool) -> Result<TopicOutcomes, RequestError> {
        let (broker_ms, _) = self.slow_options();
        let request = CreateTopicsRequest { validate_only, ..create_topics::request(topics, broker_ms) };
        let code = |response: &CreateTopicsResponse| code_of(response.topics.first().map(|topic| topic.error_code));
        let response = self.at_controller(Repetition::Visible, request, code).await?;
        let names: Vec<_> = topics.iter().map(|topic| topic.name.clone()).collect();
        Ok(create_topics::read(&names, response))
    }

    /// Deletes topics; returns the outcome of each, in the order of `names`.
    ///
    /// If a topic does not exist, its outcome is `UNKNOWN_TOPIC_OR_PARTITION`. Not retried once it was sent.
    ///
    /// # Errors
    /// No broker answered, or the response got lost.
    pub async fn delete_topics(&self, names: &[Str]) -> Result<TopicOutcomes, RequestError> {
        let (broker_ms, _) = self.slow_options();
        let asked = names.to_vec();
        let build = move |version| delete_topics::request(&asked, broker_ms, version);
        let response = self.at_controller_by_version(Repetition::Visible, build, code_of_deletion).await?;
        names.iter().for_each(|name| self.invalidate(name));
        Ok(delete_topics::read(names, response))
    }

    /// Deletes the topics that have these ids, and none that was created anew under the name of one. Returns the
    /// outcome of each, in the order of `ids`.
    ///
    /// If there is no such topic, the outcome is `UNKNOWN_TOPIC_ID`. Not retried once it was sent.
    ///
    /// # Errors
    /// No broker answered, the response got lost, or the brokers are older than Kafka 2.8.
    pub async fn delete_topics_by_id(&self, ids: &[Uuid]) -> Result<Outcomes<Uuid>, RequestError> {
        let (broker_ms, _) = self.slow_options();
        let request = delete_topics::request_by_id(ids, broker_ms);
        let response = self.at_controller(Repetition::Visible, request, code_of_deletion).await?;
        let names = response.responses.iter().filter_map(|topic| topic.name.as_ref());
        names.for_each(|name| self.invalidate(name));
        Ok(delete_topics::read_by_id(ids, response))
    }

    /// Looks up offsets at the leaders; returns one result for each query, in the order of `partitions`.
    ///
    /// With [`IsolationLevel::ReadCommitted`] the end is the last stable offset. Moved leaders are followed until
    /// `request_timeout` is over. Cancel safe.
    ///
    /// # Errors
    /// A topic or partition is missing, some leader did not answer for `request_timeout`, a timestamp is negative, or a
    /// leader is too old for the query (`UNSUPPORTED_VERSION`).
    pub async fn list_offsets(
        &self,
        partitions: &[(TopicPartition, OffsetSpec)],
        isolation: IsolationLevel,
    ) -> Result<Vec<ListedOffset>, MetadataError> {
        for (partition, spec) in partitions {
            if let OffsetSpec::Timestamp(timestamp @ TimestampMs(..0)) = *spec {
                return Err(MetadataError::NegativeTimestamp { partition: partition.clone(), timestamp });
            }
        }
        let ask = |asked: &[(TopicPartition, OffsetSpec, LeaderEpoch)]| list_offsets::request(asked, isolation);
        let first_version = partitions.iter().map(|(_, spec)| spec.first_version()).max().unwrap_or(0);
        let round = LeaderRound::new(self, partitions.len()).since_version(first_version);
        self.at_leaders(round, partitions, ask, |response| list_offsets::read(response).collect()).await
    }

    /// Deletes the records before the given offsets (exclusive; -1 for all); returns the new start offset of each
    /// partition, in the order of `partitions`.
    ///
    /// A repetition has no further effect, so it is retried as [`Client::list_offsets`] is.
    ///
    /// # Errors
    /// A partition is missing, the offset is not in it, or some leader did not answer for `request_timeout`.
    pub async fn delete_records(&self, partitions: &[(TopicPartition, Offset)]) -> Result<Vec<Offset>, MetadataError> {
        let (broker_ms, _) = self.slow_options();
        let ask = |asked: &[(TopicPartition, Offset, LeaderEpoch)]| {
            let asked: Vec<_> = asked.iter().map(|(partition, before, _)| (partition.clone(), *before)).collect();
            delete_records::request(&asked, broker_ms)
        };
        let round = LeaderRound::new(self, partitions.len());
        self.at_leaders(round, partitions, ask, |response| delete_records::read(response).collect()).await
    }

    /// Sends each query to the partition's leader, and again if the leader has moved; returns the answers in the
    /// order of the queries, or the first error that another attempt cannot help.
    async fn at_leaders<Q: Copy, R: Request, A>(
        &self,
        mut round: LeaderRound<A>,
        questions: &[(TopicPartition, Q)],
        ask: impl Fn(&[(TopicPartition, Q, LeaderEpoch)]) -> R,
        read: impl Fn(R::Response) -> Vec<(TopicPartition, Result<A, ErrorCode>)>,
    ) -> Result<Vec<A>, MetadataError> {
        loop {
            round.run(questions, &ask, &read).await;
            if let Some(error) = round.failure() {
                return Err(error);
            }
            if !round.waits().await {
                return round.outcomes(questions).into_iter().collect();
            }
        }
    }

    /// As `at_leaders`, with an outcome of its own for each query, so that a failure hides no other.
    pub(super) async fn each_at_leader<Q: Copy, R: Request, A>(
        &self,
        questions: &[(TopicPartition, Q)],
        ask: impl Fn(&[(TopicPartition, Q, LeaderEpoch)]) -> R,
        read: impl Fn(R::Response) -> Vec<(TopicPartition, Result<A, ErrorCode>)>,
    ) -> Vec<Result<A, MetadataError>> {
        let mut round = LeaderRound::new(self, questions.len());
        loop {
            round.run(questions, &ask, &read).await;
            if !round.waits().await {
                return round.outcomes(questions);
            }
        }
    }

    /// With KRaft any broker forwards the request to the controller; before, metadata names the broker
    /// that is the controller.
    pub(super) fn controller(&self) -> Node {
        self.cluster().controller().map_or(Node::Any, Node::Broker)
    }

    /// The time that a broker gets for a slow request, and call options that wait a little longer for it.
    pub(super) fn slow_options(&self) -> (i32, CallOptions) {
        let timeout = self.config().request_timeout;
        let broker_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        (broker_ms, CallOptions { timeout: Some(timeout + Duration::from_secs(5)), ..CallOptions::default() })
    }
}

fn code_of_deletion(response: &DeleteTopicsResponse) -> ErrorCode {
    code_of(response.responses.first().map(|topic| topic.error_code))
}
