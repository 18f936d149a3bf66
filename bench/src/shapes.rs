//! Batches to measure with.

use kafka_wire::record::{BatchBuilder, HeadersBuf, RawHeaders};

/// A batch of records with one key, the same headers, and the given values in turn.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) record_count: usize,
    pub(crate) key: &'static [u8],
    pub(crate) values: Vec<Vec<u8>>,
    /// Names and values of the headers.
    pub(crate) headers: Vec<(&'static str, &'static [u8])>,
    /// The same headers as they are encoded in a record.
    pub(crate) raw_headers: HeadersBuf,
}

const HEADER_NAMES: [&str; 10] = [
    "header-0", "header-1", "header-2", "header-3", "header-4", "header-5", "header-6", "header-7", "header-8",
    "header-9",
];

impl Shape {
    fn new(name: &'static str, values: Vec<Vec<u8>>, header_count: usize) -> Self {
        let headers: Vec<(&str, &[u8])> =
            HEADER_NAMES.iter().take(header_count).map(|name| (*name, b"twelve bytes".as_slice())).collect();
        let mut raw_headers = HeadersBuf::new();
        for (name, value) in &headers {
            raw_headers.push(name.as_bytes(), Some(value));
        }
        Self { name, record_count: 10_000, key: b"key-0001", values, headers, raw_headers }
    }

    /// The four shapes of the measurements of records.
    pub(crate) fn plain() -> [Self; 4] {
        let value = |bytes| vec![vec![b'v'; bytes]];
        [
            Self::new("100 B values", value(100), 0),
            Self::new("100 B values, 10 headers of 20 B", value(100), 10),
            Self::new("1 KB values", value(1024), 0),
            Self::new("10 B values", value(10), 0),
        ]
    }

    /// Events in JSON, about a megabyte: names repeat, ids and amounts do not.
    pub(crate) fn json_events() -> Self {
        const EVENTS: usize = 5_000;
        let mut chance = 0x9E37_79B9_7F4A_7C15_u64;
        let mut below = |limit: u64| {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            chance % limit
        };
        let events = (0..EVENTS).map(|index| {
            let action = ["view", "click", "add_to_cart", "purchase", "return"][below(5) as usize];
            let (user, session, item) = (below(100_000), below(u64::MAX), below(20_000));
            let (euros, cents) = (below(500), below(100));
            let at = timestamp_of(index);
            format!(
                r#"{{"at":{at},"action":"{action}","user":{user},"session":"{session:016x}","page":"/item/{item}","amount":{euros}.{cents:02},"currency":"EUR","agent":"Mozilla/5.0 (X11; Linux x86_64)"}}"#
            )
            .into_bytes()
        });
        Self { record_count: EVENTS, ..Self::new("JSON events", events.collect(), 0) }
    }

    pub(crate) fn raw_headers(&self) -> RawHeaders<'_> {
        self.raw_headers.as_raw()
    }

    /// Timestamp and value of each record.
    #[inline(always)]
    pub(crate) fn records(&self) -> impl Iterator<Item = (i64, &[u8])> + Clone {
        let values = self.values.iter().cycle();
        (0..self.record_count).zip(values).map(|(index, value)| (timestamp_of(index), value.as_slice()))
    }

    pub(crate) fn first_timestamp(&self) -> i64 {
        timestamp_of(0)
    }

    pub(crate) fn last_timestamp(&self) -> i64 {
        timestamp_of(self.record_count - 1)
    }

    /// Our open batch with all records in it.
    pub(crate) fn build(&self, capacity_bytes: usize) -> BatchBuilder {
        let mut builder = BatchBuilder::new(capacity_bytes);
        for (timestamp, value) in self.records() {
            builder.append(timestamp, Some(self.key), Some(value), self.raw_headers()).expect("a batch below 2 GiB");
        }
        builder
    }
}

/// Ten records per millisecond, for deltas of one and of two bytes.
fn timestamp_of(index: usize) -> i64 {
    1_700_000_000_000 + index as i64 / 10
}

/// The least work of a reader with a record: it looks at the places of the fields. The same for all contenders.
#[inline(always)]
pub(crate) fn touch(offset: i64, timestamp: i64, key: &[u8], value: &[u8], header_count: usize) -> u64 {
    let lengths = key.len() + value.len() + header_count;
    let first = i64::from(*value.first().unwrap_or(&0));
    offset.wrapping_add(timestamp).wrapping_add(first).cast_unsigned().wrapping_add(lengths as u64)
}
