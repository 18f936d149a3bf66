//! A global table, as the code of a `process` step uses it.
//!
//! Any row can be read, whatever the key of the record or timer: it is the one that the worker has read last. With it,
//! a step follows rules that every task must know whole, beside state of its own.

use super::process::{InTask, Scope};
use crate::serde::{Serde, SerdeError};
use crate::state::GlobalHandle;
use crate::types::View;

/// The rows of a global table, to be read.
pub struct GlobalState<KG, A> {
    pub(crate) table: GlobalHandle<A>,
    pub(crate) keys: KG,
}

// A derived implementation would require the same of `A`.
impl<KG: Clone, A> Clone for GlobalState<KG, A> {
    fn clone(&self) -> Self {
        Self { table: self.table, keys: self.keys.clone() }
    }
}

impl<KG: Serde, A: Clone + Send + 'static> GlobalState<KG, A> {
    /// The row of a key; `None` also for a key that its serde cannot encode.
    pub fn get<K: View, O>(&self, scope: &mut Scope<'_, K, O>, key: &<KG::View as View>::Ref<'_>) -> Option<A> {
        let place = scope.encoded(&self.keys, key)?;
        self.table.of(scope.stores().globals()).rows().get(&place).cloned()
    }

    /// Passes each row to `visit`, in an order that depends only on the records of the table. A row whose key cannot
    /// be decoded is left out.
    pub fn each<K: View, O>(
        &self,
        scope: &mut Scope<'_, K, O>,
        mut visit: impl FnMut(<KG::View as View>::Ref<'_>, &A),
    ) {
        let mut unavailable = None;
        for (key, row) in self.table.of(scope.stores().globals()).rows().iter() {
            match self.keys.decode(key) {
                Ok(key) => visit(key, row),
                Err(cause @ SerdeError::Unavailable(_)) => unavailable = Some(cause),
                Err(_) => {}
            }
        }
        if let Some(cause) = unavailable {
            scope.unavailable(cause);
        }
    }
}
