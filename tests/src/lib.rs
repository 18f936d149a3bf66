//! Suites that need a broker.
