//! The pace of fetches at the ends of the logs.
//!
//! A leader answers a fetch as soon as there is one record, so a reader at the end of the log sends a request for
//! every batch that is written, and each costs the broker as much as one that brings a thousand records. A reader that
//! knows when it can use more records says so, and gets them all with one request.

use super::positions::Watermarks;
use crate::time::Moment;
use crate::types::IsolationLevel;

/// The time of the next fetches of partitions whose known records have all been received. Partitions with more
/// records in the log, and those that were not fetched yet, are fetched whatever the pace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FetchPace {
    /// Fetches follow each other without a pause.
    #[default]
    Free,
    /// No fetch begins before this moment, nor while received records wait to be taken.
    From(Moment),
    /// No fetch begins until the pace is set anew.
    Held,
}

impl FetchPace {
    /// The moment from which a partition may be fetched that may itself be fetched from `from` on; `None` for one that
    /// has to wait until the pace is set anew. `position` is the next offset to fetch.
    pub(super) fn allows_from(
        self,
        from: Moment,
        position: i64,
        watermarks: Option<Watermarks>,
        isolation: IsolationLevel,
    ) -> Option<Moment> {
        let is_at_end = watermarks.is_some_and(|ends| position >= ends.visible_end(isolation).0);
        match self {
            Self::Held if is_at_end => None,
            Self::From(moment) if is_at_end => Some(from.max(moment)),
            Self::Free | Self::From(_) | Self::Held => Some(from),
        }
    }

    /// Whether a fetch may begin earlier than with `other`.
    #[must_use]
    pub(super) fn is_sooner_than(self, other: Self) -> bool {
        match (self, other) {
            (Self::Held, _) | (_, Self::Free) => false,
            (Self::Free, _) | (Self::From(_), Self::Held) => true,
            (Self::From(moment), Self::From(other)) => moment < other,
        }
    }
}
