//! Writes the corpus of the message decoders from the vectors of kafka-wire: of each message the longest vector of its
//! oldest and of its newest version.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use kafka_wire::protocol::ApiKey;

fn main() -> io::Result<()> {
    let room = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in fs::read_dir(room.join("../kafka-wire/tests/vectors"))? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            seed(&fs::read_to_string(&path)?, &room.join("corpus"))?;
        }
    }
    Ok(())
}

/// Seeds of the messages in one file of vectors, whose lines are `MESSAGE VERSION HEX SUM`.
fn seed(text: &str, corpus: &Path) -> io::Result<()> {
    let mut longest: BTreeMap<&str, BTreeMap<u8, &str>> = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let (Some(message), Some(Ok(version)), Some(hex)) = (words.next(), words.next().map(str::parse), words.next())
        else {
            continue;
        };
        let kept = longest.entry(message).or_default().entry(version).or_default();
        if hex.len() > kept.len() {
            *kept = hex;
        }
    }
    for (message, versions) in longest {
        let Some((target, selector)) = target(message) else { continue };
        for (version, hex) in [versions.first_key_value(), versions.last_key_value()].into_iter().flatten() {
            let mut input = vec![selector, *version];
            input.extend((0..hex.len() / 2).filter_map(|at| u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()));
            fs::create_dir_all(corpus.join(target))?;
            fs::write(corpus.join(target).join(format!("{message}-v{version}")), input)?;
        }
    }
    Ok(())
}

/// The target that decodes this message, and the byte that chooses it there.
fn target(message: &str) -> Option<(&'static str, u8)> {
    let key = |name: &str| {
        let key = ApiKey::ALL.iter().find(|key| key.name() == name)?;
        u8::try_from(i16::from(*key)).ok()
    };
    match message {
        "ConsumerProtocolSubscription" => Some(("consumer_protocol", 0)),
        "ConsumerProtocolAssignment" => Some(("consumer_protocol", 1)),
        "RequestHeader" => Some(("consumer_protocol", 2)),
        "ResponseHeader" => Some(("consumer_protocol", 3)),
        _ => match message.strip_suffix("Request") {
            Some(api) => Some(("request_decode", key(api)?)),
            None => Some(("response_decode", key(message.strip_suffix("Response")?)?)),
        },
    }
}
