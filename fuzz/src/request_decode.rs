//! Decoders of every request: the first byte is the API key, the second the version.

use std::sync::LazyLock;

use crate::message::Table;

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::of("request_decode"));

/// See the rules of the module `message`.
pub fn run(data: &[u8]) {
    TABLE.run(data);
}
