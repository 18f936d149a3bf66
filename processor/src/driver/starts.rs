//! The start of workers. Each stands for a process of its own, which chooses the places at which inputs start if nobody
//! has done it.

use std::time::Duration;

use kafka_wire::types::TimestampMs;

use super::TestDriver;
use super::member::Member;
use super::starter::Starter;
use crate::worker::{End, ForeignOffsets, Settings};

impl TestDriver {
    /// Starts a dead worker, or kills and restarts a live one: it takes up its transactional id and its membership.
    ///
    /// # Panics
    /// If there is no such worker; the same holds for the other methods that name one.
    pub fn start_worker(&mut self, worker: usize) {
        self.look_up_ends();
        let starter = Starter::new(&self.topology, self.offset_reset, &self.cluster, self.now);
        let slot = &mut self.slots[worker];
        slot.incarnation += 1;
        slot.is_paused = false;
        slot.member = None;
        slot.starter = starter;
        if slot.starter.is_none() {
            self.begin_work(worker);
        }
    }

    /// Lets a worker begin, in a process that has chosen where the inputs start.
    fn begin_work(&mut self, worker: usize) {
        let slot = &mut self.slots[worker];
        let settings = Settings {
            wall_at_zero: TimestampMs(0),
            transactional_id: format!("{}-test-{worker}", self.topology.application_id()),
            first_sequence: u64::from(slot.incarnation) * SEQUENCES_MAX,
            policy: self.policy,
            task_idle_max: self.task_idle_max,
            queue_bytes_max: QUEUE_BYTES_MAX,
            mark_interval_min: self.mark_interval_min,
            purge_interval: self.purge_interval,
            inspection_interval: Duration::from_secs(5),
            discovery_interval: Some(self.discovery_interval),
            missing_topic: self.missing_topic,
            foreign_offsets: ForeignOffsets::Refuse,
        };
        let place = (worker, slot.incarnation);
        let (ends, cluster) = (self.ends.clone(), (&mut self.cluster, self.now));
        slot.member = Some(Member::start(place, &self.topology, settings, ends, cluster));
        self.cluster.share_topics_of(&self.topology, self.now);
    }

    /// Carries out the next step of a process that chooses where the inputs start. Returns whether there was one.
    pub(super) fn choose(&mut self, index: usize) -> bool {
        let (now, slot) = (self.now, &mut self.slots[index]);
        let Some(starter) = slot.starter.as_mut().filter(|_| !slot.is_paused) else { return false };
        match starter.step(&mut self.cluster, now) {
            Ok(None) => return false,
            Ok(Some(false)) => {}
            Ok(Some(true)) => {
                slot.starter = None;
                self.begin_work(index);
            }
            Err(End::Fatal(fatal)) => {
                slot.starter = None;
                self.fatal = Some(fatal);
            }
            Err(End::Restart(_) | End::Stopped) => self.start_worker(index),
        }
        true
    }
}

/// Number of sequence numbers for one incarnation of a worker; the next one begins above them.
const SEQUENCES_MAX: u64 = 1 << 32;

/// Bytes of an input that wait for their turn: few, so that tests reach the limit.
const QUEUE_BYTES_MAX: usize = 512;
