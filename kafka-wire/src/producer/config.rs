//! The settings of a producer, with the limit behind each number.

use std::time::Duration;

use super::partitioner::Partitioning;
use crate::compression::Compression;
use crate::wire::Str;

/// How a producer sends. By default every batch is acknowledged by all in-sync replicas, and written once (idempotent).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerConfig {
    /// `transactional.id`: the producer writes in transactions, and a producer that opens the same id later fences it.
    /// Two live instances must never share one. `None`: no transactions, but still idempotent.
    pub transactional_id: Option<Str>,
    /// Time after which the coordinator aborts an open transaction. Default 10 s; brokers accept at most
    /// `transaction.max.timeout.ms` (15 min).
    pub transaction_timeout: Duration,
    /// `acks`: who must have a batch before it is acknowledged. Default all in-sync replicas.
    pub acks: Acks,
    /// `enable.idempotence`: batches that are sent again are recognised, and order is kept. Default true.
    /// It takes `acks=all`: with any other there is none, whatever stands here.
    pub idempotence: bool,
    /// `linger.ms`: how long a batch waits to be filled before it is sent. Default 5 ms. Inside a transaction of an
    /// [`ExclusiveProducer`](crate::client::ExclusiveProducer) it is not used: a batch is sent when it is full,
    /// or at `flush` and `commit`.
    pub linger: Duration,
    /// `batch.size`: a batch is closed when the next record would make it larger than this, before compression.
    /// Default 256 KiB. A larger record travels in a batch of its own. A batch that a broker refuses for being above
    /// `max.message.bytes` (1 MiB) is split and sent again, down to single records.
    pub batch_size_bytes: usize,
    /// `compression.type`: codec for batches that it makes smaller. Default none.
    pub compression: Compression,
    /// How the partition of a record that names none is chosen. Default by the key, as Java's producer.
    pub partitioning: Partitioning,
    /// `partitioner.adaptive.partitioning.enable`: records without a key go less to partitions where more
    /// batches wait. Default true.
    pub adaptive_partitioning: bool,
    /// `buffer.memory`: bytes of records that may wait for their acknowledgement, before compression.
    /// Default 32 MiB. At the limit `send` waits up to [`Self::max_block`], `try_send` and `append` refuse.
    pub buffer_limit_bytes: usize,
    /// `max.block.ms`: how long `send` waits for room in the buffer and for the partitions of its topic. Default 60 s.
    pub max_block: Duration,
    /// [`ready`](crate::client::ExclusiveProducer::ready) waits until no more bytes than this wait for their
    /// acknowledgement; also when none was refused. Default 16 MiB, and never more than half of the buffer.
    pub room_limit_bytes: usize,
    /// `max.request.size`: bytes of batches in one request, unless a single batch is larger. Default 4 MiB.
    pub request_limit_bytes: usize,
    /// `delivery.timeout.ms`: from the moment a batch is closed until it has failed for good, whatever the brokers
    /// do. Default 120 s, as Java's `delivery.timeout.ms`. An answer that is still awaited then is awaited to the
    /// end of its own timeout.
    pub delivery_timeout: Duration,
    /// The place where sending runs. Default: a thread of its own.
    pub runs_on: RunsOn,
    /// Longest time to open a producer, which includes waiting until the coordinator has aborted an earlier transaction
    /// of the same id. Default 60 s.
    pub init_timeout: Duration,
    /// Time after which `commit` and `abort` give up waiting for a response of the coordinators. Default 60 s.
    pub end_timeout: Duration,
}

/// Who must have a batch before it is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acks {
    /// All in-sync replicas, `acks=all`: what is acknowledged outlives the leader.
    #[default]
    All,
    /// The leader, `acks=1`. A leader that is lost takes with it what the others have not fetched yet.
    Leader,
    /// Nobody, `acks=0`: a batch counts as written once it is handed to the connection, without an offset.
    /// Losses are not told.
    None,
}

impl Acks {
    /// As the protocol has it.
    #[must_use]
    pub const fn code(self) -> i16 {
        match self {
            Self::All => -1,
            Self::Leader => 1,
            Self::None => 0,
        }
    }
}

/// The place where the records of a producer are sent from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunsOn {
    /// A thread of the producer, with connections of its own: `linger` is kept and responses are handled whatever
    /// the caller's tasks and threads do, as in Java and librdkafka.
    #[default]
    OwnThread,
    /// A task of the runtime that opens the producer, on the client's connections. There is no switch of threads,
    /// so nothing is sent while a thread of that runtime is busy: on a multi-thread runtime one busy thread is enough,
    /// because a task that it wakes waits for it. For callers that await often, on a current-thread runtime.
    CallersRuntime,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            transactional_id: None,
            transaction_timeout: Duration::from_secs(10),
            acks: Acks::All,
            idempotence: true,
            linger: Duration::from_millis(5),
            batch_size_bytes: 256 * 1024,
            compression: Compression::None,
            partitioning: Partitioning::ByKey,
            adaptive_partitioning: true,
            max_block: Duration::from_secs(60),
            buffer_limit_bytes: 32 * 1024 * 1024,
            room_limit_bytes: 16 * 1024 * 1024,
            request_limit_bytes: 4 * 1024 * 1024,
            delivery_timeout: Duration::from_secs(120),
            runs_on: RunsOn::OwnThread,
            init_timeout: Duration::from_secs(60),
            end_timeout: Duration::from_secs(60),
        }
    }
}

impl ProducerConfig {
    /// Whether batches carry a producer id and sequences.
    #[must_use]
    pub fn is_idempotent(&self) -> bool {
        self.transactional_id.is_some() || (self.idempotence && self.acks == Acks::All)
    }

    /// The default settings, for transactions under `transactional_id`.
    #[must_use]
    pub fn transactional(transactional_id: impl Into<Str>) -> Self {
        Self { transactional_id: Some(transactional_id.into()), ..Self::default() }
    }
}
