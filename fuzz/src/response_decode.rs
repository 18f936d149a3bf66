//! Decoders of every response: the first byte is the API key, the second the version.

use kafka_wire::protocol::ApiKey;

use crate::message::fixpoint;

/// Decodes, encodes and decodes again.
pub fn run(data: &[u8]) {
    let [key, version, body @ ..] = data else { return };
    macro_rules! row {
        ($key:ident, $request:path, $response:path) => {
            if ApiKey::from_i16(i16::from(*key)) == Some(ApiKey::$key) {
                fixpoint::<$response>(*version, body);
            }
        };
    }
    kafka_wire::for_each_api!(row);
}
