//! The records that topics of the cluster in memory take.

use super::TestDriver;
use crate::output::TopicLimits;

impl TestDriver {
    /// Sets which records a topic takes: workers that start from now on leave others out, or fail for them, by the
    /// job's policy for failures to produce. Call it before the first record.
    pub fn limit_topic(&mut self, topic: &str, limits: TopicLimits) {
        self.cluster.limits.insert(topic.to_owned(), limits);
        self.crash();
    }
}
