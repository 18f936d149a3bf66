//! Dumps of a connection: frames after their length prefix, and the pairing of responses with requests.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read, Write};

use bytes::Bytes;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use kafka_wire::protocol::any::Direction;
use kafka_wire::protocol::produce::ProduceRequest;
use kafka_wire::protocol::{ApiKey, Message};
use kafka_wire::wire::Reader;

use super::message::{self, Body, Fault};
use super::name;

/// The frames that a dump holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Requests,
    Responses,
    /// Requests and responses, in the order of the connection.
    Both,
}

/// The frames of a connection that have been read so far.
#[derive(Debug)]
pub(super) struct Conversation {
    outstanding: Outstanding,
    frames: u64,
    bad: Flaws,
    /// Frames with bytes after their message.
    prolonged: Flaws,
}

/// Frames with a fault.
#[derive(Debug, Default)]
struct Flaws {
    count: u64,
    /// Offset of the first of them, and the name of its dump.
    first: Option<(usize, String)>,
}

impl Flaws {
    fn note(&mut self, offset: usize, name: &str) {
        self.count += 1;
        self.first.get_or_insert_with(|| (offset, name.to_owned()));
    }

    fn say(&self, frames: u64, what: &str) -> Option<String> {
        let (offset, name) = self.first.as_ref()?;
        Some(format!("{} of {frames} frames {what}, the first at byte {offset} of {name}", self.count))
    }
}

impl Conversation {
    /// Starts without any frames. Shows the batches in records fields if `with_records`.
    pub(super) fn new(with_records: bool) -> Self {
        let outstanding = Outstanding { requests: HashMap::new(), with_records };
        Self { outstanding, frames: 0, bad: Flaws::default(), prolonged: Flaws::default() }
    }

    /// Prints a line of JSON for each frame of `input`, a dump that messages refer to as `name`.
    ///
    /// A frame that cannot be decoded also gets a line, with the reason, and the next frame follows.
    pub(super) fn print(
        &mut self,
        name: &str,
        input: &mut dyn BufRead,
        holds: Holds,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let mut offset = 0;
        while let Some(frame) = next_frame(input)? {
            let shown = match &frame {
                Ok(frame) => self.outstanding.show(frame, holds),
                Err(cut) => Shown::bad(None, cut),
            };
            self.frames += 1;
            match &shown.body {
                Ok(body) if body.is_whole() => {}
                Ok(_) => self.prolonged.note(offset, name),
                Err(_) => self.bad.note(offset, name),
            }
            let Ok(frame) = frame else {
                shown.write(offset, None, out)?;
                break;
            };
            shown.write(offset, Some(frame.len()), out)?;
            offset += LENGTH_BYTES + frame.len();
        }
        Ok(())
    }

    /// Ends the conversation.
    ///
    /// # Errors
    /// The error has the number of bad frames, the number of frames with bytes after their message,
    /// and the first of them.
    pub(super) fn finish(&self) -> Result<(), String> {
        let bad = self.bad.say(self.frames, "cannot be decoded");
        let prolonged = self.prolonged.say(self.frames, "have bytes behind their message");
        let flaws: Vec<String> = bad.into_iter().chain(prolonged).collect();
        if flaws.is_empty() { Ok(()) } else { Err(flaws.join("; ")) }
    }
}

/// Requests without a response so far.
#[derive(Debug)]
struct Outstanding {
    /// Requests by correlation id, oldest first.
    requests: HashMap<i32, VecDeque<(ApiKey, i16)>>,
    with_records: bool,
}

impl Outstanding {
    fn show(&mut self, frame: &Bytes, holds: Holds) -> Shown {
        let shown = match holds {
            Holds::Requests => Shown::request(frame, self.with_records),
            Holds::Responses => self.response(frame).unwrap_or_else(|| {
                Shown::bad(Some(Direction::Response), "no request with its correlation id came before it")
            }),
            Holds::Both => self.either(frame),
        };
        self.note(frame, &shown);
        shown
    }

    /// A frame whose direction is unknown. A response may begin like a request (correlation id 7 reads as Produce v7),
    /// and a request like a response. But it will hardly be valid to its last byte in both readings, so that decides.
    fn either(&self, frame: &Bytes) -> Shown {
        match (self.response(frame), Shown::request(frame, self.with_records)) {
            (Some(response), request) if response.left() <= request.left() => response,
            (None, request) if request.header.is_none() => {
                Shown::bad(None, "neither a request nor the response to one that came before it")
            }
            (_, request) => request,
        }
    }

    /// The frame read as the response to the oldest request with its correlation id; `None` if there is no such
    /// request.
    fn response(&self, frame: &Bytes) -> Option<Shown> {
        let (key, version) = *self.requests.get(&response_id(frame)?)?.front()?;
        Some(Shown::response(frame, key, version, self.with_records))
    }

    /// Remembers a request, so that its response can be read, and forgets it once the response was read.
    fn note(&mut self, frame: &Bytes, shown: &Shown) {
        let Some((key, version)) = shown.api else { return };
        if shown.direction == Some(Direction::Response) {
            if let Some(Entry::Occupied(mut requests)) = response_id(frame).map(|id| self.requests.entry(id)) {
                requests.get_mut().pop_front();
                if requests.get().is_empty() {
                    requests.remove();
                }
            }
        } else if let Some(correlation_id) = shown.request_id.filter(|_| !is_unanswered(frame, key, version)) {
            self.requests.entry(correlation_id).or_default().push_back((key, version));
        }
    }
}

/// The correlation id of a frame that is a response: every version of its header begins with it.
fn response_id(frame: &Bytes) -> Option<i32> {
    Reader::new(frame).i32("correlation_id").ok()
}

/// Whether the request is a Produce with acks=0, which brokers do not answer.
fn is_unanswered(frame: &Bytes, key: ApiKey, version: i16) -> bool {
    let mut reader = Reader::new(frame);
    key == ApiKey::Produce
        && message::request_head(&mut reader).is_ok()
        && ProduceRequest::decode(&mut reader, version).is_ok_and(|request| request.acks == 0)
}

/// The parts of a frame to print.
#[derive(Debug)]
struct Shown {
    direction: Option<Direction>,
    /// The API and the version of the body.
    api: Option<(ApiKey, i16)>,
    /// Correlation id of a request.
    request_id: Option<i32>,
    /// JSON of the header, if it could be decoded.
    header: Option<String>,
    body: Result<Body, Fault>,
}

impl Shown {
    /// Bytes of the frame after its message; more than any frame has if the message could not be decoded.
    fn left(&self) -> usize {
        self.body.as_ref().map_or(usize::MAX, |body| body.behind.len())
    }

    fn bad(direction: Option<Direction>, why: &str) -> Self {
        Self { direction, api: None, request_id: None, header: None, body: Err(Fault::Other(why.to_owned())) }
    }

    fn request(frame: &Bytes, with_records: bool) -> Self {
        let direction = Some(Direction::Request);
        let mut reader = Reader::new(frame);
        let head = match message::request_head(&mut reader) {
            Ok(head) => head,
            Err(fault) => return Self { direction, api: None, request_id: None, header: None, body: Err(fault) },
        };
        let kind = name::body(head.key, Direction::Request).map_err(Fault::Other);
        let body = kind.and_then(|kind| message::body(&reader, kind, head.version, with_records));
        let api = Some((head.key, head.version));
        Self { direction, api, request_id: Some(head.correlation_id), header: Some(head.json), body }
    }

    fn response(frame: &Bytes, key: ApiKey, version: i16, with_records: bool) -> Self {
        let mut reader = Reader::new(frame);
        let kind = name::body(key, Direction::Response).map_err(Fault::Other);
        let (header, body) = match message::response_head(&mut reader, key, version) {
            Ok(header) => (Some(header), kind.and_then(|kind| message::body(&reader, kind, version, with_records))),
            Err(fault) => (None, Err(fault)),
        };
        let version = body.as_ref().map_or(version, |body| body.version);
        Self { direction: Some(Direction::Response), api: Some((key, version)), request_id: None, header, body }
    }

    /// Prints the line; `size` is that of the frame without its length prefix, `offset` is that of the length prefix in
    /// the dump.
    fn write(self, offset: usize, size: Option<usize>, out: &mut impl Write) -> io::Result<()> {
        match self.direction {
            Some(Direction::Request) => write!(out, "{{\"direction\":\"request\"")?,
            Some(Direction::Response) => write!(out, "{{\"direction\":\"response\"")?,
            None => write!(out, "{{\"direction\":null")?,
        }
        write!(out, ",\"offset\":{offset}")?;
        if let Some(size) = size {
            write!(out, ",\"size\":{size}")?;
        }
        if let Some((key, version)) = self.api {
            write!(out, ",\"api\":\"{key}\",\"version\":{version}")?;
        }
        if let Some(header) = self.header {
            write!(out, ",\"header\":{header}")?;
        }
        match self.body {
            Ok(body) => {
                if body.unknown_tags > 0 {
                    write!(out, ",\"unknownTaggedFields\":{}", body.unknown_tags)?;
                }
                if !body.is_whole() {
                    write!(out, ",\"trailingBytes\":\"{}\"", body.behind.hex())?;
                }
                writeln!(out, ",\"body\":{}}}", body.json)
            }
            Err(fault) => {
                let error = fault.behind(offset + LENGTH_BYTES).to_string();
                writeln!(out, ",\"error\":{}}}", serde_json::Value::from(error))
            }
        }
    }
}

/// The next frame without its length prefix; `None` at the end of the dump.
fn next_frame(input: &mut dyn BufRead) -> io::Result<Option<Result<Bytes, String>>> {
    let mut head = Vec::with_capacity(LENGTH_BYTES);
    input.take(LENGTH_BYTES as u64).read_to_end(&mut head)?;
    if head.is_empty() {
        return Ok(None);
    }
    let Some(length) = head.first_chunk().map(|head| i32::from_be_bytes(*head)) else {
        return Ok(Some(Err("the dump ends inside the length of this frame".to_owned())));
    };
    let Ok(size) = u64::try_from(length) else {
        return Ok(Some(Err(format!("{length} is no length of a frame; nothing can be read from here on"))));
    };
    // The buffer grows with the bytes that are read, because the length is only a claim.
    let mut frame = Vec::new();
    let arrived = input.take(size).read_to_end(&mut frame)?;
    if (arrived as u64) < size {
        return Ok(Some(Err(format!("the dump ends after {arrived} of {size} bytes of this frame"))));
    }
    Ok(Some(Ok(Bytes::from(frame))))
}

/// Bytes of the length prefix of a frame.
const LENGTH_BYTES: usize = 4;
