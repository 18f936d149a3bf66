//! The membership of either protocol, behind one set of methods.

use super::request::{MemberAction, MemberRequestId, MemberResponse, RequestFailure};
use super::{GroupConfig, GroupEvent, GroupMetadata, GroupProtocol, classic, consumer};
use crate::cluster::TopicPartition;
use crate::time::Moment;
use crate::wire::Str;

/// A member of a group, without I/O. See [`classic::Membership`] and [`consumer::Membership`], which say more
/// about each method.
#[derive(Debug)]
pub enum Membership {
    /// A member of a group that one of the members leads.
    Classic(Box<classic::Membership>),
    /// A member of a group whose coordinator assigns.
    Consumer(Box<consumer::Membership>),
}

/// Calls the method of whichever membership it is.
macro_rules! either {
    ($self:ident, $membership:ident => $call:expr) => {
        match $self {
            Self::Classic($membership) => $call,
            Self::Consumer($membership) => $call,
        }
    };
}

impl Membership {
    /// Makes a member that has not joined, of the protocol that `config` names. `member_id` has to be random; the
    /// classic protocol does not use it.
    #[must_use]
    pub fn new(config: GroupConfig, member_id: Str) -> Self {
        match config.protocol {
            GroupProtocol::Classic => Self::Classic(Box::new(classic::Membership::new(config))),
            GroupProtocol::Consumer => Self::Consumer(Box::new(consumer::Membership::new(config, member_id))),
        }
    }

    /// The membership for commits.
    #[must_use]
    pub fn metadata(&self) -> &GroupMetadata {
        either!(self, member => member.metadata())
    }

    /// The number of times that partitions were given up. `None` for the classic protocol, in which that shows in
    /// the metadata for commits: a generation never comes back.
    #[must_use]
    pub const fn releases(&self) -> Option<consumer::Releases> {
        match self {
            Self::Classic(_) => None,
            Self::Consumer(member) => Some(member.releases()),
        }
    }

    /// The number of times that the membership was lost.
    #[must_use]
    pub const fn losses(&self) -> u64 {
        match self {
            Self::Classic(member) => member.losses(),
            Self::Consumer(member) => member.releases().losses,
        }
    }

    /// Whether the member is out of the group and will stay out.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        either!(self, member => member.is_finished())
    }

    /// The next instruction for the driver, if any.
    pub fn poll(&mut self) -> Option<MemberAction> {
        either!(self, member => member.poll())
    }

    /// The next event for the owner, if any.
    pub fn poll_event(&mut self) -> Option<GroupEvent> {
        either!(self, member => member.poll_event())
    }

    /// The time at which [`handle_timeout`](Self::handle_timeout) has something to do.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Moment> {
        either!(self, member => member.next_timeout())
    }

    /// Joins, or gives all partitions back and joins again.
    pub fn handle_rejoin(&mut self, now: Moment) {
        either!(self, member => member.handle_rejoin(now));
    }

    /// Joins again, or acknowledges an assignment, for an owner that has and keeps these partitions.
    pub fn handle_rejoin_keeping(&mut self, now: Moment, kept: Vec<TopicPartition>) {
        either!(self, member => member.handle_rejoin_keeping(now, kept));
    }

    /// Subscribes to other topics; `pattern` is for the coordinator of the consumer protocol.
    pub fn set_topics(&mut self, topics: Vec<Str>, pattern: Option<Str>) {
        match self {
            Self::Classic(member) => member.set_topics(topics),
            Self::Consumer(member) => member.set_topics(topics, pattern),
        }
    }

    /// Subscribes to other topics, and begins a rebalance if the member leads the group;
    /// see [`classic::Membership::share_topics`].
    pub fn share_topics(&mut self, topics: Vec<Str>, together: Vec<Vec<Str>>) {
        match self {
            Self::Classic(member) => member.share_topics(topics, together),
            // The coordinator assigns by the subscription of each member.
            Self::Consumer(member) => member.set_topics(topics, None),
        }
    }

    /// Notes that the owner begins to poll.
    pub fn handle_poll_begun(&mut self) {
        either!(self, member => member.handle_poll_begun());
    }

    /// Notes that the owner has polled.
    pub fn handle_poll_ended(&mut self, now: Moment) {
        either!(self, member => member.handle_poll_ended(now));
    }

    /// Leaves the group, even if the member is static.
    pub fn handle_leave(&mut self, now: Moment) {
        either!(self, member => member.handle_leave(now));
    }

    /// Stops, and lets a static member's partitions wait for the process that comes back; a dynamic member leaves.
    pub fn handle_leave_to_return(&mut self, now: Moment) {
        either!(self, member => member.handle_leave_to_return(now));
    }

    /// Handles the timeout that [`next_timeout`](Self::next_timeout) announced.
    pub fn handle_timeout(&mut self, now: Moment) {
        either!(self, member => member.handle_timeout(now));
    }

    /// Handles the response to a request, or the reason why there is none.
    pub fn handle_answer(&mut self, now: Moment, id: MemberRequestId, answer: Result<MemberResponse, RequestFailure>) {
        either!(self, member => member.handle_answer(now, id, answer));
    }
}
