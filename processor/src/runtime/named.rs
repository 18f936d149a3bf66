//! The topics that records name, beside those that a job declares.
//!
//! A record for a topic that is not known yet waits in memory, until the open transaction is flushed or needs room.
//! Then the topic is looked up, and the records for it are appended in their order. If it does not exist, or does not
//! take one of them, the transaction is aborted: the same records come again, and by then the topic is known, so what
//! happens to each of them is the policy of the job, with the record at hand.

use std::collections::{BTreeSet, HashMap};

use kafka_wire::producer::TopicHandle;
use kafka_wire::record::HeadersBuf;
use kafka_wire::types::TimestampMs;
use kafka_wire::wire::Str;

use crate::output::{OutRecord, Refused, Route, SinkId, TopicLimits};

/// A topic that can be written.
pub(super) struct Sink {
    pub(super) topic: TopicHandle,
    pub(super) partitions: i32,
    /// The name of a topic of the user's, which may gain partitions. Those of the job's own are as many as ever.
    pub(super) name: Option<Str>,
    /// The records that the topic takes, if the job leaves others out.
    pub(super) limits: Option<TopicLimits>,
}

/// The topics that records have named, by the numbers behind those of the declared ones.
pub(super) struct NamedTopics {
    /// The number of the first.
    first: usize,
    topics: Vec<Named>,
    numbers: HashMap<String, usize>,
    /// The topics of the job's own, which no record may name.
    own: BTreeSet<String>,
    /// Bytes of the records that wait.
    waiting_bytes: usize,
}

struct Named {
    name: String,
    state: State,
}

enum State {
    /// It has not been looked up yet; the records that wait for that.
    Wanted(Vec<Waiting>),
    Known(Sink),
    /// It takes no record, until it is looked up again at this time of day.
    Refused {
        cause: String,
        until: TimestampMs,
    },
}

/// A record that waits for its topic.
pub(super) struct Waiting {
    route: Route,
    timestamp: TimestampMs,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: HeadersBuf,
}

impl NamedTopics {
    /// No topics yet, in a job with this number of declared ones.
    pub(super) fn new(declared: usize, own: BTreeSet<String>) -> Self {
        Self { first: declared, topics: Vec::new(), numbers: HashMap::new(), own, waiting_bytes: 0 }
    }

    /// The number of the topic of that name, at this time of day.
    ///
    /// # Errors
    /// It takes no records.
    pub(super) fn number(&mut self, name: &str, now: TimestampMs) -> Result<SinkId, Refused> {
        let number = match self.numbers.get(name) {
            Some(number) => *number,
            None => self.add(name),
        };
        let state = &mut self.topics[number].state;
        match state {
            State::Refused { cause, until } if now < *until => return Err(Refused(cause.clone())),
            State::Refused { .. } => *state = State::Wanted(Vec::new()),
            State::Wanted(_) | State::Known(_) => {}
        }
        Ok(SinkId(self.first + number))
    }

    fn add(&mut self, name: &str) -> usize {
        let state = match self.own.contains(name) {
            true => State::Refused { cause: "it is the job's own".to_owned(), until: TimestampMs(i64::MAX) },
            false => State::Wanted(Vec::new()),
        };
        self.topics.push(Named { name: name.to_owned(), state });
        self.numbers.insert(name.to_owned(), self.topics.len() - 1);
        self.topics.len() - 1
    }

    /// The topic of that number, if it has been looked up.
    pub(super) fn sink(&self, number: SinkId) -> Option<&Sink> {
        match &self.topics[number.0 - self.first].state {
            State::Known(sink) => Some(sink),
            State::Wanted(_) | State::Refused { .. } => None,
        }
    }

    /// The topics that have been found.
    pub(super) fn known_mut(&mut self) -> impl Iterator<Item = &mut Sink> {
        self.topics.iter_mut().filter_map(|topic| match &mut topic.state {
            State::Known(sink) => Some(sink),
            State::Wanted(_) | State::Refused { .. } => None,
        })
    }

    /// Lets a record wait until its topic is looked up.
    pub(super) fn wait(&mut self, record: &OutRecord<'_>) {
        let State::Wanted(waiting) = &mut self.topics[record.sink.0 - self.first].state else {
            unreachable!(
                "a topic that refuses records gives out no number, and records for one that is known do not wait"
            )
        };
        let mut headers = HeadersBuf::new();
        record.headers.iter().for_each(|(key, value)| headers.push(key, value));
        let [key, value] = [record.key, record.value].map(|bytes| bytes.map(<[u8]>::to_vec));
        self.waiting_bytes += record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len) + OVERHEAD_BYTES;
        waiting.push(Waiting { route: record.route, timestamp: record.timestamp, key, value, headers });
    }

    /// Whether more records may wait.
    pub(super) const fn has_room(&self) -> bool {
        self.waiting_bytes < WAITING_BYTES_MAX
    }

    /// The topics to be looked up.
    pub(super) fn wanted(&self) -> Vec<(SinkId, String)> {
        let numbers = (self.first..).map(SinkId).zip(&self.topics);
        let wanted = numbers.filter(|(_, topic)| matches!(topic.state, State::Wanted(_)));
        wanted.map(|(number, topic)| (number, topic.name.clone())).collect()
    }

    /// Takes the outcome of a look-up: the topic, or the reason why it takes no records until some time of day. Returns
    /// the records that have waited.
    pub(super) fn found(&mut self, number: SinkId, found: Result<Sink, (String, TimestampMs)>) -> Vec<Waiting> {
        let state = match found {
            Ok(sink) => State::Known(sink),
            Err((cause, until)) => State::Refused { cause, until },
        };
        match std::mem::replace(&mut self.topics[number.0 - self.first].state, state) {
            State::Wanted(waiting) => waiting,
            State::Known(_) | State::Refused { .. } => Vec::new(),
        }
    }

    /// Notes that no record waits any more: they are written, or belong to a transaction that was aborted.
    pub(super) fn forget_waiting(&mut self) {
        self.waiting_bytes = 0;
        for topic in &mut self.topics {
            if let State::Wanted(waiting) = &mut topic.state {
                waiting.clear();
            }
        }
    }
}

impl Waiting {
    pub(super) fn as_record(&self, sink: SinkId) -> OutRecord<'_> {
        let (key, value, headers) = (self.key.as_deref(), self.value.as_deref(), self.headers.as_raw());
        OutRecord { sink, route: self.route, timestamp: self.timestamp, key, value, headers }
    }
}

/// Bytes of the records that wait above which no more input is taken.
const WAITING_BYTES_MAX: usize = 1 << 20;
/// Memory of a record besides its bytes, about.
const OVERHEAD_BYTES: usize = 120;

#[cfg(test)]
mod tests {
    use kafka_wire::record::RawHeaders;

    use super::*;

    fn record(sink: SinkId, value: &[u8]) -> OutRecord<'_> {
        let (route, timestamp, headers) = (Route::ByKey, TimestampMs(1), RawHeaders::EMPTY);
        OutRecord { sink, route, timestamp, key: None, value: Some(value), headers }
    }

    #[test]
    fn records_wait_in_their_order_until_their_topic_is_found() {
        let mut named = NamedTopics::new(3, BTreeSet::from(["own".to_owned()]));
        let [one, two] = ["one", "two"].map(|name| named.number(name, TimestampMs(0)).expect("a number"));
        assert_eq!((one, two, named.number("one", TimestampMs(9))), (SinkId(3), SinkId(4), Ok(SinkId(3))));
        assert_eq!(named.number("own", TimestampMs(9)), Err(Refused("it is the job's own".to_owned())));
        for value in [b"a", b"b"] {
            named.wait(&record(one, value));
        }
        assert_eq!(named.wanted(), [(one, "one".to_owned()), (two, "two".to_owned())]);
        let refused = Err(("no".to_owned(), TimestampMs(100)));
        let waited = named.found(one, refused);
        assert_eq!(
            waited.iter().map(|record| record.value.clone()).collect::<Vec<_>>(),
            [Some(vec![b'a']), Some(vec![b'b'])]
        );
        assert_eq!(waited[1].as_record(one).value, Some(&b"b"[..]));
        assert_eq!(named.number("one", TimestampMs(99)), Err(Refused("no".to_owned())));
        assert_eq!(named.number("one", TimestampMs(100)), Ok(one), "it is looked up again");
        assert_eq!(named.wanted().len(), 2);
    }

    #[test]
    fn the_records_that_wait_are_few_and_those_of_an_aborted_transaction_are_gone() {
        let mut named = NamedTopics::new(0, BTreeSet::new());
        let topic = named.number("topic", TimestampMs(0)).expect("a number");
        let value = vec![0; WAITING_BYTES_MAX / 2];
        named.wait(&record(topic, &value));
        assert!(named.has_room());
        named.wait(&record(topic, &value));
        assert!(!named.has_room());
        named.forget_waiting();
        assert!(named.has_room());
        let refused = Err((String::new(), TimestampMs(0)));
        assert!(named.found(topic, refused).is_empty());
    }
}
