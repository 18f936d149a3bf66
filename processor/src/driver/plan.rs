//! Planned failures.

/// The point of a commit at which the job dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommitPoint {
    /// A part of the output has been sent, and none of it acknowledged.
    BeforeFlush,
    /// All output is in the logs.
    AfterFlush,
    /// The offsets are in the transaction as well.
    AfterOffsets,
    /// The transaction is committed, but the job has not got the answer.
    AfterEndTxnSent,
    /// The job has got the answer.
    AfterCommit,
}

impl CommitPoint {
    /// All points, in order.
    pub const ALL: [Self; 5] =
        [Self::BeforeFlush, Self::AfterFlush, Self::AfterOffsets, Self::AfterEndTxnSent, Self::AfterCommit];
}

/// A failure of the next operation that it applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// The worker dies.
    Crash(CommitPoint),
    /// The answer to EndTxn is lost; the worker lives on.
    Unanswered { landed: bool },
    /// The flush is refused with an error that a new transaction resolves.
    Refused,
    /// The broker that is asked for topics does not know any of them yet.
    Unseen,
    /// The operation fails with an error that a new worker resolves.
    Failed,
}

/// The worker has died in an operation.
pub(super) struct Died;

/// Dies if that is planned for this point.
pub(super) fn die_at(point: CommitPoint, plan: &mut Option<Plan>) -> Result<(), Died> {
    if take(plan, Plan::Crash(point)) { Err(Died) } else { Ok(()) }
}

/// Whether this is planned; a plan is used once.
pub(super) fn take(plan: &mut Option<Plan>, planned: Plan) -> bool {
    plan.take_if(|plan| *plan == planned).is_some()
}
