//! What has to hold for every message.

use bytes::Bytes;
use kafka_wire::protocol::Message;
use kafka_wire::wire::{Reader, Writer};

/// What decodes, encodes; and that decodes to the same message, and encodes to the same bytes.
pub(crate) fn fixpoint<M: Message>(version: u8, body: &[u8]) {
    let version = i16::from(version);
    let body = Bytes::copy_from_slice(body);
    let mut reader = Reader::new(&body);
    let Ok(message) = M::decode(&mut reader, version) else { return };
    let bytes = encode(&message, version);
    let mut reader = Reader::new(&bytes);
    let again = M::decode(&mut reader, version).expect("our own bytes decode");
    reader.finish().expect("our own bytes are read to their end");
    assert_eq!(again, message);
    assert_eq!(encode(&again, version), bytes);
}

fn encode<M: Message>(message: &M, version: i16) -> Bytes {
    let mut writer = Writer::new();
    message.encode(&mut writer, version).expect("a version can say what was read from it");
    writer.into_bytes()
}
