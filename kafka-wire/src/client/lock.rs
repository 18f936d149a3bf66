//! One way to lock: these locks survive a panic of whoever held them.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks. Nothing is ever left half done behind a lock of this module, so a poisoned one is as good as another.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
