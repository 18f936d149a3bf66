//! Whole messages, made from the schemas: two bytes choose the message, one its version, the others its values.

use bytes::Bytes;

use crate::make::{Ask, make};
use crate::message::ARMS;

/// A made message is decoded, and encoded to the same bytes, its unknown tagged fields included.
pub fn run(data: &[u8]) {
    let [high, low, version, values @ ..] = data else { return };
    let arm = &ARMS[usize::from(u16::from_be_bytes([*high, *low])) % ARMS.len()];
    let versions = arm.layout.versions();
    let version = versions.start() + i16::from(*version) % (versions.end() - versions.start() + 1);
    let mut values = values.iter().copied();
    let made = make(arm.layout.name, version, &mut |ask| answer(ask, &mut values)).expect("every message has a schema");
    let frame = Bytes::from(made.bytes);
    (arm.check)(version, &frame);
    let name = arm.layout.name;
    let written = (arm.rewrite)(version, &frame).unwrap_or_else(|error| panic!("{name} v{version}: {error}"));
    if made.is_exact {
        assert_eq!(written, frame, "{name} v{version}");
    }
}

/// Each choice takes a byte; when they are used up, everything is zero, empty or absent.
fn answer(ask: Ask, values: &mut impl Iterator<Item = u8>) -> usize {
    let value = usize::from(values.next().unwrap_or(0));
    match ask {
        Ask::Byte => value,
        Ask::Null | Ask::Tagged => value & 1,
        Ask::Elements => value % 5,
        // Now and then a length around the one at which its varint gets a second byte.
        Ask::Length if value >= 250 => value - 125,
        Ask::Length => value % 8,
        Ask::UnknownTags => value.saturating_sub(250),
    }
}
