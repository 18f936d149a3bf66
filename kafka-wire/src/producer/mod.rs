//! The idempotent and transactional producer, without I/O.
pub mod partitioner;
