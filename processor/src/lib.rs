//! Exactly-once stream processing on Kafka.
//!
//! A job is a topology of typed steps. The simplest one, from a topic to a topic, with unchanged keys:
//!
//! ```no_run
//! use processor::{App, Config, Raw, Topology, Utf8, terminated};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let mut job = Topology::builder("upper-case");
//! job.stream("lines", Utf8).map(|line| line.value.to_uppercase()).to("upper", Raw, Utf8);
//! App::new(job.build()?, Config::new("127.0.0.1:9092")).run_until(terminated()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Stream`](topology::Stream) has the steps; [`driver::TestDriver`] runs a job without a broker.
//!
//! Modules have ranks, lowest first: a module uses its own files and lower ranks, never a sibling or a higher rank.
//! Only `runtime` is async; it and `files` do I/O, and read a clock.

/// Makes `Debug` of errors print their text: `main` prints the error that it returns by `Debug`.
macro_rules! debug_as_text {
    ($($error:ident),+ $(,)?) => {
        $(
            /// The name of the type and the text of `Display`: `main` prints the error that it returns by `Debug`.
            impl std::fmt::Debug for $error {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    write!(f, "{}: {self}", stringify!($error))
                }
            }
        )+
    };
}

pub mod types;

pub mod cep;
pub mod output;
pub mod serde;
pub mod watermark;
pub mod window;

pub mod error;
pub mod state;

pub mod operator;

pub mod topology;

pub mod task;

pub mod commit;

pub mod worker;

pub mod driver;

pub mod files;

pub mod runtime;

pub use error::{ErrorKind, ErrorPolicy, SinkError};
pub use files::FileSink;
pub use kafka_wire::client::TopicPattern;
pub use kafka_wire::types::TimestampMs;
pub use operator::{
    BatchOptions, CallOptions, CoProcess, Emit, GlobalState, ListState, MapState, Outgoing, Output, Process, ResultId,
    Scope, SinkWriter, TimelineState, Trigger, TriggerResult, TriggerScope, TwoPhaseSink, Update, ValueState,
};
pub use processor_derive::{Pack, View};
pub use runtime::{
    App, AssignmentStrategy, CompressionType, Config, ConfigError, Feed, FileFormat, FileRecords, ReadError, RunError,
    Running, Status, StoreReader, check_brokers, terminated,
};
pub use serde::{
    Bool, F32, F64, I16, I32, I64, Json, JsonView, Nullable, Packed, Raw, Serde, SerdeError, SessionWindowed, Text,
    TimeWindowed, U32, U64, Utf8,
};
pub use state::{Clock, Ttl};
pub use topology::{BuildErrors, ResetPolicy, StartingOffsets, StoppingOffsets, Topology};
pub use types::{Owned, Partitions, Rec, View, Window, Windowed};
pub use watermark::Watermark;
pub use window::{Count, JoinWindow, ProcessingTime, SessionWindow, Sliding, SlidingByRecord, SlidingCount, Tumbling};
#[cfg(feature = "time-zones")]
pub use window::{Days, UnknownTimeZone};
