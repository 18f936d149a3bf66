//! A process that chooses the places at which inputs start, on the cluster in memory.

use std::collections::BTreeMap;

use kafka_wire::time::Moment;
use kafka_wire::types::TimestampMs;

use super::cluster::Cluster;
use crate::commit::Outcome;
use crate::topology::{ResetPolicy, Topology};
use crate::worker::{Completion, End, ForeignOffsets, Operation, Starting};

/// The choice in progress, and the state of its connection to the cluster.
pub(super) struct Starter {
    starting: Starting,
    /// Epoch of the transactional id, once it is taken up.
    epoch: u32,
    /// Whether the offsets are in the transaction already.
    has_offsets: bool,
}

impl Starter {
    /// `None` if there is nothing to choose.
    pub(super) fn new(topology: &Topology, policy: ResetPolicy, cluster: &Cluster, now: Moment) -> Option<Self> {
        let topics = topology.external_sources().map(|source| &source.topic);
        let counts: BTreeMap<_, _> = topics.map(|topic| (topic.clone(), cluster.logs.partition_count(topic))).collect();
        let wall = TimestampMs(i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
        let starting = Starting::new(topology, &counts, policy, ForeignOffsets::Refuse, wall)?;
        Some(Self { starting, epoch: 0, has_offsets: false })
    }

    /// Carries out the next operation, or the first half of a commit. Returns whether the choice is made; `None` if it
    /// has to wait.
    pub(super) fn step(&mut self, cluster: &mut Cluster, now: Moment) -> Result<Option<bool>, End> {
        let Some(operation) = self.starting.next() else { return Ok(Some(true)) };
        let (id, epoch) = (self.starting.transactional_id(), self.epoch);
        let fenced = |_| End::Restart("another process chooses".to_owned());
        let completion = match operation {
            Operation::ReadOffsets { partitions, is_stable } => match cluster.read_offsets(partitions, is_stable) {
                Some(offsets) => Completion::Offsets(offsets),
                None => return Ok(None),
            },
            Operation::ListOffsets { wanted, isolation } => Completion::Listed(
                wanted.iter().map(|(partition, spec)| cluster.list(partition, *spec, isolation)).collect(),
            ),
            Operation::Recover => {
                self.epoch = cluster.transactions.init(&id, &mut cluster.logs, &mut cluster.offsets);
                Completion::Transaction(Outcome::Done)
            }
            Operation::Commit { offsets } if !self.has_offsets => {
                let Cluster { transactions, logs, offsets: committed, .. } = cluster;
                transactions.add_offsets((&id, epoch), now, offsets, (logs, committed)).map_err(fenced)?;
                self.has_offsets = true;
                return Ok(Some(false));
            }
            Operation::Commit { .. } => {
                let Cluster { transactions, logs, offsets, .. } = cluster;
                transactions.end((&id, epoch), true, logs, offsets).map_err(fenced)?;
                Completion::Transaction(Outcome::Done)
            }
            operation => unreachable!("{operation:?} is not needed to choose"),
        };
        self.starting.handle(completion)?;
        Ok(Some(self.starting.next().is_none()))
    }
}
