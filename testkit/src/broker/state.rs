//! The state that the handlers work on: all data of the broker, and the answers that are ready.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use kafka_wire::protocol::fetch::FetchRequest;
use kafka_wire::protocol::header::ResponseHeader;
use kafka_wire::protocol::{ApiKey, ErrorCode, Message};
use kafka_wire::rng::Rng;
use kafka_wire::time::Moment;
use kafka_wire::types::{BrokerId, PartitionId, TimestampMs};
use kafka_wire::wire::{EncodeError, Str, Uuid, Writer};
use tracing::{debug, error, warn};

use super::BrokerConfig;
use super::acls::Acls;
use super::client_quotas::ClientQuotas;
use super::connection::{ConnectionId, RequestContext};
use super::dynamic_configs::DynamicConfigs;
use super::fetch_sessions::{FetchSessions, SessionUse};
use super::groups::Groups;
use super::internal_topics;
use super::log::{Log, LogSettings, Write};
use super::partition::PartitionName;
use super::sasl::Logins;
use super::scram::ScramCredentials;
use super::topics::{Topic, Topics, random_bytes};
use super::transactions::{EndProtocol, Markers, ProducerIdentity, Transactions};

/// The broker's whole state.
#[derive(Debug)]
pub struct State {
    /// Settings; they do not change.
    pub config: BrokerConfig,
    /// Host that clients are told to connect to.
    pub host: Str,
    /// Port that clients are told to connect to.
    pub port: u16,
    /// Id of the cluster, whose only node this is.
    pub cluster_id: Str,
    /// The present time, as the last event brought it.
    pub now: Moment,
    /// The date at [`Moment::ZERO`].
    start_timestamp: TimestampMs,
    /// The topics with their logs.
    pub topics: Topics,
    /// The consumer groups.
    pub groups: Groups,
    /// The transactional ids.
    pub transactions: Transactions,
    /// Settings that were altered while the broker runs.
    pub dynamic_configs: DynamicConfigs,
    /// The access control entries.
    pub acls: Acls,
    /// The quotas of clients.
    pub quotas: ClientQuotas,
    /// The credentials of users.
    pub scram: ScramCredentials,
    /// Users of the connections, and the progress of their authentication.
    pub logins: Logins,
    /// Number of requests that were taken up, by API.
    pub requests: BTreeMap<ApiKey, u64>,
    /// The fetch sessions of readers.
    pub fetch_sessions: FetchSessions,
    /// Bytes after the last field of requests, which were ignored.
    pub ignored_bytes: u64,
    /// Bytes that answers may still allocate; see [`Core::set_answer_room`](super::Core::set_answer_room).
    pub(super) answer_room_bytes: usize,
    /// Whether a batch was refused that would have fitted but for deleted records that are still being sent.
    pub(super) is_short_by_answers: bool,
    /// Time of the last warning that records find no room.
    shortage_told: Option<Moment>,
    /// Time from which the next request looks for producers to forget.
    next_expiration: Moment,
    /// Fetches that wait for records, by connection: each has at most one.
    fetches: BTreeMap<ConnectionId, WaitingFetch>,
    /// Connections whose waiting fetch should be tried again.
    woken: VecDeque<ConnectionId>,
    answers: VecDeque<(RequestContext, Answered)>,
}

/// The end of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// This frame is sent as the answer.
    Frame(Vec<Bytes>),
    /// No answer is sent, because the client asked for none.
    Silently,
    /// The connection is closed.
    Closed,
}

/// A fetch that waits for records.
#[derive(Debug)]
pub(super) struct WaitingFetch {
    pub(super) context: RequestContext,
    /// The whole request, with what its session knows.
    pub(super) request: FetchRequest,
    pub(super) session: SessionUse,
    /// The time at which it is answered with the records that there are.
    pub(super) deadline: Moment,
}

impl State {
    /// Makes the state of a broker without any data.
    #[must_use]
    pub fn new(config: BrokerConfig, host: &str, port: u16) -> Self {
        let mut rng = Rng::from_seed(config.seed.unwrap_or_default());
        let cluster_id = Str::from(Uuid(random_bytes(&mut rng)).to_string());
        let topics = Topics::new(config.partitions_max, config.log_check_interval, Rng::from_seed(rng.next_u64()));
        let groups = Groups::new(&config, Rng::from_seed(rng.next_u64()));
        let protocol = if config.transaction_version >= 2 { EndProtocol::V2 } else { EndProtocol::V1 };
        let transactions = Transactions::new(config.marker_delay, protocol);
        let mut logins = Logins::new(config.sasl.clone(), Rng::from_seed(rng.next_u64()));
        let next_expiration = Moment::ZERO + config.expiration_check_interval;
        let fetch_sessions = FetchSessions::new(config.fetch_sessions_max, Rng::from_seed(rng.next_u64()));
        Self {
            start_timestamp: config.start_timestamp,
            config,
            host: Str::from(host),
            port,
            cluster_id,
            now: Moment::ZERO,
            topics,
            groups,
            transactions,
            dynamic_configs: DynamicConfigs::default(),
            acls: Acls::default(),
            quotas: ClientQuotas::default(),
            scram: logins.credentials(),
            logins,
            requests: BTreeMap::new(),
            fetch_sessions,
            ignored_bytes: 0,
            answer_room_bytes: usize::MAX,
            is_short_by_answers: false,
            shortage_told: None,
            next_expiration,
            fetches: BTreeMap::new(),
            woken: VecDeque::new(),
            answers: VecDeque::new(),
        }
    }

    /// Forgets the producers and the transactional ids that have not been used for so long that they expire.
    pub(super) fn forget_expired(&mut self) {
        if self.now < self.next_expiration {
            return;
        }
        self.next_expiration = self.now + self.config.expiration_check_interval;
        let age_ms = i64::try_from(self.config.producer_id_expiration.as_millis()).unwrap_or(i64::MAX);
        self.topics.forget_producers_before(TimestampMs(self.timestamp().0.saturating_sub(age_ms)));
        self.transactions.forget_unused(self.now, self.config.transactional_id_expiration);
    }

    /// Counts the bytes after the last field of a request. Like Apache Kafka, the broker ignores them:
    /// every librdkafka since 2.3 leaves three behind the Metadata request for all topics.
    pub(super) fn ignore_trailing(&mut self, context: RequestContext, bytes: usize) {
        if bytes > 0 {
            debug!(api = %context.api, version = context.version, bytes, "bytes behind the last field are ignored");
            self.ignored_bytes = self.ignored_bytes.saturating_add(bytes as u64);
        }
    }

    /// The present date, for records and markers.
    #[must_use]
    pub fn timestamp(&self) -> TimestampMs {
        self.timestamp_at(self.now)
    }

    /// The date at a moment.
    #[must_use]
    pub fn timestamp_at(&self, moment: Moment) -> TimestampMs {
        let passed = i64::try_from(moment.as_millis()).unwrap_or(i64::MAX);
        TimestampMs(self.start_timestamp.0.saturating_add(passed))
    }

    /// The date at [`Moment::ZERO`].
    pub(super) const fn start_timestamp(&self) -> TimestampMs {
        self.start_timestamp
    }

    /// Sets the date at [`Moment::ZERO`], and so the present date.
    pub(super) fn set_start_timestamp(&mut self, timestamp: TimestampMs) {
        self.start_timestamp = timestamp;
        self.topics.look_at_once();
    }

    /// The name of a request's topic, which the request gives by name or, where its version has ids, by id.
    /// The empty string for an unknown id.
    #[must_use]
    pub fn topic_name(&self, name: &Str, id: Uuid) -> Str {
        if id == Uuid::ZERO { name.clone() } else { self.topics.name_of(id).cloned().unwrap_or_default() }
    }

    /// Creates a topic that a request merely names, if the configuration allows it.
    pub fn auto_create(&mut self, name: &Str) -> Option<&Topic> {
        if !self.config.auto_create_topics {
            return None;
        }
        let is_internal = internal_topics::is_internal(name);
        let count = if is_internal { self.config.internal_partitions } else { self.config.default_partitions };
        self.topics.create(name, count, internal_topics::configs(name)).ok()
    }

    /// Creates the topic of a coordinator that a client looks for, unless it exists. Without room for it there will
    /// be none, which does no harm: nothing here depends on it.
    pub(super) fn create_internal(&mut self, name: &'static str) {
        if self.topics.by_name(name).is_none() {
            let count = self.config.internal_partitions;
            let _ = self.topics.create(&Str::from_static(name), count, internal_topics::configs(name));
        }
    }

    /// Checks whether there is memory for a batch of this size. If not, it logs from time to time which
    /// topics take the memory.
    ///
    /// Kafka answers `KAFKA_STORAGE_ERROR` when it cannot write to its disk. Clients take that for a temporary fault:
    /// they ask for the leader anew and send the batch again, in its order, until it succeeds or its delivery timeout
    /// ends. So a producer survives a shortage that retention ends, and fails with a reason if nothing ends it.
    ///
    /// # Errors
    /// `KAFKA_STORAGE_ERROR`.
    pub fn check_room(&mut self, size_bytes: usize) -> Result<(), ErrorCode> {
        let limit_bytes = self.config.record_memory_bytes();
        let has_room = |topics: &Topics| topics.memory_bytes() + size_bytes as u64 <= limit_bytes;
        if has_room(&self.topics) {
            return Ok(());
        }
        self.topics.forget_sent();
        if has_room(&self.topics) {
            return Ok(());
        }
        self.is_short_by_answers |= self.topics.has_lingering();
        if self.shortage_told.is_none_or(|told| self.now >= told + SHORTAGE_PAUSE) {
            self.shortage_told = Some(self.now);
            let held = self.topics.largest_logs(TOPICS_TOLD);
            warn!(
                held_bytes = self.topics.memory_bytes(),
                limit_bytes,
                topics = %held,
                "no memory for more records: Produce is refused until retention, DeleteRecords or DeleteTopics make room"
            );
        }
        Err(ErrorCode::KAFKA_STORAGE_ERROR)
    }

    /// Notes that a partition has changed for which fetches may wait.
    pub fn wake(&mut self, topic: &str, partition: PartitionId) {
        if let Some(partition) = self.topics.partition_mut(topic, partition) {
            self.woken.extend(std::mem::take(&mut partition.watchers));
        }
    }

    /// Removes what refers to a deleted topic; fetches that wait for its records learn of the deletion.
    pub fn forget_topic(&mut self, topic: Topic) {
        self.groups.forget_topic(&topic.name);
        self.woken.extend(topic.partitions.into_iter().flat_map(|partition| partition.watchers));
    }

    /// Lets a fetch wait until one of its partitions changes, at most until its deadline.
    pub(super) fn wait_for_records(&mut self, fetch: WaitingFetch) {
        let connection = fetch.context.connection;
        for (topic, index) in partitions_of(&fetch.request) {
            let name = self.topic_name(&topic.topic, topic.topic_id);
            if let Some(partition) = self.topics.partition_mut(&name, PartitionId(index)) {
                partition.watchers.insert(connection);
            }
        }
        self.fetches.insert(connection, fetch);
    }

    /// Answers a request.
    pub fn answer<R: Message>(&mut self, context: RequestContext, response: &R) {
        let answered = match encode(context, response) {
            Ok(frame) => Answered::Frame(frame),
            Err(cause) => {
                error!(api = %context.api, version = context.version, %cause, "an answer cannot be encoded");
                Answered::Closed
            }
        };
        self.end_request(context, answered);
    }

    /// Ends a request without an answer.
    pub fn end_request(&mut self, context: RequestContext, answered: Answered) {
        if let Answered::Frame(frame) = &answered {
            let size_bytes: usize = frame.iter().map(Bytes::len).sum();
            self.answer_room_bytes = self.answer_room_bytes.saturating_sub(size_bytes);
        }
        self.answers.push_back((context, answered));
    }

    /// The next request that has ended.
    pub fn next_answer(&mut self) -> Option<(RequestContext, Answered)> {
        self.answers.pop_front()
    }

    /// Drops the waiting requests of a client that has disconnected.
    pub fn disconnect(&mut self, connection: ConnectionId) {
        self.logins.disconnect(connection);
        let Some(fetch) = self.fetches.remove(&connection) else { return };
        for (topic, index) in partitions_of(&fetch.request) {
            let name = self.topic_name(&topic.topic, topic.topic_id);
            if let Some(partition) = self.topics.partition_mut(&name, PartitionId(index)) {
                partition.watchers.remove(&connection);
            }
        }
    }

    /// Does everything that is due by now.
    pub fn handle_timeout(&mut self) {
        self.transactions.handle_timeout(self.now);
        self.groups.handle_timeout(self.now);
        let due =
            self.fetches.iter().filter(|(_, fetch)| fetch.deadline <= self.now).map(|(&connection, _)| connection);
        self.woken.extend(due);
        for (topic, partition) in self.topics.look_after_logs(self.timestamp()) {
            self.wake(&topic, partition);
        }
    }

    /// The time at which [`State::handle_timeout`] is due.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Moment> {
        let fetch = self.fetches.values().map(|fetch| fetch.deadline).min();
        let upkeep = self.topics.next_upkeep().and_then(|due| self.moment_of(due));
        [self.transactions.next_timeout(), self.groups.next_timeout(), fetch, upkeep].into_iter().flatten().min()
    }

    /// The moment at which the broker's clock shows this date: the present for a past date, `None` for one that
    /// the clock never reaches.
    fn moment_of(&self, date: TimestampMs) -> Option<Moment> {
        let passed = date.0.saturating_sub(self.start_timestamp.0);
        let ms = u64::try_from(passed).unwrap_or(0);
        (ms < u64::MAX / NANOS_PER_MS).then(|| Moment::from_millis(ms).max(self.now))
    }

    /// Writes the markers of transactions that have ended into logs and groups.
    pub(super) fn write_due_markers(&mut self) {
        while let Some(markers) = self.transactions.poll() {
            self.write_markers(&markers);
        }
    }

    /// The next waiting fetch that should be tried again.
    pub(super) fn next_woken_fetch(&mut self) -> Option<WaitingFetch> {
        loop {
            let connection = self.woken.pop_front()?;
            if let Some(fetch) = self.fetches.remove(&connection) {
                return Some(fetch);
            }
        }
    }

    fn write_markers(&mut self, markers: &Markers) {
        debug!(?markers, "transaction ended");
        let timestamp = self.timestamp();
        let ProducerIdentity { id, epoch } = markers.producer;
        for PartitionName { topic, partition } in &markers.partitions {
            let end = |log: &mut Log, settings: &LogSettings| {
                let write = Write { now: timestamp, log_append_time: false, settings };
                log.end_transaction(id, epoch, markers.is_commit, &write);
            };
            if self.topics.change_log(timestamp, topic, *partition, end).is_some() {
                self.wake(topic, *partition);
            }
        }
        for group in &markers.groups {
            self.groups.end_transaction(group, markers.producer.id, markers.is_commit);
        }
    }
}

/// Time between two warnings about too little memory.
const SHORTAGE_PAUSE: Duration = Duration::from_secs(10);
/// Number of topics that such a warning names.
const TOPICS_TOLD: usize = 5;

const NANOS_PER_MS: u64 = 1_000_000;

/// Id of the only broker.
pub(super) const NODE: BrokerId = BrokerId(1);

fn partitions_of(request: &FetchRequest) -> impl Iterator<Item = (&kafka_wire::protocol::fetch::FetchTopic, i32)> {
    request.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |partition| (topic, partition.partition)))
}

fn encode<R: Message>(context: RequestContext, response: &R) -> Result<Vec<Bytes>, EncodeError> {
    let mut writer = Writer::new();
    let header = ResponseHeader { correlation_id: context.correlation_id, ..Default::default() };
    header.encode(&mut writer, context.api.response_header_version(context.version))?;
    response.encode(&mut writer, context.version)?;
    writer.finish_frame()
}
