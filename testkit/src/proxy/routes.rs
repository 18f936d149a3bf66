//! Routes between clients and brokers that are gone for a while.

use std::collections::BTreeMap;

/// The direction in which nothing arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The bytes of clients do not reach the broker.
    Requests,
    /// The bytes of the broker do not reach clients.
    Answers,
    /// Neither.
    Both,
}

impl Way {
    pub(super) fn takes_requests(self) -> bool {
        matches!(self, Self::Requests | Self::Both)
    }

    pub(super) fn takes_answers(self) -> bool {
        matches!(self, Self::Answers | Self::Both)
    }
}

/// The routes that are gone, by the port of the broker.
#[derive(Debug, Default)]
pub(super) struct Routes {
    lost: BTreeMap<u16, Way>,
}

impl Routes {
    pub(super) fn lose(&mut self, port: u16, way: Way) {
        self.lost.insert(port, way);
    }

    pub(super) fn heal(&mut self) {
        self.lost.clear();
    }

    pub(super) fn lost(&self, port: u16) -> Option<Way> {
        self.lost.get(&port).copied()
    }
}
