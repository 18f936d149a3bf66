//! The rows of a global table, which all tasks of a worker share.
//!
//! They are no store of a task: they come from a topic of the user's, belong to no transaction, have no changelog, and
//! no rollback undoes them. The worker writes them between batches, the tasks only read them; all of this happens on
//! the thread of the worker, so the lock is never waited for.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::globals::{GlobalRows, Globals, VisitRow};
use super::key_value::KeyValueStore;
use super::store::{RestoreError, Store};
use crate::serde::{Serde, SerdeError};
use crate::types::{Owned, Window};

/// The rows of a global table.
pub struct Global<A> {
    rows: Mutex<KeyValueStore<A>>,
}

impl<A: Clone + Send + 'static> Global<A> {
    /// Makes an empty table; `values` decodes its rows.
    #[must_use]
    pub fn new<S: Serde<View = Owned<A>>>(values: S) -> Self {
        Self { rows: Mutex::new(KeyValueStore::new(values)) }
    }

    /// The rows, for as long as the guard lives.
    pub fn rows(&self) -> MutexGuard<'_, KeyValueStore<A>> {
        // A panic of the code of the user has not changed anything: it only reads rows.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A: Clone + Send + 'static> GlobalRows for Global<A> {
    fn set(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), SerdeError> {
        self.rows().restore(key, value).map_err(|error| match error {
            RestoreError::Value(cause) => cause,
            RestoreError::Key => unreachable!("any key is one"),
        })
    }

    fn visit(&self, key: Option<&[u8]>, visit: &mut VisitRow<'_>) -> Result<(), SerdeError> {
        let (rows, mut visit) = (self.rows(), |_: Window, key: &[u8], row: &[u8]| visit(key, row));
        match key {
            Some(key) => rows.visit_key(key, &mut visit),
            None => rows.visit(&mut visit),
        }
    }

    fn count(&self) -> usize {
        self.rows().sizes().entries
    }
}

/// The handle of a global table with rows of type `A`.
pub struct GlobalHandle<A> {
    number: usize,
    row: PhantomData<fn() -> A>,
}

impl<A: Clone + Send + 'static> GlobalHandle<A> {
    pub(crate) const fn new(number: usize) -> Self {
        Self { number, row: PhantomData }
    }

    /// The table.
    ///
    /// # Panics
    /// If the handle is of another job.
    #[must_use]
    pub fn of(self, globals: &Globals) -> &Global<A> {
        let table = globals.get(self.number).map(|table| &**table as &dyn Any);
        table.and_then(<dyn Any>::downcast_ref).unwrap_or_else(|| panic!("the job has no {self:?}"))
    }
}

// Derived implementations would require the same of `A`.
impl<A> Clone for GlobalHandle<A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for GlobalHandle<A> {}

impl<A> fmt::Debug for GlobalHandle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "global table {} of {}", self.number, std::any::type_name::<A>())
    }
}
