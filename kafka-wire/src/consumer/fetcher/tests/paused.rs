//! Paused partitions, whose data fill the buffer.

use super::*;

/// Paused partitions may take half of it, as long as others want to be fetched.
const CONFIG: ConsumerConfig = ConsumerConfig {
    isolation: IsolationLevel::ReadUncommitted,
    min_bytes: 1,
    max_bytes: 1_000,
    max_partition_bytes: 1_000,
    max_wait: Duration::from_millis(500),
    pause_per_partition: Duration::ZERO,
    buffer_limit_bytes: 400,
    reset: ResetPolicy::None,
};

/// One record: 69 bytes. The first two are of an earlier leader.
fn record(offset: i64) -> PartitionData {
    let epoch = LeaderEpoch(if offset < 2 { 2 } else { 3 });
    let batch = with_base_offset(&batch(0, 1), offset, epoch);
    assert_eq!(batch.len(), 69);
    holding(vec![batch])
}

/// Offset and epoch at which the next fetch of the partition goes on.
fn goes_on_at(script: &mut Script, index: i32) -> (i64, i32) {
    let (request, _) = script.fetch();
    let asked = &request.topics[0].partitions[0];
    assert_eq!((request.topics[0].partitions.len(), asked.partition), (1, index));
    (asked.fetch_offset, asked.last_fetched_epoch)
}

#[test]
fn paused_partitions_leave_the_others_room_and_are_fetched_again() {
    let mut script = Script::reading(CONFIG, 0);
    (0..6).for_each(|offset| script.receive(record(offset)));
    script.fetcher.assign(tp(2), Offset(0), LeaderEpoch(-1));
    assert_eq!(script.poll(), None, "the buffer is full of what is about to be taken");
    assert_eq!(script.fetcher.parked_bytes(), 6 * 69);

    script.fetcher.set_paused(&tp(0), true);
    let (request, ticket) = script.fetch();
    assert_eq!((request.topics[0].partitions.len(), request.topics[0].partitions[0].partition), (1, 2));
    assert_eq!(script.fetcher.parked_bytes(), 2 * 69, "what fits into half of the buffer stays");
    assert_eq!(script.fetcher.position(&tp(0)), Some(Offset(0)));
    script.answer(ticket, vec![PartitionData { partition_index: 2, ..record(0) }]);
    assert_eq!(script.take().partition(), &tp(2));
    assert!(script.fetcher.take().is_none());

    script.fetcher.set_paused(&tp(0), false);
    assert_eq!([delivered(&mut script.take()), delivered(&mut script.take())], [[(0, 0)], [(1, 1)]]);
    assert_eq!(goes_on_at(&mut script, 0), (2, 2), "with the epoch of the record before");
}

#[test]
fn a_paused_partition_with_a_fetch_in_flight_keeps_its_position() {
    let mut script = Script::reading(CONFIG, 0);
    (0..4).for_each(|offset| script.receive(record(offset)));
    let (_, ticket) = script.fetch();
    script.fetcher.set_paused(&tp(0), true);
    script.fetcher.assign(tp(2), Offset(0), LeaderEpoch(-1));
    let (_, other) = script.fetch();
    assert_eq!(script.fetcher.parked_bytes(), 4 * 69, "what is on its way goes on from there");
    script.answer(ticket, vec![record(4)]);
    script.answer(other, vec![]);
    script.fetch();
    assert_eq!(script.fetcher.parked_bytes(), 2 * 69);
    script.fetcher.set_paused(&tp(0), false);
    assert_eq!([delivered(&mut script.take()), delivered(&mut script.take())], [[(0, 0)], [(1, 1)]]);
    assert_eq!(goes_on_at(&mut script, 0), (2, 2));
}

#[test]
fn paused_partitions_keep_what_they_have_if_nobody_lacks_room() {
    let mut script = Script::reading(CONFIG, 0);
    (0..6).for_each(|offset| script.receive(record(offset)));
    script.fetcher.set_paused(&tp(0), true);
    assert_eq!(script.poll(), None);
    script.fetcher.set_paused(&tp(0), false);
    let offsets: Vec<_> = (0..6).flat_map(|_| delivered(&mut script.take())).collect();
    assert_eq!(offsets, (0..6).map(|offset| (offset, offset)).collect::<Vec<_>>());
    assert_eq!(goes_on_at(&mut script, 0), (6, 3));
}

#[test]
fn data_behind_a_batch_that_cannot_be_read_leave_the_others_room() {
    let mut script = Script::reading(CONFIG, 0);
    let mut damaged = batch(0, 1).to_vec();
    *damaged.last_mut().expect("it has bytes") ^= 1;
    script.receive(holding(vec![Bytes::from(damaged)]));
    (1..6).for_each(|offset| script.receive(record(offset)));
    let mut fetched = script.take();
    script.receive(record(6));
    script.fetcher.assign(tp(2), Offset(0), LeaderEpoch(-1));
    assert_eq!(script.poll(), None, "the buffer is full");
    let failed = fetched.next_batch().expect("one batch").expect("its header is sound");
    let error = failed.records(&mut Decompressed::default()).expect_err("the checksum is wrong");
    assert_eq!(script.take_error(), error);
    let (request, _) = script.fetch();
    assert_eq!((request.topics[0].partitions.len(), request.topics[0].partitions[0].partition), (1, 2));
    assert_eq!((script.fetcher.parked_bytes(), script.take_error()), (0, error));
    script.fetcher.assign(tp(0), Offset(1), LeaderEpoch(-1));
    assert_eq!(goes_on_at(&mut script, 0).0, 1);
}
