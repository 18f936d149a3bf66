//! Dumps of a connection: frames behind their length, and which response answers which request.

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

/// Which frames a dump holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Requests,
    Responses,
    /// Both, as they went over the connection.
    Both,
}

/// What was said on a connection so far.
#[derive(Debug)]
pub(super) struct Conversation {
    outstanding: Outstanding,
    frames: u64,
    bad: Flaws,
    /// Frames that go on behind their message.
    prolonged: Flaws,
}

/// Frames that are not what they should be.
#[derive(Debug, Default)]
struct Flaws {
    count: u64,
    /// Where the first of them begins, and in which dump.
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
    /// Nothing was said yet. Shows the batches in records fields if `with_records`.
    pub(super) fn new(with_records: bool) -> Self {
        let outstanding = Outstanding { requests: HashMap::new(), with_records };
        Self { outstanding, frames: 0, bad: Flaws::default(), prolonged: Flaws::default() }
    }

    /// Prints a line of JSON for each frame of `input`, a dump that messages call `name`.
    ///
    /// A frame that cannot be decoded is such a line too, with the reason, and the next one follows.
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
    /// Says how many frames were bad, how many had bytes behind their message, and which was the first.
    pub(super) fn finish(&self) -> Result<(), String> {
        let bad = self.bad.say(self.frames, "cannot be decoded");
        let prolonged = self.prolonged.say(self.frames, "have bytes behind their message");
        let flaws: Vec<String> = bad.into_iter().chain(prolonged).collect();
        if flaws.is_empty() { Ok(()) } else { Err(flaws.join("; ")) }
    }
}

/// Requests without a response yet.
#[derive(Debug)]
struct Outstanding {
    /// By correlation id, oldest first.
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

    /// A response may begin like a request: correlation id 7 reads as Produce v7. A request may begin like a response,
    /// too. But neither will be valid to its last byte as the other, so that is what counts.
    fn either(&self, frame: &Bytes) -> Shown {
        match (self.response(frame), Shown::request(frame, self.with_records)) {
            (Some(response), request) if response.left() <= request.left() => response,
            (None, request) if request.header.is_none() => {
                Shown::bad(None, "neither a request nor the response to one that came before it")
            }
            (_, request) => request,
        }
    }

    /// The frame as the response to the oldest request with its correlation id; `None` when there is none.
    fn response(&self, frame: &Bytes) -> Option<Shown> {
        let (key, version) = *self.requests.get(&response_id(frame)?)?.front()?;
        Some(Shown::response(frame, key, version, self.with_records))
    }

    /// Remembers a request, so that its response can be read; forgets it when that was.
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

/// What there is to print of a frame.
#[derive(Debug)]
struct Shown {
    direction: Option<Direction>,
    /// The API and the version of the body.
    api: Option<(ApiKey, i16)>,
    /// Correlation id of a request.
    request_id: Option<i32>,
    /// JSON of the header, if that much could be decoded.
    header: Option<String>,
    body: Result<Body, Fault>,
}

impl Shown {
    /// How many bytes its message leaves of the frame; more than any frame has when it is no such message.
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

    /// Prints the line; `size` is that of the frame without its length, `offset` that of its length in the dump.
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

/// The next frame without its length; `None` at the end of the dump.
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
    // The buffer grows with what is there: a length is only a claim.
    let mut frame = Vec::new();
    let arrived = input.take(size).read_to_end(&mut frame)?;
    if (arrived as u64) < size {
        return Ok(Some(Err(format!("the dump ends after {arrived} of {size} bytes of this frame"))));
    }
    Ok(Some(Ok(Bytes::from(frame))))
}

/// Bytes of the length in front of a frame.
const LENGTH_BYTES: usize = 4;
