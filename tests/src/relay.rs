//! A relay in front of a broker that any client can be told to connect to, in this process or in another one, and that
//! cuts its connections when the test says so. For clients of ours in this process, `testkit::proxy` can do much more.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Passes connections on to a broker. Dropping it closes them all.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    broker: watch::Sender<Option<SocketAddr>>,
    /// Counts the cuts: connections that are older than the last one close.
    cuts: Arc<watch::Sender<u64>>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Listens on a free port of 127.0.0.1. Connections wait until [`Relay::leads_to`] has named the broker, which may
    /// need to know this address first, in order to advertise it.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port of the loopback is free");
        let address = listener.local_addr().expect("it is bound");
        let (broker, leads_to) = watch::channel(None);
        let cuts = Arc::new(watch::channel(0).0);
        let task = tokio::spawn(accept(listener, leads_to, Arc::clone(&cuts)));
        Self { address, broker, cuts, task }
    }

    /// The address that it listens on.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Names the broker.
    pub fn leads_to(&self, broker: SocketAddr) {
        self.broker.send_replace(Some(broker));
    }

    /// Closes all connections.
    pub fn cut(&self) {
        self.cuts.send_modify(|count| *count += 1);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, broker: watch::Receiver<Option<SocketAddr>>, cuts: Arc<watch::Sender<u64>>) {
    while let Ok((client, _)) = listener.accept().await {
        let (broker, mut cuts) = (broker.clone(), cuts.subscribe());
        tokio::spawn(async move {
            tokio::select! {
                _ = cuts.changed() => {}
                () = carry(client, broker) => {}
            }
        });
    }
}

async fn carry(mut client: TcpStream, mut broker: watch::Receiver<Option<SocketAddr>>) {
    let Ok(address) = broker.wait_for(Option::is_some).await.map(|address| *address) else { return };
    let Some(address) = address else { return };
    // The client sees the end of a connection that fails, whatever the reason.
    let Ok(mut broker) = TcpStream::connect(address).await else { return };
    let _ = (client.set_nodelay(true), broker.set_nodelay(true));
    let _ = copy_bidirectional(&mut client, &mut broker).await;
}
