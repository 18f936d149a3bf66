//! Topics of a test in the types of the job, instead of bytes.

use std::collections::BTreeMap;

use super::{TestDriver, TestRecord};
use crate::output::Route;
use crate::serde::Serde;
use crate::types::Owned;

/// A topic of a [`TestDriver`] whose records a test writes and reads as the values that they are: Kafka Streams has
/// `TestInputTopic` and `TestOutputTopic` for it.
///
/// Keys and values are of types that are owned: [`Text`](crate::serde::Text) where the job has
/// [`Utf8`](crate::serde::Utf8), which is written alike.
///
/// ```
/// use processor::driver::{TestDriver, TestTopic};
/// use processor::{Emit, I64, Text, Topology, Utf8};
///
/// let mut job = Topology::builder("balances");
/// job.keyed_stream("payments", Utf8, I64)
///     .sum("balances", Emit::EveryUpdate, |payment| payment.value)
///     .to("balances-out", Utf8, I64);
///
/// let mut driver = TestDriver::new(job.build().expect("a sound job"));
/// let (payments, balances) = (TestTopic::new("payments", Text, I64), TestTopic::new("balances-out", Text, I64));
/// payments.pipe(&mut driver, "ann", 5, 100);
/// payments.pipe(&mut driver, "ann", -2, 200);
/// payments.pipe(&mut driver, "bob", 7, 300);
/// driver.settle();
/// assert_eq!(balances.values(&driver), [5, 3, 7]);
/// assert_eq!(balances.latest(&driver)["ann"], 3);
/// ```
#[derive(Clone, Debug)]
pub struct TestTopic<KS, VS> {
    name: String,
    key_serde: KS,
    value_serde: VS,
}

/// A serde that does not fit is a mistake of the test, and panics; so does a null in [`TestTopic::read`] and
/// [`TestTopic::values`].
impl<K, A, KS, VS> TestTopic<KS, VS>
where
    K: 'static,
    A: 'static,
    KS: Serde<View = Owned<K>>,
    VS: Serde<View = Owned<A>>,
{
    /// The topic of that name.
    #[must_use]
    pub fn new(name: &str, key_serde: KS, value_serde: VS) -> Self {
        Self { name: name.to_owned(), key_serde, value_serde }
    }

    /// Writes a record into the partition of its key, and lets the job process it.
    pub fn pipe(&self, driver: &mut TestDriver, key: impl Into<K>, value: impl Into<A>, timestamp: i64) {
        let (key, value) = (written(&self.key_serde, &key.into()), written(&self.value_serde, &value.into()));
        driver.pipe_to(&self.name, Route::ByKey, Some(&key), Some(&value), timestamp);
    }

    /// Writes a record without a key into partition 0, and lets the job process it.
    pub fn pipe_value(&self, driver: &mut TestDriver, value: impl Into<A>, timestamp: i64) {
        let value = written(&self.value_serde, &value.into());
        driver.pipe_to(&self.name, Route::ByKey, None, Some(&value), timestamp);
    }

    /// Writes null under a key, which deletes the row of a table, and lets the job process it.
    pub fn delete(&self, driver: &mut TestDriver, key: impl Into<K>, timestamp: i64) {
        let key = written(&self.key_serde, &key.into());
        driver.pipe_to(&self.name, Route::ByKey, Some(&key), None, timestamp);
    }

    /// The committed records, by partition and offset.
    #[must_use]
    pub fn read(&self, driver: &TestDriver) -> Vec<(K, A)> {
        driver.read(&self.name).iter().map(|record| (self.key(record), self.value(record))).collect()
    }

    /// The values of the committed records, by partition and offset.
    #[must_use]
    pub fn values(&self, driver: &TestDriver) -> Vec<A> {
        driver.read(&self.name).iter().map(|record| self.value(record)).collect()
    }

    /// The last committed value of each key; null deletes a key.
    #[must_use]
    pub fn latest(&self, driver: &TestDriver) -> BTreeMap<K, A>
    where
        K: Ord,
    {
        let mut latest = BTreeMap::new();
        for record in &driver.read(&self.name) {
            let key = self.key(record);
            match record.value {
                Some(_) => latest.insert(key, self.value(record)),
                None => latest.remove(&key),
            };
        }
        latest
    }

    fn key(&self, record: &TestRecord) -> K {
        self.decode("key", &self.key_serde, record.key.as_deref())
    }

    fn value(&self, record: &TestRecord) -> A {
        self.decode("value", &self.value_serde, record.value.as_deref())
    }

    fn decode<T: 'static, S: Serde<View = Owned<T>>>(&self, what: &str, serde: &S, bytes: Option<&[u8]>) -> T {
        let topic = &self.name;
        let bytes = bytes.unwrap_or_else(|| panic!("`{topic}` has a record whose {what} is null"));
        serde
            .decode(bytes)
            .unwrap_or_else(|error| panic!("`{topic}` has a {what} that is no {}: {error}", serde.name()))
    }
}

fn written<T: 'static, S: Serde<View = Owned<T>>>(serde: &S, value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    serde.encode(value, &mut bytes).unwrap_or_else(|error| panic!("{} cannot write the value: {error}", serde.name()));
    bytes
}
