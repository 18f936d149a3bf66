//! Decoders of every response, and views of those that have one: the first byte is the API key, the second the version.

use std::sync::LazyLock;

use crate::message::Table;
use crate::views;

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::of("response_decode"));

/// See the rules of the modules `message` and `views`.
pub fn run(data: &[u8]) {
    TABLE.run(data);
    views::run(data);
}
