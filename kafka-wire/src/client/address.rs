//! The address of a broker.

use std::fmt;

use crate::wire::Str;

/// The address that a broker listens on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// A name or an IP address, IPv6 without brackets.
    pub host: Str,
    /// TCP port.
    pub port: u16,
}

impl Address {
    /// Parses `host:port` and `[v6]:port`; also `PLAINTEXT://host:port`, as brokers write it in their configuration.
    ///
    /// `None` for any other text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let address = text.strip_prefix("PLAINTEXT://").unwrap_or(text);
        let (host, port) = address.rsplit_once(':')?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_ambiguous = bare.is_none() && host.contains(':');
        let host = bare.unwrap_or(host);
        let port = port.parse().ok().filter(|port| *port > 0)?;
        if host.is_empty() || is_ambiguous || host.contains('/') {
            return None;
        }
        Some(Self { host: Str::from(host), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown() {
        for (text, shown) in [
            ("localhost:9092", "localhost:9092"),
            ("[::1]:9092", "[::1]:9092"),
            ("PLAINTEXT://kafka.internal:1", "kafka.internal:1"),
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), shown);
        }
        for text in ["", "localhost", "localhost:", ":9092", "localhost:0", "::1:9092", "h:99999", "http://h:80"] {
            assert_eq!(Address::parse(text), None, "{text}");
        }
    }
}
