//! The partitions of a group consumer: how far each is read, and how a rebalance affects them.
//!
//! The machine keeps this rule: **records of a partition are handed out only after the user was told `Assigned` for it,
//! and never after the user was told `Revoking` or `Lost` for it.**
//!
//! ```text
//! eager:        Rebalancing --> commit (auto) --> tell Revoking(all) --poll--> stop, tell Revoked(all) --> rejoin
//! cooperative:  Rebalancing --> rejoin keeping all, and read on
//!               Assigned    --> commit (auto) --> tell Revoking(removed) --poll--> stop, tell Revoked
//!                               --> look up offsets of new partitions, tell Assigned(new)
//!                               --> rejoin if anything was revoked
//! acknowledged: Assigned    --> as cooperative, but always followed by a rejoin, which acknowledges the assignment
//! all:          Lost        --> stop, tell Lost(all) --> rejoin
//! ```
//! Effects stand in a queue, which the owner works off before it hands out records. Telling the user something ends
//! a poll, so the items behind it are done when the user polls again: between `Revoking` and that poll the member still
//! has the partitions, and records that were read can be committed.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::{Exchange, GroupEvent, LostCause, Reassignment, Succession};
use crate::cluster::{CommittedOffset, Progress, TopicPartition};
use crate::time::Moment;
use crate::types::{LeaderEpoch, Offset};
use crate::wire::Str;

/// The partitions of a group consumer, without I/O.
#[derive(Debug)]
pub struct Ownership {
    exchange: Exchange,
    succession: Succession,
    auto_commit: Option<Duration>,
    held: BTreeMap<TopicPartition, Held>,
    queue: VecDeque<Item>,
    /// Whether a commit has to be settled before the queue goes on.
    is_waiting: bool,
    /// Number of such commits that are still under way, of memberships that were lost. They are answered first.
    overtaken: u32,
    /// Whether a commit of the timer is under way.
    is_committing: bool,
    next_commit: Moment,
    round: u64,
}

/// One partition.
#[derive(Debug)]
struct Held {
    /// Number of the look-up that its first offset comes from.
    round: u64,
    /// The user's position, behind all records that were handed out; `None` until it is known.
    progress: Option<Progress<CommittedOffset>>,
    /// The offset that the group has committed.
    committed: Option<Offset>,
    is_paused: bool,
}

impl Held {
    fn position(&self) -> Option<&CommittedOffset> {
        self.progress.as_ref().map(|progress| &progress.position)
    }
}

/// An entry of the queue: an effect, or a step that becomes effects when its turn comes.
#[derive(Debug)]
enum Item {
    Do(Effect),
    /// A partition whose offset was looked up, by the look-up of this number.
    Read {
        round: u64,
        partition: TopicPartition,
        from: Option<CommittedOffset>,
    },
    Revoke(Revocation),
    Stop(Vec<TopicPartition>),
    /// An assignment of this generation.
    Assign(i32, Vec<TopicPartition>),
    Adopt(Vec<TopicPartition>),
    Rejoin,
}

#[derive(Debug)]
enum Revocation {
    All,
    /// All but the partitions of these topics.
    ExceptTopics(Vec<Str>),
}

/// An action for the owner.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Effect {
    /// Look up how far the group has read these partitions, and pass the result to [`Ownership::handle_offsets`] with
    /// this number.
    FetchOffsets {
        /// To be handed back.
        round: u64,
        /// Partitions to look up.
        partitions: Vec<TopicPartition>,
    },
    /// Read from this offset on. `None` if the group has committed nothing: then the reset policy decides.
    Read {
        /// Partition to read.
        partition: TopicPartition,
        /// From where.
        from: Option<CommittedOffset>,
    },
    /// Hand out no more records of it.
    StopReading(TopicPartition),
    /// Commit these offsets, then call [`Ownership::handle_committed`] with `is_awaited`. If that is true,
    /// nothing else may be done before.
    Commit {
        /// Offsets to commit.
        offsets: Vec<(TopicPartition, CommittedOffset)>,
        /// Whether the partitions are given up after it.
        is_awaited: bool,
    },
    /// Join again and keep these partitions, or report that the member has them.
    Rejoin {
        /// Empty in an eager group.
        keeping: Vec<TopicPartition>,
    },
    /// Tell the user. The items behind it are for the next poll.
    Tell(AssignmentChange),
}

/// A change of the assignment of which the user has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AssignmentChange {
    /// These partitions are new; records of them may come from now on. The list may be empty.
    Assigned(Vec<TopicPartition>),
    /// These partitions will be given up by the next poll. Until then, records that were read of them can be committed;
    /// no more records of them come.
    Revoking(Vec<TopicPartition>),
    /// These partitions were given up.
    Revoked(Vec<TopicPartition>),
    /// These partitions are gone without a chance to commit, and other members may have them already:
    /// drop the work that is begun.
    Lost {
        /// Partitions that are gone.
        partitions: Vec<TopicPartition>,
        /// Why.
        cause: LostCause,
    },
}

impl Ownership {
    /// Makes an ownership without partitions. With `auto_commit`, positions are committed at that interval,
    /// and before partitions are given up. Less than 10 ms counts as 10 ms, so that a poll may wait.
    #[must_use]
    pub fn new(exchange: Exchange, auto_commit: Option<Duration>, now: Moment) -> Self {
        let auto_commit = auto_commit.map(|interval| interval.max(AUTO_COMMIT_LEAST));
        Self {
            exchange,
            succession: Succession::new(exchange),
            auto_commit,
            held: BTreeMap::new(),
            queue: VecDeque::new(),
            is_waiting: false,
            overtaken: 0,
            is_committing: false,
            next_commit: auto_commit.map_or(now, |interval| now + interval),
            round: 0,
        }
    }

    /// Returns the partitions that the member has, sorted.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.held.keys()
    }

    /// Returns whether the member has the partition.
    #[must_use]
    pub fn holds(&self, partition: &TopicPartition) -> bool {
        self.held.contains_key(partition)
    }

    /// Handles an event of the membership; `Fatal` is for the owner to handle.
    pub fn handle_event(&mut self, event: &GroupEvent) {
        match event {
            GroupEvent::Assigned { generation, partitions, .. } => {
                self.queue.push_back(Item::Assign(*generation, partitions.clone()));
                if self.exchange == Exchange::Acknowledged {
                    self.queue.push_back(Item::Rejoin);
                }
            }
            // The member joins again anyway.
            GroupEvent::Rebalancing if self.queue.iter().any(|item| matches!(item, Item::Rejoin)) => {}
            GroupEvent::Rebalancing => {
                if self.exchange == Exchange::Eager {
                    self.queue.push_back(Item::Revoke(Revocation::All));
                }
                self.queue.push_back(Item::Rejoin);
            }
            GroupEvent::Lost { cause } => self.lose(*cause),
            GroupEvent::Fatal(_) => {}
        }
    }

    /// Handles a new subscription: partitions of other topics are given up, and the group rebalances.
    ///
    /// If the coordinator assigns, it learns of the subscription and takes the partitions away itself: it would not
    /// know of those that a member gives up and subscribes to again.
    pub fn handle_subscribed(&mut self, topics: &[Str]) {
        match self.exchange {
            Exchange::Eager => self.queue.push_back(Item::Revoke(Revocation::All)),
            Exchange::Cooperative => self.queue.push_back(Item::Revoke(Revocation::ExceptTopics(topics.to_vec()))),
            Exchange::Acknowledged => {}
        }
        self.queue.push_back(Item::Rejoin);
    }

    fn lose(&mut self, cause: LostCause) {
        self.queue.clear();
        self.overtaken += u32::from(std::mem::take(&mut self.is_waiting));
        let partitions: Vec<_> = self.held.keys().cloned().collect();
        self.queue.push_back(Item::Stop(partitions.clone()));
        if !partitions.is_empty() {
            self.queue.push_back(Item::Do(Effect::Tell(AssignmentChange::Lost { partitions, cause })));
        }
        self.queue.push_back(Item::Rejoin);
    }

    /// Handles the result of [`Effect::FetchOffsets`].
    pub fn handle_offsets(&mut self, round: u64, found: Vec<(TopicPartition, Option<CommittedOffset>)>) {
        for (partition, committed) in found {
            let Some(held) = self.held.get_mut(&partition) else { continue };
            // The user may have sought meanwhile.
            if held.round == round && held.progress.is_none() {
                held.committed = committed.as_ref().map(|committed| committed.offset);
                held.progress = committed.clone().map(Progress::new);
                self.queue.push_back(Item::Read { round, partition, from: committed });
            }
        }
    }

    /// Notes that the user was given all records below `next`, the last of which was of this leader epoch; `first` is
    /// the offset at which that began.
    pub fn handle_read(&mut self, partition: &TopicPartition, first: Offset, next: Offset, epoch: LeaderEpoch) {
        let Some(held) = self.held.get_mut(partition) else { return };
        let progress = held.progress.get_or_insert_with(|| Progress::new(CommittedOffset::new(first)));
        progress.position = CommittedOffset { leader_epoch: epoch, ..CommittedOffset::new(next) };
    }

    /// Notes that there are no more records to hand out below `next`, or that the records from there on could not
    /// be read. `epoch` is that of the last batch below `next`, which may be a marker; `None` leaves it as it is.
    pub fn handle_passed(&mut self, partition: &TopicPartition, next: Offset, epoch: Option<LeaderEpoch>) {
        let Some(held) = self.held.get_mut(partition) else { return };
        let progress = held.progress.get_or_insert_with(|| Progress::new(CommittedOffset::new(next)));
        progress.position.offset = next;
        progress.position.leader_epoch = epoch.unwrap_or(progress.position.leader_epoch);
    }

    /// Notes that the user goes on from another offset. Returns whether the member has the partition.
    pub fn handle_seek(&mut self, partition: &TopicPartition, to: CommittedOffset) -> bool {
        let Some(held) = self.held.get_mut(partition) else { return false };
        held.progress = Some(Progress::new(to));
        true
    }

    /// Notes that the user pauses or resumes a partition. Returns whether the member has it.
    pub fn handle_paused(&mut self, partition: &TopicPartition, is_paused: bool) -> bool {
        self.held.get_mut(partition).map(|held| held.is_paused = is_paused).is_some()
    }

    /// Returns whether the user has paused the partition, perhaps before it was known where to begin.
    #[must_use]
    pub fn is_paused(&self, partition: &TopicPartition) -> bool {
        self.held.get(partition).is_some_and(|held| held.is_paused)
    }

    /// Notes that the user's log ends at this offset, and goes on with other records there; the record before it is of
    /// this epoch. The group learns of it by the next commit.
    pub fn handle_truncated(&mut self, partition: &TopicPartition, end_offset: Offset, epoch: LeaderEpoch) {
        let Some(progress) = self.held.get_mut(partition).and_then(|held| held.progress.as_mut()) else { return };
        let end = CommittedOffset { leader_epoch: epoch, ..CommittedOffset::new(end_offset) };
        for offset in [&mut progress.position, &mut progress.settled] {
            if offset.offset > end_offset {
                *offset = end.clone();
            }
        }
    }

    /// Notes the offset at which the reset policy began. Does nothing if the position is known already.
    pub fn handle_start(&mut self, partition: &TopicPartition, offset: Offset) {
        if let Some(held) = self.held.get_mut(partition) {
            held.progress.get_or_insert_with(|| Progress::new(CommittedOffset::new(offset)));
        }
    }

    /// Returns the partitions whose position is not known: they are being looked up, or begin where
    /// the reset policy says.
    pub fn unplaced(&self) -> impl Iterator<Item = &TopicPartition> {
        self.held.iter().filter(|(_, held)| held.progress.is_none()).map(|(partition, _)| partition)
    }

    /// Returns the user's position in a partition.
    #[must_use]
    pub fn position(&self, partition: &TopicPartition) -> Option<&CommittedOffset> {
        self.held.get(partition)?.position()
    }

    /// Returns the positions to commit: those that the group does not know yet.
    #[must_use]
    pub fn uncommitted(&self) -> Vec<(TopicPartition, CommittedOffset)> {
        let news = self.held.iter().filter_map(|(partition, held)| {
            let position = &held.progress.as_ref()?.position;
            (held.committed != Some(position.offset)).then(|| (partition.clone(), position.clone()))
        });
        news.collect()
    }

    /// Notes that these offsets were committed, by a request or by a transaction.
    pub fn handle_settled(&mut self, offsets: &[(TopicPartition, CommittedOffset)]) {
        for (partition, committed) in offsets {
            if let Some(held) = self.held.get_mut(partition) {
                held.committed = Some(committed.offset);
                if let Some(progress) = &mut held.progress {
                    progress.settled = committed.clone();
                }
            }
        }
    }

    /// Notes that the commit of an effect was answered or failed, in the order of the effects. If it failed, the
    /// records since the last commit will be read again, as always when a commit fails.
    pub fn handle_committed(&mut self, is_awaited: bool) {
        match is_awaited {
            true if self.overtaken > 0 => self.overtaken -= 1,
            true => self.is_waiting = false,
            false => self.is_committing = false,
        }
    }

    /// Goes back to the committed offsets, or to where reading began, after a transaction was aborted.
    /// Returns each partition with the offset to read from. The caller has to undo the work since then.
    pub fn rewind(&mut self) -> Vec<(TopicPartition, CommittedOffset)> {
        let rewound = self.held.iter_mut().filter_map(|(partition, held)| {
            let progress = held.progress.as_mut()?;
            Some((partition.clone(), progress.rewind().clone()))
        });
        rewound.collect()
    }

    /// Returns whether records may be handed out: not while the queue has an item.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.queue.is_empty() && !self.is_waiting
    }

    /// Returns the time at which a commit of the timer is due.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Moment> {
        (self.auto_commit.is_some() && !self.is_committing && !self.is_waiting).then_some(self.next_commit)
    }

    /// The next instruction for the driver, if any.
    pub fn poll(&mut self, now: Moment) -> Option<Effect> {
        while !self.is_waiting {
            let Some(item) = self.queue.pop_front() else { return self.commit_if_due(now) };
            match item {
                Item::Do(effect) => return Some(effect),
                Item::Read { round, partition, from } => {
                    // While it was queued, the partition may have been given up, or the user may have sought.
                    let held = self.held.get(&partition).filter(|held| held.round == round);
                    if held.is_some_and(|held| held.position() == from.as_ref()) {
                        return Some(Effect::Read { partition, from });
                    }
                }
                Item::Revoke(revocation) => {
                    let given_up = self.given_up(&revocation);
                    if let Some(commit) = self.revoke(given_up, now) {
                        return Some(commit);
                    }
                }
                Item::Assign(generation, partitions) => {
                    let Reassignment { removed, added } =
                        self.succession.follow(generation, &partitions, self.held.keys());
                    self.queue.push_front(Item::Adopt(added));
                    if let Some(commit) = self.revoke(removed, now) {
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
                Item::Adopt(added) => {
                    if let Some(look_up) = self.adopt(added) {
                        return Some(look_up);
                    }
                }
                Item::Rejoin => {
                    let keeping = match self.exchange {
                        Exchange::Eager => Vec::new(),
                        Exchange::Cooperative | Exchange::Acknowledged => self.held.keys().cloned().collect(),
                    };
                    return Some(Effect::Rejoin { keeping });
                }
            }
        }
        None
    }

    fn given_up(&self, revocation: &Revocation) -> Vec<TopicPartition> {
        let is_given_up = |partition: &&TopicPartition| match revocation {
            Revocation::All => true,
            Revocation::ExceptTopics(topics) => !topics.contains(&partition.topic),
        };
        self.held.keys().filter(is_given_up).cloned().collect()
    }

    /// Puts the steps of giving up these partitions, which are sorted, before everything else in the queue, and begins
    /// with the commit.
    fn revoke(&mut self, partitions: Vec<TopicPartition>, now: Moment) -> Option<Effect> {
        if partitions.is_empty() {
            return None;
        }
        if self.exchange != Exchange::Eager && !self.queue.iter().any(|item| matches!(item, Item::Rejoin)) {
            self.queue.push_back(Item::Rejoin);
        }
        self.queue.push_front(Item::Do(Effect::Tell(AssignmentChange::Revoked(partitions.clone()))));
        self.queue.push_front(Item::Stop(partitions.clone()));
        self.queue.push_front(Item::Do(Effect::Tell(AssignmentChange::Revoking(partitions.clone()))));
        let interval = self.auto_commit?;
        let is_given_up =
            |(partition, _): &(TopicPartition, CommittedOffset)| partitions.binary_search(partition).is_ok();
        let offsets: Vec<_> = self.uncommitted().into_iter().filter(is_given_up).collect();
        self.next_commit = now + interval;
        self.is_waiting = !offsets.is_empty();
        self.is_waiting.then_some(Effect::Commit { offsets, is_awaited: true })
    }

    fn adopt(&mut self, added: Vec<TopicPartition>) -> Option<Effect> {
        self.round += 1;
        for partition in &added {
            let held = Held { round: self.round, progress: None, committed: None, is_paused: false };
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

const AUTO_COMMIT_LEAST: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests;
