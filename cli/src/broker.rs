//! `waterwheel broker`: the embedded broker alone.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;
use testkit::broker::{Broker, BrokerConfig, SaslConfig, SaslMechanism};
use tracing::warn;

use crate::output::note;
use crate::signal::Stop;
use crate::users;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 9092, conflicts_with = "listen")]
    port: u16,
    // The doc comment is the text of --help, where `[::]` is an address and no link.
    #[allow(rustdoc::broken_intra_doc_links)]
    /// Address to listen on, instead of --port on 127.0.0.1; 0.0.0.0 or [::] for every address of this machine, port 0
    /// for a free one. Whoever can connect can do everything: the broker is for development.
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<Address>,
    /// Address that clients are told to connect to. Default: that of --listen; where it listens on every address, the
    /// one that the client has reached.
    #[arg(long, value_name = "HOST:PORT", value_parser = advertised)]
    advertise: Option<Address>,
    /// Partitions of a topic that a client's first use creates.
    #[arg(long, default_value_t = 1)]
    partitions: i32,
    /// Finalized level of the feature transaction.version: 2 has KIP-890.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(i16).range(1..=2))]
    transaction_version: i16,
    /// Memory for records and requests under way, in bytes or as 512M, 2G; beyond it Produce is refused.
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = size_bytes)]
    memory: u64,
    /// File of users who may connect, a line NAME=PASSWORD for each: the listener is SASL_PLAINTEXT then. Without it
    /// nobody is asked for a password.
    #[arg(long, value_name = "FILE")]
    sasl_users: Option<PathBuf>,
    /// Mechanisms that these users may use: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512. Default: all of them.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "sasl_users", value_parser = users::mechanism)]
    sasl_mechanisms: Vec<SaslMechanism>,
}

impl Options {
    /// Returns the SASL listener, if users are given.
    fn sasl(&self) -> Result<Option<SaslConfig>, String> {
        let Some(file) = &self.sasl_users else { return Ok(None) };
        let mut sasl = SaslConfig::default();
        sasl.users = users::read(file)?;
        sasl.mechanisms =
            if self.sasl_mechanisms.is_empty() { users::ALL.to_vec() } else { self.sasl_mechanisms.clone() };
        Ok(Some(sasl))
    }
}

/// Serves until Ctrl-C or SIGTERM.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let sasl = options.sasl()?;
    let asks = sasl.is_some();
    let mut stop = Stop::listen()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let local = Address { host: "127.0.0.1".to_owned(), port: options.port };
        let listen = options.listen.as_ref().unwrap_or(&local);
        let config = BrokerConfig {
            host: listen.host.clone(),
            port: listen.port,
            advertised: options.advertise.clone().map(|Address { host, port }| (host, port)),
            default_partitions: options.partitions,
            transaction_version: options.transaction_version,
            memory_bytes: options.memory,
            sasl,
            ..BrokerConfig::default()
        };
        let choose = if options.listen.is_some() { "--listen" } else { "--port" };
        let broker = Broker::start(config)
            .await
            .map_err(|error| format!("cannot listen on {listen}: {error}; choose another {choose}"))?;
        if !broker.is_local() {
            warn_of_reach(&broker.listens_on().to_string(), asks);
        }
        let login = if asks { " with security.protocol=SASL_PLAINTEXT" } else { "" };
        note!("broker  {}  (embedded, in memory; attach: kcat -b {0} -L{login}; stop: Ctrl-C)", broker.address());
        let signal = stop.wait().await;
        broker.shutdown().await;
        note!("broker  stopped by {}", signal.name());
        Ok(ExitCode::SUCCESS)
    })
}

/// Warns that others than this machine can connect.
fn warn_of_reach(address: &str, asks: bool) {
    let (passwords, who) = if asks { ("", "reads a password on its way to") } else { ("no passwords, ", "can reach") };
    warn!(
        "this broker is for development: {passwords}no encryption, everything in memory; whoever {who} {address} can \
         read, write and delete all of it"
    );
}

/// A host and a port, as given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Address {
    /// A name or an IP address, IPv6 without brackets.
    host: String,
    port: u16,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || format!("{text:?} is not of the form HOST:PORT, like 0.0.0.0:9092 or [::1]:9092");
        let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_ambiguous = bare.is_none() && host.contains(':');
        let host = bare.unwrap_or(host);
        if host.is_empty() || is_ambiguous || host.contains(['/', '[', ']', ' ']) {
            return Err(bad());
        }
        Ok(Self { host: host.to_owned(), port: port.parse().map_err(|_| bad())? })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Parses an address that a client can connect to.
fn advertised(text: &str) -> Result<Address, String> {
    let address: Address = text.parse()?;
    if address.port == 0 || matches!(&*address.host, "0.0.0.0" | "::") {
        return Err(format!("nobody can connect to {address}: name an address that clients reach"));
    }
    Ok(address)
}

/// Parses a number of bytes, with an optional K, M or G for powers of 1024.
fn size_bytes(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 10),
        Some((at, 'm' | 'M')) => (&text[..at], 20),
        Some((at, 'g' | 'G')) => (&text[..at], 30),
        _ => (text, 0),
    };
    let number: u64 = digits.parse().map_err(|_| format!("{text} is no size such as 512M or 2G"))?;
    match number.checked_mul(1 << shift) {
        Some(bytes) if bytes >= MEMORY_MIN => Ok(bytes),
        Some(_) => Err("a broker needs 16M at least".to_owned()),
        None => Err(format!("{text} is more than a machine has")),
    }
}

/// Enough for a request and an answer of 1 MiB each, the sizes of clients with default settings.
const MEMORY_MIN: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown() {
        for text in ["127.0.0.1:9092", "0.0.0.0:0", "[::1]:9092", "broker.internal:1"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in ["", "9092", ":9092", "host", "host:", "host:99999", "::1:9092", "http://host:1", "[::1:9092"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
        for text in ["0.0.0.0:9092", "[::]:9092", "host:0"] {
            assert!(advertised(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_with_their_units() {
        assert_eq!(size_bytes("512M"), Ok(512 << 20));
        assert_eq!(size_bytes("2g"), Ok(2 << 30));
        assert_eq!(size_bytes("65536k"), Ok(64 << 20));
        assert_eq!(size_bytes("33554432"), Ok(32 << 20));
        for wrong in ["", "M", "-1G", "1.5G", "1T", "8M", "99999999999G"] {
            assert!(size_bytes(wrong).is_err(), "{wrong}");
        }
    }
}
