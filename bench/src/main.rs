//! Speed and memory of `kafka-wire`, beside hand-written floors and other crates.
//!
//! ```text
//! cargo run --release --manifest-path bench/Cargo.toml -- [FILTER] [--rounds N]
//! cargo run --release --manifest-path bench/Cargo.toml -- sizes
//! ```
//! Rows are grouped into tables; a row is shown if its name or the title of its table contains FILTER.
//! `sizes` is another table, which builds the crate and so is shown only on request.

mod bare;
mod codecs;
mod counted;
mod floor;
mod harness;
mod messages;
mod peers;
mod reads;
mod records;
mod shapes;
mod sizes;

fn main() {
    let (filter, rounds) = arguments();
    if filter == "sizes" {
        return sizes::print();
    }
    records::times(&filter, rounds);
    records::allocations(&filter);
    codecs::times(&filter, rounds);
    messages::times(&filter, rounds);
}

/// Filter and rounds.
fn arguments() -> (String, usize) {
    const ROUNDS: usize = 15;
    let (mut filter, mut rounds) = (String::new(), ROUNDS);
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        if argument == "--rounds" {
            let count = given.next().and_then(|count| count.parse().ok());
            rounds = count.filter(|count| *count > 0).expect("--rounds takes a number above 0");
        } else {
            filter = argument;
        }
    }
    (filter, rounds)
}
