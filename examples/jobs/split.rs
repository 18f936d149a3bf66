//! Words of lines, counted for five seconds of the time of day, whatever the timestamps of the records are.

use std::time::Duration;

use processor::{Emit, Partitions, ProcessingTime, Topology, Tumbling, U64, Utf8};

pub(crate) fn job(application_id: &str, topics: &[String]) -> Topology {
    let mut job = Topology::builder(application_id);
    job.stream(&topics[0], Utf8)
        .flat_map(Utf8, |line, words| line.value.split_whitespace().for_each(|word| words.push(word)))
        .key_by("by-word", Partitions(4), (Utf8, ()), |word| (word.value, ()))
        .map(|_| 1_u64)
        .window(ProcessingTime(Tumbling::of(Duration::from_secs(5))))
        .reduce("counts", U64, Emit::OnClose, |sum, one| *sum += one)
        .map(|word| *word.value)
        .to(&topics[1], Utf8, U64);
    job.build().expect("a sound job")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use processor::driver::TestDriver;

    use super::*;

    #[test]
    fn words_come_out_after_five_seconds_without_another_line() {
        let mut driver = TestDriver::new(job("test", &["in".to_owned(), "out".to_owned()]));
        driver.pipe("in", None, "to be or", -1);
        driver.pipe("in", None, "not to be", 1);
        driver.advance_wall(Duration::from_secs(4));
        assert_eq!(driver.read("out").len(), 0);
        driver.advance_wall(Duration::from_secs(2));
        driver.settle();
        let count = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().expect("eight bytes"));
        let counts: BTreeMap<_, _> = driver
            .read("out")
            .iter()
            .map(|record| (record.key_str().to_owned(), count(record.value.as_deref().unwrap_or_default())))
            .collect();
        let expected = [("be", 2), ("not", 1), ("or", 1), ("to", 2)].map(|(word, count)| (word.to_owned(), count));
        assert_eq!(counts, BTreeMap::from(expected));
    }
}
