//! Formats for the topics of a job beyond those of [`processor::serde`]: each behind a feature of its own.
//!
//! | feature | serde | a record's value |
//! |---|---|---|
//! | `csv` | `Csv<T>`; `CsvView<V>`, which borrows | one line, its fields in the order of `T`'s |
//! | `avro` | `Avro<T>` | Avro's binary encoding, with a schema that writer and reader know |
//! | `protobuf` | `Protobuf<M>` | a message of `prost` |
//! | `registry` | JSON, Avro and Protobuf of a `SchemaRegistry` | the same, behind five bytes that name its schema |
//!
//! The feature `parquet` is for files: `Parquet` makes records of their rows, for a `Feed`, and `ParquetRows` makes
//! rows of records, for a `FileSink`.
//!
//! ```
//! use processor::Topology;
//! use processor_formats::Csv;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Reading {
//!     sensor: String,
//!     celsius: f64,
//! }
//!
//! let mut job = Topology::builder("readings");
//! job.stream("readings", Csv::<Reading>::new())
//!     .filter(|reading| reading.value.celsius > 30.0)
//!     .to("hot", processor::Raw, Csv::<Reading>::new());
//! # job.build().unwrap();
//! ```
//!
//! Whatever a topic holds, decoding neither panics nor takes more memory than the limit in the format's documentation.

#[cfg(feature = "avro")]
mod avro;
#[cfg(feature = "csv")]
mod csv;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(feature = "protobuf")]
mod protobuf;
#[cfg(feature = "registry")]
pub mod registry;

#[cfg(feature = "avro")]
pub use avro::Avro;
#[cfg(feature = "csv")]
pub use csv::{Csv, CsvView};
#[cfg(feature = "parquet")]
pub use parquet::{Parquet, ParquetRows};
#[cfg(feature = "protobuf")]
pub use protobuf::Protobuf;
#[cfg(feature = "registry")]
pub use registry::{RegistryConfig, SchemaRegistry};

/// The crate that reads and writes Avro, for schemas that a program makes by itself.
#[cfg(feature = "avro")]
pub use apache_avro;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
