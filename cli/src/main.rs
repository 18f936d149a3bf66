//! The waterwheel binary.

fn main() {}
