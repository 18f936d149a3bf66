//! Broker settings that were altered while the broker runs: those of this broker, and those of all brokers of
//! the cluster (KIP-226).

use std::collections::BTreeMap;

use kafka_wire::wire::Str;

use super::topic_configs;

/// The brokers that an altered setting applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// This broker.
    Broker,
    /// Every broker that has no value of its own.
    Cluster,
}

/// Altered settings by scope. They take precedence over those that the broker was started with.
#[derive(Clone, Debug, Default)]
pub struct DynamicConfigs {
    of_broker: BTreeMap<Str, Str>,
    of_cluster: BTreeMap<Str, Str>,
}

impl DynamicConfigs {
    /// The settings of a scope.
    #[must_use]
    pub fn of(&self, scope: Scope) -> &BTreeMap<Str, Str> {
        match scope {
            Scope::Broker => &self.of_broker,
            Scope::Cluster => &self.of_cluster,
        }
    }

    /// Replaces the settings of a scope with these, which have been checked.
    pub fn replace(&mut self, scope: Scope, settings: BTreeMap<Str, Str>) {
        match scope {
            Scope::Broker => self.of_broker = settings,
            Scope::Cluster => self.of_cluster = settings,
        }
    }

    /// The altered values of a setting, each with Kafka's number for its source, the one in effect first.
    pub fn values(&self, name: &str) -> impl Iterator<Item = (&Str, i8)> {
        let of_broker = self.of_broker.get(name).map(|value| (value, FROM_BROKER));
        let of_cluster = self.of_cluster.get(name).map(|value| (value, FROM_CLUSTER));
        of_broker.into_iter().chain(of_cluster)
    }

    /// The altered settings that topics inherit, under the topics' names for them.
    #[must_use]
    pub fn of_topics(&self) -> BTreeMap<Str, Str> {
        // A later entry overrides an earlier one.
        let settings = self.of_cluster.iter().chain(&self.of_broker);
        let of_topic =
            |(name, value): (&Str, &Str)| Some((Str::from_static(topic_configs::of_broker(name)?), value.clone()));
        settings.filter_map(of_topic).collect()
    }
}

const FROM_BROKER: i8 = 2;
const FROM_CLUSTER: i8 = 3;
