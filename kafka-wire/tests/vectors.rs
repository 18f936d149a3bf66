//! Every message at every version, against bytes that Kafka's own Java classes wrote.
//!
//! `tests/vectors/Vectors.java` says what a line holds and how to make the files again after a change of Kafka's.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use kafka_wire::protocol::consumer_protocol::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use kafka_wire::protocol::header::{RequestHeader, ResponseHeader};
use kafka_wire::protocol::{ApiKey, Message, Request};
use kafka_wire::wire::{DecodeError, Reader, Writer};

struct Vector {
    version: i16,
    bytes: Bytes,
    sum: u32,
}

/// Vectors of one message, from the file of its module.
fn vectors<M: Message>() -> Vec<Vector> {
    let module = std::any::type_name::<M>().rsplit("::").nth(1).expect("a message lies in a module");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(module).with_extension("txt");
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let lines = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    lines
        .filter(|line| line[0] == M::LAYOUT.name)
        .map(|line| Vector {
            version: line[1].parse().expect("a version"),
            bytes: unhex(line[2]),
            sum: u32::from_str_radix(line[3], 16).expect("a sum"),
        })
        .collect()
}

fn unhex(text: &str) -> Bytes {
    let digits = text.trim_start_matches('-');
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex")).collect()
}

fn decode<M: Message>(bytes: Bytes, version: i16) -> Result<M, DecodeError> {
    let mut reader = Reader::new(&bytes);
    let message = M::decode(&mut reader, version)?;
    reader.finish().map(|()| message)
}

fn encode<M: Message>(message: &M, version: i16) -> Bytes {
    let mut writer = Writer::new();
    message.encode(&mut writer, version).unwrap_or_else(|error| panic!("{} v{version}: {error}", M::LAYOUT.name));
    writer.into_bytes()
}

fn check<M: Message>() {
    let name = M::LAYOUT.name;
    let vectors = vectors::<M>();
    let versions = vectors.iter().map(|vector| vector.version).collect::<BTreeSet<_>>();
    assert_eq!(versions, M::LAYOUT.versions().collect(), "versions of {name}");
    for Vector { version, bytes, sum } in vectors {
        let message: M = decode(bytes.clone(), version).unwrap_or_else(|error| panic!("{name} v{version}: {error}"));
        let text = format!("{message:?}").replace("Some(", "").replace(')', "");
        assert_eq!(crc32c::crc32c(text.as_bytes()), sum, "fields of {name} v{version}: {text}");
        assert_eq!(encode(&message, version), bytes, "bytes of {name} v{version}: {message:?}");
        for end in 0..bytes.len() {
            let prefix = decode::<M>(bytes.slice(..end), version);
            assert!(prefix.is_err(), "{name} v{version} accepts {end} of {} bytes", bytes.len());
        }
    }
}

fn check_api<R: Request>(key: ApiKey) {
    assert_eq!(R::KEY, key);
    assert_eq!(R::LAYOUT.versions(), R::Response::LAYOUT.versions(), "{key}");
    assert_eq!(R::LAYOUT.flexible, R::Response::LAYOUT.flexible, "{key}");
    check::<R>();
    check::<R::Response>();
}

#[test]
fn apis_read_and_write_what_java_does() {
    macro_rules! row {
        ($key:ident, $request:path, $response:path) => {
            check_api::<$request>(ApiKey::$key);
        };
    }
    kafka_wire::for_each_api!(row);
}

#[test]
fn headers_read_and_write_what_java_does() {
    check::<RequestHeader>();
    check::<ResponseHeader>();
}

#[test]
fn the_consumer_protocol_reads_and_writes_what_java_does() {
    check::<ConsumerProtocolSubscription>();
    check::<ConsumerProtocolAssignment>();
}
