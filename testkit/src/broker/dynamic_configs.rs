//! Settings of the broker that have been altered while it runs: of this broker, and of all brokers together (KIP-226).

use std::collections::BTreeMap;

use kafka_wire::wire::Str;

use super::topic_configs;

/// Which brokers a setting is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// This one.
    Broker,
    /// All that have no value of their own.
    Cluster,
}

/// What was altered, by scope. It goes before what the broker was started with.
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

    /// Gives a scope these settings, which have been checked, instead of those that it has.
    pub fn replace(&mut self, scope: Scope, settings: BTreeMap<Str, Str>) {
        match scope {
            Scope::Broker => self.of_broker = settings,
            Scope::Cluster => self.of_cluster = settings,
        }
    }

    /// The values of a setting with Kafka's numbers for where they come from, the one that holds first.
    pub fn values(&self, name: &str) -> impl Iterator<Item = (&Str, i8)> {
        let of_broker = self.of_broker.get(name).map(|value| (value, FROM_BROKER));
        let of_cluster = self.of_cluster.get(name).map(|value| (value, FROM_CLUSTER));
        of_broker.into_iter().chain(of_cluster)
    }

    /// What topics inherit, under the names that they have for it.
    #[must_use]
    pub fn of_topics(&self) -> BTreeMap<Str, Str> {
        // What comes later goes before what is there.
        let settings = self.of_cluster.iter().chain(&self.of_broker);
        let of_topic =
            |(name, value): (&Str, &Str)| Some((Str::from_static(topic_configs::of_broker(name)?), value.clone()));
        settings.filter_map(of_topic).collect()
    }
}

const FROM_BROKER: i8 = 2;
const FROM_CLUSTER: i8 = 3;
