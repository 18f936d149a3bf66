//! The join of a stream with a global table.
//!
//! A record finds the row that the worker has read last, under any key that is made of the record: neither the key of
//! the record nor its partition matters. There is no order between the stream and the table, and event time has
//! no part in it. A row that changes brings nothing out. Each record has its results once, whatever happens; but
//! a record that is processed again, because its transaction was aborted, may then find a later row.

use super::{Chain, Context, Operator, Signals, StageBuilder};
use crate::error::ProcessError;
use crate::serde::{Serde, SerdeError};
use crate::state::GlobalHandle;
use crate::types::{Owned, Rec, View};

/// The declaration of a stream that looks up rows of a global table.
#[derive(Clone)]
pub struct JoinGlobal<C, KG, A, K, F> {
    pub(crate) previous: C,
    pub(crate) table: GlobalHandle<A>,
    pub(crate) key_serde: KG,
    /// Makes the key of the row.
    pub(crate) key_of: K,
    /// Makes a value of a record and the row; `None` if there is nothing to put out.
    pub(crate) join: F,
}

impl<C, KG, A, B, K, F> Chain for JoinGlobal<C, KG, A, K, F>
where
    C: Chain,
    KG: Serde,
    A: Clone + Send + 'static,
    B: 'static,
    K: for<'a> FnMut(&'a Rec<'_, C::Key, C::Value>) -> Option<<KG::View as View>::Ref<'a>>
        + Clone
        + Send
        + Sync
        + 'static,
    F: FnMut(&Rec<'_, C::Key, C::Value>, Option<&A>) -> Option<B> + Clone + Send + Sync + 'static,
{
    type Key = C::Key;
    type Value = Owned<B>;

    fn build<N: Operator<C::Key, Owned<B>>>(&self, next: N, stage: &mut StageBuilder<'_>) {
        let Self { previous, table, key_serde, key_of, join } = self.clone();
        previous.build(JoinGlobalOperator { table, key_serde, key_of, join, key: Vec::new(), next }, stage);
    }
}

/// The operator of the join.
struct JoinGlobalOperator<KG, A, K, F, N> {
    table: GlobalHandle<A>,
    key_serde: KG,
    key_of: K,
    join: F,
    /// The key of the row, encoded.
    key: Vec<u8>,
    next: N,
}

impl<KG: Serde, A, K: Send, F: Send, N: Signals> Signals for JoinGlobalOperator<KG, A, K, F, N> {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        Some(&mut self.next)
    }
}

impl<RK, RV, KG, A, B, K, F, N> Operator<RK, RV> for JoinGlobalOperator<KG, A, K, F, N>
where
    RK: View,
    RV: View,
    KG: Serde,
    A: Clone + Send + 'static,
    B: 'static,
    K: for<'a> FnMut(&'a Rec<'_, RK, RV>) -> Option<<KG::View as View>::Ref<'a>> + Send + 'static,
    F: FnMut(&Rec<'_, RK, RV>, Option<&A>) -> Option<B> + Send + 'static,
    N: Operator<RK, Owned<B>>,
{
    #[inline]
    fn push(&mut self, record: Rec<'_, RK, RV>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let Self { table, key_serde, key_of, join, key, next } = self;
        key.clear();
        let has_key = match key_of(&record).map(|of_row| key_serde.encode(&of_row, key)) {
            Some(Ok(())) => true,
            Some(Err(cause @ SerdeError::Unavailable(_))) => {
                return Err(ProcessError::Encode { to: "a key of a global table".to_owned(), cause });
            }
            // A key that cannot be written is that of no row.
            Some(Err(_)) | None => false,
        };
        let value = {
            let rows = table.of(context.stores.globals()).rows();
            join(&record, rows.get(key).filter(|_| has_key))
        };
        match value {
            Some(value) => next.push(record.with_value(value), context),
            None => Ok(()),
        }
    }
}
