//! The cache of fetch sessions (KIP-227): the partitions that readers want, so that requests and responses name only
//! those with news.
//!
//! A session begins with a full request (epoch 0). Each further request names its epoch and what has changed;
//! the response leaves out partitions without records, error or new ends. The cache has a bound: a reader for whose
//! session there is no room gets full responses without one.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, FetchableTopicResponse, PartitionData,
};
use kafka_wire::rng::Rng;
use kafka_wire::time::Moment;
use kafka_wire::wire::{Str, Uuid};

/// The fetch sessions of all readers.
#[derive(Debug)]
pub struct FetchSessions {
    sessions: BTreeMap<i32, Session>,
    slots: usize,
    rng: Rng,
}

/// The part of a session in one fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionUse {
    /// The fetch belongs to no session.
    None,
    /// The response opens a session, if there is room for one.
    New,
    /// The response belongs to this session, and leaves out what has not changed.
    Incremental {
        id: i32,
        /// Epoch of the next request of the session.
        next_epoch: i32,
    },
}

#[derive(Debug)]
struct Session {
    next_epoch: i32,
    goes_by_id: bool,
    created: Moment,
    used: Moment,
    partitions: BTreeMap<Key, Wanted>,
    last_order: u64,
}

/// A partition by the name or the id of its topic.
type Key = (Str, Uuid, i32);

/// A partition that the reader wants.
#[derive(Debug)]
struct Wanted {
    /// Partitions are read in this order; one that brought records goes to the end.
    order: u64,
    request: FetchPartition,
    /// The ends that the reader knows; -1 for none.
    high_watermark: i64,
    log_start_offset: i64,
}

impl FetchSessions {
    /// Makes a cache for that many sessions.
    #[must_use]
    pub(super) const fn new(slots: usize, rng: Rng) -> Self {
        Self { sessions: BTreeMap::new(), slots, rng }
    }

    /// Number of sessions.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sessions.len()
    }

    /// Completes a request from its session.
    ///
    /// # Errors
    /// The session is not known, or the request is not its next one.
    pub(super) fn enter(
        &mut self,
        now: Moment,
        mut request: FetchRequest,
        version: i16,
    ) -> Result<(FetchRequest, SessionUse), ErrorCode> {
        let id = request.session_id;
        if request.session_epoch == OPENING || request.session_epoch == CLOSING {
            self.sessions.remove(&id);
            let opens = request.session_epoch == OPENING;
            return Ok((request, if opens { SessionUse::New } else { SessionUse::None }));
        }
        let session = self.sessions.get_mut(&id).ok_or(ErrorCode::FETCH_SESSION_ID_NOT_FOUND)?;
        if session.goes_by_id != (version >= FIRST_WITH_TOPIC_IDS) {
            return Err(ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
        }
        if session.next_epoch != request.session_epoch {
            return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        }
        session.used = now;
        session.next_epoch = session.next_epoch.checked_add(1).unwrap_or(FIRST_EPOCH);
        session.change(&request);
        request.topics = session.topics();
        let next_epoch = session.next_epoch;
        if session.partitions.is_empty() {
            self.sessions.remove(&id);
            return Ok((request, SessionUse::None));
        }
        Ok((request, SessionUse::Incremental { id, next_epoch }))
    }

    /// Turns a full response into that of the session.
    pub(super) fn leave(
        &mut self,
        now: Moment,
        (request, version): (&FetchRequest, i16),
        session: SessionUse,
        response: &mut FetchResponse,
    ) {
        match session {
            SessionUse::None => {}
            SessionUse::New if version < FIRST_WITH_SESSIONS => {}
            SessionUse::New => response.session_id = self.open(now, request, version, response).unwrap_or(0),
            SessionUse::Incremental { id, next_epoch } => {
                response.session_id = id;
                match self.sessions.get_mut(&id) {
                    Some(session) if session.next_epoch == next_epoch => session.narrow(&mut response.responses),
                    Some(_) => {
                        response.error_code = ErrorCode::INVALID_FETCH_SESSION_EPOCH.0;
                        response.responses.clear();
                    }
                    // It was evicted meanwhile; the next request learns of it.
                    None => {}
                }
            }
        }
    }

    fn open(&mut self, now: Moment, request: &FetchRequest, version: i16, response: &FetchResponse) -> Option<i32> {
        let wanted: usize = request.topics.iter().map(|topic| topic.partitions.len()).sum();
        if wanted == 0 || wanted > PARTITIONS_MAX || !self.make_room(now, wanted) {
            return None;
        }
        let id = loop {
            let drawn = i32::try_from(self.rng.next_u64() >> 33).unwrap_or(0);
            if drawn != 0 && !self.sessions.contains_key(&drawn) {
                break drawn;
            }
        };
        let mut session = Session {
            next_epoch: FIRST_EPOCH,
            goes_by_id: version >= FIRST_WITH_TOPIC_IDS,
            created: now,
            used: now,
            partitions: BTreeMap::new(),
            last_order: 0,
        };
        session.change(request);
        for topic in &response.responses {
            for data in &topic.partitions {
                session.is_news(topic, data);
            }
        }
        self.sessions.insert(id, session);
        Some(id)
    }

    /// Evicts a session if need be: one that was not used for long, else an old one that is smaller than the new one,
    /// as in Kafka.
    fn make_room(&mut self, now: Moment, wanted: usize) -> bool {
        if self.sessions.len() < self.slots {
            return true;
        }
        let is_past = |moment: Moment| now.since(moment) > EVICTION_AGE;
        let unused = self.sessions.iter().min_by_key(|(_, session)| session.used);
        let unused = unused.filter(|(_, session)| is_past(session.used)).map(|(&id, _)| id);
        let small = || {
            let old = self.sessions.iter().filter(|(_, session)| is_past(session.created));
            let small = old.map(|(&id, session)| (session.partitions.len(), id)).min();
            small.filter(|(size, _)| *size < wanted).map(|(_, id)| id)
        };
        match unused.or_else(small) {
            Some(id) => self.sessions.remove(&id).is_some(),
            None => false,
        }
    }
}

impl Session {
    /// Changes the wanted partitions as a request says.
    fn change(&mut self, request: &FetchRequest) {
        for topic in &request.forgotten_topics_data {
            for &partition in &topic.partitions {
                self.partitions.remove(&(topic.topic.clone(), topic.topic_id, partition));
            }
        }
        for topic in &request.topics {
            // The session outlives the request, whose frame the name would keep.
            let name = topic.topic.detached();
            for wanted in &topic.partitions {
                let key = (name.clone(), topic.topic_id, wanted.partition);
                let has_room = self.partitions.len() < PARTITIONS_MAX;
                match self.partitions.get_mut(&key) {
                    Some(known) => known.request = wanted.clone(),
                    None if has_room => {
                        self.last_order += 1;
                        let (order, request) = (self.last_order, wanted.clone());
                        let new = Wanted { order, request, high_watermark: -1, log_start_offset: -1 };
                        self.partitions.insert(key, new);
                    }
                    None => {}
                }
            }
        }
    }

    /// All wanted partitions, in the order in which they are read.
    fn topics(&self) -> Vec<FetchTopic> {
        let mut wanted: Vec<_> = self.partitions.iter().collect();
        wanted.sort_by_key(|(_, wanted)| wanted.order);
        let mut topics: Vec<FetchTopic> = Vec::new();
        for ((topic, topic_id, _), wanted) in wanted {
            match topics.last_mut().filter(|last| last.topic == *topic && last.topic_id == *topic_id) {
                Some(last) => last.partitions.push(wanted.request.clone()),
                None => topics.push(FetchTopic {
                    topic: topic.clone(),
                    topic_id: *topic_id,
                    partitions: vec![wanted.request.clone()],
                    ..Default::default()
                }),
            }
        }
        topics
    }

    /// Leaves out the partitions without news.
    fn narrow(&mut self, responses: &mut Vec<FetchableTopicResponse>) {
        for topic in responses.iter_mut() {
            let partitions = std::mem::take(&mut topic.partitions);
            topic.partitions = partitions.into_iter().filter(|data| self.is_news(topic, data)).collect();
        }
        responses.retain(|topic| !topic.partitions.is_empty());
    }

    /// Whether the reader has to be told of this; notes that it is.
    fn is_news(&mut self, topic: &FetchableTopicResponse, data: &PartitionData) -> bool {
        let Some(wanted) = self.partitions.get_mut(&(topic.topic.clone(), topic.topic_id, data.partition_index)) else {
            return true;
        };
        let has_records = data.records.as_ref().is_some_and(|records| !records.is_empty());
        let has_failed = data.error_code != ErrorCode::NONE.0;
        let has_moved =
            wanted.high_watermark != data.high_watermark || wanted.log_start_offset != data.log_start_offset;
        if has_records {
            self.last_order += 1;
            wanted.order = self.last_order;
        }
        // After an error the next success is news, even with the same ends.
        wanted.high_watermark = if has_failed { -1 } else { data.high_watermark };
        wanted.log_start_offset = data.log_start_offset;
        has_records || has_failed || has_moved || data.diverging_epoch.end_offset >= 0
    }
}

/// Epoch of a request that closes its session, if it has one, and opens another.
const OPENING: i32 = 0;
/// Epoch of a request that closes its session.
const CLOSING: i32 = -1;
/// Epoch of the second request of a session, and of the one after the last epoch.
const FIRST_EPOCH: i32 = 1;
/// Age at which a session may be evicted (`min.incremental.fetch.session.eviction.ms`).
const EVICTION_AGE: Duration = Duration::from_secs(120);
/// Most partitions of a session; a request for more is answered without one.
const PARTITIONS_MAX: usize = 100_000;
const FIRST_WITH_SESSIONS: i16 = 7;
const FIRST_WITH_TOPIC_IDS: i16 = 13;
