//! Configuration by name: from a properties file, the environment, or pairs, with Java's names, and those of
//! librdkafka as aliases.
//!
//! `keys`, `security` and `oauth` are the tables, with one row for each key; `remedy` has the keys of other clients
//! that cannot be followed, or need not be; `text` reads Java's properties files, and `jaas` the format of passwords
//! in them.

mod error;
mod jaas;
mod keys;
mod oauth;
mod remedy;
mod row;
mod security;
mod text;

use std::collections::BTreeMap;
use std::path::Path;
use std::{env, fmt, fs};

pub use error::PropertiesError;
use oauth::OAuth;
use row::Row;
use security::Security;
use tracing::warn;

use super::{ClientConfig, GroupConsumerConfig, Subscription};
use crate::consumer::ConsumerConfig;
use crate::group::GroupProtocol;
use crate::producer::{Acks, ProducerConfig};

/// Settings by name, as in a file; [`Properties::client`] and the like make typed configurations of them.
///
/// ```
/// use kafka_wire::client::Properties;
///
/// # fn main() -> Result<(), kafka_wire::client::PropertiesError> {
/// let properties = Properties::parse(
///     "bootstrap.servers=kafka.example:9093
///      security.protocol=SASL_SSL
///      sasl.mechanism=SCRAM-SHA-512
///      sasl.username=alice
///      sasl.password=secret
///      linger.ms=20",
/// )?;
/// let (client, producer) = (properties.client()?, properties.producer()?);
/// assert_eq!(client.bootstrap_servers, ["kafka.example:9093"]);
/// assert_eq!(producer.linger.as_millis(), 20);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties {
    /// Values by the first name of the key. Every value has been checked.
    entries: BTreeMap<&'static str, String>,
}

/// The description of one key, for a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Java's name, or our own if Java has none.
    pub name: &'static str,
    /// Names in librdkafka, and older ones.
    pub aliases: &'static [&'static str],
    /// The default, as text; empty for none.
    pub default: &'static str,
    /// The values that the key takes.
    pub takes: &'static str,
    /// Its meaning.
    pub doc: &'static str,
    /// The configuration that it belongs to: `client`, `security`, `producer`, `consumer` or
    /// `group consumer`.
    pub group: &'static str,
}

impl Key {
    /// Whether this is one of its names.
    #[must_use]
    pub fn is_named(&self, key: &str) -> bool {
        self.name == key || self.aliases.contains(&key)
    }
}

impl Properties {
    /// Makes settings without any value.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the text of a Java properties file. If a key is there twice, the last value counts.
    ///
    /// # Errors
    /// If a line is malformed, or [`Properties::set`] refuses a pair.
    pub fn parse(text: &str) -> Result<Self, PropertiesError> {
        let mut properties = Self::new();
        for (key, value) in text::pairs(text)? {
            properties.set(&key, &value)?;
        }
        Ok(properties)
    }

    /// Reads a Java properties file.
    ///
    /// # Errors
    /// If the file cannot be read, or as for [`Properties::parse`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self, PropertiesError> {
        let mut properties = Self::new();
        Self::pairs(path)?.iter().try_for_each(|(key, value)| properties.set(key, value))?;
        Ok(properties)
    }

    /// Returns the pairs of a Java properties file as they are, in order, for a program that has keys of its own.
    ///
    /// # Errors
    /// If the file cannot be read, or a line of it is malformed.
    pub fn pairs(path: impl AsRef<Path>) -> Result<Vec<(String, String)>, PropertiesError> {
        let path = path.as_ref();
        let bytes =
            fs::read(path).map_err(|error| PropertiesError::File { path: path.to_owned(), kind: error.kind() })?;
        text::pairs(&text::decode(bytes))
    }

    /// Reads environment variables: with `KAFKA_` as prefix, `KAFKA_BOOTSTRAP_SERVERS` is `bootstrap.servers`.
    ///
    /// Variables with the prefix that name no key, such as `KAFKA_HOME` or `KAFKA_HEAP_OPTS`, are ignored.
    ///
    /// # Errors
    /// If a key does not take its value, or is one that [`Properties::set`] refuses; the error names the variable.
    pub fn from_env(prefix: &str) -> Result<Self, PropertiesError> {
        let variables =
            env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::from_variables(prefix, variables)
    }

    fn from_variables(
        prefix: &str,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, PropertiesError> {
        let mut properties = Self::new();
        for (name, value) in variables {
            let Some(key) = name.strip_prefix(prefix) else { continue };
            match properties.set(&key.to_ascii_lowercase().replace('_', "."), &value) {
                Ok(()) | Err(PropertiesError::UnknownKey { .. }) => {}
                Err(error) => return Err(PropertiesError::Variable { name, error: Box::new(error) }),
            }
        }
        Ok(properties)
    }

    /// Sets one value, by Java's name of the key or by librdkafka's.
    ///
    /// Keys of other clients that have no effect here, such as `key.serializer`, are accepted with a warning.
    ///
    /// # Errors
    /// If the key is unknown (the error names the one that was probably meant), does not take this value, or is one of
    /// another client that cannot be followed here (the error says what to do instead).
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), PropertiesError> {
        let value = value.trim();
        if let Some((key, why)) = remedy::of(key, value) {
            return Err(PropertiesError::Unusable { key, why });
        }
        let of_client = try_row(keys::CLIENT, key, value, || ClientConfig::new(""));
        let checked = of_client
            .or_else(|| try_row(security::SECURITY, key, value, Security::default))
            .or_else(|| try_row(oauth::OAUTH, key, value, OAuth::default))
            .or_else(|| try_row(keys::PRODUCER, key, value, ProducerConfig::default))
            .or_else(|| try_row(keys::CONSUMER, key, value, ConsumerConfig::default))
            .or_else(|| try_row(keys::GROUP, key, value, nobody));
        match checked {
            Some(name) => {
                self.entries.insert(name?, value.to_owned());
                Ok(())
            }
            None if remedy::is_ignored(key) => {
                warn!(key, "this key of other clients has no effect here");
                Ok(())
            }
            None => Err(PropertiesError::UnknownKey { key: shown(key), nearest: nearest(key, names()) }),
        }
    }

    /// Adds other settings, which replace the values of keys that are in both.
    pub fn extend(&mut self, others: Self) {
        self.entries.extend(others.entries);
    }

    /// Returns the value of a key by its first name, if it is set.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.get(key).map(String::as_str)
    }

    /// Makes the configuration of a client, with TLS and SASL.
    ///
    /// # Errors
    /// If keys of security contradict each other, or one needs another one that is missing. Bootstrap servers may be
    /// missing: they can be set in the result, and connecting without any fails.
    pub fn client(&self) -> Result<ClientConfig, PropertiesError> {
        let mut config = ClientConfig::new("");
        self.apply(keys::CLIENT, &mut config);
        let mut security = Security::default();
        self.apply(security::SECURITY, &mut security);
        let mut oauth = OAuth::default();
        self.apply(oauth::OAUTH, &mut oauth);
        config.sasl = security.sasl(oauth)?;
        #[cfg(feature = "tls")]
        {
            config.tls = security.tls()?;
        }
        #[cfg(not(feature = "tls"))]
        security.tls()?;
        Ok(config)
    }

    /// Makes the configuration of a producer. As in Java, less than `acks=all` turns idempotence off unless it is
    /// asked for.
    ///
    /// # Errors
    /// If `enable.idempotence=true` or a `transactional.id` is set with less than `acks=all`, or a `transactional.id`
    /// without idempotence.
    pub fn producer(&self) -> Result<ProducerConfig, PropertiesError> {
        let mut config = ProducerConfig::default();
        self.apply(keys::PRODUCER, &mut config);
        let is_asked_for = self.get("enable.idempotence").is_some();
        if config.acks != Acks::All {
            if config.transactional_id.is_some() || (is_asked_for && config.idempotence) {
                let why = "idempotence and transactions take acks=all";
                return Err(PropertiesError::Unusable { key: "acks", why });
            }
            config.idempotence = false;
        }
        if config.transactional_id.is_some() && !config.idempotence {
            let why = "a transactional.id takes enable.idempotence=true";
            return Err(PropertiesError::Unusable { key: "enable.idempotence", why });
        }
        Ok(config)
    }

    /// Makes the configuration of a consumer.
    ///
    /// # Errors
    /// None today; there may later be keys that contradict each other.
    pub fn consumer(&self) -> Result<ConsumerConfig, PropertiesError> {
        let mut config = ConsumerConfig::default();
        self.apply(keys::CONSUMER, &mut config);
        Ok(config)
    }

    /// Makes the configuration of a group consumer that reads `subscription`.
    ///
    /// # Errors
    /// If `group.id` is missing, `heartbeat.interval.ms` is not below `session.timeout.ms`, or a key does not belong to
    /// the `group.protocol`: as in Java, the broker's settings count in the consumer protocol, and a value that has no
    /// effect would mislead.
    pub fn group_consumer(&self, subscription: Subscription) -> Result<GroupConsumerConfig, PropertiesError> {
        let why = "consumers of a group share the partitions by it";
        let group_id = self.get("group.id").ok_or(PropertiesError::Missing { key: "group.id", why })?;
        let mut config = GroupConsumerConfig::new(group_id, subscription);
        config.fetch = self.consumer()?;
        config.isolation = config.fetch.isolation;
        if self.get("auto.offset.reset").is_some() {
            config.auto_offset_reset = config.fetch.reset;
        }
        self.apply(keys::GROUP, &mut config);
        let (unusable, why) = match config.group_protocol {
            GroupProtocol::Classic => (&keys::OF_CONSUMER_PROTOCOL[..], "it takes group.protocol=consumer"),
            GroupProtocol::Consumer => (
                &keys::OF_CLASSIC_PROTOCOL[..],
                "with group.protocol=consumer the broker's setting counts: leave it out",
            ),
        };
        if let Some(key) = unusable.iter().find(|key| self.get(key).is_some()) {
            return Err(PropertiesError::Unusable { key, why });
        }
        if config.group_protocol == GroupProtocol::Classic && config.heartbeat_interval >= config.session_timeout {
            let why = "it has to be below session.timeout.ms, at most a third of it";
            return Err(PropertiesError::Unusable { key: "heartbeat.interval.ms", why });
        }
        Ok(config)
    }

    /// Returns every key, in the order of the reference.
    pub fn keys() -> impl Iterator<Item = Key> {
        let client = keys::CLIENT.iter().map(|row| key(row, "client"));
        let security = security::SECURITY.iter().map(|row| key(row, "security"));
        let security = security.chain(oauth::OAUTH.iter().map(|row| key(row, "security")));
        let producer = keys::PRODUCER.iter().map(|row| key(row, "producer"));
        let consumer = keys::CONSUMER.iter().map(|row| key(row, "consumer"));
        let group = keys::GROUP.iter().map(|row| key(row, "group consumer"));
        client.chain(security).chain(producer).chain(consumer).chain(group)
    }

    fn apply<C>(&self, rows: &[Row<C>], config: &mut C) {
        for row in rows {
            if let Some(value) = self.entries.get(row.name) {
                let is_taken = (row.set)(config, value);
                debug_assert!(is_taken, "{} was checked when it was set", row.name);
            }
        }
    }
}

/// Shows no secrets.
impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_secret = |name: &str| {
            security::SECURITY.iter().any(|row| row.name == name && row.is_secret)
                || oauth::OAUTH.iter().any(|row| row.name == name && row.is_secret)
        };
        let entries =
            self.entries.iter().map(|(name, value)| (name, if is_secret(name) { "[hidden]" } else { value.as_str() }));
        f.debug_map().entries(entries).finish()
    }
}

impl ClientConfig {
    /// Makes a configuration from the text of a Java properties file; see [`Properties`]. Keys of producers and
    /// consumers may be in it.
    ///
    /// # Errors
    /// As for [`Properties::parse`] and [`Properties::client`].
    pub fn from_properties(text: &str) -> Result<Self, PropertiesError> {
        Properties::parse(text)?.client()
    }
}

/// The known key that was probably meant: the closest one, when at most a third of the characters differ from it (by
/// Damerau and Levenshtein: added, missing, other, and swapped ones). Beyond that a suggestion is noise.
pub fn nearest<'a>(key: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, known) =
        known.map(|known| (strsim::damerau_levenshtein(known, key), known)).min_by_key(|(distance, _)| *distance)?;
    (distance * 3 <= key.chars().count()).then_some(known)
}

/// Returns an unknown key, if it can be one. A line of a certificate or a key is longer than every word of a key, or
/// has other characters; so has a login module's line.
fn shown(key: &str) -> Option<String> {
    let is_word = |word: &str| {
        word.len() <= WORD_MAX && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    key.split('.').all(is_word).then(|| key.to_owned())
}

/// More than the longest word of a key of Kafka has.
const WORD_MAX: usize = 24;

/// A group consumer for checking values.
fn nobody() -> GroupConsumerConfig {
    GroupConsumerConfig::new("", Subscription::Topics(Vec::new()))
}

fn names() -> impl Iterator<Item = &'static str> {
    Properties::keys().flat_map(|key| std::iter::once(key.name).chain(key.aliases.iter().copied()))
}

fn key<C>(row: &Row<C>, group: &'static str) -> Key {
    let Row { name, aliases, default, takes, doc, .. } = *row;
    Key { name, aliases, default, takes, doc, group }
}

/// Returns the first name of the key, if a row of this table has it and takes the value.
fn try_row<C>(
    rows: &[Row<C>],
    key: &str,
    value: &str,
    fresh: impl FnOnce() -> C,
) -> Option<Result<&'static str, PropertiesError>> {
    let row = rows.iter().find(|row| row.is_named(key))?;
    let error = || PropertiesError::InvalidValue {
        key: row.name,
        value: (!row.is_secret || value.is_empty()).then(|| value.to_owned()),
        expected: row.takes,
    };
    Some(if (row.set)(&mut fresh(), value) { Ok(row.name) } else { Err(error()) })
}

#[cfg(test)]
mod tests;
