//! The settings of a producer, with the limit behind each number.

use std::time::Duration;

use super::partitioner::Partitioning;
use crate::compression::Compression;
use crate::wire::Str;

/// The settings of a producer. By default every batch is acknowledged by all in-sync replicas, and
/// written once (idempotent).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerConfig {
    /// `transactional.id`: the producer writes in transactions, and a producer that opens the same id later fences it.
    /// Two live instances must never share one. `None`: no transactions, but still idempotent.
    pub transactional_id: Option<Str>,
    /// Time after which the coordinator aborts an open transaction. Default 10 s; brokers accept at most
    /// `transaction.max.timeout.ms` (15 min).
    pub transaction_timeout: Duration,
    /// `acks`: the replicas that must have a batch before it is acknowledged. Default all in-sync replicas.
    pub acks: Acks,
    /// `enable.idempotence`: repeated batches are recognised, and the order is kept. Default true.
    /// It requires `acks=all`: with any other value it is off, whatever is set here.
    pub idempotence: bool,
    /// `linger.ms`: time for which a batch waits for more records before it is sent. Default 5 ms.
    /// It is not used inside a transaction of an [`ExclusiveProducer`](crate::client::ExclusiveProducer):
    /// there, a batch is sent when it is full, or at `flush` and `commit`.
    pub linger: Duration,
    /// `batch.size`: a batch is closed if the next record would make it larger than this, before compression.
    /// Default 256 KiB. A larger record is sent in a batch of its own. A batch that a broker refuses because it exceeds
    /// `max.message.bytes` (1 MiB) is split and sent again, down to single records.
    pub batch_size_bytes: usize,
    /// `compression.type`: codec, used for batches that it makes smaller. Default none.
    pub compression: Compression,
    /// The choice of the partition for a record that names none. Default by the key, as in Java's producer.
    pub partitioning: Partitioning,
    /// `partitioner.adaptive.partitioning.enable`: partitions with more waiting batches get fewer of the records
    /// without a key. Default true.
    pub adaptive_partitioning: bool,
    /// `buffer.memory`: most bytes of records that may wait for their acknowledgement, before compression.
    /// Default 32 MiB. At the limit `send` waits up to [`Self::max_block`]; `try_send` and `append` refuse.
    pub buffer_limit_bytes: usize,
    /// `max.block.ms`: time for which `send` waits for room in the buffer and for the partitions of its
    /// topic. Default 60 s.
    pub max_block: Duration,
    /// [`ready`](crate::client::ExclusiveProducer::ready) waits until at most this many bytes wait for their
    /// acknowledgement, even if no record was refused. Default 16 MiB, and never more than half of the buffer.
    pub room_limit_bytes: usize,
    /// `max.request.size`: most bytes of batches in one request, unless a single batch is larger. Default 4 MiB.
    pub request_limit_bytes: usize,
    /// `max.in.flight.requests.per.connection`: most requests to one broker without a response, and most batches of one
    /// partition. Default 5, and more count as 5. Idempotent batches keep their order with any number. Without
    /// idempotence a batch that is sent again comes behind later ones unless this is 1.
    pub in_flight_max: usize,
    /// `delivery.timeout.ms`: time from the closing of a batch until it fails for good. Default 120 s, as in Java.
    /// A response that is still awaited then is awaited to the end of its own timeout.
    pub delivery_timeout: Duration,
    /// The place where sending runs. Default: a thread of its own.
    pub runs_on: RunsOn,
    /// Longest time to open a producer, which includes waiting until the coordinator has aborted an earlier transaction
    /// of the same id. Default 60 s.
    pub init_timeout: Duration,
    /// Time after which `commit` and `abort` give up waiting for a response of the coordinators. Default 60 s.
    pub end_timeout: Duration,
}

/// The replicas that must have a batch before it is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acks {
    /// All in-sync replicas, `acks=all`: acknowledged records outlive the leader.
    #[default]
    All,
    /// The leader, `acks=1`. If the leader is lost, so are the records that the others have not fetched yet.
    Leader,
    /// None, `acks=0`: a batch counts as written once it is handed to the connection, without an offset.
    /// Losses are not reported.
    None,
}

impl Acks {
    /// The number in the protocol.
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
            in_flight_max: 5,
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
