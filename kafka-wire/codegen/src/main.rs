//! Generates `kafka-wire/src/protocol` from `kafka-wire/schema`.

fn main() {}
