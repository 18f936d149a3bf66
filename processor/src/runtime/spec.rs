//! The specification of a worker; the same again when it is replaced after a kill.

use std::sync::Arc;

use kafka_wire::wire::Str;

use super::config::Config;
use super::control::Control;
use super::kill::Deaths;
use super::reader::Questions;
use super::status::Board;
use crate::topology::Topology;
use crate::worker::Ends;

/// The specification of a worker.
#[derive(Clone)]
pub(super) struct Spec {
    pub(super) topology: Arc<Topology>,
    pub(super) config: Arc<Config>,
    /// Transactional id of the worker; no two live workers have the same one.
    pub(super) transactional_id: Str,
    /// Group instance id of the worker, if its id outlives a restart (KIP-345).
    pub(super) group_instance_id: Option<Str>,
    /// Whether the job looks for topics that come to match a pattern.
    pub(super) is_discovering: bool,
    /// The ends of a bounded run; `None` runs until stopped.
    pub(super) ends: Option<Arc<Ends>>,
    pub(super) board: Arc<Board>,
    pub(super) control: Arc<Control>,
    /// The questions of those who read its stores.
    pub(super) questions: Arc<Questions>,
    /// Number of the worker, and the handle that kills it, in demonstrations and tests.
    pub(super) index: usize,
    pub(super) deaths: Option<Deaths>,
}
