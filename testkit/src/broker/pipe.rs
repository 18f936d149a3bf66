//! Connections to the broker that need no socket.

use std::io;
use std::sync::{Arc, Weak};

use kafka_wire::client::{BoxFuture, Connector, DialError, Transport};
use kafka_wire::wire::Str;
use tokio::runtime::Handle;

use super::connection::Peer;
use super::server::Server;

/// Connects clients to a [`Broker`](super::Broker) over in-memory pipes, whatever address they ask for.
///
/// It does not keep the broker alive: once the broker has stopped, connections are refused.
#[derive(Clone, Debug)]
pub struct Pipe {
    server: Weak<Server>,
    /// The runtime of the broker's side of each pipe.
    runtime: Handle,
}

impl Pipe {
    pub(super) fn new(server: &Arc<Server>, runtime: Handle) -> Self {
        Self { server: Arc::downgrade(server), runtime }
    }
}

impl Connector for Pipe {
    fn connect(&self, _host: Str, _port: u16) -> BoxFuture<Result<Box<dyn Transport>, DialError>> {
        let server = self.server.upgrade();
        let runtime = self.runtime.clone();
        Box::pin(async move {
            let server = server.ok_or(DialError::Connect(io::ErrorKind::ConnectionRefused))?;
            let (near, far) = tokio::io::duplex(PIPE_BYTES);
            let (reader, writer) = tokio::io::split(far);
            runtime.spawn(server.serve(Peer::from("/pipe"), reader, writer));
            Ok(Box::new(near) as Box<dyn Transport>)
        })
    }
}

/// Bytes that one side may write before the other has to read.
const PIPE_BYTES: usize = 64 * 1024;
