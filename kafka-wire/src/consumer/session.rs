//! Fetch sessions (KIP-227): the leader remembers the partitions that a reader wants, so that requests and
//! responses name only those with news.
//!
//! ```text
//! none --full request (epoch 0)--> open --requests with the changes since the last one (epoch 1, 2, ..)--> open
//!   ^                                |
//!   |                                +-- no response, or an error of the session: a full request (epoch 0)
//!   +-- the leader keeps no session, or knows no such session
//! ```
//! A session is of a leader and not of a connection, and one fetch is in flight per leader, so requests reach it in the
//! order of their epochs. Whenever in doubt, the next request is a full one, which closes the session and opens
//! another: it never matters for the records that are read whether there is a session.

use std::collections::BTreeMap;

use crate::cluster::TopicPartition;
use crate::protocol::ErrorCode;
use crate::protocol::fetch::{FetchPartition, FetchRequest, FetchTopic, ForgottenTopic};
use crate::types::PartitionId;
use crate::wire::Uuid;

/// The session with one leader.
#[derive(Debug, Default)]
pub(super) struct FetchSession {
    /// 0 if there is none.
    id: i32,
    /// Epoch of the next request; 0 for a full one.
    epoch: i32,
    /// Whether the last request was a full one.
    was_full: bool,
    /// Whether topics go by id in this session, which cannot change while it lasts.
    goes_by_id: bool,
    /// The partitions as the leader remembers them, if the last request reached it.
    known: BTreeMap<TopicPartition, (Uuid, FetchPartition)>,
}

impl FetchSession {
    /// Turns a full request into the next one of the session, which names only what has changed. `has_ids` is whether
    /// all topics have an id.
    pub(super) fn apply(&mut self, request: &mut FetchRequest, has_ids: bool) {
        if self.goes_by_id != has_ids {
            self.epoch = FULL;
        }
        (request.session_id, request.session_epoch) = (self.id, self.epoch);
        self.was_full = self.epoch == FULL;
        if self.was_full {
            self.goes_by_id = has_ids;
            self.known = partitions_of(&request.topics).collect();
            return;
        }
        let mut forgotten = std::mem::take(&mut self.known);
        for topic in &mut request.topics {
            let (name, topic_id) = (topic.topic.clone(), topic.topic_id);
            topic.partitions.retain(|wanted| {
                let partition = TopicPartition::new(name.clone(), PartitionId(wanted.partition));
                let now = (topic_id, wanted.clone());
                // Under another id it is another topic: the leader has to forget the former one.
                let before = match forgotten.get(&partition) {
                    Some((id, _)) if *id != topic_id => None,
                    Some(_) => forgotten.remove(&partition),
                    None => None,
                };
                let is_news = before.as_ref() != Some(&now);
                self.known.insert(partition, now);
                is_news
            });
        }
        request.topics.retain(|topic| !topic.partitions.is_empty());
        request.forgotten_topics_data = forget(forgotten);
    }

    /// Handles a response without an error of its own.
    pub(super) fn handle_response(&mut self, session_id: i32, version: i16) {
        let goes_by_id = version >= FIRST_VERSION_WITH_IDS;
        if session_id == 0 || (!self.was_full && session_id != self.id) {
            *self = Self::default();
        } else if goes_by_id != self.goes_by_id {
            // The leader speaks an older version than was thought when the request was made.
            (self.id, self.epoch, self.goes_by_id) = (session_id, FULL, goes_by_id);
        } else {
            self.id = session_id;
            self.epoch = self.epoch.checked_add(1).unwrap_or(FIRST_AFTER_FULL);
        }
    }

    /// Handles a response that is an error, or the lack of a response. Returns whether a full request, sent at once,
    /// will do: the session alone is to blame.
    pub(super) fn handle_failure(&mut self, code: Option<ErrorCode>) -> bool {
        self.epoch = FULL;
        if code == Some(ErrorCode::FETCH_SESSION_ID_NOT_FOUND) {
            self.id = 0;
        }
        !self.was_full && code.is_some_and(|code| SESSION_ERRORS.contains(&code))
    }
}

fn partitions_of(topics: &[FetchTopic]) -> impl Iterator<Item = (TopicPartition, (Uuid, FetchPartition))> {
    topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|wanted| {
            let partition = TopicPartition::new(topic.topic.clone(), PartitionId(wanted.partition));
            (partition, (topic.topic_id, wanted.clone()))
        })
    })
}

fn forget(partitions: BTreeMap<TopicPartition, (Uuid, FetchPartition)>) -> Vec<ForgottenTopic> {
    let mut topics: Vec<ForgottenTopic> = Vec::new();
    for (partition, (topic_id, _)) in partitions {
        match topics.last_mut().filter(|last| last.topic == partition.topic && last.topic_id == topic_id) {
            Some(last) => last.partitions.push(partition.partition.0),
            None => topics.push(ForgottenTopic {
                topic: partition.topic,
                topic_id,
                partitions: vec![partition.partition.0],
                ..Default::default()
            }),
        }
    }
    topics
}

/// Epoch of a request that names all its partitions.
const FULL: i32 = 0;
/// Epoch of the request after it, and after the last epoch.
const FIRST_AFTER_FULL: i32 = 1;
/// First version in which topics go by id. Source: FetchRequest.json.
pub(super) const FIRST_VERSION_WITH_IDS: i16 = 13;
const SESSION_ERRORS: [ErrorCode; 3] = [
    ErrorCode::FETCH_SESSION_ID_NOT_FOUND,
    ErrorCode::INVALID_FETCH_SESSION_EPOCH,
    ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR,
];
