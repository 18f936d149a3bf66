//! Decoders of the messages outside of requests and responses: headers, what members of a group say to each other, what
//! coordinators keep. The first byte is the place in `for_each_message!`, the second the version.

use std::sync::LazyLock;

use crate::message::Table;

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::of("group_metadata"));

/// See the rules of the module `message`.
pub fn run(data: &[u8]) {
    TABLE.run(data);
}
