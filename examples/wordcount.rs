//! Word count.

fn main() {}
