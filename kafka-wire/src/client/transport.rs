//! Byte streams to brokers: TCP, or those of another [`Connector`].

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::wire::Str;

/// A byte stream in both directions.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport for T {}

/// A boxed future, as trait objects need it.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Opens byte streams to addresses: the interface for TLS, proxies and in-memory brokers.
pub trait Connector: Send + Sync + 'static {
    /// Opens a stream to `port` of `host`, a name or an IP address. The caller limits the time by dropping the future.
    fn connect(&self, host: Str, port: u16) -> BoxFuture<Result<Box<dyn Transport>, DialError>>;
}

/// Plain TCP, to names as this machine resolves them.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpConnector;

impl Connector for TcpConnector {
    fn connect(&self, host: Str, port: u16) -> BoxFuture<Result<Box<dyn Transport>, DialError>> {
        Box::pin(async move {
            let resolved = lookup_host((&*host, port)).await;
            let addresses = resolved.map_err(|error| DialError::Resolve { reason: error.to_string() })?;
            let stream = dial(addresses, TcpStream::connect).await?;
            // Requests are sent as whole frames already; waiting for more data would only add latency.
            stream.set_nodelay(true).map_err(|error| DialError::Connect(error.kind()))?;
            Ok(Box::new(stream) as Box<dyn Transport>)
        })
    }
}

/// Connects to one of these addresses: the first that accepts.
///
/// The next one is tried when one fails, and when one is silent for a moment, which may be for minutes; that one may
/// still win. Source: RFC 8305.
async fn dial<T, F>(
    addresses: impl Iterator<Item = SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> Result<T, DialError>
where
    T: Send + 'static,
    F: Future<Output = io::Result<T>> + Send + 'static,
{
    let mut addresses = addresses.fuse();
    let mut attempts = JoinSet::new();
    let mut failure = DialError::Resolve { reason: "no addresses".to_owned() };
    loop {
        let begun = addresses.next().map(|address| attempts.spawn(connect(address)));
        let ended = match begun {
            Some(_) => timeout(HEAD_START, attempts.join_next()).await.ok(),
            None => Some(attempts.join_next().await),
        };
        match ended {
            Some(Some(Ok(Ok(stream)))) => return Ok(stream),
            Some(Some(Ok(Err(error)))) => failure = DialError::Connect(error.kind()),
            Some(None) => return Err(failure),
            // Silence; or the end of the runtime, which alone cancels attempts, and ends this one too.
            None | Some(Some(Err(_))) => {}
        }
    }
}

/// Time after which the next address of a name is tried. Source: RFC 8305, section 5.
const HEAD_START: Duration = Duration::from_millis(250);

/// The reason why there is no stream to an address.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DialError {
    /// The name has no address.
    Resolve {
        /// The reason, in the resolver's words.
        reason: String,
    },
    /// No address of the name accepts a connection; this is the last error.
    Connect(io::ErrorKind),
    /// The peer accepts connections, and TLS with it failed.
    ///
    /// A stream that is already open may also return it, inside an [`io::Error`]: with TLS 1.3, a broker checks
    /// the client's certificate when the handshake is over for the client.
    Tls {
        /// The kind of the problem, which tells the side at fault.
        problem: TlsProblem,
        /// The reason, in the words of the TLS library.
        reason: String,
    },
}

/// The kinds of problems of TLS with a broker; each is shown with advice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsProblem {
    /// No authority of `ssl.truststore.certificates` has signed the broker's certificate.
    UnknownAuthority,
    /// The broker's certificate is for other names than the dialled one.
    NameMismatch,
    /// The broker's certificate has expired, or is not valid yet.
    Expired,
    /// The broker's certificate cannot be used for another reason.
    BadCertificate,
    /// The broker demands a certificate of the client, and none is configured.
    CertificateRequired,
    /// The broker does not accept the client's certificate.
    CertificateRefused,
    /// The peer answers with another protocol than TLS, or closes the connection on the first message.
    NotTls,
    /// The two sides have no version, cipher suite or key exchange in common.
    Incompatible,
    /// The name of the server cannot occur in a certificate.
    BadName,
    /// Any other problem.
    Other,
}

impl fmt::Display for TlsProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownAuthority => "the broker's certificate is signed by no authority that this client trusts",
            Self::NameMismatch => "the broker's certificate is for other names",
            Self::Expired => "the broker's certificate has expired or is not valid yet",
            Self::BadCertificate => "the broker's certificate cannot be used",
            Self::CertificateRequired => "the broker requires a certificate of the client",
            Self::CertificateRefused => "the broker does not accept the certificate of this client",
            Self::NotTls => "the peer does not speak TLS",
            Self::Incompatible => "the broker and this client have no TLS version or cipher suite in common",
            Self::BadName => "no certificate can be for this name",
            Self::Other => "TLS failed",
        })
    }
}

impl TlsProblem {
    /// The advice for a problem.
    const fn advice(self) -> &'static str {
        match self {
            Self::UnknownAuthority => {
                "Add the certificate of the authority that signed it to ssl.truststore.certificates, or to the file that \
                 ssl.truststore.location names; one without basicConstraints CA:TRUE is no authority and counts for \
                 itself alone"
            }
            Self::NameMismatch => {
                "Dial one of its names (bootstrap.servers, and advertised.listeners of the broker), give the broker a \
                 certificate with this one, or set the server name to expect"
            }
            Self::Expired => "Renew it, or set this machine's clock",
            Self::BadCertificate => {
                "Give the broker a certificate of X.509 version 3 that is meant for servers, with a key of RSA of 2048 bits or \
                 more, EC on P-256 or P-384, or Ed25519"
            }
            Self::CertificateRequired => "Set ssl.keystore.certificate.chain and ssl.keystore.key",
            Self::CertificateRefused => {
                "Check that ssl.keystore.certificate.chain is signed by an authority in the broker's truststore, is \
                 meant for clients and has not expired"
            }
            Self::NotTls => "Check that the port is that of an SSL listener",
            Self::Incompatible => {
                "Let the broker take TLS 1.2 or 1.3 (ssl.enabled.protocols), with ECDHE and AES-GCM or ChaCha20, and \
                 give it a key of RSA of 2048 bits or more, EC on P-256 or P-384, or Ed25519 (not EC on P-521). With TLS 1.2 it may also be that the broker requires a certificate of the client"
            }
            Self::BadName => "Use a DNS name or an IP address, or set the server name to expect",
            Self::Other => "The log of the broker may say more",
        }
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve { reason } => write!(f, "the name does not resolve ({reason})"),
            Self::Connect(kind) => kind.fmt(f),
            Self::Tls { problem, reason } => write!(f, "{problem} ({reason}). {}", problem.advice()),
        }
    }
}

impl std::error::Error for DialError {}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::Instant;

    use super::*;

    const REFUSES: u16 = 1;
    const SWALLOWS: u16 = 2;
    const IS_SLOW: u16 = 3;
    const ACCEPTS: u16 = 4;

    /// Dials addresses that react by their ports; returns the port that has accepted, and the time until then.
    async fn dialled(ports: &[u16]) -> (Result<u16, DialError>, Duration) {
        let start = Instant::now();
        let connect = |address: SocketAddr| -> BoxFuture<io::Result<u16>> {
            match address.port() {
                REFUSES => Box::pin(ready(Err(io::ErrorKind::ConnectionRefused.into()))),
                SWALLOWS => Box::pin(pending()),
                IS_SLOW => Box::pin(async {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    Ok(IS_SLOW)
                }),
                port => Box::pin(ready(Ok(port))),
            }
        };
        let addresses: Vec<_> = ports.iter().map(|port| SocketAddr::from(([127, 0, 0, 1], *port))).collect();
        let outcome = timeout(Duration::from_secs(4), dial(addresses.into_iter(), connect)).await;
        (outcome.unwrap_or(Err(DialError::Connect(io::ErrorKind::TimedOut))), start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_swallows_packets_does_not_hide_the_next_one() {
        assert_eq!(dialled(&[SWALLOWS, ACCEPTS]).await, (Ok(ACCEPTS), HEAD_START));
        assert_eq!(dialled(&[REFUSES, SWALLOWS, REFUSES, ACCEPTS]).await, (Ok(ACCEPTS), HEAD_START));
        assert_eq!(dialled(&[ACCEPTS, SWALLOWS]).await, (Ok(ACCEPTS), Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_address_is_not_given_up_for_the_next_one() {
        assert_eq!(dialled(&[IS_SLOW, SWALLOWS, REFUSES]).await, (Ok(IS_SLOW), Duration::from_secs(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_whose_addresses_refuse_fails_at_once() {
        let refused = Err(DialError::Connect(io::ErrorKind::ConnectionRefused));
        assert_eq!(dialled(&[REFUSES, REFUSES]).await, (refused, Duration::ZERO));
        assert!(matches!(dialled(&[]).await, (Err(DialError::Resolve { .. }), Duration::ZERO)));
    }
}
