//! Follows all topics whose names match a regular expression, those that are created later included, and copies their
//! records into one topic.

use processor::{Raw, TopicPattern, Topology, Utf8};

pub(crate) fn job(application_id: &str, topics: &[String]) -> Topology {
    let mut job = Topology::builder(application_id);
    let pattern = TopicPattern::regex(&topics[0]).expect("a regular expression");
    job.stream(pattern, Utf8).to(&topics[1], Raw, Utf8);
    job.build().expect("a sound job")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use processor::driver::TestDriver;

    use super::*;

    #[test]
    fn a_topic_that_comes_later_is_copied_too() {
        let topics = ["shop-.*".to_owned(), "all".to_owned()];
        let mut driver = TestDriver::with_partitions(job("test", &topics), &[("shop-a", 1)]);
        driver.pipe("shop-a", None, "one", 1);
        driver.create_topic("shop-b", 2);
        driver.write_partition("shop-b", 1, None, "two", 2);
        driver.advance_wall(Duration::from_secs(31));
        driver.settle();
        let values: Vec<_> = driver.read("all").iter().map(|record| record.value_str().to_owned()).collect();
        assert_eq!(values, ["one", "two"]);
    }
}
