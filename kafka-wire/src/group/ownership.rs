//! The partitions of a group consumer: how far each is read, and what a rebalance does to them.
//!
//! The rule, which this machine keeps: **records of a partition are handed out only after `Assigned` was told for it,
//! and never after `Revoking` or `Lost` was told for it.**
//!
//! ```text
//! eager:        Rebalancing --> commit (auto) --> tell Revoking(all) --poll--> stop, tell Revoked(all) --> rejoin
//! cooperative:  Rebalancing --> rejoin keeping all, and read on
//!               Assigned    --> commit (auto) --> tell Revoking(what is no longer ours) --poll--> stop, tell Revoked
//!                               --> look up offsets of what is new, tell Assigned(new) --> rejoin if anything was revoked
//! both:         Lost        --> stop, tell Lost(all) --> rejoin
//! ```
//! Things to do stand in a queue, and the owner works it off before it hands out records. Telling the user ends
//! a poll, so what stands behind it is done when the user polls again: between `Revoking` and that poll the partitions
//! are still ours, and what was read can be committed.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::{GroupEvent, LostCause};
use crate::cluster::{CommittedOffset, TopicPartition};
use crate::time::Moment;
use crate::types::{LeaderEpoch, Offset};
use crate::wire::Str;

/// The partitions of a group consumer, without I/O.
#[derive(Debug)]
pub struct Ownership {
    is_cooperative: bool,
    auto_commit: Option<Duration>,
    held: BTreeMap<TopicPartition, Held>,
    queue: VecDeque<Item>,
    /// A commit that has to be settled before the queue goes on.
    is_waiting: bool,
    /// A commit of the timer is under way.
    is_committing: bool,
    next_commit: Moment,
    round: u64,
}

/// One partition.
#[derive(Debug)]
struct Held {
    /// Number of the look-up that its start comes from.
    round: u64,
    /// Where the user stands: behind all that was handed out. `None` until that is known.
    position: Option<CommittedOffset>,
    /// The offset to go back to: the last one that was committed, or the one where reading began.
    settled: Option<CommittedOffset>,
    /// The offset that the group knows.
    committed: Option<Offset>,
}

/// An entry of the queue: effects, and steps that become effects when their turn comes.
#[derive(Debug)]
enum Item {
    Do(Effect),
    Revoke(Revocation),
    Stop(Vec<TopicPartition>),
    Adopt(Vec<TopicPartition>),
    Rejoin,
}

#[derive(Debug)]
enum Revocation {
    All,
    /// All but these.
    Except(Vec<TopicPartition>),
    /// All but those of these topics.
    ExceptTopics(Vec<Str>),
}

/// Something that the owner has to do.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Effect {
    /// Look up how far the group has read these, and hand it to [`Ownership::handle_offsets`] with this number.
    FetchOffsets {
        /// To be handed back.
        round: u64,
        /// Partitions to look up.
        partitions: Vec<TopicPartition>,
    },
    /// Read from here on; `None` where the group has committed nothing: then the reset policy says where.
    Read {
        /// Partition to read.
        partition: TopicPartition,
        /// From where.
        from: Option<CommittedOffset>,
    },
    /// Hand out nothing of it any more.
    StopReading(TopicPartition),
    /// Commit these, then call [`Ownership::handle_committed`] with `is_awaited`. Nothing else comes before that if it
    /// is.
    Commit {
        /// Offsets to commit.
        offsets: Vec<(TopicPartition, CommittedOffset)>,
        /// Whether the partitions are given up after it.
        is_awaited: bool,
    },
    /// Join again, keeping these.
    Rejoin {
        /// Empty in an eager group.
        keeping: Vec<TopicPartition>,
    },
    /// Tell the user. What comes next is for the next poll.
    Tell(AssignmentChange),
}

/// A change of the assignment that the user has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AssignmentChange {
    /// These are new; records of them may come from now on. Perhaps none.
    Assigned(Vec<TopicPartition>),
    /// These will be given up by the next poll. Until then what was read of them can be committed; no record of them
    /// comes any more.
    Revoking(Vec<TopicPartition>),
    /// These were given up.
    Revoked(Vec<TopicPartition>),
    /// These are gone without a chance to commit, and others may have them already: drop what is begun.
    Lost {
        /// Partitions that are gone.
        partitions: Vec<TopicPartition>,
        /// Why.
        cause: LostCause,
    },
}

impl Ownership {
    /// Nothing is ours yet. With `auto_commit` what was handed out is committed so often, and before partitions are
    /// given up.
    #[must_use]
    pub fn new(is_cooperative: bool, auto_commit: Option<Duration>, now: Moment) -> Self {
        Self {
            is_cooperative,
            auto_commit,
            held: BTreeMap::new(),
            queue: VecDeque::new(),
            is_waiting: false,
            is_committing: false,
            next_commit: auto_commit.map_or(now, |interval| now + interval),
            round: 0,
        }
    }

    /// The partitions that are ours, sorted.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.held.keys()
    }

    /// Whether the partition is ours.
    #[must_use]
    pub fn holds(&self, partition: &TopicPartition) -> bool {
        self.held.contains_key(partition)
    }

    /// News of the membership; `Fatal` is the owner's.
    pub fn handle_event(&mut self, event: &GroupEvent) {
        match event {
            GroupEvent::Assigned { partitions, .. } => {
                self.queue.push_back(Item::Revoke(Revocation::Except(partitions.clone())));
                self.queue.push_back(Item::Adopt(partitions.clone()));
            }
            // It joins again anyway.
            GroupEvent::Rebalancing if self.queue.iter().any(|item| matches!(item, Item::Rejoin)) => {}
            GroupEvent::Rebalancing => {
                if !self.is_cooperative {
                    self.queue.push_back(Item::Revoke(Revocation::All));
                }
                self.queue.push_back(Item::Rejoin);
            }
            GroupEvent::Lost { cause } => self.lose(*cause),
            GroupEvent::Fatal(_) => {}
        }
    }

    /// The user subscribes to other topics: what is ours of others is given up, and the group shares anew.
    pub fn handle_subscribed(&mut self, topics: &[Str]) {
        let given_up = if self.is_cooperative { Revocation::ExceptTopics(topics.to_vec()) } else { Revocation::All };
        self.queue.push_back(Item::Revoke(given_up));
        self.queue.push_back(Item::Rejoin);
    }

    fn lose(&mut self, cause: LostCause) {
        self.queue.clear();
        self.is_waiting = false;
        let partitions: Vec<_> = self.held.keys().cloned().collect();
        self.queue.push_back(Item::Stop(partitions.clone()));
        if !partitions.is_empty() {
            self.queue.push_back(Item::Do(Effect::Tell(AssignmentChange::Lost { partitions, cause })));
        }
        self.queue.push_back(Item::Rejoin);
    }

    /// The answer to [`Effect::FetchOffsets`].
    pub fn handle_offsets(&mut self, round: u64, found: Vec<(TopicPartition, Option<CommittedOffset>)>) {
        for (partition, committed) in found {
            let Some(held) = self.held.get_mut(&partition) else { continue };
            // The user may have sought meanwhile.
            if held.round == round && held.position.is_none() {
                held.committed = committed.as_ref().map(|committed| committed.offset);
                held.position.clone_from(&committed);
                held.settled.clone_from(&committed);
                self.queue.push_back(Item::Do(Effect::Read { partition, from: committed }));
            }
        }
    }

    /// The user was given everything below `next`, of which the last was of this epoch; `first` is where that began.
    pub fn handle_read(&mut self, partition: &TopicPartition, first: Offset, next: Offset, epoch: LeaderEpoch) {
        let Some(held) = self.held.get_mut(partition) else { return };
        held.settled.get_or_insert_with(|| CommittedOffset::new(first));
        let position = held.position.get_or_insert_with(|| CommittedOffset::new(next));
        (position.offset, position.leader_epoch) = (next, epoch);
        position.metadata = Str::EMPTY;
    }

    /// There is nothing more to hand out below `next`, or what was handed out from there on could not be read.
    pub fn handle_passed(&mut self, partition: &TopicPartition, next: Offset) {
        let Some(held) = self.held.get_mut(partition) else { return };
        held.position.get_or_insert_with(|| CommittedOffset::new(next)).offset = next;
        held.settled.get_or_insert_with(|| CommittedOffset::new(next));
    }

    /// The user goes on from elsewhere. Whether the partition is ours.
    pub fn handle_seek(&mut self, partition: &TopicPartition, offset: Offset) -> bool {
        let Some(held) = self.held.get_mut(partition) else { return false };
        held.position = Some(CommittedOffset::new(offset));
        held.settled.clone_from(&held.position);
        true
    }

    /// Where the reset policy began. Nothing happens where that is known already.
    pub fn handle_start(&mut self, partition: &TopicPartition, offset: Offset) {
        if let Some(held) = self.held.get_mut(partition).filter(|held| held.position.is_none()) {
            held.position = Some(CommittedOffset::new(offset));
            held.settled.get_or_insert_with(|| CommittedOffset::new(offset));
        }
    }

    /// The partitions whose position is not known: they are being looked up, or begin where the reset policy says.
    pub fn unplaced(&self) -> impl Iterator<Item = &TopicPartition> {
        self.held.iter().filter(|(_, held)| held.position.is_none()).map(|(partition, _)| partition)
    }

    /// Where the user stands in a partition.
    #[must_use]
    pub fn position(&self, partition: &TopicPartition) -> Option<&CommittedOffset> {
        self.held.get(partition)?.position.as_ref()
    }

    /// The positions to commit: those that the group does not know yet.
    #[must_use]
    pub fn uncommitted(&self) -> Vec<(TopicPartition, CommittedOffset)> {
        let news = self.held.iter().filter_map(|(partition, held)| {
            let position = held.position.as_ref().filter(|position| held.committed != Some(position.offset))?;
            Some((partition.clone(), position.clone()))
        });
        news.collect()
    }

    /// These were committed, by a request or by a transaction.
    pub fn handle_settled(&mut self, offsets: &[(TopicPartition, CommittedOffset)]) {
        for (partition, committed) in offsets {
            if let Some(held) = self.held.get_mut(partition) {
                held.committed = Some(committed.offset);
                held.settled = Some(committed.clone());
            }
        }
    }

    /// The commit of an effect was answered, or failed: then what it was about is read again by somebody, which is what
    /// a commit that fails means.
    pub fn handle_committed(&mut self, is_awaited: bool) {
        if is_awaited {
            self.is_waiting = false;
        } else {
            self.is_committing = false;
        }
    }

    /// Back to what is committed, or to where reading began: each partition with the offset to read from. The work
    /// since then is to be dropped; for a transaction that was aborted.
    pub fn rewind(&mut self) -> Vec<(TopicPartition, CommittedOffset)> {
        let settled = self.held.iter_mut().filter_map(|(partition, held)| {
            held.position.as_ref()?;
            held.position.clone_from(&held.settled);
            Some((partition.clone(), held.settled.clone()?))
        });
        settled.collect()
    }

    /// Whether records may be handed out: not while something stands in the queue.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.queue.is_empty() && !self.is_waiting
    }

    /// When a commit of the timer is due.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Moment> {
        (self.auto_commit.is_some() && !self.is_committing).then_some(self.next_commit)
    }

    /// The next thing to do, if any.
    pub fn poll(&mut self, now: Moment) -> Option<Effect> {
        while !self.is_waiting {
            let Some(item) = self.queue.pop_front() else { return self.commit_if_due(now) };
            match item {
                Item::Do(Effect::Read { partition, .. }) if !self.held.contains_key(&partition) => {}
                Item::Do(effect) => return Some(effect),
                Item::Revoke(given_up) => {
                    if let Some(commit) = self.revoke(&given_up, now) {
                        return Some(commit);
                    }
                }
                Item::Stop(mut partitions) => {
                    if let Some(partition) = partitions.pop() {
                        self.queue.push_front(Item::Stop(partitions));
                        self.held.remove(&partition);
                        return Some(Effect::StopReading(partition));
                    }
                }
                Item::Adopt(partitions) => {
                    if let Some(look_up) = self.adopt(partitions) {
                        return Some(look_up);
                    }
                }
                Item::Rejoin => {
                    let keeping = if self.is_cooperative { self.held.keys().cloned().collect() } else { Vec::new() };
                    return Some(Effect::Rejoin { keeping });
                }
            }
        }
        None
    }

    /// Puts what giving up means before everything else in the queue, and begins with the commit.
    fn revoke(&mut self, given_up: &Revocation, now: Moment) -> Option<Effect> {
        let is_given_up = |partition: &TopicPartition| match given_up {
            Revocation::All => true,
            Revocation::Except(kept) => kept.binary_search(partition).is_err(),
            Revocation::ExceptTopics(topics) => !topics.contains(&partition.topic),
        };
        let partitions: Vec<_> = self.held.keys().filter(|partition| is_given_up(partition)).cloned().collect();
        if partitions.is_empty() {
            return None;
        }
        if self.is_cooperative && !self.queue.iter().any(|item| matches!(item, Item::Rejoin)) {
            self.queue.push_back(Item::Rejoin);
        }
        self.queue.push_front(Item::Do(Effect::Tell(AssignmentChange::Revoked(partitions.clone()))));
        self.queue.push_front(Item::Stop(partitions.clone()));
        self.queue.push_front(Item::Do(Effect::Tell(AssignmentChange::Revoking(partitions.clone()))));
        let interval = self.auto_commit?;
        let offsets: Vec<_> =
            self.uncommitted().into_iter().filter(|(partition, _)| partitions.contains(partition)).collect();
        self.next_commit = now + interval;
        self.is_waiting = !offsets.is_empty();
        self.is_waiting.then_some(Effect::Commit { offsets, is_awaited: true })
    }

    fn adopt(&mut self, partitions: Vec<TopicPartition>) -> Option<Effect> {
        self.round += 1;
        let added: Vec<_> = partitions.into_iter().filter(|partition| !self.held.contains_key(partition)).collect();
        for partition in &added {
            let held = Held { round: self.round, position: None, settled: None, committed: None };
            self.held.insert(partition.clone(), held);
        }
        self.queue.push_front(Item::Do(Effect::Tell(AssignmentChange::Assigned(added.clone()))));
        (!added.is_empty()).then_some(Effect::FetchOffsets { round: self.round, partitions: added })
    }

    fn commit_if_due(&mut self, now: Moment) -> Option<Effect> {
        let interval = self.auto_commit?;
        if self.is_committing || self.next_commit > now {
            return None;
        }
        self.next_commit = now + interval;
        let offsets = self.uncommitted();
        self.is_committing = !offsets.is_empty();
        self.is_committing.then_some(Effect::Commit { offsets, is_awaited: false })
    }
}

#[cfg(test)]
mod tests;
