//! A Kafka client written from the protocol up: no C, no JVM.
//!
//! Modules have ranks, lowest first: a module uses its own files and lower ranks, never a sibling or a higher rank.
//! Everything but `client` is sans-IO: state machines take bytes and a [`time::Moment`], and never read a clock.

pub mod rng;
pub mod time;
pub mod types;

pub mod wire;

pub mod compression;

pub mod protocol;
pub mod record;

pub mod cluster;

pub mod admin;
pub mod consumer;
pub mod group;
pub mod producer;
pub mod session;

#[cfg(feature = "client")]
pub mod client;
