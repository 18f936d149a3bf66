//! Changes of single settings, which leave the others as they are (KIP-339).

use super::{ConfigResource, ItemError, Outcomes, outcomes_by};
use crate::protocol::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use crate::wire::Str;

/// The change of one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigChange {
    /// Sets it to a value.
    Set(Str, Str),
    /// Deletes it, so that the default holds again.
    Delete(Str),
    /// Appends values to a list.
    Append(Str, Str),
    /// Removes values from a list.
    Subtract(Str, Str),
}

impl ConfigChange {
    fn request(&self) -> AlterableConfig {
        let (name, config_operation, value) = match self {
            Self::Set(name, value) => (name, 0, Some(value)),
            Self::Delete(name) => (name, 1, None),
            Self::Append(name, value) => (name, 2, Some(value)),
            Self::Subtract(name, value) => (name, 3, Some(value)),
        };
        AlterableConfig { name: name.clone(), config_operation, value: value.cloned(), ..Default::default() }
    }
}

/// Makes a request for changes of resources.
#[must_use]
pub fn request(changes: &[(ConfigResource, Vec<ConfigChange>)]) -> IncrementalAlterConfigsRequest {
    let resources = changes.iter().map(|(resource, changes)| AlterConfigsResource {
        resource_type: resource.kind(),
        resource_name: resource.name(),
        configs: changes.iter().map(ConfigChange::request).collect(),
        ..Default::default()
    });
    IncrementalAlterConfigsRequest { resources: resources.collect(), ..Default::default() }
}

/// Returns the outcome of each resource, in the order of `resources`.
#[must_use]
pub fn read(resources: &[ConfigResource], response: IncrementalAlterConfigsResponse) -> Outcomes<ConfigResource> {
    let answers = response.responses.into_iter().map(|result| {
        let key = (result.resource_type, result.resource_name);
        (key, ItemError::check(result.error_code, result.error_message))
    });
    outcomes_by(resources, |resource| (resource.kind(), resource.name()), answers)
}
