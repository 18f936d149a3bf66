//! What the members of a classic group say to each other: the first byte chooses the message, the second the version.

use kafka_wire::protocol::consumer_protocol::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use kafka_wire::protocol::header::{RequestHeader, ResponseHeader};

use crate::message::fixpoint;

/// Decodes, encodes and decodes again. The headers, which have no API key either, are here too.
pub fn run(data: &[u8]) {
    let [choice, version, body @ ..] = data else { return };
    match choice {
        0 => fixpoint::<ConsumerProtocolSubscription>(*version, body),
        1 => fixpoint::<ConsumerProtocolAssignment>(*version, body),
        2 => fixpoint::<RequestHeader>(*version, body),
        3 => fixpoint::<ResponseHeader>(*version, body),
        _ => {}
    }
}
