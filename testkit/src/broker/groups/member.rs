//! One member of a group.

use std::time::Duration;

use bytes::Bytes;
use kafka_wire::time::Moment;
use kafka_wire::wire::Str;

use super::Join;
use crate::broker::connection::RequestContext;

/// A member as the coordinator knows it. Every field is a copy, so that no request's frame is kept.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its static name, if it has one (KIP-345).
    pub instance_id: Option<Str>,
    /// Client id.
    pub client_id: Str,
    /// The host that it connected from.
    pub client_host: Str,
    /// The assignors that it supports, the preferred one first, each with the metadata for the leader.
    pub protocols: Vec<(Str, Bytes)>,
    /// Its assignment from the leader in this generation.
    pub assignment: Bytes,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    pub(super) session_deadline: Moment,
    /// Its JoinGroup request, while that waits for the other members.
    pub(super) joining: Option<RequestContext>,
    /// Its SyncGroup request, while that waits for the leader.
    pub(super) syncing: Option<RequestContext>,
}

impl Member {
    pub(super) fn new(now: Moment, join: &Join) -> Self {
        let mut member = Self {
            instance_id: join.instance_id.as_ref().map(Str::detached),
            client_id: join.client_id.detached(),
            client_host: join.client_host.clone(),
            protocols: Vec::new(),
            assignment: Bytes::new(),
            session_timeout: join.session_timeout,
            rebalance_timeout: join.rebalance_timeout,
            session_deadline: now,
            joining: None,
            syncing: None,
        };
        member.update(join);
        member.refresh(now);
        member
    }

    /// Takes over the values of a further JoinGroup.
    pub(super) fn update(&mut self, join: &Join) {
        self.protocols = join.detached_protocols();
        self.session_timeout = join.session_timeout;
        self.rebalance_timeout = join.rebalance_timeout;
    }

    /// Restarts the session timeout, because the member has sent a request.
    pub(super) fn refresh(&mut self, now: Moment) {
        self.session_deadline = now + self.session_timeout;
    }

    /// The end of its session. `None` while one of its requests waits, because it cannot send heartbeats then.
    pub(super) fn session_due(&self) -> Option<Moment> {
        (self.joining.is_none() && self.syncing.is_none()).then_some(self.session_deadline)
    }

    /// Its metadata for an assignor; empty if it does not support that one.
    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        let known = self.protocols.iter().find(|(name, _)| name.as_str() == protocol);
        known.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }
}
