//! Every message at every version, against bytes that Kafka's own Java classes wrote.
//!
//! A line of `tests/vectors/*.txt` is `MESSAGE VERSION HEX SUM`: the bytes that Java writes, or `-` for none,
//! and the CRC-32C of the JSON that Java prints for the message. Bytes alone would not show two fields of one type
//! in exchanged places, or a wrong default of a field that the version lacks; the JSON does. `tests/java/Oracle.java`
//! makes the lines; to write them again after a change of Kafka's: `WATERWHEEL_BLESS=1 cargo test -p conformance
//! --test oracle vectors`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use kafka_wire::protocol::any::{AnyMessage, MessageKind};
use kafka_wire::protocol::{ApiKey, Message, Request};
use kafka_wire::wire::{DecodeError, Reader, UnknownTags, Writer};

/// Decodes the whole frame as a message, by its name in Kafka's schema.
fn read(
    name: &str,
    version: i16,
    frame: &Bytes,
    keep: bool,
) -> Result<(Box<dyn AnyMessage>, UnknownTags), DecodeError> {
    let mut reader = Reader::new(frame);
    if keep {
        reader.keep_unknown_tags();
    }
    let kind = MessageKind::named(name).unwrap_or_else(|| panic!("no message {name}"));
    let message = kind.decode_whole(version, &mut reader)?;
    Ok((message, reader.take_unknown_tags()))
}

fn unhex(text: &str) -> Bytes {
    let digits = text.trim_start_matches('-');
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex")).collect()
}

/// Calls `check` with the words of each line.
fn each_vector(mut check: impl FnMut(&str, i16, Bytes, &str)) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    for entry in fs::read_dir(folder).expect("the vectors are there") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        for line in fs::read_to_string(&path).expect("a text").lines() {
            let words = line.split(' ').collect::<Vec<_>>();
            let [name, version, hex, sum] = words[..] else { panic!("{}: {line}", path.display()) };
            check(name, version.parse().expect("a version"), unhex(hex), sum);
        }
    }
}

#[test]
fn messages_read_and_write_what_java_does() {
    each_vector(|name, version, bytes, sum| {
        let read =
            |keep| read(name, version, &bytes, keep).unwrap_or_else(|error| panic!("{name} v{version}: {error}"));
        let (message, unknown_tags) = read(true);
        let json = message.json(version);
        assert_eq!(format!("{:08x}", crc32c::crc32c(json.as_bytes())), sum, "fields of {name} v{version}: {json}");
        let mut writer = Writer::new();
        writer.put_back(unknown_tags);
        message.encode(&mut writer, version).unwrap_or_else(|error| panic!("{name} v{version}: {error}"));
        assert_eq!(writer.into_bytes(), bytes, "bytes of {name} v{version}: {json}");
        assert_eq!(read(false).0.json(version), json, "{name} v{version} without its unknown tags");
    });
}

#[test]
fn no_message_ends_early() {
    each_vector(|name, version, bytes, _| {
        for end in 0..bytes.len() {
            let prefix = read(name, version, &bytes.slice(..end), false);
            assert!(prefix.is_err(), "{name} v{version} accepts {end} of {} bytes", bytes.len());
        }
    });
}

#[test]
fn every_version_of_every_message_has_a_vector() {
    let mut found = BTreeSet::new();
    each_vector(|name, version, _, _| {
        found.insert((name.to_owned(), version));
    });
    let (mut expected, mut of_apis) = (BTreeSet::new(), 0);
    for kind in MessageKind::all() {
        let versions = kind.layout().versions();
        of_apis += if kind.api().is_some() { versions.len() } else { 0 };
        expected.extend(versions.map(|version| (kind.name().to_owned(), version)));
    }
    assert_eq!(of_apis, 618, "versions of requests and responses of Kafka 4.4");
    assert_eq!(found, expected);
}

fn check_api<R: Request>(key: ApiKey) {
    assert_eq!(R::KEY, key);
    assert_eq!(R::LAYOUT.versions(), R::Response::LAYOUT.versions(), "{key}");
    assert_eq!(R::LAYOUT.flexible, R::Response::LAYOUT.flexible, "{key}");
}

#[test]
fn a_request_and_its_response_have_the_same_versions() {
    macro_rules! row {
        ($key:ident, $request:path, $response:path) => {
            check_api::<$request>(ApiKey::$key);
        };
    }
    kafka_wire::for_each_api!(row);
}
