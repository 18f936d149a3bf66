//! The windows of a timestamp. Pure arithmetic; one file per kind of window.
//!
//! Rules that every kind keeps: a timestamp is in at least one window, each of its windows contains it, and the windows
//! that are closed at a watermark stay closed at every later one.

mod count;
#[cfg(feature = "time-zones")]
mod days;
mod join_window;
mod processing_time;
mod session_window;
mod sliding;
mod sliding_by_record;
mod tumbling;

use std::time::Duration;

use kafka_wire::types::TimestampMs;

use crate::types::Window;

pub use count::{Count, SlidingCount};
#[cfg(feature = "time-zones")]
pub use days::{Days, UnknownTimeZone};
pub use join_window::JoinWindow;
pub use processing_time::ProcessingTime;
pub use session_window::SessionWindow;
pub use sliding::{Overlapping, Sliding, SlidingApart};
pub use sliding_by_record::SlidingByRecord;
pub use tumbling::Tumbling;

/// A kind of window that is a function of the timestamp alone: from a timestamp to the windows that contain it.
pub trait Windows: Clone + Send + Sync + 'static {
    /// The windows of one timestamp.
    type Assigned: Iterator<Item = Window>;

    /// All windows that contain `timestamp`, earliest first.
    fn assign(&self, timestamp: TimestampMs) -> Self::Assigned;

    /// Whether the sizes make sense; `build()` refuses the topology otherwise.
    fn is_valid(&self) -> bool;

    /// Kind and sizes, for [`Topology::describe`](crate::topology::Topology::describe), and to recognise state of other
    /// windows. Different windows must have different texts, in all versions.
    fn describe(&self) -> String;
}

/// Returns the whole milliseconds of a duration.
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
