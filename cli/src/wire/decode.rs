//! `waterwheel wire decode`: messages as JSON.

use std::error::Error;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use bytes::{Bytes, BytesMut};
use clap::{ArgGroup, Args};
use kafka_wire::protocol::ApiKey;
use kafka_wire::protocol::any::{Direction, MessageKind};
use kafka_wire::wire::Reader;

use super::dump::{Conversation, Holds};
use super::message::{self, Fault};
use super::{hex, name, open, stdout, text};
use crate::output::note;

/// Prints messages as JSON: one given in hex, or all of a connection's dump.
///
/// A message is given in hex, white space anywhere; `-` reads it from stdin:
///
///   wire decode --api Fetch --version 13 --response HEX
///   wire decode --request HEX --header              the header says API and version
///   wire decode --data OffsetCommitValue --version 3 HEX
///
/// A dump of a connection is read as it is, frame after frame with their lengths, and printed as a line of JSON for
/// each frame: direction, offset of its length in the dump, size without it, API, version, header, body; error instead
/// of body when it cannot be decoded, trailingBytes before the body when the frame goes on behind the message:
///
///   wire decode --requests FILE --responses FILE    a file for each direction, as tcpflow writes them
///   wire decode --frames FILE                       one file with both, requests before their responses
///
/// With --frames, a frame is a response when it has the correlation id of a request without a response so far and is,
/// to its last byte, a response to it; else a request when it is one to its last byte. Of a frame that is neither,
/// that which leaves fewer bytes; or else the correlation id and then the header decide which way it went.
///
/// Exit codes: 0 all decoded to their last byte, 1 not all, 2 wrong usage.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
#[command(group = ArgGroup::new("what").required(true).args(["request", "response", "data", "frames", "requests"]))]
pub(crate) struct Options {
    #[command(flatten)]
    one: One,
    #[command(flatten)]
    dump: Dump,
    /// Prints a message in one line.
    #[arg(long)]
    compact: bool,
    /// Shows the batches in Produce, Fetch and ShareFetch, not only their size.
    #[arg(long)]
    records: bool,
}

/// The single message to decode.
#[derive(Debug, Args)]
struct One {
    /// API of the message: its name, like Fetch, or its key.
    #[arg(long, value_name = "NAME", value_parser = name::api)]
    api: Option<ApiKey>,
    /// Version of the message.
    #[arg(long)]
    version: Option<i16>,
    /// A request.
    #[arg(long, value_name = "HEX|-")]
    request: Option<String>,
    /// A response.
    #[arg(long, value_name = "HEX|-", requires_all = ["api", "version"])]
    response: Option<String>,
    /// A message without API key, like ConsumerProtocolSubscription.
    #[arg(long, value_name = "NAME", value_parser = name::data, requires = "hex")]
    data: Option<MessageKind>,
    /// The bytes of --data.
    #[arg(value_name = "HEX|-", requires = "data")]
    hex: Option<String>,
    /// The bytes begin with the header of the request or response; with --data, with the version in two bytes.
    #[arg(long)]
    header: bool,
}

/// The dump to decode.
#[derive(Debug, Args)]
struct Dump {
    /// A dump of a connection, requests and responses as they went.
    #[arg(long, value_name = "FILE|-")]
    frames: Option<PathBuf>,
    /// A dump of what the client sent.
    #[arg(long, value_name = "FILE|-")]
    requests: Option<PathBuf>,
    /// A dump of what the broker sent.
    #[arg(long, value_name = "FILE|-", requires = "requests")]
    responses: Option<PathBuf>,
}

/// Prints one message, or all messages of a dump.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    if options.dump.frames.is_some() || options.dump.requests.is_some() {
        return decode_dump(&options.dump, options.records);
    }
    let (json, difference) = match decode_one(&options.one, options.records) {
        Ok(decoded) => decoded,
        Err(Failure::Usage(usage)) => {
            note!("error: {usage}");
            return Ok(ExitCode::from(2));
        }
        Err(Failure::Message(error)) => return Err(error.into()),
    };
    let mut out = stdout();
    writeln!(out, "{}", if options.compact { json } else { text::pretty(&json) })?;
    out.flush()?;
    difference.map_or(Ok(ExitCode::SUCCESS), |difference| Err(difference.into()))
}

fn decode_dump(dump: &Dump, with_records: bool) -> Result<ExitCode, Box<dyn Error>> {
    let mut conversation = Conversation::new(with_records);
    let mut out = stdout();
    let dumps = [(&dump.frames, Holds::Both), (&dump.requests, Holds::Requests), (&dump.responses, Holds::Responses)];
    for (path, holds) in dumps {
        if let Some(path) = path {
            conversation.print(&path.display().to_string(), &mut *open(path)?, holds, &mut out)?;
        }
    }
    out.flush()?;
    conversation.finish()?;
    Ok(ExitCode::SUCCESS)
}

/// The reason why a message is not shown.
enum Failure {
    /// The command line names something that does not exist.
    Usage(String),
    /// The bytes are not a valid message.
    Message(String),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Message(fault.to_string())
    }
}

/// Decodes the bytes to one JSON object: the body, or an object of header and body. The second value describes
/// the bytes after the message, if there are any.
fn decode_one(one: &One, with_records: bool) -> Result<(String, Option<String>), Failure> {
    let frame = one.bytes().map_err(Failure::Message)?;
    let length = frame.first_chunk().map(|head| u32::from_be_bytes(*head) as usize);
    let hint = match length.is_some_and(|length| length.checked_add(4) == Some(frame.len())) {
        true => "; the first four bytes look like the length of a frame: leave them out",
        false => "",
    };
    let mut reader = Reader::new(&frame);
    let result = one.head(&mut reader).and_then(|head| {
        let body = message::body(&reader, head.kind, head.version, with_records)?;
        if body.unknown_tags > 0 {
            note!("note: {} tagged fields are not known here, and not shown", body.unknown_tags);
        }
        let difference = format!("{} v{}: {}{hint}", head.kind.name(), body.version, body.behind);
        let difference = (!body.is_whole()).then_some(difference);
        let json = head.json.map_or(body.json.clone(), |header| format!("{{{header},\"body\":{}}}", body.json));
        Ok((json, difference))
    });
    result.map_err(|failure| match failure {
        Failure::Message(error) => Failure::Message(format!("{error}{hint}")),
        failure @ Failure::Usage(_) => failure,
    })
}

/// The facts that are known before the body is read.
struct Head {
    /// The header as a member of the JSON object.
    json: Option<String>,
    kind: MessageKind,
    version: i16,
}

impl One {
    /// The bytes of the command line or stdin.
    fn bytes(&self) -> Result<Bytes, String> {
        let given = [&self.request, &self.response, &self.hex].into_iter().flatten().next().expect("clap wants one");
        let mut text = String::new();
        let text = if given == "-" {
            io::stdin().read_to_string(&mut text).map_err(|error| format!("stdin: {error}"))?;
            &text
        } else {
            given
        };
        hex::decode_spaced(text).map(BytesMut::freeze).map_err(|error| error.to_string())
    }

    /// Reads the header, if the bytes begin with one.
    fn head(&self, reader: &mut Reader<'_>) -> Result<Head, Failure> {
        let direction = if self.request.is_some() { Direction::Request } else { Direction::Response };
        match (self.header, self.data) {
            (false, data) => {
                let kind = match data {
                    Some(kind) => kind,
                    None => name::body(self.api()?, direction).map_err(Failure::Usage)?,
                };
                Ok(Head { json: None, kind, version: self.version(kind)? })
            }
            (true, Some(kind)) => {
                let version = reader.i16("version").map_err(|error| reader.explain(error));
                let version = version.map_err(|error| Failure::Message(format!("{}: {error}", kind.name())))?;
                Ok(Head { json: Some(format!("\"version\":{version}")), kind, version })
            }
            (true, None) if direction == Direction::Request => {
                let head = message::request_head(reader)?;
                let json = Some(format!("\"header\":{}", head.json));
                let kind = name::body(head.key, direction).map_err(Failure::Message)?;
                Ok(Head { json, kind, version: head.version })
            }
            (true, None) => {
                let key = self.api()?;
                let kind = name::body(key, direction).map_err(Failure::Usage)?;
                let version = self.version(kind)?;
                let header = message::response_head(reader, key, version)?;
                Ok(Head { json: Some(format!("\"header\":{header}")), kind, version })
            }
        }
    }

    fn api(&self) -> Result<ApiKey, Failure> {
        self.api.ok_or_else(|| Failure::Usage("--api is missing: only the header of a request says it".to_owned()))
    }

    fn version(&self, kind: MessageKind) -> Result<i16, Failure> {
        let missing = || Failure::Usage("--version is missing: without a header the bytes do not say it".to_owned());
        let version = self.version.ok_or_else(missing)?;
        name::check_version(kind, version).map_err(Failure::Usage)?;
        Ok(version)
    }
}
