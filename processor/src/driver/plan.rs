//! What is planned to go wrong.

/// Where in a commit the job dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommitPoint {
    /// Part of the output has been sent, none of it acknowledged.
    BeforeFlush,
    /// All output is in the logs.
    AfterFlush,
    /// The offsets are in the transaction too.
    AfterOffsets,
    /// The transaction is committed, but the job has not heard of it.
    AfterEndTxnSent,
    /// The job has heard of it.
    AfterCommit,
}

impl CommitPoint {
    /// All of them, in order.
    pub const ALL: [Self; 5] =
        [Self::BeforeFlush, Self::AfterFlush, Self::AfterOffsets, Self::AfterEndTxnSent, Self::AfterCommit];
}

/// What goes wrong at the next operation that it fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// The worker dies.
    Crash(CommitPoint),
    /// The answer to EndTxn is lost; the worker lives.
    Unanswered { landed: bool },
    /// The flush is refused in a way that a new transaction mends.
    Refused,
    /// The broker that is asked for topics knows none of them yet.
    Unseen,
    /// The operation fails in a way that a new worker mends.
    Failed,
}

/// The worker died in an operation.
pub(super) struct Died;

/// Dies if that is planned for this point.
pub(super) fn die_at(point: CommitPoint, plan: &mut Option<Plan>) -> Result<(), Died> {
    if take(plan, Plan::Crash(point)) { Err(Died) } else { Ok(()) }
}

/// Whether just this is planned; it happens once.
pub(super) fn take(plan: &mut Option<Plan>, planned: Plan) -> bool {
    plan.take_if(|plan| *plan == planned).is_some()
}
