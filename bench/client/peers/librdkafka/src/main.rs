//! The rows of bench-client on librdkafka; see `main.c`, which has the `main` of this program.

#![no_main]

// Linked, because the C code calls librdkafka.
use rdkafka_sys as _;
