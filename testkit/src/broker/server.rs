//! Runs a [`Core`] on tokio: one task per connection, one for the timers, the core behind a mutex.
//!
//! A connection's task reads ahead while its request waits, up to a limit, so that it notices a client that has gone.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use kafka_wire::time::Moment;
use kafka_wire::types::TimestampMs;
use kafka_wire::wire::Str;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tracing::debug;

use super::frames::{split_frame, write_frame};
use super::{BrokerConfig, ConnectionId, Core, Output, Peer};

#[derive(Debug)]
pub(super) struct Server {
    hub: Mutex<Hub>,
    /// Told when the core's next timeout has come nearer.
    timer: Notify,
    /// Set once, when the broker is to stop; its receivers are the tasks that have not ended.
    stop: watch::Sender<bool>,
    start: Instant,
    frame_limit_bytes: usize,
}

/// The core, and where its outputs go.
#[derive(Debug)]
struct Hub {
    core: Core,
    /// A connection has at most one request in the core at a time, so a queue holds at most its answer and its end.
    queues: BTreeMap<ConnectionId, mpsc::UnboundedSender<Output>>,
    /// What the timer task sleeps until.
    scheduled: Option<Moment>,
}

impl Server {
    pub(super) fn new(config: BrokerConfig, host: &str, port: u16) -> Self {
        let seed = config.seed.unwrap_or_else(|| RandomState::new().hash_one("broker"));
        let config = BrokerConfig { start_timestamp: wall_clock(), seed: Some(seed), ..config };
        let frame_limit_bytes = config.frame_limit_bytes;
        let hub = Hub { core: Core::new(config, host, port), queues: BTreeMap::new(), scheduled: None };
        Self {
            hub: Mutex::new(hub),
            timer: Notify::new(),
            stop: watch::Sender::new(false),
            start: Instant::now(),
            frame_limit_bytes,
        }
    }

    /// Runs `change` on the core, then hands its outputs to their connections.
    pub(super) fn with_core<T>(&self, change: impl FnOnce(&mut Core) -> T) -> T {
        let mut hub = self.lock();
        let result = change(&mut hub.core);
        let due = hub.deliver();
        if due.is_some_and(|due| hub.scheduled.is_none_or(|scheduled| due < scheduled)) {
            self.timer.notify_one();
        }
        result
    }

    /// Tells every task to stop.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until the broker is to stop.
    pub(super) async fn stopped(&self) {
        told_to_stop(&mut self.stop.subscribe()).await;
    }

    /// Waits until every task has ended.
    pub(super) async fn ended(&self) {
        self.stop.closed().await;
    }

    /// Accepts connections until the broker stops.
    pub(super) async fn accept(self: Arc<Self>, listener: TcpListener) {
        // In this order: the listener is closed before the task counts as ended.
        let (mut stop, listener) = (self.stop.subscribe(), listener);
        let is_unspecified = listener.local_addr().is_ok_and(|local| local.ip().is_unspecified());
        let listens_everywhere = is_unspecified && self.lock().core.state().config.advertised.is_none();
        loop {
            let (stream, peer) = tokio::select! {
                biased;
                () = told_to_stop(&mut stop) => return,
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        // Out of file handles, or the peer is gone already: neither is a reason to stop.
                        debug!(%error, "accept failed");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
            };
            // Answers are small and awaited: Nagle's algorithm would only add a delay.
            let _ = stream.set_nodelay(true);
            let reached =
                listens_everywhere.then(|| stream.local_addr().ok()).flatten().map(|local| text_of(local.ip()));
            let peer = Peer { host: Str::from(format!("/{}", text_of(peer.ip()))), reached };
            let (reader, writer) = stream.into_split();
            tokio::spawn(Arc::clone(&self).serve(peer, reader, writer));
        }
    }

    /// Serves one connection until either side ends it or the broker stops.
    pub(super) async fn serve<R, W>(self: Arc<Self>, peer: Peer, reader: R, writer: W)
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut stop = self.stop.subscribe();
        let (queue, outputs) = mpsc::unbounded_channel();
        let connection = {
            let mut hub = self.lock();
            let connection = hub.core.connect_from(peer);
            hub.queues.insert(connection, queue);
            connection
        };
        let ended = tokio::select! {
            biased;
            () = told_to_stop(&mut stop) => Ok(()),
            ended = self.exchange(connection, reader, writer, outputs) => ended,
        };
        debug!(connection = connection.0, ?ended, "connection closed");
        self.with_core(|core| core.disconnect(connection));
        self.lock().queues.remove(&connection);
    }

    /// Requests in, answers out, one at a time.
    async fn exchange<R, W>(
        &self,
        connection: ConnectionId,
        mut reader: R,
        mut writer: W,
        mut outputs: mpsc::UnboundedReceiver<Output>,
    ) -> io::Result<()>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        let mut busy = false;
        loop {
            while let Ok(output) = outputs.try_recv() {
                let Output::Send { frame, .. } = output else { return Ok(()) };
                busy = false;
                write_frame(&mut writer, &frame).await?;
            }
            if !busy && let Some(frame) = split_frame(&mut buffer, self.frame_limit_bytes)? {
                busy = self.with_core(|core| {
                    core.handle_frame(self.now(), connection, frame);
                    core.is_busy(connection)
                });
                continue;
            }
            tokio::select! {
                biased;
                output = outputs.recv() => {
                    let Some(Output::Send { frame, .. }) = output else { return Ok(()) };
                    busy = false;
                    write_frame(&mut writer, &frame).await?;
                }
                read = reader.read_buf(&mut buffer), if !busy || buffer.len() < READ_AHEAD_BYTES => {
                    if read? == 0 {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Calls the core when its next timeout has come, until the broker stops.
    pub(super) async fn run_timers(self: Arc<Self>) {
        let mut stop = self.stop.subscribe();
        loop {
            let due = {
                let mut hub = self.lock();
                hub.scheduled = hub.core.next_timeout();
                hub.scheduled
            };
            let sleep = async {
                match due {
                    // Timers of tokio tick in milliseconds; one more keeps the core from being woken just too early.
                    Some(due) => tokio::time::sleep_until(self.start + due.since(Moment::ZERO) + TICK).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = told_to_stop(&mut stop) => return,
                () = self.timer.notified() => {}
                () = sleep => self.with_core(|core| core.handle_timeout(self.now())),
            }
        }
    }

    fn now(&self) -> Moment {
        Moment::ZERO + self.start.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, Hub> {
        // The core changes nothing halfway and panics on no input; a poisoned lock means a bug that has been reported.
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hub {
    /// Hands every output to the task of its connection; returns the core's next timeout.
    fn deliver(&mut self) -> Option<Moment> {
        while let Some(output) = self.core.poll() {
            let (Output::Send { connection, .. } | Output::Close { connection }) = &output;
            if let Some(queue) = self.queues.get(connection) {
                // The task may have ended since; its connection is about to be taken out.
                let _ = queue.send(output);
            }
        }
        self.core.next_timeout()
    }
}

/// An address without the IPv6 form of IPv4: what `[::]` accepts shows it so.
fn text_of(address: IpAddr) -> Str {
    Str::from(address.to_canonical().to_string())
}

async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, and so is the broker.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn wall_clock() -> TimestampMs {
    #[expect(clippy::disallowed_methods, reason = "the one place where the broker learns the date")]
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    TimestampMs(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
}

const READ_BYTES: usize = 64 * 1024;
/// A client that sends more than this while its request waits is not read until the answer is out.
const READ_AHEAD_BYTES: usize = 1024 * 1024;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const TICK: Duration = Duration::from_millis(1);
