//! The topics of a subscription: those that exist and those that are missing.

use std::collections::BTreeMap;
use std::time::Duration;

use tracing::warn;

use super::{GroupConsumerConfig, GroupConsumerError, MissingTopic, Subscription, TopicPattern};
use crate::client::{Client, MetadataError, RequestError};
use crate::cluster::MissingTopics;
use crate::protocol::ErrorCode;
use crate::time::Moment;
use crate::wire::Str;

/// The state of the regular look-ups of the topics.
#[derive(Debug)]
pub(super) struct TopicWatch {
    group_id: Str,
    missing_topic: MissingTopic,
    missing: MissingTopics,
    next: Option<Moment>,
    /// Number of the subscription, which its look-ups have.
    number: u64,
}

/// The result of a look-up.
#[derive(Debug)]
pub(super) enum Found {
    /// The named topics that cannot be described.
    Troubled(Vec<(Str, ErrorCode)>),
    /// The topics that match the pattern.
    Matching(Vec<Str>),
    /// The broker looks after the topics.
    Nothing,
}

impl TopicWatch {
    pub(super) fn new(config: &GroupConsumerConfig, now: Moment) -> Self {
        let (group_id, missing_topic) = (config.group_id.clone(), config.missing_topic);
        let missing = MissingTopics::new(TELL_AFTER);
        let mut watch = Self { group_id, missing_topic, missing, next: None, number: 0 };
        watch.restart(config, now);
        watch
    }

    /// Returns the time of the next look-up; `None` while one is under way, and if the broker looks after the topics.
    pub(super) const fn next_timeout(&self) -> Option<Moment> {
        self.next
    }

    /// Returns the number of the look-up that is due, and notes that it begins; the result comes
    /// by [`handle_found`](Self::handle_found).
    pub(super) fn begin_if_due(&mut self, now: Moment) -> Option<u64> {
        self.next.take_if(|next| *next <= now).map(|_| self.number)
    }

    /// Returns whether a look-up of this number is one of the present subscription.
    pub(super) const fn is_current(&self, number: u64) -> bool {
        self.number == number
    }

    /// Handles a change of the subscription: a look-up is due at once.
    pub(super) fn restart(&mut self, config: &GroupConsumerConfig, now: Moment) {
        self.missing.clear();
        self.number += 1;
        self.next = match config.subscription {
            Subscription::Topics(_) | Subscription::Pattern(_) => Some(now),
            Subscription::BrokerPattern(_) => None,
        };
    }

    /// Handles the result for named topics. Returns an error if the user has to know of one.
    pub(super) fn handle_found(
        &mut self,
        now: Moment,
        troubled: Vec<(Str, ErrorCode)>,
        interval: Duration,
    ) -> Result<(), GroupConsumerError> {
        let (missing, refused): (Vec<_>, Vec<_>) =
            troubled.into_iter().partition(|(_, code)| code.is_retriable() || *code == ErrorCode::UNKNOWN_TOPIC_ID);
        let codes: BTreeMap<Str, ErrorCode> = missing.into_iter().collect();
        for topic in self.missing.handle_looked(now, codes.keys().cloned()) {
            let code = codes.get(&topic).copied().unwrap_or_default();
            warn!(group = %self.group_id, %topic, code = code.name(), "a topic is not there; it is read once it is");
        }
        self.next = Some(now + if self.missing.is_empty() { interval } else { interval.min(MISSING_INTERVAL) });
        if let Some((topic, code)) = refused.into_iter().next() {
            return Err(GroupConsumerError::Metadata(MetadataError::Topic { topic, code }));
        }
        match (self.missing_topic, self.missing.gone().next()) {
            (MissingTopic::Fail, Some(topic)) => Err(GroupConsumerError::MissingTopic { topic: topic.clone() }),
            (MissingTopic::Fail | MissingTopic::Wait, _) => Ok(()),
        }
    }

    /// Handles the result for a pattern, and sets the time of the next look-up.
    pub(super) fn handle_matched(&mut self, now: Moment, is_any: bool, interval: Duration) {
        self.next = Some(now + if is_any { interval } else { interval.min(MISSING_INTERVAL) });
    }
}

/// Looks the topics up once.
pub(super) async fn look(client: &Client, subscription: &Subscription) -> Result<Found, RequestError> {
    match subscription {
        Subscription::BrokerPattern(_) => Ok(Found::Nothing),
        Subscription::Topics(topics) => {
            let cluster = client.metadata(topics).await?;
            let trouble = |name: &Str| {
                let topic = cluster.topic(name);
                let code = topic.map_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, |topic| topic.error);
                (!code.is_none()).then(|| (name.clone(), code))
            };
            Ok(Found::Troubled(topics.iter().filter_map(trouble).collect()))
        }
        Subscription::Pattern(pattern) => matching(client, pattern).await.map(Found::Matching),
    }
}

/// Returns the names of the topics that match, sorted, without Kafka's own.
pub(super) async fn matching(client: &Client, pattern: &TopicPattern) -> Result<Vec<Str>, RequestError> {
    let mut names = client.user_topics().await?;
    names.retain(|name| pattern.matches(name));
    Ok(names)
}

const TELL_AFTER: Duration = Duration::from_secs(1);
const MISSING_INTERVAL: Duration = Duration::from_secs(1);
