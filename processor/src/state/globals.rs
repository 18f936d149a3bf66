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

    /// Number of rows.
    fn count(&self) -> usize;
}

/// The global tables of a worker, by their numbers.
pub type Globals = Arc<[Arc<dyn GlobalRows>]>;
