//! What a fuzzer does to bytes from a peer: one module for each target, with one function `run`.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run --features libfuzzer TARGET -- -max_total_time=20 -malloc_limit_mb=64` looks for
//! inputs that panic or allocate too much at once. `cargo test -p fuzz-targets` replays `corpus/` (where a run starts
//! from) and `regressions/` (what one has found; each goes there in the commit that mends it). `seeds` writes the
//! corpus of the message decoders from the vectors of kafka-wire: `cargo run -p fuzz-targets --bin seeds`.

pub mod batch_builder;
pub mod consumer_protocol;
pub mod frame;
mod message;
pub mod record_batch;
pub mod request_decode;
pub mod response_decode;
pub mod session;

/// A target's name, which is also that of its folder of inputs, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("batch_builder", batch_builder::run),
    ("consumer_protocol", consumer_protocol::run),
    ("frame", frame::run),
    ("record_batch", record_batch::run),
    ("request_decode", request_decode::run),
    ("response_decode", response_decode::run),
    ("session", session::run),
];
