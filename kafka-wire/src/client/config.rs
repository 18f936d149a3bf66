//! Settings of a client.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::Sasl;
#[cfg(feature = "tls")]
use super::TlsConfig;
use crate::wire::Str;

/// Settings of a [`super::Client`]. Start from [`ClientConfig::new`] and change what differs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientConfig {
    /// `host:port` of brokers to begin with; any one that answers is enough. They are kept, for when every known
    /// broker is gone.
    pub bootstrap_servers: Vec<String>,
    /// Name of this client in the brokers' logs, metrics and quotas.
    pub client_id: Str,
    /// From handing a request over until it fails for want of an answer; also how long an operation that retries goes
    /// on.
    pub request_timeout: Duration,
    /// For one connection: resolving, connecting and negotiating versions.
    pub connect_timeout: Duration,
    /// For [`super::Client::connect`] as a whole, shared by the bootstrap addresses.
    pub bootstrap_timeout: Duration,
    /// First pause before something that failed is tried again; it doubles up to `retry_backoff_max`, with 20 % of
    /// chance.
    pub retry_backoff_min: Duration,
    /// Longest pause before something that failed is tried again.
    pub retry_backoff_max: Duration,
    /// Age at which a topic's metadata is asked for again, although nothing failed.
    pub metadata_max_age: Duration,
    /// How long a topic may be unknown to the brokers before it counts as missing: a new one takes a moment to get
    /// around.
    pub missing_topic_timeout: Duration,
    /// Largest frame that is accepted from a broker, in bytes. A larger one ends its connection. It has to exceed the
    /// largest record batch of the cluster (`message.max.bytes`), since brokers send one batch whole, whatever was
    /// asked for.
    pub frame_limit: usize,
    /// Requests that may wait to be written on one connection. One more fails as not sent.
    pub queue_limit: usize,
    /// TLS, for brokers' SSL and SASL_SSL listeners. Default: none.
    #[cfg(feature = "tls")]
    pub tls: Option<TlsConfig>,
    /// Who the client is, for brokers' SASL_PLAINTEXT and SASL_SSL listeners. Default: nobody.
    pub sasl: Option<Sasl>,
    /// Decides the pauses between attempts. Drawn anew for each client, so that clients do not retry in step.
    pub seed: u64,
}

impl ClientConfig {
    /// The defaults, with `bootstrap_servers` as a list separated by commas: `"a:9092,b:9092"`.
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_separated_by_commas() {
        assert_eq!(ClientConfig::new(" a:1, b:2 ,").bootstrap_servers, ["a:1", "b:2"]);
    }
}
