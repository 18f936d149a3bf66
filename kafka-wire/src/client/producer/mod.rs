//! Producers: append records, begin and end transactions.
//!
//! ```text
//! send, append -> Buffer (open batches) --close--> Sender: outbox -> Produce
//!                    |                                |       transaction manager -> EndTxn and others
//!                    `--- Shared: two locks, a bell --'
//! ```
//! [`Producer`] has many owners and reports the outcome of each record, [`ExclusiveProducer`] has one owner and reports
//! all outcomes together. Both are handles on an [`engine::Engine`]: their calls only write into [`shared::Shared`] and
//! wait for a promise; [`sender::Sender`], on a thread of its own ([`start`]), does all the sending.

mod calls;
mod clock;
mod engine;
mod error;
mod exclusive;
mod handle;
mod sender;
mod shared;
mod start;

pub use engine::GroupOffsets;
pub use error::SendError;
pub use exclusive::{ExclusiveProducer, fence};
pub use handle::Producer;
