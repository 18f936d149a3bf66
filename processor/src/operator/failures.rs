//! Failures of records and results: the reactions of the job, what is left out, and what has to be reported.
//!
//! A record that fails has no effect at all. Where a step can tell before any effect that a record fails, it leaves
//! it out at once ([`Context::leave_out`](super::Context::leave_out)). A panic, or an error of the user's code, stops
//! the task in the middle of the record: if that has touched neither a store nor an output yet, the task goes on behind
//! it; otherwise the transaction is aborted, and the task does it again without the record. The same holds for a result
//! of a window, a timer or an interval, which is known by its store, its key and its window.

use std::collections::BTreeMap;

use kafka_wire::types::Offset;

use crate::error::{ErrorKind, ErrorPolicies, ErrorPolicy, ProcessError};
use crate::output::StoreId;
use crate::types::Window;

/// The failures of a task.
#[derive(Debug, Default)]
pub struct Failures {
    policies: ErrorPolicies,
    has_dead_letters: bool,
    noted: Vec<Failure>,
    /// Records that are left out, by the stream that reads them and their offset.
    records: BTreeMap<RecordPlace, Excluded>,
    /// Results that are left out.
    results: BTreeMap<ResultPlace, Excluded>,
    /// The result that is being put out.
    current: ResultPlace,
    has_current: bool,
    has_passed_retried: bool,
}

/// A record as a stream of the task reads it: the input, the stream among the readers of the input, and the offset.
pub type RecordPlace = (usize, usize, Offset);

/// A result: its store, its window or time, and its key.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct ResultPlace {
    store: usize,
    window: (i64, i64),
    key: Vec<u8>,
}

/// A record or result that is left out.
#[derive(Debug)]
struct Excluded {
    error: ProcessError,
    /// Whether the open transaction has passed it.
    is_passed: bool,
    is_told: bool,
    /// Whether a transaction had to be aborted for it.
    is_retried: bool,
}

/// A failure to be reported.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The record; `None` for a result.
    pub offset: Option<Offset>,
    /// The key of a result.
    pub key: Option<Vec<u8>>,
    /// The error.
    pub error: ProcessError,
    /// Whether it has been reported before, in a transaction that was aborted.
    pub is_told: bool,
}

impl Failures {
    /// No failures yet.
    #[must_use]
    pub fn new(policies: ErrorPolicies, has_dead_letters: bool) -> Self {
        Self { policies, has_dead_letters, ..Self::default() }
    }

    /// Whether the job leaves a record or result out for this error.
    #[must_use]
    pub fn skips(&self, error: &ProcessError) -> bool {
        error.kind().is_some_and(|kind| self.policies.of(kind, self.has_dead_letters) == ErrorPolicy::Skip)
    }

    /// Whether code of the user that fails stops the job.
    #[must_use]
    pub const fn stops_at_failures(&self) -> bool {
        matches!(self.policies.of(ErrorKind::Process, self.has_dead_letters), ErrorPolicy::Fail)
    }

    pub(super) fn note(&mut self, failure: Failure) {
        self.noted.push(failure);
    }

    /// Returns the failures since the last call.
    #[must_use]
    pub fn take(&mut self) -> Vec<Failure> {
        std::mem::take(&mut self.noted)
    }

    /// Leaves a record out from now on, until it is passed in a transaction that commits. `is_retried` says whether the
    /// open transaction has to be aborted for it.
    pub fn exclude(&mut self, place: RecordPlace, error: ProcessError, is_retried: bool) {
        self.records.insert(place, Excluded { error, is_passed: false, is_told: false, is_retried });
    }

    /// The first record from `position` on that this stream leaves out.
    #[must_use]
    pub fn next_excluded(&self, (input, head, position): RecordPlace) -> Option<Offset> {
        if self.records.is_empty() {
            return None;
        }
        let mut records = self.records.range((input, head, position)..=(input, head, Offset(i64::MAX)));
        records.next().map(|((.., offset), _)| *offset)
    }

    /// Passes a record that is left out. Returns the failure to be reported.
    pub fn pass(&mut self, place: RecordPlace) -> Option<Failure> {
        let excluded = self.records.get_mut(&place)?;
        excluded.is_passed = true;
        self.has_passed_retried |= excluded.is_retried;
        Some(excluded.tell(Some(place.2), None))
    }

    /// Forgets the result that was put out last: a failure from now on is not its.
    pub const fn begin_signal(&mut self) {
        self.has_current = false;
    }

    /// Notes which result is put out next. Returns whether to put it out.
    pub(super) fn begin_result(&mut self, store: StoreId, window: Window, key: &[u8]) -> bool {
        self.has_current = true;
        let current = &mut self.current;
        (current.store, current.window) = (store.0, (window.start, window.end));
        current.key.clear();
        current.key.extend_from_slice(key);
        if self.results.is_empty() {
            return true;
        }
        let Some(excluded) = self.results.get_mut(&self.current) else { return true };
        excluded.is_passed = true;
        self.has_passed_retried = true;
        let failure = excluded.tell(None, Some(key.to_vec()));
        self.noted.push(failure);
        false
    }

    /// Leaves the result that was being put out from now on, until it is passed in a transaction that commits.
    /// `false` if none was.
    pub fn exclude_result(&mut self, error: ProcessError) -> bool {
        let is_known = std::mem::take(&mut self.has_current);
        if is_known {
            self.results
                .insert(self.current.clone(), Excluded { error, is_passed: false, is_told: false, is_retried: true });
        }
        is_known
    }

    /// Notes that the transaction is committed: what it has passed does not come again.
    pub fn committed(&mut self) {
        self.has_passed_retried = false;
        self.records.retain(|_, excluded| !excluded.is_passed);
        self.results.retain(|_, excluded| !excluded.is_passed);
    }

    /// Notes that the transaction is rolled back: everything comes again.
    pub fn rolled_back(&mut self) {
        self.noted.clear();
        self.has_passed_retried = false;
        self.records.values_mut().chain(self.results.values_mut()).for_each(|excluded| excluded.is_passed = false);
    }

    /// Whether the open transaction has left anything out for which an earlier one was aborted.
    #[must_use]
    pub const fn has_passed_retried(&self) -> bool {
        self.has_passed_retried
    }
}

impl Excluded {
    fn tell(&mut self, offset: Option<Offset>, key: Option<Vec<u8>>) -> Failure {
        let is_told = std::mem::replace(&mut self.is_told, true);
        Failure { offset, key, error: self.error.clone(), is_told }
    }
}
