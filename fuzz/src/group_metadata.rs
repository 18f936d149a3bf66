//! Decoders of the messages that are neither requests nor responses: headers, metadata of group members, records
//! of coordinators. The first byte is the index in `for_each_message!`, the second the version.

use std::sync::LazyLock;

use crate::message::Table;

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::of("group_metadata"));

/// See the rules of the module `message`.
pub fn run(data: &[u8]) {
    TABLE.run(data);
}
