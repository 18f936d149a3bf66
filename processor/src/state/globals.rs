//! The global tables of a worker, whatever the types of their rows.

use std::any::Any;
use std::sync::Arc;

use crate::serde::SerdeError;

/// The rows of a global table, whatever their type.
pub trait GlobalRows: Any + Send + Sync {
    /// Sets the row of a key, or deletes it.
    ///
    /// # Errors
    /// If the serde cannot decode the value; the row stays as it was.
    fn set(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), SerdeError>;

    /// Passes each row to `visit`, or only that of one key.
    ///
    /// # Errors
    /// If the serde cannot encode a row.
    fn visit(&self, key: Option<&[u8]>, visit: &mut VisitRow<'_>) -> Result<(), SerdeError>;

    /// Number of rows.
    fn count(&self) -> usize;
}

/// Receives one row: its key and its encoded value.
pub type VisitRow<'a> = dyn FnMut(&[u8], &[u8]) + 'a;

/// The global tables of a worker, by their numbers.
pub type Globals = Arc<[Arc<dyn GlobalRows>]>;
