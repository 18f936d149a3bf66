//! Record batch benchmark.

fn main() {}
