//! The errors that `build()` finds in a job, and the rules for names.

use std::fmt;

use crate::cep::PatternError;

/// All errors of a job, in the order of its declaration.
#[derive(Clone, PartialEq, Eq)]
pub struct BuildErrors(pub Vec<BuildError>);

impl fmt::Display for BuildErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

debug_as_text!(BuildErrors);

impl std::error::Error for BuildErrors {}

/// One error of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// A name is missing, or Kafka would refuse it as a part of a topic's name.
    BadName {
        /// The kind of thing that it names.
        what: &'static str,
        /// The name.
        name: String,
        /// The error.
        why: &'static str,
    },
    /// Two steps with state have the same name: they would share a topic.
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A repartition topic has no partition.
    BadPartitions {
        /// The step.
        name: String,
        /// The requested number.
        partitions: i32,
    },
    /// The windows are invalid, for example of size zero.
    BadWindow {
        /// The step.
        name: String,
        /// The windows.
        windows: String,
    },
    /// A pattern of events has no meaning.
    BadPattern {
        /// The step.
        name: String,
        /// The error of the pattern.
        cause: PatternError,
    },
    /// The key of a shuffle or of a store can be null. Give the key a serde that has no null.
    NullableKey {
        /// The step.
        name: String,
    },
    /// An aggregation that cannot be a table: its results come out by intervals, or are used beside the table.
    NoTable {
        /// The step.
        name: String,
    },
    /// An `async_map` or `to_outside` that may make no call at all: none outstanding, no record, or no attempt.
    NoCalls {
        /// The step.
        name: String,
    },
    /// An output outside of Kafka gets a topic by two streams that read it each for itself, as two calls of `stream`
    /// make them: their results would have the same ids.
    ReadTwice {
        /// The step.
        name: String,
        /// The topic.
        topic: String,
    },
    /// An `async_map` behind a step that puts out its results when a commit has begun: the calls could not end before
    /// it.
    CallsAtCommits {
        /// The step.
        name: String,
    },
    /// A step in which nothing closes is to put out its results on close.
    NeverCloses {
        /// The step.
        name: String,
    },
    /// A trigger for windows that it cannot steer: sliding ones share their values, and those of a number of records
    /// have a rule of their own.
    NoTrigger {
        /// The step.
        name: String,
        /// The windows.
        windows: String,
    },
    /// A store that does not exist, or that has no entries of its own to forget, or no time for it.
    NoTtl {
        /// The store.
        store: String,
    },
    /// There is state after a `select_key`, where records of one key are in several tasks.
    Rekeyed {
        /// The step.
        name: String,
    },
    /// A stream has no following step.
    Unfinished {
        /// Its source topic.
        topic: String,
    },
    /// Topics with different numbers of partitions reach one step with state.
    NotCopartitioned(NotCopartitioned),
    /// Records come back through a shuffle to the tasks that they come from, for example because two tables that are
    /// joined by a foreign key are in the same tasks.
    Circle {
        /// The topic by which they come back.
        topic: String,
    },
    /// A compacted topic is the changelog of several tables, or of one and a global table.
    SharedChangelog {
        /// The topic.
        topic: String,
    },
    /// A stream is written to a topic of the job's own: a changelog, or the topic of a shuffle.
    OwnTopic {
        /// The topic.
        topic: String,
    },
    /// An input that reads only some partitions reaches a step with state, where the records of a key could be in
    /// another partition. Read all partitions, or send the stream through a `key_by` before the step.
    SomePartitions {
        /// The step.
        step: String,
        /// The topic.
        topic: String,
    },
    /// Several streams of one topic start or end at different places, or read different partitions. A record is read
    /// once for all of them.
    ExtentsDiffer {
        /// The topic.
        topic: String,
    },
    /// A place in time that brokers do not know: a timestamp before 1970.
    BadTimestamp {
        /// The topic.
        topic: String,
    },
    /// A list of topics is empty.
    NoTopic,
    /// A stream belongs to another job.
    ForeignStream,
    /// The job has no stream.
    Empty,
}

/// Topics with different numbers of partitions reach one step with state: records of one key would be in several tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotCopartitioned {
    /// The step.
    pub step: String,
    /// The topics and their numbers of partitions.
    pub topics: Vec<(String, i32)>,
}

impl fmt::Display for NotCopartitioned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step `{}` is reached by topics with different numbers of partitions:", self.step)?;
        for (index, (topic, count)) in self.topics.iter().enumerate() {
            write!(f, "{} `{topic}` has {count}", if index == 0 { "" } else { "," })?;
        }
        f.write_str("; send one of them through key_by, with as many partitions as the other has")
    }
}

impl std::error::Error for NotCopartitioned {}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadName { what, name, why } => write!(f, "{what} `{name}`: {why}"),
            Self::DuplicateName { name } => write!(f, "two steps are named `{name}`: names of topics come from them"),
            Self::BadPartitions { name, partitions } => {
                write!(f, "step `{name}`: {partitions} partitions, at least 1 is needed")
            }
            Self::BadWindow { name, windows } => {
                write!(f, "step `{name}`: windows `{windows}`, at least 1 ms is needed")
            }
            Self::BadPattern { name, cause } => write!(f, "step `{name}`: its pattern has no meaning: {cause}"),
            Self::NullableKey { name } => {
                write!(f, "step `{name}`: its key can be null; use a key serde that has no null, or key_by")
            }
            Self::NoTable { name } => write!(
                f,
                "step `{name}`: as_table takes an aggregation whose results come out with updates, and no clone of it; use the changes of the table instead of its results"
            ),
            Self::NoCalls { name } => write!(
                f,
                "step `{name}`: at least one call must be allowed to be outstanding, one record in a batch, and one attempt"
            ),
            Self::ReadTwice { name, topic } => write!(
                f,
                "step `{name}`: topic `{topic}` reaches it by two streams; read the topic once, and clone the stream"
            ),
            Self::CallsAtCommits { name } => write!(
                f,
                "step `{name}`: a step before it puts out results at commits (Emit::OnUpdate), when no call can begin; use \
                 another way to put them out, or key_by between the two"
            ),
            Self::NeverCloses { name } => {
                write!(f, "step `{name}`: without a window nothing closes; let results come out with updates")
            }
            Self::NoTrigger { name, windows } => {
                write!(f, "step `{name}`: windows `{windows}` cannot be steered by a trigger; use an Emit")
            }
            Self::NoTtl { store } => {
                write!(
                    f,
                    "store `{store}`: there is none declared before this that forgets entries after a time of at least 1 ms"
                )
            }
            Self::Rekeyed { name } => write!(
                f,
                "step `{name}`: select_key before it gave the records another key, but left them where they were; use key_by"
            ),
            Self::Unfinished { topic } => {
                write!(f, "the stream from topic `{topic}` leads nowhere: end it with .to(topic, ..)")
            }
            Self::NotCopartitioned(error) => error.fmt(f),
            Self::Circle { topic } => write!(
                f,
                "through topic `{topic}` records come back to the tasks that they come from; send one of the streams or \
                 tables that meet there through key_by or repartition"
            ),
            Self::SharedChangelog { topic } => write!(
                f,
                "topic `{topic}` is the changelog of a compacted_table, and of another table; use one table twice"
            ),
            Self::OwnTopic { topic } => write!(f, "topic `{topic}` is the job's own; write the stream to another one"),
            Self::SomePartitions { step, topic } => write!(f, "step `{step}` has state: read all of topic `{topic}`"),
            Self::ExtentsDiffer { topic } => write!(f, "several streams read topic `{topic}` in different ways"),
            Self::BadTimestamp { topic } => write!(f, "topic `{topic}` starts or ends at a time before 1970"),
            Self::NoTopic => f.write_str("a stream has an empty list of topics"),
            Self::ForeignStream => f.write_str("a stream of another job was merged into this one"),
            Self::Empty => f.write_str("the job has no stream"),
        }
    }
}

impl std::error::Error for BuildError {}

/// Longest name of a topic. Source: Kafka's `Topic.MAX_NAME_LENGTH`.
const TOPIC_BYTES_MAX: usize = 249;

/// The reason why Kafka would refuse a topic of this name, or one with a name made from it.
pub(super) fn check_name(what: &'static str, name: &str) -> Option<BuildError> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let why = match name {
        "" => "a name is needed: topics are named after it",
        "." | ".." => "not a name that Kafka allows",
        _ if name.len() > TOPIC_BYTES_MAX => "longer than the 249 characters that Kafka allows",
        _ if !name.bytes().all(is_legal) => "only ASCII letters, digits, '.', '_' and '-' are allowed",
        _ => return None,
    };
    Some(BuildError::BadName { what, name: name.to_owned(), why })
}
