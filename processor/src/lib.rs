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
//! Both topics must exist. Start the program as often as you like: the processes share the partitions, and one that is
//! killed loses and doubles nothing.
//!
//! # State, and a test
//!
//! State belongs to a key, and has a name. [`Stream::key_by`](topology::Stream::key_by) gives records another key and
//! brings all records of a key into one task; the topics of the job itself are made when it starts.
//! [`driver::TestDriver`] runs a job without a broker, with crashes at any step:
//!
//! ```
//! use std::time::Duration;
//!
//! use processor::driver::{TestDriver, TestTopic};
//! use processor::{Emit, Partitions, Text, Topology, Tumbling, U64, Utf8};
//!
//! let mut job = Topology::builder("word-count");
//! job.stream("lines", Utf8)
//!     .flat_map(Utf8, |line, out| line.value.split_whitespace().for_each(|word| out.push(word)))
//!     .key_by("by-word", Partitions(4), (Utf8, ()), |word| (word.value, ()))
//!     .window(Tumbling::of(Duration::from_secs(60)))
//!     .count("counts", Emit::OnClose)
//!     .map(|word| *word.value)
//!     .to("counts", Utf8, U64);
//!
//! let mut driver = TestDriver::new(job.build().expect("a sound job"));
//! driver.pipe("lines", None, "to be or not to be", 1_000);
//! driver.crash();
//! driver.end_of_input();
//! assert_eq!(TestTopic::new("counts", Text, U64).latest(&driver)["be"], 2);
//! ```
//!
//! # Where to look
//!
//! - Inputs and tables: [`Builder`](topology::Builder). Their event time ([`Watermark`]), begin and end, `map`,
//!   `filter`, `merge`, `key_by`, `async_map`, joins and outputs: [`Stream`](topology::Stream).
//! - `count`, `sum`, `reduce`, `aggregate`: [`Stream`](topology::Stream), or in windows
//!   [`WindowedBy`](topology::WindowedBy). When results come out: [`Emit`], [`Trigger`].
//! - Windows: [`Tumbling`], [`Sliding`], [`SessionWindow`], [`Count`], [`ProcessingTime`].
//! - Changes and joins of tables: [`Table`](topology::Table), [`GlobalTable`](topology::GlobalTable),
//!   [`VersionedTable`](topology::VersionedTable).
//! - Code of your own with state and timers: [`Process`], [`CoProcess`], [`operator::BroadcastProcess`]; [`Scope`] and
//!   [`ValueState`]. Patterns of events: [`cep`].
//! - Keys and values, as text, numbers, JSON or in a format of your own: [`mod@serde`].
//! - To run a job, look at it and read its state: [`App`], [`Config`], [`Running`], [`StoreReader`]. To test it:
//!   [`driver`].
//! - Records that fail: [`ErrorPolicy`], [`Builder::on_error`](topology::Builder::on_error).
//! - Files, generators and sockets as inputs: [`Feed`]. Outputs outside of Kafka: [`FileSink`], [`TwoPhaseSink`],
//!   [`Stream::to_outside`](topology::Stream::to_outside).
//!
//! The other modules are the machines below: they take no part in writing a job.
//!
//! Modules have ranks, lowest first: a module uses its own files and lower ranks, never a sibling or a higher rank.
//! Only `runtime` is async; it and `files` do I/O, and read a clock.

#[macro_use(debug_as_text)]
extern crate kafka_wire;

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
pub use files::{FileSink, RowFormat};
pub use kafka_wire::client::TopicPattern;
pub use kafka_wire::types::TimestampMs;
pub use operator::{
    BatchOptions, CallOptions, CoProcess, Emit, GlobalState, ListState, MapState, Outgoing, Output, Process, ResultId,
    Scope, SinkWriter, TimelineState, Trigger, TriggerResult, TriggerScope, TwoPhaseSink, Update, ValueState,
};
pub use processor_derive::{Pack, View};
pub use runtime::{
    App, AssignmentStrategy, CompressionType, Config, ConfigError, Feed, FileFormat, FileRecords, GlobalReader,
    ReadError, RunError, Running, Status, StoreReader, check_brokers, terminated,
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

/// The names of the root without its modules: `use processor::prelude::*;`. A glob import of the root itself takes the
/// module [`mod@serde`] along, and then the crate of that name is ambiguous.
///
/// ```
/// use processor::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Serialize, Deserialize)]
/// struct Order {
///     amount: i64,
/// }
///
/// let mut job = Topology::builder("amounts");
/// job.stream("orders", Json::<Order>::new()).map(|order| order.value.amount).to("amounts", Raw, I64);
/// assert!(job.build().is_ok());
/// ```
pub mod prelude {
    pub use kafka_wire::client::TopicPattern;
    pub use kafka_wire::types::TimestampMs;
    pub use processor_derive::{Pack, View};

    pub use crate::error::{ErrorKind, ErrorPolicy, SinkError};
    pub use crate::files::{FileSink, RowFormat};
    pub use crate::operator::{
        BatchOptions, CallOptions, CoProcess, Emit, GlobalState, ListState, MapState, Outgoing, Output, Process,
        ResultId, Scope, SinkWriter, TimelineState, Trigger, TriggerResult, TriggerScope, TwoPhaseSink, Update,
        ValueState,
    };
    pub use crate::runtime::{
        App, AssignmentStrategy, CompressionType, Config, ConfigError, Feed, FileFormat, FileRecords, ReadError,
        RunError, Running, Status, StoreReader, check_brokers, terminated,
    };
    pub use crate::serde::{
        Bool, F32, F64, I16, I32, I64, Json, JsonView, Nullable, Packed, Raw, Serde, SerdeError, SessionWindowed, Text,
        TimeWindowed, U32, U64, Utf8,
    };
    pub use crate::state::{Clock, Ttl};
    pub use crate::topology::{BuildErrors, ResetPolicy, StartingOffsets, StoppingOffsets, Topology};
    pub use crate::types::{Owned, Partitions, Rec, View, Window, Windowed};
    pub use crate::watermark::Watermark;
    pub use crate::window::{
        Count, JoinWindow, ProcessingTime, SessionWindow, Sliding, SlidingByRecord, SlidingCount, Tumbling,
    };
    #[cfg(feature = "time-zones")]
    pub use crate::window::{Days, UnknownTimeZone};
}
