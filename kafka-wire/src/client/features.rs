//! The finalized features of the cluster, as announced on the connections so far.

use std::sync::{Arc, Mutex};

use super::lock::lock;
use crate::session::BrokerVersions;

/// The announcement with the newest epoch, by any broker.
#[derive(Debug, Default)]
pub(super) struct Features {
    newest: Mutex<Option<Arc<BrokerVersions>>>,
}

impl Features {
    /// Notes an announcement on a new connection. At the same epoch the later one counts, because a cluster may
    /// be replaced.
    pub(super) fn note(&self, announced: &Arc<BrokerVersions>) {
        let mut newest = lock(&self.newest);
        if newest.as_ref().is_none_or(|known| known.features_epoch() <= announced.features_epoch()) {
            *newest = Some(Arc::clone(announced));
        }
    }

    pub(super) fn level(&self, name: &str) -> Option<i16> {
        lock(&self.newest).as_ref()?.feature(name)
    }
}
