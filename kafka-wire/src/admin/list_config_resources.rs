//! The list of the resources that have settings (KIP-1142), such as subscriptions to the metrics of clients (KIP-714).

use super::{ConfigResource, ItemError};
use crate::protocol::list_config_resources::{ListConfigResourcesRequest, ListConfigResourcesResponse};

/// A kind of resources that have settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigResourceKind {
    /// Topics.
    Topic,
    /// Brokers.
    Broker,
    /// Log levels of brokers.
    BrokerLoggers,
    /// Subscriptions to the metrics of clients.
    ClientMetrics,
    /// Groups with settings of their own.
    Group,
}

impl ConfigResourceKind {
    const fn number(self) -> i8 {
        match self {
            Self::Topic => 2,
            Self::Broker => 4,
            Self::BrokerLoggers => 8,
            Self::ClientMetrics => 16,
            Self::Group => 32,
        }
    }
}

/// Makes a request for the resources of these kinds, or of all if `kinds` is empty, in the form of `version`.
/// Version 0 knows only client metrics.
#[must_use]
pub fn request(kinds: &[ConfigResourceKind], version: i16) -> ListConfigResourcesRequest {
    let is_plain = version == 0 && kinds == [ConfigResourceKind::ClientMetrics];
    let resource_types = if is_plain { Vec::new() } else { kinds.iter().map(|kind| kind.number()).collect() };
    ListConfigResourcesRequest { resource_types, ..Default::default() }
}

/// Returns the resources, sorted. One of a kind that this crate does not know is left out.
///
/// # Errors
/// The broker's code.
pub fn read(response: ListConfigResourcesResponse) -> Result<Vec<ConfigResource>, ItemError> {
    ItemError::check(response.error_code, None)?;
    let found = response.config_resources.into_iter();
    let found = found.filter_map(|one| ConfigResource::from_wire(one.resource_type, one.resource_name));
    let mut found: Vec<_> = found.collect();
    found.sort();
    Ok(found)
}
