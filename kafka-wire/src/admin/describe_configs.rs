//! Descriptions of the settings of topics, brokers and other resources.

use super::{ConfigResource, ItemError, Outcomes, outcomes_by};
use crate::protocol::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
};
use crate::wire::Str;

/// A setting of a resource, with the value in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its name.
    pub name: Str,
    /// Its value; `None` if it is sensitive, or has none.
    pub value: Option<Str>,
    /// The place that its value comes from.
    pub source: ConfigSource,
    /// Whether it cannot be changed while the broker runs.
    pub is_read_only: bool,
    /// Whether it is a secret, whose value is never returned.
    pub is_sensitive: bool,
}

/// The place that the value of a setting comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigSource {
    /// Set for the topic.
    Topic,
    /// Set for this broker while it ran.
    Broker,
    /// Set for all brokers while they ran.
    AllBrokers,
    /// The broker's properties file.
    File,
    /// Kafka's default.
    Default,
    /// Set for a logger.
    Logger,
    /// Set for a subscription to metrics.
    ClientMetrics,
    /// Set for the group.
    Group,
    /// A code that this crate does not know.
    Other(i8),
}

/// Makes a request for all settings of `resources`.
#[must_use]
pub fn request(resources: &[ConfigResource]) -> DescribeConfigsRequest {
    let resources = resources.iter().map(|resource| DescribeConfigsResource {
        resource_type: resource.kind(),
        resource_name: resource.name(),
        configuration_keys: None,
        ..Default::default()
    });
    DescribeConfigsRequest { resources: resources.collect(), ..Default::default() }
}

/// Returns the settings of each resource, in the order of `resources`.
#[must_use]
pub fn read(
    resources: &[ConfigResource],
    response: DescribeConfigsResponse,
) -> Outcomes<ConfigResource, Vec<ConfigEntry>> {
    let answers = response.results.into_iter().map(|result| {
        let key = (result.resource_type, result.resource_name);
        let entries = result.configs.into_iter().map(entry).collect();
        (key, ItemError::check(result.error_code, result.error_message).map(|()| entries))
    });
    outcomes_by(resources, |resource| (resource.kind(), resource.name()), answers)
}

fn entry(setting: DescribeConfigsResourceResult) -> ConfigEntry {
    ConfigEntry {
        name: setting.name,
        value: setting.value,
        source: match setting.config_source {
            1 => ConfigSource::Topic,
            2 => ConfigSource::Broker,
            3 => ConfigSource::AllBrokers,
            4 => ConfigSource::File,
            5 => ConfigSource::Default,
            6 => ConfigSource::Logger,
            7 => ConfigSource::ClientMetrics,
            8 => ConfigSource::Group,
            other => ConfigSource::Other(other),
        },
        is_read_only: setting.read_only,
        is_sensitive: setting.is_sensitive,
    }
}
