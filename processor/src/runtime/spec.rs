//! What a worker is made of; the same again when it is replaced after a kill.

use std::sync::Arc;

use kafka_wire::wire::Str;

use super::config::Config;
use super::control::Control;
use super::kill::KillSwitch;
use super::status::Board;
use crate::topology::Topology;
use crate::worker::Ends;

/// What a worker is made of.
#[derive(Clone)]
pub(super) struct Spec {
    pub(super) topology: Arc<Topology>,
    pub(super) config: Arc<Config>,
    /// Names the worker to the transaction coordinator; no two live workers have the same one.
    pub(super) transactional_id: Str,
    /// Names the worker to the group when its id outlives a restart (KIP-345).
    pub(super) group_instance_id: Option<Str>,
    /// Where a bounded run ends; `None` runs until stopped.
    pub(super) ends: Option<Arc<Ends>>,
    pub(super) board: Arc<Board>,
    pub(super) control: Arc<Control>,
    pub(super) kill: Arc<KillSwitch>,
}
