//! A record to be produced, as its sender builds it.

use bytes::Bytes;

use crate::record::{HeadersBuf, RawHeaders};
use crate::types::{PartitionId, TimestampMs};
use crate::wire::Str;

/// A record to send. It borrows its parts, which are copied into a batch before [`send`](crate::client::Producer::send)
/// returns.
///
/// ```
/// use kafka_wire::producer::ProducerRecord;
///
/// let record = ProducerRecord::to("orders").key("4711").value(br#"{"total":3}"#).header("trace", "a1");
/// assert_eq!(record.topic(), "orders");
/// ```
#[derive(Clone, Debug)]
pub struct ProducerRecord<'a> {
    topic: &'a str,
    pub(crate) partition: Option<PartitionId>,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    headers: Headers<'a>,
    pub(crate) timestamp: Option<TimestampMs>,
}

/// A record to send that owns its parts, so that it can be kept and passed between tasks. `send(&record)` sends it.
#[derive(Clone, Debug, Default)]
pub struct OwnedProducerRecord {
    /// Topic of the record.
    pub topic: Str,
    /// The partition; `None` lets the producer choose.
    pub partition: Option<PartitionId>,
    /// The key, which decides compaction and the partition; `None` is null.
    pub key: Option<Bytes>,
    /// The payload; `None` is null, which deletes the key in a compacted topic.
    pub value: Option<Bytes>,
    /// Its headers.
    pub headers: HeadersBuf,
    /// Milliseconds since 1970-01-01 UTC; `None` takes the time at which it is sent.
    pub timestamp: Option<TimestampMs>,
}

#[derive(Clone, Debug)]
enum Headers<'a> {
    Raw(RawHeaders<'a>),
    Own(HeadersBuf),
}

impl<'a> ProducerRecord<'a> {
    /// A record for a topic, without key, value and headers; the producer chooses the partition.
    #[must_use]
    #[inline]
    pub const fn to(topic: &'a str) -> Self {
        Self {
            topic,
            partition: None,
            key: None,
            value: None,
            headers: Headers::Raw(RawHeaders::EMPTY),
            timestamp: None,
        }
    }

    /// Sets the partition, which then does not depend on the key.
    #[must_use]
    #[inline]
    pub fn partition(mut self, partition: PartitionId) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Sets the key, which decides compaction and the partition; without it the key is null.
    #[must_use]
    #[inline]
    pub fn key(mut self, key: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        self.key = Some(key.as_ref());
        self
    }

    /// Sets the payload; without it the value is null, which deletes the key in a compacted topic.
    #[must_use]
    #[inline]
    pub fn value(mut self, value: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        self.value = Some(value.as_ref());
        self
    }

    /// Sets the timestamp, in milliseconds since 1970-01-01 UTC; without it a record has the time at which it is sent.
    #[must_use]
    #[inline]
    pub fn timestamp(mut self, timestamp: TimestampMs) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// Adds a header after the present ones. A name may occur more than once.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let mut headers = match self.headers {
            Headers::Own(headers) => headers,
            Headers::Raw(raw) => copy(raw),
        };
        headers.push(name.as_bytes(), Some(value.as_ref()));
        self.headers = Headers::Own(headers);
        self
    }

    /// Sets the headers to those of another record, or of a [`HeadersBuf`]; they replace the present ones.
    #[must_use]
    #[inline]
    pub fn headers(mut self, headers: RawHeaders<'a>) -> Self {
        self.headers = Headers::Raw(headers);
        self
    }

    /// Returns the topic of the record.
    #[must_use]
    #[inline]
    pub const fn topic(&self) -> &'a str {
        self.topic
    }

    /// A copy that owns its parts.
    #[must_use]
    pub fn to_owned(&self) -> OwnedProducerRecord {
        OwnedProducerRecord {
            topic: Str::from(self.topic),
            partition: self.partition,
            key: self.key.map(Bytes::copy_from_slice),
            value: self.value.map(Bytes::copy_from_slice),
            headers: copy(self.raw_headers()),
            timestamp: self.timestamp,
        }
    }

    #[inline]
    pub(crate) fn raw_headers(&self) -> RawHeaders<'_> {
        match &self.headers {
            Headers::Raw(raw) => *raw,
            Headers::Own(headers) => headers.as_raw(),
        }
    }
}

impl<'a> From<&'a OwnedProducerRecord> for ProducerRecord<'a> {
    fn from(record: &'a OwnedProducerRecord) -> Self {
        Self {
            topic: &record.topic,
            partition: record.partition,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: Headers::Raw(record.headers.as_raw()),
            timestamp: record.timestamp,
        }
    }
}

fn copy(raw: RawHeaders<'_>) -> HeadersBuf {
    let mut headers = HeadersBuf::new();
    for (name, value) in raw.iter() {
        headers.push(name, value);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_added_to_those_that_are_there() {
        let mut first = HeadersBuf::new();
        first.push(b"a", None);
        let record = ProducerRecord::to("t").headers(first.as_raw()).header("b", "1").header("b", [2]);
        let expected: [(&[u8], Option<&[u8]>); 3] = [(b"a", None), (b"b", Some(b"1")), (b"b", Some(&[2]))];
        assert!(record.raw_headers().iter().eq(expected));
    }

    #[test]
    fn an_owned_record_is_sent_as_the_borrowed_one_was() {
        let record = ProducerRecord::to("t").partition(PartitionId(3)).key("k").value("").timestamp(TimestampMs(5));
        let owned = record.header("h", "v").to_owned();
        let again = ProducerRecord::from(&owned);
        assert_eq!(
            (again.topic(), again.partition, again.timestamp),
            ("t", Some(PartitionId(3)), Some(TimestampMs(5)))
        );
        assert_eq!((again.key, again.value), (Some(&b"k"[..]), Some(&b""[..])));
        assert_eq!(again.raw_headers().last(b"h"), Some(Some(&b"v"[..])));
    }
}
