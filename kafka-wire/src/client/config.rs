//! Settings of a client.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::Sasl;
#[cfg(feature = "tls")]
use super::TlsConfig;
use crate::wire::Str;

/// Settings of a [`super::Client`]. Start from [`ClientConfig::new`] and change single fields.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientConfig {
    /// `host:port` of the first brokers to try; any one that answers is enough. They are kept for the case that every
    /// known broker is gone.
    pub bootstrap_servers: Vec<String>,
    /// Name of this client in the brokers' logs, metrics and quotas.
    pub client_id: Str,
    /// Time from handing a request over until it fails for lack of an answer; also the time for which
    /// an operation retries.
    pub request_timeout: Duration,
    /// Time for one connection: resolving, connecting and negotiating versions.
    pub connect_timeout: Duration,
    /// Time for [`super::Client::connect`] as a whole, shared by the bootstrap addresses.
    pub bootstrap_timeout: Duration,
    /// First pause before a retry; it doubles up to `retry_backoff_max`, plus or minus 20 % of jitter. Less than 20 ms
    /// counts as 20 ms: a client without pauses would ask brokers that fail as fast as they do.
    pub retry_backoff_min: Duration,
    /// Longest pause before a retry. Less than 20 ms counts as 20 ms.
    pub retry_backoff_max: Duration,
    /// Age at which a topic's metadata is refreshed even if nothing has failed. Less than 100 ms counts as 100 ms.
    pub metadata_max_age: Duration,
    /// Time for which a topic may be unknown to the brokers before it counts as missing: a new one takes a moment
    /// to spread.
    pub missing_topic_timeout: Duration,
    /// Largest frame in bytes that is accepted from a broker. A larger one ends its connection. It has to exceed
    /// the largest record batch of the cluster (`message.max.bytes`), because brokers send at least one whole batch,
    /// whatever size was requested.
    pub frame_limit: usize,
    /// Requests that may wait to be written on one connection. Further ones fail as not sent.
    pub queue_limit: usize,
    /// TLS, for brokers' SSL and SASL_SSL listeners. Default: none.
    #[cfg(feature = "tls")]
    pub tls: Option<TlsConfig>,
    /// Authentication of the client, for brokers' SASL_PLAINTEXT and SASL_SSL listeners. Default: none.
    pub sasl: Option<Sasl>,
    /// Seed of the pauses between attempts. It is drawn anew for each client, so that clients do not retry in step.
    pub seed: u64,
}

impl ClientConfig {
    /// The default settings, with `bootstrap_servers` as a list separated by commas: `"a:9092,b:9092"`.
    ///
    /// The text is checked by [`super::Client::connect`].
    #[must_use]
    pub fn new(bootstrap_servers: &str) -> Self {
        let servers = bootstrap_servers.split(',').map(str::trim).filter(|server| !server.is_empty());
        Self {
            bootstrap_servers: servers.map(str::to_owned).collect(),
            client_id: Str::from_static("waterwheel"),
            request_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(4),
            bootstrap_timeout: Duration::from_millis(4_500),
            retry_backoff_min: Duration::from_millis(50),
            retry_backoff_max: Duration::from_secs(1),
            metadata_max_age: Duration::from_secs(300),
            missing_topic_timeout: Duration::from_secs(5),
            frame_limit: 100 * 1024 * 1024,
            queue_limit: 1_000,
            #[cfg(feature = "tls")]
            tls: None,
            sasl: None,
            seed: RandomState::new().hash_one("kafka-wire"),
        }
    }

    /// These settings, without pauses of zero.
    pub(super) fn bounded(self) -> Self {
        Self {
            retry_backoff_min: self.retry_backoff_min.max(RETRY_BACKOFF_LEAST),
            retry_backoff_max: self.retry_backoff_max.max(RETRY_BACKOFF_LEAST),
            metadata_max_age: self.metadata_max_age.max(METADATA_AGE_LEAST),
            ..self
        }
    }
}

const RETRY_BACKOFF_LEAST: Duration = Duration::from_millis(20);
const METADATA_AGE_LEAST: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_separated_by_commas() {
        assert_eq!(ClientConfig::new(" a:1, b:2 ,").bootstrap_servers, ["a:1", "b:2"]);
    }
}
