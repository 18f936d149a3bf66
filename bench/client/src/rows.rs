//! The rows of the table: what is done, and through which of our interfaces.

use kafka_wire::compression::Compression;

/// Some work that every system does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) task: Task,
    pub(crate) partitions: i32,
    /// Records that are counted; a tenth more goes before. A consumer reads this many in all, and counts nine tenths.
    pub(crate) records: u64,
    pub(crate) value_bytes: usize,
    pub(crate) codec: Compression,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Write records without keys.
    Produce,
    /// Write records to all partitions in turn.
    Spread,
    /// Write records, each of which is acknowledged to its writer, with at most 1,000 that are not yet.
    Awaited,
    /// Read records, `read_committed`, and count the bytes of their values.
    Consume,
    /// Write records in transactions of 1,000.
    Transact,
    /// Write a record each millisecond, and read it.
    Paced,
}

/// A way to do a task with our client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) name: &'static str,
    pub(crate) api: Api,
    /// Threads of the runtime. With one, sending runs on it as well.
    pub(crate) threads: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    /// `Producer::send`.
    Send,
    /// `Producer::try_send`, from code that is not async; `send` if that is refused.
    TrySend,
    /// `ExclusiveProducer::append`.
    Append,
    /// `GroupConsumer::next_batch`.
    Group,
    /// `Consumer::poll`.
    Assigned,
}

pub(crate) const ROWS: &[Row] = &[
    row("produce, 100 B", Task::Produce, 3_000_000, 100),
    Row { codec: Compression::Lz4, ..row("produce, 100 B, lz4", Task::Produce, 2_000_000, 100) },
    row("produce, 1 KB", Task::Produce, 500_000, 1_000),
    row("produce, 10 KB", Task::Produce, 60_000, 10_000),
    Row { partitions: 1_000, ..row("produce to 1000 partitions, 100 B", Task::Spread, 1_000_000, 100) },
    row("each delivery awaited, 100 B", Task::Awaited, 500_000, 100),
    row("consume, 100 B", Task::Consume, 4_000_000, 100),
    Row { codec: Compression::Lz4, ..row("consume, 100 B, lz4", Task::Consume, 4_000_000, 100) },
    row("consume, 1 KB", Task::Consume, 500_000, 1_000),
    row("consume, 10 KB", Task::Consume, 60_000, 10_000),
    Row { partitions: 1_000, ..row("consume 1000 partitions, 100 B", Task::Consume, 2_000_000, 100) },
    row("transactions of 1000, 100 B", Task::Transact, 200_000, 100),
    row("1000 records/s end to end, 100 B", Task::Paced, 4_000, 100),
];

/// Records of a transaction.
pub(crate) const IN_TRANSACTION: u64 = 1_000;
/// Records without an acknowledgement where each is awaited.
pub(crate) const OUTSTANDING: usize = 1_000;

/// Makes a row with 6 partitions and no codec.
const fn row(name: &'static str, task: Task, records: u64, value_bytes: usize) -> Row {
    Row { name, task, partitions: 6, records, value_bytes, codec: Compression::None }
}

impl Task {
    /// The ways in which our client does it.
    pub(crate) const fn ways(self) -> &'static [Way] {
        match self {
            Self::Produce => &[SEND, TRY_SEND, APPEND, Way { name: "append, one thread", threads: 1, ..APPEND }],
            Self::Spread => &[SEND, APPEND],
            Self::Awaited => &[SEND, Way { name: "send, one thread", threads: 1, ..SEND }],
            Self::Consume => &[GROUP, ASSIGNED, Way { name: "Consumer, one thread", threads: 1, ..ASSIGNED }],
            Self::Transact => &[APPEND, Way { name: "append, one thread", threads: 1, ..APPEND }],
            Self::Paced => &[SEND, Way { name: "send, one thread", threads: 1, ..SEND }],
        }
    }

    /// The name by which the programs know it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Produce => "produce",
            Self::Spread => "spread",
            Self::Awaited => "awaited",
            Self::Consume => "consume",
            Self::Transact => "transact",
            Self::Paced => "paced",
        }
    }
}

impl Row {
    /// The arguments of a program that does the work, after those that only ours has.
    pub(crate) fn arguments(&self, servers: &str, topic: &str) -> Vec<String> {
        let numbers = [i64::from(self.partitions), self.records.cast_signed(), self.value_bytes as i64];
        let names = [self.task.name(), servers, topic].map(str::to_owned);
        names.into_iter().chain(numbers.map(|number| number.to_string())).chain([self.codec.to_string()]).collect()
    }

    /// The values that every program writes: of each, two fifths are the same bytes, and the others are random letters.
    pub(crate) fn values(&self) -> Vec<Vec<u8>> {
        let mut state = 88_172_645_463_325_252_u64;
        let mut letter = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            b'a' + ((state >> 32) % 26) as u8
        };
        let mut value = || {
            let mut value = vec![b'x'; self.value_bytes];
            value[..self.value_bytes * 3 / 5].fill_with(&mut letter);
            value
        };
        std::iter::repeat_with(&mut value).take((1_000_000 / self.value_bytes).clamp(1, 1_024)).collect()
    }
}

const SEND: Way = Way { name: "send", api: Api::Send, threads: 2 };
const TRY_SEND: Way = Way { name: "try_send", api: Api::TrySend, threads: 2 };
const APPEND: Way = Way { name: "append", api: Api::Append, threads: 2 };
const GROUP: Way = Way { name: "GroupConsumer", api: Api::Group, threads: 2 };
const ASSIGNED: Way = Way { name: "Consumer", api: Api::Assigned, threads: 2 };
