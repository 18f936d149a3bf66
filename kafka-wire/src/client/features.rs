//! The finalized features of the cluster, as far as connections have heard of them.

use std::sync::{Arc, Mutex};

use super::lock::lock;
use crate::session::BrokerVersions;

/// The announcement with the newest epoch, of any broker.
#[derive(Debug, Default)]
pub(super) struct Features {
    newest: Mutex<Option<Arc<BrokerVersions>>>,
}

impl Features {
    /// A broker announced this on a new connection. At the same epoch the later one counts, since a cluster may be replaced.
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
