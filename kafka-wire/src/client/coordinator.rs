//! Look-up of the coordinators of groups and transactions.

use std::collections::BTreeMap;
use std::time::Duration;

use super::lock::lock;
use super::{Client, CoordinatorError};
use crate::cluster::{Broker, CoordinatorKind};
use crate::protocol::ErrorCode;
use crate::protocol::find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};
use crate::types::BrokerId;
use crate::wire::Str;

/// The known coordinators; an entry is removed once it turns out to be wrong.
pub(super) type Coordinators = BTreeMap<(CoordinatorKind, Str), BrokerId>;

impl Client {
    /// The broker that coordinates a group or a transactional id.
    ///
    /// Answers from memory until [`Client::forget_coordinator`]. Otherwise it asks the cluster, and while
    /// that has no coordinator yet (`COORDINATOR_NOT_AVAILABLE` while the internal topic is being created,
    /// `COORDINATOR_LOAD_IN_PROGRESS`), asks again until `request_timeout` is over. Cancel safe.
    ///
    /// # Errors
    /// The cluster refuses to name a coordinator, or no broker answered.
    pub async fn coordinator(&self, kind: CoordinatorKind, key: &str) -> Result<BrokerId, CoordinatorError> {
        let key = Str::from(key);
        if let Some(known) = lock(&self.shared.coordinators).get(&(kind, key.clone())) {
            return Ok(*known);
        }
        let deadline = self.now() + self.config().request_timeout;
        let mut backoff = self.backoff();
        let mut backoff_until_there = self.backoff().up_to(PAUSE_UNTIL_THERE_MAX);
        loop {
            let error = match self.find_coordinator(kind, &key).await {
                Ok(id) => {
                    tracing::debug!(%kind, key = %key, broker = %id, "coordinator found");
                    lock(&self.shared.coordinators).insert((kind, key), id);
                    return Ok(id);
                }
                Err(error) => error,
            };
            if !error.is_retriable() || self.now() >= deadline {
                return Err(error);
            }
            tracing::debug!(%kind, key = %key, %error, "coordinator: trying again");
            let backoff = if error.is_not_there_yet() { &mut backoff_until_there } else { &mut backoff };
            tokio::time::sleep(backoff.next_pause()).await;
        }
    }

    /// Forgets a coordinator, because it has answered that it is not the coordinator (`NOT_COORDINATOR`),
    /// or cannot be reached.
    pub fn forget_coordinator(&self, kind: CoordinatorKind, key: &str) {
        lock(&self.shared.coordinators).remove(&(kind, Str::from(key)));
    }

    async fn find_coordinator(&self, kind: CoordinatorKind, key: &Str) -> Result<BrokerId, CoordinatorError> {
        let build = question(kind, key.clone());
        let (response, version) = self.ask_any(build).await?;
        let refused = |code| CoordinatorError::Refused { kind, key: key.clone(), code };
        let found = single(response, version).ok_or_else(|| refused(ErrorCode::COORDINATOR_NOT_AVAILABLE))?;
        ErrorCode(found.error_code).ok().map_err(refused)?;
        let id = BrokerId(found.node_id);
        let port = u16::try_from(found.port).unwrap_or(0);
        let told = Broker { id, host: found.host, port, rack: None };
        let is_elsewhere = {
            let mut metadata = lock(&self.shared.metadata);
            let is_elsewhere = metadata.is_elsewhere(&told);
            metadata.learn_broker(told);
            is_elsewhere
        };
        if is_elsewhere {
            // It has moved, or this answer is the older one: metadata tell.
            self.refresh(&[]).await?;
        }
        Ok(id)
    }
}

impl CoordinatorError {
    /// Whether another request may help.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        match self {
            Self::Request(error) => error.is_retriable(),
            Self::Refused { code, .. } => code.is_retriable(),
        }
    }

    /// Whether the same request must fail in the same way, unless the cluster changes.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        !self.is_retriable()
    }

    /// Whether the cluster is making the coordinator's topic, or a broker is about to coordinate.
    fn is_not_there_yet(&self) -> bool {
        let Self::Refused { code, .. } = self else { return false };
        matches!(*code, ErrorCode::COORDINATOR_NOT_AVAILABLE | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS)
    }
}

/// Longest pause while a coordinator is not there yet, which takes a second or two: the first start of a program on a
/// new cluster waits for it.
const PAUSE_UNTIL_THERE_MAX: Duration = Duration::from_millis(200);

/// A request for one key, of which v4 and later take a list (KIP-699).
fn question(kind: CoordinatorKind, key: Str) -> impl Fn(i16) -> FindCoordinatorRequest + Send + Sync + 'static {
    let key_type = match kind {
        CoordinatorKind::Group => 0,
        CoordinatorKind::Transaction => 1,
    };
    move |version| {
        if version >= 4 {
            FindCoordinatorRequest { key_type, coordinator_keys: vec![key.clone()], ..Default::default() }
        } else {
            FindCoordinatorRequest { key_type, key: key.clone(), ..Default::default() }
        }
    }
}

/// The one coordinator that was requested, in the form of the later versions.
fn single(mut response: FindCoordinatorResponse, version: i16) -> Option<Coordinator> {
    if version >= 4 {
        return response.coordinators.pop();
    }
    Some(Coordinator {
        key: Str::default(),
        node_id: response.node_id,
        host: response.host,
        port: response.port,
        error_code: response.error_code,
        error_message: response.error_message,
        ..Default::default()
    })
}
