//! An in-process Kafka broker, its faults, and a launcher of a real one.

pub mod broker;
pub mod check;
pub mod fault;
pub mod generate;
pub mod proxy;
pub mod real;
pub mod watched;
