//! Byte streams to brokers: TCP, or whatever a [`Connector`] makes.

use std::fmt;
use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};

use crate::wire::Str;

/// A byte stream in both directions.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport for T {}

/// A future behind a pointer, as trait objects need it.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Opens byte streams to addresses: the seam for TLS, proxies and in-memory brokers.
pub trait Connector: Send + Sync + 'static {
    /// Opens a stream to `port` of `host`, a name or an IP address. The caller bounds the time by dropping the future.
    fn connect(&self, host: Str, port: u16) -> BoxFuture<Result<Box<dyn Transport>, DialError>>;
}

/// Plain TCP, by the names that this machine resolves.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpConnector;

impl Connector for TcpConnector {
    fn connect(&self, host: Str, port: u16) -> BoxFuture<Result<Box<dyn Transport>, DialError>> {
        Box::pin(async move {
            let resolved = lookup_host((&*host, port)).await;
            let addresses = resolved.map_err(|error| DialError::Resolve { reason: error.to_string() })?;
            let mut failure = DialError::Resolve { reason: "no addresses".to_owned() };
            for address in addresses {
                match TcpStream::connect(address).await {
                    Ok(stream) => {
                        // Requests leave in whole frames already; waiting for more would only add latency.
                        stream.set_nodelay(true).map_err(|error| DialError::Connect(error.kind()))?;
                        return Ok(Box::new(stream) as Box<dyn Transport>);
                    }
                    Err(error) => failure = DialError::Connect(error.kind()),
                }
            }
            Err(failure)
        })
    }
}

/// Why there is no stream to an address.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DialError {
    /// The name has no address.
    Resolve {
        /// In the resolver's words.
        reason: String,
    },
    /// No address that the name has accepts a connection; the last one's reason.
    Connect(io::ErrorKind),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve { reason } => write!(f, "the name does not resolve ({reason})"),
            Self::Connect(kind) => kind.fmt(f),
        }
    }
}

impl std::error::Error for DialError {}
