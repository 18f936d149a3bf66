//! The steps of a poll of a group consumer.

use tracing::{debug, info, warn};

use super::committer::{Origin, Outcome};
use super::topics::{self, Found};
use super::{Done, GroupConsumer, GroupConsumerError, Next};
use crate::client::consumer::sleep_until;
use crate::client::offsets::fetch_offsets_as;
use crate::cluster::{CommittedOffset, GroupMetadata, TopicPartition};
use crate::consumer::{BatchRecords, ConsumeError, ConsumerRecord, ResetPolicy};
use crate::group::GroupEvent;
use crate::group::ownership::{AssignmentChange, Effect};
use crate::protocol::ErrorCode;
use crate::types::{LeaderEpoch, Offset};
use crate::wire::Str;

/// The steps of a poll.
impl GroupConsumer {
    pub(super) async fn advance(&mut self) -> Result<Next, GroupConsumerError> {
        // A poll that fails is one, too.
        if let Some(found) = self.at_hand().transpose() {
            self.member.mark_polled();
            return found;
        }
        let _polling = self.member.begin_poll();
        loop {
            let reads = self.ownership.is_settled() && self.reader.fetched().is_none();
            let due = [self.ownership.next_timeout(), self.watch.next_timeout()].into_iter().flatten().min();
            let Self { client, member, reader, committer, tasks, .. } = self;
            tokio::select! {
                biased;
                event = member.next_event() => self.handle_event(event),
                Some(done) = tasks.join_next(), if !tasks.is_empty() => {
                    self.finish(done.expect("a look-up neither panics nor is cancelled"))?;
                }
                Some(outcome) = committer.outcome() => self.handle_outcome(&outcome),
                fetched = reader.fetch(), if reads => match fetched {
                    Ok(()) => self.note_start(),
                    Err(error) => self.handle_unread(error)?,
                },
                () = sleep_until(client, due) => {}
            }
            if let Some(next) = self.at_hand()? {
                return Ok(next);
            }
        }
    }

    /// Returns the next result of the poll, if there is one without waiting.
    fn at_hand(&mut self) -> Result<Option<Next>, GroupConsumerError> {
        if let Some(change) = self.work_off()? {
            return Ok(Some(Next::Assignment(change)));
        }
        if !self.ownership.is_settled() {
            return Ok(None);
        }
        if let Some(record) = self.records.pop_front() {
            self.note_kept(&record);
            return Ok(Some(Next::Record(record)));
        }
        loop {
            if self.reader.fetched().is_none() {
                match self.reader.try_fetch() {
                    Ok(true) => self.note_start(),
                    Ok(false) => return Ok(None),
                    Err(error) => self.handle_unread(error)?,
                }
                continue;
            }
            match self.reader.next_batch() {
                Some(Ok(batch)) => {
                    self.current = Some(batch);
                    return Ok(Some(Next::Batch));
                }
                // Fetches of other partitions have their turn; the error comes again when there is nothing else.
                Some(Err(error)) => {
                    self.put_down();
                    return Err(error.into());
                }
                None => self.put_down(),
            }
        }
    }

    /// Notes where the fetch begins that was just taken: from then on, the reader's position is at its end, of which
    /// nothing may be committed before it is handed out.
    fn note_start(&mut self) {
        if let Some(taken) = self.reader.fetched() {
            self.ownership.handle_start(taken.partition(), taken.next_offset());
        }
    }

    /// Puts down the fetch that was read.
    fn put_down(&mut self) {
        if let Some(read) = self.reader.finish() {
            self.ownership.handle_passed(read.partition(), read.next_offset(), Some(read.leader_epoch()));
        }
    }

    fn handle_unread(&mut self, error: ConsumeError) -> Result<(), GroupConsumerError> {
        match error {
            ConsumeError::Diverged { partition, epoch, end_offset, .. } => {
                self.handle_diverged(partition, end_offset, epoch)
            }
            error => Err(error.into()),
        }
    }

    /// Handles that the leader's log parts from what was fetched. With a reset policy that is no error, as in Java:
    /// reading goes on where the logs part.
    fn handle_diverged(
        &mut self,
        partition: TopicPartition,
        end_offset: Offset,
        epoch: LeaderEpoch,
    ) -> Result<(), GroupConsumerError> {
        self.forget(&partition);
        self.reader.forget(&partition);
        match self.ownership.position(&partition).cloned() {
            // Nothing was handed out.
            None => self.reader.assign_by_reset(partition),
            // All that was handed out is still there.
            Some(position) if position.offset <= end_offset => {
                self.reader.assign_at(partition, position.offset, position.leader_epoch);
            }
            Some(CommittedOffset { offset, .. }) if self.config.auto_offset_reset == ResetPolicy::None => {
                return Err(ConsumeError::Diverged { partition, offset, epoch, end_offset }.into());
            }
            Some(CommittedOffset { offset, .. }) => {
                warn!(
                    group = %self.config.group_id, %partition, %offset, %end_offset,
                    "records that were read are gone or others since a replica without them became the leader: reading goes \
                     on where the logs part"
                );
                self.ownership.handle_truncated(&partition, end_offset, epoch);
            }
        }
        Ok(())
    }

    /// Does everything that is due, up to the first change of which the user has to know.
    fn work_off(&mut self) -> Result<Option<AssignmentChange>, GroupConsumerError> {
        let now = self.client.now();
        while let Some(event) = self.member.try_event() {
            self.handle_event(event);
        }
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if let Some(error) = self.trouble.take() {
            return Err(error);
        }
        for (round, partitions) in std::mem::take(&mut self.retry) {
            self.look_up(round, partitions);
        }
        // Also while there are records to hand out: other partitions must not wait for their end.
        while let Some(done) = self.tasks.try_join_next() {
            self.finish(done.expect("a look-up neither panics nor is cancelled"))?;
        }
        self.take_outcomes();
        if let Some(number) = self.watch.begin_if_due(now) {
            let (client, subscription) = (self.client.clone(), self.config.subscription.clone());
            self.tasks.spawn(async move { Done::Looked(number, topics::look(&client, &subscription).await) });
        }
        let is_quiet = self.ownership.is_settled() && self.ownership.next_timeout().is_none_or(|due| due > now);
        if !is_quiet {
            self.note_positions();
            while let Some(effect) = self.ownership.poll(now) {
                if let Some(change) = self.perform(effect) {
                    return Ok(Some(change));
                }
            }
        }
        Ok(None)
    }

    fn perform(&mut self, effect: Effect) -> Option<AssignmentChange> {
        match effect {
            Effect::FetchOffsets { round, partitions } => self.look_up(round, partitions),
            Effect::Read { partition, from: Some(from) } => {
                debug!(group = %self.config.group_id, %partition, offset = %from.offset, "read from the committed offset");
                self.reader.assign_at(partition.clone(), from.offset, from.leader_epoch);
                self.keep_paused(&partition);
            }
            Effect::Read { partition, from: None } => {
                self.reader.assign_by_reset(partition.clone());
                self.keep_paused(&partition);
            }
            Effect::StopReading(partition) => {
                self.reader.unassign(&partition);
                self.forget(&partition);
            }
            Effect::Commit { offsets, is_awaited } => {
                let origin = if is_awaited { Origin::Revocation } else { Origin::Timer };
                drop(self.committer.commit(&self.member, offsets, origin));
            }
            Effect::Rejoin { keeping } => self.member.rejoin_keeping(keeping),
            Effect::Tell(change) => return Some(change),
        }
        None
    }

    fn handle_event(&mut self, event: GroupEvent) {
        let GroupMetadata { group_id: group, member_id: member, .. } = &self.member.group_metadata();
        match &event {
            GroupEvent::Fatal(error) => self.failed = Some(GroupConsumerError::Group(error.clone())),
            GroupEvent::Lost { cause } => warn!(%group, %member, %cause, "the membership was lost"),
            GroupEvent::Assigned { generation, partitions, .. } => {
                info!(%group, %member, generation, partitions = partitions.len(), "assigned");
                partitions.iter().for_each(|partition| debug!(%group, %member, generation, %partition, "assigned"));
            }
            GroupEvent::Rebalancing => debug!(%group, %member, "the group shares anew"),
        }
        self.ownership.handle_event(&event);
    }

    fn finish(&mut self, done: Done) -> Result<(), GroupConsumerError> {
        let now = self.client.now();
        let interval = self.client.config().metadata_max_age;
        match done {
            Done::Offsets { round, found: Ok(found), .. } => self.ownership.handle_offsets(round, found),
            // The member has not learned of its new epoch for a whole request timeout.
            Done::Offsets { round, partitions, found: Err(error) }
                if error.code() == Some(ErrorCode::STALE_MEMBER_EPOCH) =>
            {
                self.retry.push((round, partitions));
            }
            // The membership was lost; the member joins again.
            Done::Offsets { found: Err(error), .. } if error.is_group_changed() => {
                debug!(group = %self.config.group_id, %error, "offsets of a past assignment");
            }
            Done::Offsets { round, partitions, found: Err(error) } => {
                self.retry.push((round, partitions));
                self.trouble = Some(GroupConsumerError::Offsets(error));
            }
            // The subscription has changed since the look-up began; another one is due or under way.
            Done::Looked(number, _) if !self.watch.is_current(number) => {}
            Done::Looked(_, Ok(Found::Troubled(troubled))) => {
                self.trouble = self.watch.handle_found(now, troubled, interval).err();
            }
            Done::Looked(_, Ok(Found::Nothing)) => {}
            Done::Looked(_, Ok(Found::Matching(topics))) => {
                self.watch.handle_matched(now, !topics.is_empty(), interval);
                if topics != self.topics || self.has_broker_pattern {
                    info!(group = %self.config.group_id, topics = topics.len(), "other topics match the pattern");
                    self.set_topics(topics);
                }
            }
            Done::Looked(_, Err(error)) => {
                debug!(group = %self.config.group_id, %error, "the topics cannot be looked at");
                self.watch.handle_matched(now, false, interval);
            }
        }
        self.trouble.take().map_or(Ok(()), Err)
    }

    pub(super) fn set_topics(&mut self, topics: Vec<Str>) {
        let pattern = self.config.broker_pattern();
        self.has_broker_pattern = pattern.is_some();
        self.member.set_subscription(topics.clone(), pattern);
        self.ownership.handle_subscribed(&topics);
        self.topics = topics;
    }

    fn look_up(&mut self, round: u64, partitions: Vec<TopicPartition>) {
        let (client, group_id) = (self.client.clone(), self.config.group_id.clone());
        let member = self.member.credentials();
        self.tasks.spawn(async move {
            let found = fetch_offsets_as(&client, &group_id, &partitions, member.as_ref()).await;
            Done::Offsets { round, partitions, found }
        });
    }

    pub(super) fn take_outcomes(&mut self) {
        while let Some(outcome) = self.committer.try_outcome() {
            self.handle_outcome(&outcome);
        }
    }

    fn handle_outcome(&mut self, outcome: &Outcome) {
        if outcome.is_done {
            self.ownership.handle_settled(&outcome.offsets);
        }
        match outcome.origin {
            Origin::Timer => self.ownership.handle_committed(false),
            Origin::Revocation => self.ownership.handle_committed(true),
            Origin::User => {}
        }
    }

    /// Updates the positions by what has become known: the offset at which the reset policy began, and the end of what
    /// could be read of a corrupt batch.
    pub(super) fn note_positions(&mut self) {
        let unplaced: Vec<_> = self.ownership.unplaced().cloned().collect();
        for partition in unplaced {
            if let Some(offset) = self.reader.consumer().position(&partition) {
                self.ownership.handle_start(&partition, offset);
            }
        }
        // A corrupt batch sets back how far its fetch is read.
        let read = self.reader.fetched().map(|fetched| (fetched.partition(), fetched.next_offset()));
        if let Some((partition, read)) = read
            && self.ownership.position(partition).is_some_and(|position| position.offset > read)
        {
            self.ownership.handle_passed(partition, read, None);
        }
    }

    /// A partition that was paused before it was read, or since, stays paused.
    pub(super) fn keep_paused(&mut self, partition: &TopicPartition) {
        if self.ownership.is_paused(partition) {
            self.reader.pause(partition);
        }
    }

    /// Drops the records of a partition that `next` has not handed out yet. Its batches the reader drops.
    pub(super) fn forget(&mut self, partition: &TopicPartition) {
        if self.current.as_ref().is_some_and(|batch| batch.partition() == partition) {
            self.records.clear();
        }
    }

    /// Puts records that `next` has not handed out yet back, to be handed out as a batch.
    pub(super) fn give_back_records(&mut self) {
        if let (Some(first), Some(batch)) = (self.records.front(), &self.current) {
            let mut rest = batch.clone();
            rest.position = first.offset;
            self.reader.give_back(rest);
            self.records.clear();
        }
    }

    pub(super) fn open_current(&mut self) -> Result<BatchRecords<'_>, GroupConsumerError> {
        let batch = self.current.as_ref().expect("a batch was found");
        let records = batch.records(&mut self.buffer)?;
        let header = &batch.batch.header;
        let next = Offset(header.next_offset());
        self.ownership.handle_read(batch.partition(), batch.position, next, header.partition_leader_epoch);
        Ok(records)
    }

    /// Notes that the record is handed out.
    fn note_kept(&mut self, record: &ConsumerRecord) {
        let Some(batch) = &self.current else { return };
        let next = Offset(record.offset.0.saturating_add(1));
        self.ownership.handle_read(batch.partition(), record.offset, next, record.leader_epoch);
    }
}
