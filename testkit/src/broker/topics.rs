//! The topics of the broker, by name and by id.

mod upkeep;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kafka_wire::protocol::ErrorCode;
use kafka_wire::rng::Rng;
use kafka_wire::types::{PartitionId, TimestampMs};
use kafka_wire::wire::{Str, Uuid};

use self::upkeep::Upkeep;
use super::connection::ConnectionId;
use super::log::{Log, LogSettings};

/// Every topic.
#[derive(Clone, Debug)]
pub struct Topics {
    by_name: BTreeMap<Str, Topic>,
    names: BTreeMap<Uuid, Str>,
    /// The names with a dot or an underscore, as [`unified`] makes them.
    unified: BTreeSet<String>,
    rng: Rng,
    partition_count: usize,
    partitions_max: usize,
    upkeep: Upkeep,
    /// Settings that topics inherit from the broker, under the topics' names for them.
    inherited: Arc<BTreeMap<Str, Str>>,
}

/// One topic.
#[derive(Clone, Debug)]
pub struct Topic {
    /// Its name.
    pub name: Str,
    /// Its id; a later topic of the same name has another.
    pub id: Uuid,
    /// Its partitions, by index.
    pub partitions: Vec<Partition>,
    /// The settings that it was created with or altered to; only some of them have an effect here.
    configs: BTreeMap<Str, Str>,
    /// The settings that it inherits where it has none of its own.
    inherited: Arc<BTreeMap<Str, Str>>,
    /// The settings of its logs, parsed from both.
    settings: LogSettings,
}

/// A partition, and the fetches that wait for its records.
#[derive(Clone, Debug, Default)]
pub struct Partition {
    /// Its log. To change it, use [`Topics::change_log`].
    pub log: Log,
    /// Connections whose Fetch waits for records here.
    pub watchers: BTreeSet<ConnectionId>,
}

impl Topics {
    /// Makes the set of topics, empty, with room for `partitions_max` partitions. Ids are drawn from `rng`.
    /// Logs are checked for expired records no more often than every `log_check_interval`.
    #[must_use]
    pub fn new(partitions_max: usize, log_check_interval: Duration, rng: Rng) -> Self {
        let interval_ms = i64::try_from(log_check_interval.as_millis()).unwrap_or(i64::MAX);
        Self {
            by_name: BTreeMap::new(),
            names: BTreeMap::new(),
            unified: BTreeSet::new(),
            rng,
            partition_count: 0,
            partitions_max,
            upkeep: Upkeep::new(interval_ms),
            inherited: Arc::default(),
        }
    }

    /// Checks whether such a topic could be created; changes nothing. Returns the number of its partitions.
    ///
    /// # Errors
    /// `INVALID_TOPIC_EXCEPTION` for an illegal name, and for one that differs from another topic's only in dots and
    /// underscores; `TOPIC_ALREADY_EXISTS`, `INVALID_PARTITIONS` for none or too many.
    pub fn check(&self, name: &str, partition_count: i32) -> Result<usize, ErrorCode> {
        if !is_legal_name(name) {
            return Err(ErrorCode::INVALID_TOPIC_EXCEPTION);
        }
        if self.by_name.contains_key(name) {
            return Err(ErrorCode::TOPIC_ALREADY_EXISTS);
        }
        if unified(name).is_some_and(|unified| self.unified.contains(&unified)) {
            return Err(ErrorCode::INVALID_TOPIC_EXCEPTION);
        }
        let room = self.partitions_max - self.partition_count;
        usize::try_from(partition_count)
            .ok()
            .filter(|&count| count > 0 && count <= room)
            .ok_or(ErrorCode::INVALID_PARTITIONS)
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// The errors of [`Topics::check`].
    pub fn create(
        &mut self,
        name: &Str,
        partition_count: i32,
        configs: BTreeMap<Str, Str>,
    ) -> Result<&Topic, ErrorCode> {
        let count = self.check(name, partition_count)?;
        let (name, id) = (name.detached(), self.draw_id());
        let mut topic = Topic {
            name: name.clone(),
            id,
            partitions: vec![Partition::default(); count],
            configs,
            inherited: Arc::clone(&self.inherited),
            settings: LogSettings::default(),
        };
        topic.settle();
        self.partition_count += count;
        self.names.insert(id, name.clone());
        self.unified.extend(unified(&name));
        Ok(self.by_name.entry(name).or_insert(topic))
    }

    /// The number of partitions that would have to be added to a topic, to have `partition_count` in all;
    /// changes nothing.
    ///
    /// # Errors
    /// `UNKNOWN_TOPIC_OR_PARTITION`; `INVALID_PARTITIONS` for a count that is no larger than the present one,
    /// or too large for the broker.
    pub fn check_growth(&self, name: &str, partition_count: i32) -> Result<usize, ErrorCode> {
        let topic = self.by_name.get(name).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        let room = self.partitions_max - self.partition_count;
        usize::try_from(partition_count)
            .ok()
            .and_then(|count| count.checked_sub(topic.partitions.len()))
            .filter(|&added| added > 0 && added <= room)
            .ok_or(ErrorCode::INVALID_PARTITIONS)
    }

    /// Adds empty partitions to a topic until it has `partition_count`.
    ///
    /// # Errors
    /// The errors of [`Topics::check_growth`].
    pub fn grow(&mut self, name: &str, partition_count: i32) -> Result<(), ErrorCode> {
        let added = self.check_growth(name, partition_count)?;
        let topic = self.by_name.get_mut(name).expect("looked up above");
        topic.partitions.resize_with(topic.partitions.len() + added, Partition::default);
        self.partition_count += added;
        Ok(())
    }

    /// Changes the settings that a topic has of its own. The values must be legal. `None` for a topic
    /// that does not exist.
    pub fn alter(&mut self, name: &str, change: impl FnOnce(&mut BTreeMap<Str, Str>)) -> Option<&Topic> {
        let topic = self.by_name.get_mut(name)?;
        change(&mut topic.configs);
        topic.settle();
        self.look_soon();
        self.by_name.get(name)
    }

    /// Sets the inherited settings of every topic, which apply where it has none of its own. The values must be legal.
    pub fn inherit(&mut self, inherited: BTreeMap<Str, Str>) {
        self.inherited = Arc::new(inherited);
        for topic in self.by_name.values_mut() {
            topic.inherited = Arc::clone(&self.inherited);
            topic.settle();
        }
        self.look_soon();
    }

    /// Deletes a topic with its data; returns it.
    pub fn delete(&mut self, name: &str) -> Option<Topic> {
        let mut topic = self.by_name.remove(name)?;
        self.forget_logs(&mut topic.partitions);
        self.names.remove(&topic.id);
        if let Some(unified) = unified(name) {
            self.unified.remove(&unified);
        }
        self.partition_count -= topic.partitions.len();
        Some(topic)
    }

    /// A topic by its name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Topic> {
        self.by_name.get(name)
    }

    /// The name that belongs to a topic id.
    #[must_use]
    pub fn name_of(&self, id: Uuid) -> Option<&Str> {
        self.names.get(&id)
    }

    /// A partition by its topic's name and its index.
    #[must_use]
    pub fn partition(&self, name: &str, index: i32) -> Option<&Partition> {
        self.by_name.get(name)?.partitions.get(usize::try_from(index).ok()?)
    }

    /// A partition, to be changed.
    pub fn partition_mut(&mut self, name: &str, partition: PartitionId) -> Option<&mut Partition> {
        self.by_name.get_mut(name)?.partitions.get_mut(usize::try_from(partition.0).ok()?)
    }

    /// Forgets, in every partition, the producers whose last batch is from this time or before.
    pub fn forget_producers_before(&mut self, time: TimestampMs) {
        for partition in self.by_name.values_mut().flat_map(|topic| &mut topic.partitions) {
            partition.log.forget_producers_before(time);
        }
    }

    /// Every topic, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Topic> {
        self.by_name.values()
    }

    fn draw_id(&mut self) -> Uuid {
        Uuid(random_bytes(&mut self.rng))
    }
}

impl Topic {
    /// The settings that it has of its own, by name.
    #[must_use]
    pub fn configs(&self) -> &BTreeMap<Str, Str> {
        &self.configs
    }

    /// The settings that say how its logs are cut into segments and which records are removed.
    #[must_use]
    pub fn settings(&self) -> &LogSettings {
        &self.settings
    }

    /// The value of a setting that the topic has of its own or inherits.
    #[must_use]
    pub fn config(&self, name: &str) -> Option<&str> {
        self.configs.get(name).or_else(|| self.inherited.get(name)).map(Str::as_str)
    }

    /// Parses the settings of the logs again.
    fn settle(&mut self) {
        let mut configs = BTreeMap::clone(&self.inherited);
        configs.extend(self.configs.iter().map(|(name, value)| (name.clone(), value.clone())));
        self.settings = LogSettings::of(&configs);
    }
}

/// Sixteen random bytes for an id that must not be zero.
pub(super) fn random_bytes(rng: &mut Rng) -> [u8; 16] {
    let number = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64()) | 1;
    number.to_be_bytes()
}

/// A name that has dots or underscores with one in the place of the other, as names of metrics show it. Kafka lets only
/// one topic have each. `None` for a name without them.
fn unified(name: &str) -> Option<String> {
    name.contains(['.', '_']).then(|| name.replace('.', "_"))
}

/// Kafka's rule for the names of topics.
pub(super) fn is_legal_name(name: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=249).contains(&name.len()) && name != "." && name != ".." && name.bytes().all(is_legal)
}
