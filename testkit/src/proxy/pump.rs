//! One connection through the proxy: frames from the client to the broker, and their answers back.
//!
//! The broker answers in the order of the requests. An answer that the proxy gives itself waits for those before it.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use kafka_wire::protocol::api_versions::ApiVersionsResponse;
use kafka_wire::protocol::{ApiKey, Message};
use kafka_wire::session::FrameSplitter;
use kafka_wire::time::Moment;
use kafka_wire::wire::{Reader, Writer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::routes::{Routes, Way};
use super::{Proxy, with_length};
use crate::broker::{BrokerConfig, Core, CoreAction};
use crate::fault::{Action, Rule};

/// A request that the client waits for.
struct Awaited {
    api_key: i16,
    version: i16,
    answer: Answer,
}

/// The way in which a request is answered.
enum Answer {
    OfBroker,
    /// The connection closes in its place.
    Cut,
    /// The proxy answers with this frame.
    Own(Vec<u8>),
}

struct Pump {
    proxy: Proxy,
    client: DuplexStream,
    broker: TcpStream,
    /// Port of the broker.
    port: u16,
    routes: watch::Receiver<Routes>,
    awaited: VecDeque<Awaited>,
    /// Requests that wait, and until when.
    held: VecDeque<Bytes>,
    held_until: Option<Instant>,
    is_silent: bool,
}

/// Carries frames until one side closes, or the proxy cuts the connection.
pub(super) async fn run(
    proxy: Proxy,
    client: DuplexStream,
    (broker, port): (TcpStream, u16),
    routes: watch::Receiver<Routes>,
    mut cuts: watch::Receiver<u64>,
) {
    let (awaited, held) = (VecDeque::new(), VecDeque::new());
    let mut pump = Pump { proxy, client, broker, port, routes, awaited, held, held_until: None, is_silent: false };
    tokio::select! {
        biased;
        // The sender lives in the proxy, which this connection holds.
        _ = cuts.changed() => {}
        _ = pump.carry() => {}
    }
}

impl Pump {
    async fn carry(&mut self) -> io::Result<()> {
        let mut requests = FrameSplitter::new(FRAME_LIMIT);
        let mut answers = FrameSplitter::new(FRAME_LIMIT);
        loop {
            let until = self.held_until.unwrap_or_else(far_off);
            let lost = self.routes.borrow_and_update().lost(self.port);
            tokio::select! {
                biased;
                // The sender lives in the proxy.
                _ = self.routes.changed() => {}
                () = sleep_until(until), if self.held_until.is_some() => {
                    self.held_until = None;
                    if let Some(frame) = self.held.pop_front() {
                        self.forward(&frame).await?;
                    }
                    while let Some(frame) = self.held.pop_front() {
                        self.handle_request(frame).await?;
                    }
                }
                read = self.client.read_buf(requests.buffer()), if !lost.is_some_and(Way::takes_requests) => {
                    if read? == 0 {
                        return self.deliver_held(&mut answers).await;
                    }
                    while let Some(frame) = requests.next_frame().map_err(io::Error::other)? {
                        self.handle_request(frame).await?;
                    }
                }
                read = self.broker.read_buf(answers.buffer()), if !lost.is_some_and(Way::takes_answers) => {
                    if read? == 0 {
                        return Ok(());
                    }
                    while let Some(frame) = answers.next_frame().map_err(io::Error::other)? {
                        self.handle_answer(&frame).await?;
                    }
                }
            }
        }
    }

    /// Delivers the requests that are held back although nobody waits for their answers any more, as a network does.
    async fn deliver_held(&mut self, answers: &mut FrameSplitter) -> io::Result<()> {
        let Some(until) = self.held_until else { return Ok(()) };
        sleep_until(until).await;
        while let Some(frame) = self.held.pop_front() {
            self.forward(&frame).await?;
            // The broker may not look at a request whose connection is closed already.
            while answers.next_frame().map_err(io::Error::other)?.is_none() {
                if self.broker.read_buf(answers.buffer()).await? == 0 {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn handle_request(&mut self, frame: Bytes) -> io::Result<()> {
        if self.is_silent {
            return Ok(());
        }
        if self.held_until.is_some() {
            self.held.push_back(frame);
            return Ok(());
        }
        let (api_key, version) = head(&frame)?;
        let answer = match self.proxy.take_fault(api_key) {
            None => Answer::OfBroker,
            Some(Action::ApplyThenDisconnect) => Answer::Cut,
            Some(Action::DropRequest) => {
                self.is_silent = true;
                return Ok(());
            }
            Some(Action::Delay(delay)) => {
                self.held_until = Some(Instant::now() + delay);
                self.awaited.push_back(Awaited { api_key, version, answer: Answer::OfBroker });
                self.held.push_back(frame);
                return Ok(());
            }
            Some(Action::Error(code)) => Answer::Own(refusal(&frame, api_key, code)?),
        };
        let is_own = matches!(answer, Answer::Own(_));
        self.awaited.push_back(Awaited { api_key, version, answer });
        match is_own {
            true => self.answer_what_is_due().await,
            false => self.forward(&frame).await,
        }
    }

    async fn forward(&mut self, frame: &Bytes) -> io::Result<()> {
        self.broker.write_all(&with_length(frame)).await
    }

    async fn handle_answer(&mut self, frame: &Bytes) -> io::Result<()> {
        if self.is_silent {
            return Ok(());
        }
        let Some(Awaited { api_key, version, answer }) = self.awaited.pop_front() else {
            return Err(io::Error::other("an answer without a request"));
        };
        if matches!(answer, Answer::Cut) {
            return Err(io::Error::other("cut in place of this answer"));
        }
        let frame = match api_key == i16::from(ApiKey::ApiVersions) {
            true => self.limited(frame, version),
            false => with_length(frame),
        };
        let frame = self.proxy.edited(api_key, frame);
        self.write(&frame).await?;
        self.answer_what_is_due().await
    }

    /// Writes the proxy's own answers for which the client waits first.
    async fn answer_what_is_due(&mut self) -> io::Result<()> {
        while let Some(Awaited { answer: Answer::Own(_), .. }) = self.awaited.front() {
            if let Some(Awaited { answer: Answer::Own(frame), .. }) = self.awaited.pop_front() {
                self.write(&frame).await?;
            }
        }
        Ok(())
    }

    async fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        let piece_bytes = self.proxy.state().piece_bytes.unwrap_or(usize::MAX);
        for piece in frame.chunks(piece_bytes) {
            self.client.write_all(piece).await?;
            self.client.flush().await?;
            // The client sees the piece alone.
            if piece.len() < frame.len() {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// The answer to ApiVersions, with the versions that the proxy allows.
    fn limited(&self, frame: &Bytes, version: i16) -> Vec<u8> {
        let limits = self.proxy.state().limits.clone();
        let (id, body) = frame.split_at(CORRELATION_BYTES.min(frame.len()));
        // A refusal of the version is in another format, and leads to another request.
        let is_refusal = body.first_chunk::<2>() != Some(&[0, 0]);
        if limits.is_empty() || is_refusal {
            return with_length(frame);
        }
        let body = frame.slice(id.len()..);
        let mut reader = Reader::new(&body);
        let Ok(mut response) = ApiVersionsResponse::decode(&mut reader, version) else { return with_length(frame) };
        for api in &mut response.api_keys {
            if let Some(limit) = limits.get(&api.api_key) {
                api.max_version = api.max_version.min(*limit);
            }
        }
        let mut writer = Writer::new();
        response.encode(&mut writer, version).expect("it was just decoded");
        with_length(&Bytes::from([id, &writer.into_bytes()[..]].concat()))
    }
}

/// API key and version of a request.
fn head(frame: &Bytes) -> io::Result<(i16, i16)> {
    let head: [u8; 4] = *frame.first_chunk().ok_or_else(|| io::Error::other("a request without a head"))?;
    let [key_high, key_low, version_high, version_low] = head;
    Ok((i16::from_be_bytes([key_high, key_low]), i16::from_be_bytes([version_high, version_low])))
}

/// The frame with which the embedded broker refuses a request.
fn refusal(frame: &Bytes, api_key: i16, code: i16) -> io::Result<Vec<u8>> {
    let faults = vec![Rule { api_key, nth: 1, action: Action::Error(code) }];
    let mut core = Core::new(BrokerConfig { faults, ..BrokerConfig::default() }, "127.0.0.1", 1);
    let connection = core.connect("127.0.0.1");
    core.handle_frame(Moment::ZERO, connection, frame.clone());
    match core.poll() {
        Some(CoreAction::Send { frame, .. }) => Ok(frame.concat()),
        other => Err(io::Error::other(format!("{other:?} instead of a refusal"))),
    }
}

fn far_off() -> Instant {
    Instant::now() + Duration::from_secs(3_600)
}

const CORRELATION_BYTES: usize = 4;
const FRAME_LIMIT: usize = 200 << 20;
