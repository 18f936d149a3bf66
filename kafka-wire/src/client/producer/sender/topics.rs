//! The sender's topics: look-ups for owners, new partitions, and leaders.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::super::shared::{Lookup, LookupError, Shared};
use super::{Event, Sender};
use crate::client::MetadataError;
use crate::cluster::{Cluster, Topic};
use crate::time::Moment;
use crate::wire::Str;

/// Owners that wait for topics, by topic.
#[derive(Debug)]
pub(super) struct Lookups {
    asked: BTreeMap<Str, Vec<Lookup>>,
    /// Time of the next refresh of all topics, which finds partitions that were added.
    refresh_at: Moment,
    has_topics: bool,
}

impl Lookups {
    pub(super) fn new(refresh_at: Moment) -> Self {
        Self { asked: BTreeMap::new(), refresh_at, has_topics: false }
    }

    /// All topics of the producer, if their refresh is due.
    pub(super) fn take_old(&mut self, now: Moment, shared: &Shared, age_max: Duration) -> Vec<Str> {
        if !self.has_topics || now < self.refresh_at {
            return Vec::new();
        }
        self.refresh_at = now + age_max;
        shared.buffer().accumulator.topic_names().cloned().collect()
    }

    /// The time at which an owner has waited long enough, or the topics have to be refreshed. A refresh may begin from
    /// `refresh_after` on; `None` while one is under way.
    pub(super) fn next_timeout(&self, refresh_after: Option<Moment>) -> Option<Moment> {
        let deadlines = self.asked.values().flatten().filter_map(|lookup| lookup.deadline);
        let refresh = refresh_after.filter(|_| self.has_topics).map(|after| after.max(self.refresh_at));
        deadlines.chain(refresh).min()
    }

    /// Reports to the owners whose time is over.
    fn expire(&mut self, now: Moment) {
        for asked in self.asked.values_mut() {
            let (late, waiting) =
                std::mem::take(asked).into_iter().partition(|lookup| lookup.deadline.is_some_and(|at| at <= now));
            *asked = waiting;
            let late: Vec<Lookup> = late;
            for lookup in late {
                let _ = lookup.promise.send(Err(LookupError::TimedOut));
            }
        }
        self.asked.retain(|_, asked| !asked.is_empty());
    }
}

impl Sender {
    /// Starts the look-ups that owners have requested, one for each topic.
    pub(super) fn take_lookups(&mut self, now: Moment) {
        let lookups = std::mem::take(&mut self.shared.buffer().lookups);
        for lookup in lookups {
            let asked = self.lookups.asked.entry(lookup.name.clone()).or_default();
            if asked.is_empty() {
                let (client, name) = (self.client.clone(), lookup.name.clone());
                self.under_way.spawn(async move {
                    let found = client.topic(&name).await;
                    Event::Found(name, found)
                });
            }
            // A caller that does not wait asks again and again until the topic is known.
            if asked.is_empty() || !lookup.promise.is_closed() {
                asked.push(lookup);
            }
        }
        self.lookups.expire(now);
    }

    /// Handles the result of a look-up.
    pub(super) fn answer_lookup(&mut self, name: &Str, found: Result<Arc<Topic>, MetadataError>) {
        let found = found.map_err(LookupError::Metadata).map(|topic| {
            self.lookups.has_topics = self.has_many_owners;
            self.shared.buffer().accumulator.add_topic(&topic.name, count(&topic))
        });
        for lookup in self.lookups.asked.remove(name).unwrap_or_default() {
            let _ = lookup.promise.send(found.clone());
        }
    }

    /// Handles new metadata: partitions that were added, or are gone with a topic that was made anew, and whether each
    /// has a leader. A topic that is gone keeps its partitions until it is there again.
    pub(super) fn see_leaders(&mut self, cluster: &Cluster) {
        let mut buffer = self.shared.buffer();
        let accumulator = &mut buffer.accumulator;
        if self.has_many_owners {
            let names: Vec<Str> = accumulator.topic_names().cloned().collect();
            for topic in names.iter().filter_map(|name| cluster.shared_topic(name)).filter(|topic| count(topic) > 0) {
                accumulator.add_topic(&topic.name, count(&topic));
            }
        }
        let slots = accumulator.slots().to_vec();
        for (slot, is_led) in slots.into_iter().zip(self.outbox.leaders()) {
            accumulator.set_available(slot, is_led);
        }
    }
}

fn count(topic: &Topic) -> i32 {
    i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_that_cannot_begin_is_not_due() {
        let mut lookups = Lookups::new(Moment::from_millis(5));
        assert_eq!(lookups.next_timeout(Some(Moment::ZERO)), None, "there are no topics");
        lookups.has_topics = true;
        assert_eq!(lookups.next_timeout(Some(Moment::ZERO)), Some(Moment::from_millis(5)));
        assert_eq!(lookups.next_timeout(Some(Moment::from_millis(7))), Some(Moment::from_millis(7)));
        assert_eq!(lookups.next_timeout(None), None, "one is under way");
    }
}
