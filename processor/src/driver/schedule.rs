//! Random schedules: which worker does which of its possible next steps, and which failures happen.

use kafka_wire::rng::Rng;

use super::TestDriver;
use super::plan::{CommitPoint, Died, Plan};

/// The failures that [`TestDriver::step`] may cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Faults {
    /// Nothing.
    None,
    /// Workers die, pause, join and leave, some on hosts that are new; answers are lost; operations fail; the group
    /// rebalances; changelogs are compacted.
    All,
}

impl TestDriver {
    /// Does one possible step, drawn from `rng`. The same seed gives the same run.
    pub fn step(&mut self, rng: &mut Rng, faults: Faults) {
        if self.fatal.is_some() || self.slots.is_empty() {
            return;
        }
        self.cluster.delay_markers(faults == Faults::All);
        // This is rare, so that others take over partitions before the last commit on them is visible.
        if rng.below(30) == 0 {
            self.cluster.write_markers(pick(rng, usize::MAX));
        }
        if faults == Faults::All && rng.below(30) == 0 {
            let (changelog, partition, before) = (pick(rng, 1_000), pick(rng, 1_000), pick(rng, 1_000_000));
            self.cluster.compact(changelog, partition, before);
        }
        let has_fault = faults == Faults::All && rng.below(40) == 0;
        if has_fault {
            self.fault(rng);
        }
        if rng.below(6) == 0 {
            let step = std::time::Duration::from_millis(rng.below(60));
            self.pass(self.now + step);
        }
        let index = pick(rng, self.slots.len());
        self.plan = (faults == Faults::All && rng.below(12) == 0).then(|| plan(rng));
        self.move_worker(index, rng);
        self.plan = None;
        self.bury(index);
    }

    /// Ends the failures: every live worker goes on, and there is at least one.
    pub fn heal(&mut self) {
        self.plan = None;
        self.cluster.delay_markers(false);
        for slot in &mut self.slots {
            slot.is_paused = false;
        }
        if self.live_workers().is_empty() {
            self.start_worker(0);
        }
    }

    /// Ends the failures and the input, and lets the job finish. It has 200 s of its time for that: see
    /// [`is_finished`](Self::is_finished) and [`fatal`](Self::fatal).
    pub fn finish(&mut self) {
        self.heal();
        self.end_of_input();
        for _ in 0..200 {
            // The last worker may just have been asked to stop.
            self.heal();
            if self.is_finished() || self.fatal.is_some() {
                break;
            }
            self.advance_wall(std::time::Duration::from_secs(1));
            self.settle();
        }
    }

    fn fault(&mut self, rng: &mut Rng) {
        let index = pick(rng, self.slots.len());
        match rng.below(9) {
            0 => self.kill_worker(index),
            // It has no id of a former one, whose place is lost with its host.
            8 if self.slots.len() < WORKERS_MAX => {
                self.kill_worker(index);
                self.add_worker();
            }
            1 | 2 => self.start_worker(index),
            3 => self.pause_worker(index),
            4 => self.resume_worker(index),
            5 => self.rebalance(),
            6 => {
                if let Some(member) = self.active(index) {
                    member.worker.stop();
                }
            }
            // Long enough for sessions and transactions of paused and dead workers to end.
            _ => self.pass(self.now + std::time::Duration::from_millis(3_000 + rng.below(9_000))),
        }
    }

    /// Does one of the possible steps of a worker.
    fn move_worker(&mut self, index: usize, rng: &mut Rng) {
        if self.choose(index) {
            return;
        }
        let Self { cluster, now, plan, .. } = self;
        let now = *now;
        let Some(member) = self.slots[index].active() else { return };
        let count = 1 + pick(rng, 12);
        let moves = match rng.below(8) {
            0 => {
                member.hear(cluster, now);
                Ok(true)
            }
            1 | 2 if member.operation_count() > 0 => {
                let operation = pick(rng, member.operation_count());
                member.operate(operation, (cluster, now), plan, rng.below(4) == 0)
            }
            3 => {
                let changelogs = member.changelogs();
                let next = changelogs.get(pick(rng, changelogs.len()));
                Ok(next.is_some_and(|changelog| member.restore(cluster, now, changelog, count)))
            }
            4 => {
                member.send_half(cluster, now);
                Ok(true)
            }
            5 => {
                member.worker.handle_at_hand(rng.below(2) == 0);
                member.turn(cluster, now);
                Ok(true)
            }
            _ => {
                let inputs = member.inputs();
                let next = inputs.get(pick(rng, inputs.len()));
                Ok(next.is_some_and(|input| member.feed(cluster, now, input, count)))
            }
        };
        if let Err(Died) = moves {
            self.crash_count += 1;
            self.start_worker(index);
        }
        self.cluster.handle_time(self.now);
    }
}

fn plan(rng: &mut Rng) -> Plan {
    match rng.below(9) {
        0..=2 => Plan::Crash(CommitPoint::ALL[pick(rng, CommitPoint::ALL.len())]),
        3 | 4 => Plan::Unanswered { landed: rng.below(2) == 0 },
        5 | 6 => Plan::Refused,
        7 => Plan::Unseen,
        _ => Plan::Failed,
    }
}

/// Number of workers that there may be in a random schedule, dead ones included.
const WORKERS_MAX: usize = 8;

fn pick(rng: &mut Rng, count: usize) -> usize {
    usize::try_from(rng.below(count as u64)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
