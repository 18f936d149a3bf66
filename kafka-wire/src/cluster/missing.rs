//! Topics that are not there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::time::Moment;
use crate::wire::Str;

/// Time for which brokers may not have heard of a new topic. One that stays unknown longer was deleted, and must not
/// hold up what follows.
pub(crate) const UNKNOWN_TOPIC_PATIENCE: Duration = Duration::from_secs(5);

/// The topics that regular look-ups do not find.
///
/// One miss may be due to a broker with outdated metadata. So a topic counts as gone only when another look-up misses
/// it again.
#[derive(Clone, Debug)]
pub struct MissingTopics {
    patience: Duration,
    missing: BTreeMap<Str, Missing>,
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    /// The time of the first look-up that missed it.
    since: Moment,
    is_gone: bool,
}

impl MissingTopics {
    /// No topic is missing. A topic counts as gone when it is missed again, `patience` after the first miss or later.
    #[must_use]
    pub const fn new(patience: Duration) -> Self {
        Self { patience, missing: BTreeMap::new() }
    }

    /// Takes all topics that the last look-up did not find. Returns those that count as gone from now on.
    pub fn handle_looked(&mut self, now: Moment, missing: impl IntoIterator<Item = Str>) -> Vec<Str> {
        let missing: BTreeSet<Str> = missing.into_iter().collect();
        self.missing.retain(|topic, _| missing.contains(topic));
        let mut gone = Vec::new();
        for topic in missing {
            match self.missing.get_mut(&topic) {
                None => drop(self.missing.insert(topic, Missing { since: now, is_gone: false })),
                Some(known) if !known.is_gone && now.since(known.since) >= self.patience => {
                    known.is_gone = true;
                    gone.push(topic);
                }
                Some(_) => {}
            }
        }
        gone
    }

    /// Forgets all topics, because others are looked up from now on.
    pub fn clear(&mut self) {
        self.missing.clear();
    }

    /// Whether the last look-up found all topics.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty()
    }

    /// Whether the last look-up missed this topic.
    #[must_use]
    pub fn contains(&self, topic: &str) -> bool {
        self.missing.contains_key(topic)
    }

    /// Whether this topic counts as gone.
    #[must_use]
    pub fn is_gone(&self, topic: &str) -> bool {
        self.missing.get(topic).is_some_and(|missing| missing.is_gone)
    }

    /// The topics that count as gone, sorted.
    pub fn gone(&self) -> impl Iterator<Item = &Str> {
        self.missing.iter().filter(|(_, missing)| missing.is_gone).map(|(topic, _)| topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_gone_when_it_is_missed_again_after_a_while() {
        let mut topics = MissingTopics::new(Duration::from_millis(100));
        let mut look = |now, missing: &[&'static str]| {
            let told =
                topics.handle_looked(Moment::from_millis(now), missing.iter().map(|name| Str::from_static(name)));
            let gone = topics.gone().map(ToString::to_string).collect::<Vec<_>>();
            (told.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "), gone.join(" "))
        };
        let pair = |told: &str, gone: &str| (told.to_owned(), gone.to_owned());
        assert_eq!(look(500, &["b", "a"]), pair("", ""), "one miss tells nothing");
        assert_eq!(look(550, &["a"]), pair("", ""), "too early");
        assert_eq!(look(600, &["a", "b"]), pair("a", "a"), "b was there in between");
        assert_eq!(look(700, &["a", "b"]), pair("b", "a b"), "each is told once");
        assert_eq!(look(800, &["b"]), pair("", "b"));
        assert_eq!(look(900, &["a", "b"]), pair("", "b"), "a has come back meanwhile");
    }

    #[test]
    fn without_patience_the_second_miss_counts() {
        let mut topics = MissingTopics::new(Duration::ZERO);
        let mut look = || topics.handle_looked(Moment::from_millis(5), [Str::from_static("a")]);
        assert_eq!([look(), look(), look()].map(|told| told.len()), [0, 1, 0]);
        assert!(topics.contains("a") && topics.is_gone("a") && !topics.is_empty());
        assert!(!topics.contains("b") && !topics.is_gone("b"));
        topics.clear();
        assert!(topics.is_empty());
    }
}
