//! Fuzz targets for bytes from a peer: one module for each target, with one function `run`.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run --features libfuzzer TARGET -- -max_total_time=20 -malloc_limit_mb=64` looks for
//! inputs that break a rule of the target. `cargo test -p fuzz-targets` replays the inputs that a run starts from (see
//! [`seeds`]), and those in `regressions/`, which runs have found; each goes there in the commit that fixes it.

pub mod batch_builder;
pub mod codec;
pub mod frame;
pub mod group_metadata;
pub mod make;
pub mod message;
pub mod message_set;
pub mod record_batch;
pub mod request_decode;
pub mod response_decode;
pub mod roundtrip;
pub mod seeds;
pub mod session;
pub mod varint;
pub mod views;

/// The name of a target, which is also that of its folder of inputs, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("batch_builder", batch_builder::run),
    ("codec", codec::run),
    ("frame", frame::run),
    ("group_metadata", group_metadata::run),
    ("message_set", message_set::run),
    ("record_batch", record_batch::run),
    ("request_decode", request_decode::run),
    ("response_decode", response_decode::run),
    ("roundtrip", roundtrip::run),
    ("session", session::run),
    ("varint", varint::run),
];
