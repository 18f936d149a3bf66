use super::*;
use crate::record::Batches;

const EACH: Duration = Duration::from_millis(10);

fn accumulator(batch_size_bytes: usize, buffer_limit_bytes: usize) -> (Accumulator, TopicHandle) {
    let config = ProducerConfig { batch_size_bytes, buffer_limit_bytes, ..ProducerConfig::default() };
    let mut accumulator = Accumulator::new(&config);
    let topic = accumulator.add_topic(&Str::from("t"), 3);
    (accumulator, topic)
}

fn record(value: &[u8]) -> NewRecord<'_> {
    NewRecord { timestamp: TimestampMs(7), key: Some(b"k"), value: Some(value), headers: RawHeaders::EMPTY }
}

#[test]
fn a_batch_is_closed_when_the_next_record_does_not_fit() {
    let (mut accumulator, topic) = accumulator(420, 10_000);
    let value = [0; 100];
    let opened: Vec<bool> =
        (0..5).map(|_| accumulator.append(topic, PartitionId(1), record(&value)).unwrap()).collect();
    assert_eq!(opened, [true, false, false, true, false]);
    let closed = accumulator.take_closed();
    assert_eq!(closed.len(), 1);
    assert_eq!(closed[0].builder.record_count(), 3);
    assert!(closed[0].builder.size_bytes() <= 420);
    assert_eq!(accumulator.topic_partition(closed[0].slot), TopicPartition::new("t", PartitionId(1)));
    accumulator.close_all();
    assert_eq!(accumulator.take_closed()[0].builder.record_count(), 2);
}

#[test]
fn a_record_above_the_batch_size_travels_alone() {
    let (mut accumulator, topic) = accumulator(400, 10_000);
    for size in [10, 1_000, 10] {
        accumulator.append(topic, PartitionId(0), record(&vec![0; size])).unwrap();
    }
    accumulator.close_all();
    let counts: Vec<i32> = accumulator.take_closed().iter().map(|batch| batch.builder.record_count()).collect();
    assert_eq!(counts, [1, 1, 1]);
}

#[test]
fn the_buffer_limit_refuses_until_batches_are_released() {
    let (mut accumulator, topic) = accumulator(400, 1_000);
    let value = [0; 200];
    while accumulator.append(topic, PartitionId(0), record(&value)).is_ok() {}
    let refused = accumulator.append(topic, PartitionId(0), record(&value));
    assert_eq!(refused, Err(AppendError::Full { limit_bytes: 1_000 }));
    let too_large = accumulator.append(topic, PartitionId(0), record(&[0; 2_000]));
    assert!(matches!(too_large, Err(AppendError::RecordTooLarge { .. })), "{too_large:?}");
    assert!(!accumulator.has_room());
    accumulator.close_all();
    for batch in accumulator.take_closed() {
        accumulator.settle(batch.slot);
        accumulator.release(batch.builder.size_bytes());
    }
    assert_eq!(accumulator.buffered_bytes(), 0);
    assert!(accumulator.has_room());
    accumulator.append(topic, PartitionId(0), record(&value)).unwrap();
}

#[test]
fn discarded_records_give_their_room_back_and_tell_why() {
    let (mut accumulator, topic) = accumulator(400, 10_000);
    for partition in [0, 1, 1, 2, 2, 2] {
        accumulator.append(topic, PartitionId(partition), record(&[0; 200])).unwrap();
    }
    let (delivery, _) = accumulator.append_tracked(topic, PartitionId(1), record(b"a")).unwrap();
    accumulator.discard(DeliveryCause::TransactionFailed);
    assert_eq!(accumulator.buffered_bytes(), 0);
    assert!(accumulator.take_closed().is_empty());
    let error = delivery.now().expect("it was discarded").unwrap_err();
    assert_eq!(error.partition, TopicPartition::new("t", PartitionId(1)));
    assert_eq!((error.cause, error.possibly_written), (DeliveryCause::TransactionFailed, false));
}

#[test]
fn linger_counts_from_when_the_sender_saw_the_batch() {
    let (mut accumulator, topic) = accumulator(400, 10_000);
    let at = Moment::from_millis;
    accumulator.append(topic, PartitionId(0), record(b"a")).unwrap();
    assert_eq!(accumulator.close_due(at(5), EACH, |_| true), Some(at(15)));
    accumulator.append(topic, PartitionId(1), record(b"b")).unwrap();
    assert_eq!(accumulator.close_due(at(8), EACH, |_| true), Some(at(15)));
    assert!(accumulator.take_closed().is_empty());
    // The first is due, but its partition has other batches to send: it may take more records.
    assert_eq!(accumulator.close_due(at(15), EACH, |_| false), Some(at(18)));
    assert!(accumulator.take_closed().is_empty());
    assert_eq!(accumulator.close_due(at(16), EACH, |_| true), Some(at(18)));
    assert_eq!(accumulator.take_closed().len(), 1);
    assert_eq!(accumulator.close_due(at(18), EACH, |_| true), None);
    assert_eq!(accumulator.take_closed().len(), 1);
}

#[test]
fn a_topic_that_grows_keeps_its_handle_and_its_partitions() {
    let (mut accumulator, topic) = accumulator(400, 10_000);
    let other = accumulator.add_topic(&Str::from("u"), 2);
    let before = accumulator.slot(topic, PartitionId(2)).unwrap();
    assert_eq!(
        accumulator.append(topic, PartitionId(3), record(b"a")),
        Err(AppendError::UnknownPartition { partition: PartitionId(3) })
    );
    assert_eq!(accumulator.add_topic(&Str::from("t"), 5), topic);
    assert_eq!(accumulator.partition_count(topic), 5);
    assert_eq!(accumulator.slot(topic, PartitionId(2)), Some(before));
    assert_eq!(accumulator.slot(other, PartitionId(-1)), None);
    let added = accumulator.slot(topic, PartitionId(4)).unwrap();
    assert_eq!(accumulator.topic_partition(added), TopicPartition::new("t", PartitionId(4)));
}

#[test]
fn a_topic_that_is_made_anew_may_have_fewer_partitions() {
    let (mut accumulator, topic) = accumulator(400, 10_000);
    let slots = [1, 2].map(|index| accumulator.slot(topic, PartitionId(index)).unwrap());
    assert_eq!(accumulator.add_topic(&Str::from("t"), 2), topic);
    assert_eq!((accumulator.partition_count(topic), accumulator.waiting(topic).len()), (2, 2));
    let refused = Err(AppendError::UnknownPartition { partition: PartitionId(2) });
    assert_eq!(accumulator.append(topic, PartitionId(2), record(b"a")), refused);
    assert_eq!(accumulator.slots().len(), 3, "batches may be under way");
    accumulator.add_topic(&Str::from("t"), 3);
    assert_eq!([1, 2].map(|index| accumulator.slot(topic, PartitionId(index)).unwrap()), slots);
}

#[test]
fn a_batch_that_is_dated_lingers_from_when_it_was_opened() {
    let (mut accumulator, topic) = accumulator(400, 10_000);
    let at = Moment::from_millis;
    accumulator.append(topic, PartitionId(0), record(b"a")).unwrap();
    accumulator.date_opened(at(3));
    accumulator.append(topic, PartitionId(1), record(b"b")).unwrap();
    accumulator.date_opened(at(9));
    assert_eq!(accumulator.close_due(at(12), EACH, |_| true), Some(at(13)));
    assert_eq!(accumulator.close_due(at(13), EACH, |_| true), Some(at(19)));
}

#[test]
fn what_waits_is_counted_by_partition_until_it_is_settled() {
    let (mut accumulator, topic) = accumulator(400, 10_000);
    for partition in [1, 1, 2] {
        accumulator.append(topic, PartitionId(partition), record(&[0; 300])).unwrap();
    }
    let waiting = |accumulator: &Accumulator| accumulator.waiting(topic).map(|(count, _)| count).collect::<Vec<_>>();
    assert_eq!(waiting(&accumulator), [0, 1, 0], "the others are open");
    accumulator.close_all();
    assert_eq!((waiting(&accumulator), accumulator.record_count()), (vec![0, 2, 1], 3));
    let closed = accumulator.take_closed();
    assert_eq!(closed.iter().map(|batch| batch.number).collect::<Vec<_>>(), [0, 1, 2]);
    for batch in &closed {
        accumulator.settle(batch.slot);
    }
    assert_eq!(waiting(&accumulator), [0, 0, 0]);
}

#[test]
fn a_topic_is_found_by_name_whichever_was_found_before() {
    let (mut accumulator, topic) = accumulator(400, 10_000);
    let other = accumulator.add_topic(&Str::from("u"), 2);
    for _ in 0..2 {
        assert_eq!(
            [accumulator.find("t"), accumulator.find("u"), accumulator.find("v")],
            [Some(topic), Some(other), None]
        );
    }
}

#[test]
fn a_handle_of_another_producer_is_refused() {
    let (mut one, words) = accumulator(400, 10_000);
    let mut other = Accumulator::new(&ProducerConfig::default());
    let counts = other.add_topic(&Str::from("counts"), 3);
    assert_eq!(other.append(words, PartitionId(0), record(b"a")), Err(AppendError::ForeignTopic));
    assert_eq!(one.append(counts, PartitionId(0), record(b"a")), Err(AppendError::ForeignTopic));
    assert_eq!((other.partition_count(words), other.slot(words, PartitionId(0))), (0, None));
    assert_eq!((one.buffered_bytes(), other.buffered_bytes()), (0, 0));
    one.append(words, PartitionId(0), record(b"a")).unwrap();
}

#[test]
fn records_arrive_in_the_batch_as_they_were_appended() {
    let (mut accumulator, topic) = accumulator(4_000, 10_000);
    accumulator.append(topic, PartitionId(0), record(b"one")).unwrap();
    accumulator.append(topic, PartitionId(0), NewRecord { key: None, value: None, ..record(b"") }).unwrap();
    accumulator.close_all();
    let sealed = accumulator.take_closed().remove(0).builder.seal(crate::record::Seal::default()).unwrap();
    let batch = Batches::new(sealed).next().unwrap().unwrap();
    let mut buffer = crate::compression::Decompressed::new(1_000);
    let records: Vec<_> = batch.open(&mut buffer).unwrap().map(Result::unwrap).collect();
    assert_eq!(records[0].value, Some(&b"one"[..]));
    assert_eq!((records[1].key, records[1].value), (None, None));
}

#[test]
fn a_batch_takes_no_more_memory_than_its_records_may() {
    const BATCH_BYTES: usize = 100_000;
    let (mut accumulator, topic) = accumulator(BATCH_BYTES, 10_000_000);
    let mut closed = Vec::new();
    while closed.len() < 3 {
        accumulator.append(topic, PartitionId(0), record(&[0; 200])).unwrap();
        closed.extend(accumulator.take_closed());
    }
    for batch in closed {
        let bytes = batch.builder.seal(crate::record::Seal::default()).unwrap().try_into_mut().expect("nobody else's");
        // Memory that doubles freely from 1,024 bytes on would have 131,072.
        assert!(bytes.len() > BATCH_BYTES / 2 && bytes.capacity() <= BATCH_BYTES, "{}", bytes.capacity());
    }
}
