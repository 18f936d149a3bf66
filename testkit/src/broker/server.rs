//! Runs a [`Core`] on tokio: one task per connection, one for the timers, and the core behind a mutex.
//!
//! While a request waits, its connection's task reads ahead as much as its small buffer takes, so that it notices
//! a client that disconnects. Memory for larger frames is rationed over all connections, see [`FrameRoom`].

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use kafka_wire::time::Moment;
use kafka_wire::types::TimestampMs;
use kafka_wire::wire::Str;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::frame_room::{FrameRoom, PATIENCE};
use super::frames::{Head, split_frame, write_frame};
use super::{BrokerConfig, ConnectionId, Core, CoreAction, Peer};

#[derive(Debug)]
pub(super) struct Server {
    hub: Mutex<Hub>,
    /// Notified when the core's next timeout has moved nearer.
    timer: Notify,
    /// Notified when memory for frames has become free.
    room_freed: Notify,
    /// Set once, when the broker is to stop; the tasks that have not ended hold its receivers.
    stop: watch::Sender<bool>,
    start: Instant,
    calendar: Calendar,
    frame_limit_bytes: usize,
}

/// The date beside a clock that measures time. They go apart when the machine sleeps, for the clock stands still then,
/// and when the date is corrected.
#[derive(Debug)]
struct Calendar {
    /// Of the machine: tokio's clock runs ahead of it in tests.
    start: std::time::Instant,
    date: fn() -> TimestampMs,
}

/// The core, and the destinations of its outputs.
#[derive(Debug)]
struct Hub {
    core: Core,
    lines: BTreeMap<ConnectionId, Line>,
    room: FrameRoom,
    /// The time until which the timer task sleeps.
    scheduled: Option<Moment>,
}

/// The channel to the task of a connection.
#[derive(Debug)]
struct Line {
    /// Outputs for the connection. It has at most one request in the core at a time, so this holds at most the answer
    /// and the instruction to close.
    queue: mpsc::UnboundedSender<CoreAction>,
    /// Ends the task, even while it waits.
    end: Arc<Notify>,
}

impl Server {
    pub(super) fn new(config: BrokerConfig, host: &str, port: u16) -> Self {
        let seed = config.seed.unwrap_or_else(|| RandomState::new().hash_one("broker"));
        let calendar = Calendar::new();
        let config = BrokerConfig { start_timestamp: calendar.start_timestamp(), seed: Some(seed), ..config };
        let frame_limit_bytes = config.frame_limit_bytes.min(config.frame_memory_bytes());
        let room = FrameRoom::new(config.frame_memory_bytes());
        let hub = Hub { core: Core::new(config, host, port), lines: BTreeMap::new(), room, scheduled: None };
        Self {
            hub: Mutex::new(hub),
            timer: Notify::new(),
            room_freed: Notify::new(),
            stop: watch::Sender::new(false),
            start: Instant::now(),
            calendar,
            frame_limit_bytes,
        }
    }

    /// Runs `change` on the core, then passes its actions to their connections.
    pub(super) fn with_core<T>(&self, change: impl FnOnce(&mut Core) -> T) -> T {
        self.with_hub(|hub, _| change(&mut hub.core))
    }

    /// Runs `change` at the present time, then passes the actions of the core to their connections.
    fn with_hub<T>(&self, change: impl FnOnce(&mut Hub, Moment) -> T) -> T {
        let mut hub = self.lock();
        let now = self.now();
        let room_bytes = hub.room.left_bytes();
        hub.core.set_answer_room(room_bytes);
        let start_timestamp = self.calendar.start_timestamp();
        if start_timestamp.0.abs_diff(hub.core.state().start_timestamp().0) >= DATE_TOLERANCE_MS {
            hub.core.set_start_timestamp(start_timestamp);
            info!(date = hub.core.state().timestamp_at(now).0, "the date has jumped, as when the machine has slept");
        }
        let result = change(&mut hub, now);
        let due = hub.deliver(now);
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
                        // The process is out of file handles, or the peer has disconnected already:
                        // neither is a reason to stop.
                        debug!(%error, "accept failed");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
            };
            // Answers are small and clients wait for them: Nagle's algorithm would only add a delay.
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
        let (queue, actions) = mpsc::unbounded_channel();
        let end = Arc::new(Notify::new());
        let connection = {
            let mut hub = self.lock();
            let connection = hub.core.connect_from(peer);
            hub.lines.insert(connection, Line { queue, end: Arc::clone(&end) });
            connection
        };
        let ended = tokio::select! {
            biased;
            () = told_to_stop(&mut stop) => Ok(()),
            () = end.notified() => Err(io::ErrorKind::OutOfMemory.into()),
            ended = self.exchange(connection, reader, writer, actions) => ended,
        };
        debug!(connection = connection.0, ?ended, "connection closed");
        self.with_core(|core| core.disconnect(connection));
        let mut hub = self.lock();
        hub.lines.remove(&connection);
        hub.room.forget(connection);
        self.room_freed.notify_waiters();
    }

    /// Reads requests and writes answers, one at a time.
    async fn exchange<R, W>(
        &self,
        connection: ConnectionId,
        mut reader: R,
        mut writer: W,
        mut actions: mpsc::UnboundedReceiver<CoreAction>,
    ) -> io::Result<()>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        let mut busy = false;
        loop {
            if !busy {
                match split_frame(&mut buffer, self.frame_limit_bytes)? {
                    Head::Frame(frame) => {
                        // A large frame has its memory charged already, and its buffer was for it alone.
                        if frame.len() <= READ_BYTES {
                            self.wait_for_room(connection, 0).await;
                        } else {
                            buffer = BytesMut::from(&buffer[..]);
                        }
                        busy = self.hand_over(connection, frame);
                        while let Ok(action) = actions.try_recv() {
                            busy = false;
                            self.send(&mut writer, action).await?;
                        }
                        continue;
                    }
                    Head::Part(size_bytes) if size_bytes > READ_BYTES && buffer.capacity() < size_bytes => {
                        self.wait_for_room(connection, size_bytes).await;
                        let mut large = BytesMut::with_capacity(size_bytes);
                        large.extend_from_slice(&buffer);
                        buffer = large;
                    }
                    Head::Part(_) | Head::Nothing => {}
                }
            }
            if buffer.capacity() < READ_BYTES {
                buffer.reserve(READ_BYTES - buffer.len());
            }
            tokio::select! {
                biased;
                action = actions.recv() => {
                    let Some(action) = action else { return Ok(()) };
                    busy = false;
                    self.send(&mut writer, action).await?;
                }
                read = reader.read_buf(&mut buffer), if buffer.len() < buffer.capacity() => {
                    if read? == 0 {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Gives a request to the core. Returns whether the answer is still to come.
    fn hand_over(&self, connection: ConnectionId, frame: Bytes) -> bool {
        self.with_hub(|hub, now| {
            hub.core.handle_frame(now, connection, frame);
            let busy = hub.core.is_busy(connection);
            if !busy && hub.room.release(connection) {
                self.room_freed.notify_waiters();
            }
            busy
        })
    }

    /// Writes an answer. The instruction to close the connection is returned as an error.
    async fn send<W: AsyncWrite + Unpin>(&self, writer: &mut W, action: CoreAction) -> io::Result<()> {
        let CoreAction::Send { connection, frame } = action else {
            return Err(io::ErrorKind::ConnectionAborted.into());
        };
        write_frame(writer, &frame).await?;
        drop(frame);
        if self.lock().room.release(connection) {
            self.room_freed.notify_waiters();
        }
        Ok(())
    }

    /// Waits until a connection may have `bytes` of memory for a request and some more for its answer.
    async fn wait_for_room(&self, connection: ConnectionId, bytes: usize) {
        loop {
            let freed = self.room_freed.notified();
            let mut freed = std::pin::pin!(freed);
            // From here on no notification of freed memory is missed.
            freed.as_mut().enable();
            if self.lock().room.take(self.now(), connection, bytes) {
                // The next connection in line may find room as well.
                self.room_freed.notify_waiters();
                return;
            }
            if tokio::time::timeout(PATIENCE, freed).await.is_err() {
                self.close_largest();
            }
        }
    }

    /// Closes the connection that holds the most memory, if it has held it for long.
    fn close_largest(&self) {
        let hub = self.lock();
        if let Some((connection, bytes)) = hub.room.largest(self.now())
            && let Some(line) = hub.lines.get(&connection)
        {
            warn!(
                connection = connection.0,
                bytes, "closed: it holds the most memory for frames, and others wait for it"
            );
            line.end.notify_one();
        }
    }

    /// Calls the core whenever its next timeout is due, until the broker stops.
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
                    // Timers of tokio tick in milliseconds; one tick more keeps the core from being called just
                    // too early.
                    Some(due) => tokio::time::sleep_until(self.start + due.since(Moment::ZERO) + TICK).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = told_to_stop(&mut stop) => return,
                () = self.timer.notified() => {}
                () = sleep => self.with_hub(|hub, now| hub.core.handle_timeout(now)),
            }
        }
    }

    fn now(&self) -> Moment {
        Moment::ZERO + self.start.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, Hub> {
        // The core leaves no change half done and panics on no input; a poisoned lock means a bug that has
        // been reported already.
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Calendar {
    fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "it is compared with the date")]
        let start = std::time::Instant::now();
        Self { start, date: wall_clock }
    }

    /// The date at the start, by the present date and the time since then.
    fn start_timestamp(&self) -> TimestampMs {
        let passed = i64::try_from(self.start.elapsed().as_millis()).unwrap_or(i64::MAX);
        TimestampMs((self.date)().0.saturating_sub(passed))
    }
}

impl Hub {
    /// Hands every output to the task of its connection; returns the core's next timeout.
    fn deliver(&mut self, now: Moment) -> Option<Moment> {
        while let Some(action) = self.core.poll() {
            let (CoreAction::Send { connection, .. } | CoreAction::Close { connection }) = &action;
            if let Some(line) = self.lines.get(connection) {
                if let CoreAction::Send { frame, .. } = &action {
                    let own_bytes = own_bytes(frame);
                    let shared_bytes = frame.iter().map(Bytes::len).sum::<usize>() - own_bytes;
                    self.room.charge(now, *connection, own_bytes, shared_bytes);
                }
                // The task may have ended in the meantime; its connection is about to be removed.
                let _ = line.queue.send(action);
            }
        }
        if self.core.take_pinned_shortage()
            && let Some((connection, bytes)) = self.room.largest_shared(now)
            && let Some(line) = self.lines.get(&connection)
        {
            warn!(
                connection = connection.0,
                bytes, "closed: it does not read, and what it holds of deleted records is needed"
            );
            line.end.notify_one();
        }
        self.core.next_timeout()
    }
}

/// The text of an address. An IPv4 client of a socket bound to `[::]` has an IPv6 form, which is reduced to IPv4.
fn text_of(address: IpAddr) -> Str {
    Str::from(address.to_canonical().to_string())
}

/// Bytes of the chunks that belong to the frame alone. The others are slices of a log, which is charged for them.
fn own_bytes(frame: &[Bytes]) -> usize {
    frame.iter().filter(|chunk| chunk.is_unique()).map(Bytes::len).sum()
}

async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender was dropped, and with it the broker.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn wall_clock() -> TimestampMs {
    #[expect(clippy::disallowed_methods, reason = "the one place where the broker learns the date")]
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    TimestampMs(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
}

/// Bytes of each connection's read buffer, which also bounds what a client can send ahead while its request waits.
/// Larger frames need room.
const READ_BYTES: usize = 16 * 1024;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const TICK: Duration = Duration::from_millis(1);
/// The difference from which on the broker follows the date. It is more than the two clocks differ by rounding,
/// so that dates do not go back and forth.
const DATE_TOLERANCE_MS: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    const NIGHT_MS: i64 = 13 * 3_600_000;

    #[tokio::test]
    async fn the_date_is_right_after_the_machine_has_slept() {
        let mut server = Server::new(BrokerConfig::default(), "broker", 9092);
        let ahead_ms =
            |server: &Server| server.with_hub(|hub, now| hub.core.state().timestamp_at(now).0 - wall_clock().0);
        assert!(ahead_ms(&server).abs() < 60_000);
        server.calendar.date = || TimestampMs(wall_clock().0 + NIGHT_MS);
        assert!((ahead_ms(&server) - NIGHT_MS).abs() < 60_000);
        server.calendar.date = wall_clock;
        assert!(ahead_ms(&server).abs() < 60_000);
    }
}
