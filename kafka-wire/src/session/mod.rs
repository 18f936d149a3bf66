//! One connection to a broker, as a state machine without I/O.

mod call;
mod close;
mod frame;
mod versions;

pub use call::{ByVersion, Call, CallFailure, Outgoing, Output};
pub use close::{CloseCause, Peer};
pub use frame::{FrameError, FrameSplitter};
pub use versions::{BrokerVersions, UnsupportedVersion};
