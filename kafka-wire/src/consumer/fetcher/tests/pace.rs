//! The pace of fetches at the ends of the logs, and its absence everywhere else.

use super::*;

/// Data up to the end of the log.
fn up_to_the_end(records: Vec<Bytes>, end: i64) -> PartitionData {
    PartitionData { high_watermark: end, last_stable_offset: end, ..holding(records) }
}

/// A reader that has taken everything that the log of partition 0 has.
fn at_the_end() -> Script {
    let mut script = Script::reading(ConsumerConfig::default(), 0);
    script.receive(up_to_the_end(vec![batch(0, 3)], 3));
    script.take();
    script
}

#[test]
fn at_the_end_of_the_log_a_fetch_waits_for_its_time() {
    let mut script = at_the_end();
    let at = Moment::from_millis(4);
    assert!(!script.fetcher.set_pace(FetchPace::From(at)));
    assert_eq!(script.poll(), None);
    assert_eq!(script.fetcher.next_timeout(script.now), Some(at));
    script.now = at;
    let (request, ticket) = script.fetch();
    assert_eq!(request.topics[0].partitions[0].fetch_offset, 3);
    script.answer(ticket, vec![up_to_the_end(vec![batch(3, 1), batch(4, 1)], 5)]);
    assert_eq!(script.poll(), None, "the next one would bring records before these are taken");
    assert_eq!(script.fetcher.next_timeout(script.now), None);
    assert_eq!(delivered(&mut script.take()), [(3, 3), (4, 4)]);
    script.fetch();
}

#[test]
fn a_held_fetch_begins_when_the_pace_is_set_anew() {
    let mut script = at_the_end();
    assert!(!script.fetcher.set_pace(FetchPace::Held));
    assert_eq!((script.poll(), script.fetcher.next_timeout(script.now)), (None, None));
    assert!(script.fetcher.set_pace(FetchPace::From(script.now)), "the driver has to be woken");
    script.fetch();
    let mut script = at_the_end();
    script.fetcher.set_pace(FetchPace::Held);
    assert!(script.fetcher.set_pace(FetchPace::Free));
    script.fetch();
}

#[test]
fn a_backlog_is_fetched_whatever_the_pace() {
    let mut script = Script::reading(ConsumerConfig::default(), 0);
    script.fetcher.assign(tp(1), Offset(0), LeaderEpoch(-1));
    script.fetcher.set_pace(FetchPace::Held);
    let (request, ticket) = script.fetch();
    assert_eq!(request.topics[0].partitions.len(), 2, "where the logs end is not known yet");
    let behind = PartitionData { partition_index: 1, ..up_to_the_end(vec![batch(0, 1)], 9) };
    script.answer(ticket, vec![up_to_the_end(vec![], 0), behind]);
    let (request, ticket) = script.fetch();
    let asked: Vec<_> = request.topics[0].partitions.iter().map(|asked| asked.partition).collect();
    assert_eq!(asked, [0, 1], "the fetch for the backlog of one asks for the other, too");
    script.answer(ticket, vec![PartitionData { partition_index: 1, ..up_to_the_end(vec![batch(1, 8)], 9) }]);
    assert_eq!(script.poll(), None, "both are at their ends");
}

#[test]
fn the_end_of_a_committed_reader_is_the_last_stable_offset() {
    for (isolation, is_at_end) in [(IsolationLevel::ReadCommitted, true), (IsolationLevel::ReadUncommitted, false)] {
        let mut script = Script::reading(ConsumerConfig { isolation, ..ConsumerConfig::default() }, 0);
        script.fetcher.set_pace(FetchPace::Held);
        script.receive(PartitionData { last_stable_offset: 3, ..holding(vec![batch(0, 3)]) });
        assert_eq!(script.poll().is_none(), is_at_end, "{isolation:?}");
    }
}

#[test]
fn a_partition_that_is_sought_is_fetched_at_once() {
    let mut script = at_the_end();
    script.fetcher.set_pace(FetchPace::Held);
    script.fetcher.assign(tp(0), Offset(1), LeaderEpoch(-1));
    assert_eq!(script.fetch().0.topics[0].partitions[0].fetch_offset, 1);
}
