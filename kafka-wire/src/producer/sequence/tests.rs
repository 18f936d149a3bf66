use std::slice::from_ref;

use super::*;
use crate::record::{BatchHeader, RawHeaders};

const FIRST: ProducerIdentity = ProducerIdentity { id: ProducerId(9), epoch: ProducerEpoch(3) };
const RAISED: ProducerIdentity = ProducerIdentity { id: ProducerId(9), epoch: ProducerEpoch(4) };
const DEADLINE: Moment = Moment::from_millis(1_000);
const NOW: Moment = Moment::from_millis(10);
const PLAIN: BatchKind = BatchKind { transactional: false, compression: Compression::None };

fn push(queue: &mut PartitionQueue, records: i32) {
    let mut builder = BatchBuilder::new(100);
    for _ in 0..records {
        builder.append(1, None, Some(b"v"), RawHeaders::EMPTY).unwrap();
    }
    queue.push(builder, 0, None, DEADLINE);
}

/// A queue whose broker remembers the producer, although no sequence is used yet.
fn remembered(sequence: i32) -> PartitionQueue {
    PartitionQueue { remembered_until: DEADLINE, identity: FIRST, ..PartitionQueue::starting_at(sequence) }
}

fn queue_of(batches: i32) -> PartitionQueue {
    let mut queue = remembered(0);
    (0..batches).for_each(|_| push(&mut queue, 10));
    queue
}

fn send_one(queue: &mut PartitionQueue, now: Moment, identity: ProducerIdentity) -> Option<Sealed> {
    queue.send(now, identity, PLAIN, &mut Compressor::default()).unwrap()
}

/// Sends every batch that may be sent now.
fn send(queue: &mut PartitionQueue) -> Vec<Sealed> {
    std::iter::from_fn(|| send_one(queue, NOW, FIRST)).collect()
}

fn sequences(batches: &[Sealed]) -> Vec<i32> {
    batches.iter().map(|batch| BatchHeader::parse(&batch.bytes).unwrap().base_sequence).collect()
}

fn acknowledged(offset: i64) -> Attempt {
    Attempt::Acknowledged(Offset(offset))
}

const NOT_LEADER: Attempt = Attempt::Retry(NOW, Some(ErrorCode::NOT_LEADER_OR_FOLLOWER));
const DEPOSED: Attempt = Attempt::Deposed(NOW, Some(ErrorCode::NOT_LEADER_OR_FOLLOWER));
const UNANSWERED: Attempt = Attempt::Unknown(NOW, None);
const GAP: Attempt = Attempt::OutOfOrder(NOW, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);

#[test]
fn without_idempotence_there_is_no_sequence_and_no_waiting_for_the_first() {
    let mut queue = PartitionQueue::default();
    (0..7).for_each(|_| push(&mut queue, 10));
    let sent: Vec<_> = std::iter::from_fn(|| send_one(&mut queue, NOW, ProducerIdentity::NONE)).collect();
    assert_eq!(sequences(&sent), [-1; 5]);
    queue.handle(NOW, sent[0].id, TOO_LARGE, false);
    for batch in &sent[1..] {
        queue.handle(NOW, batch.id, acknowledged(0), false).unwrap();
    }
    let parts: Vec<_> = std::iter::from_fn(|| send_one(&mut queue, NOW, ProducerIdentity::NONE)).collect();
    assert_eq!(sequences(&parts), [-1; 4], "two parts, and the two that waited");
    let refused = Attempt::Refused(DeliveryCause::Refused(ErrorCode::INVALID_RECORD));
    queue.handle(NOW, parts[0].id, refused, false).unwrap();
    assert!(!queue.needs_epoch(), "nothing follows in a sequence");
}

#[test]
fn at_most_five_batches_are_in_flight_with_consecutive_sequences() {
    let mut queue = queue_of(7);
    let sent = send(&mut queue);
    assert_eq!(sequences(&sent), [0, 10, 20, 30, 40]);
    let done = queue.handle(NOW, sent[0].id, acknowledged(100), false).unwrap();
    assert_eq!((done.last_offset, done.failure, done.record_count), (Some(Offset(109)), None, 10));
    assert_eq!(sequences(&send(&mut queue)), [50]);
}

#[test]
fn the_first_batch_travels_alone_and_so_does_the_first_after_a_silence() {
    let mut queue = PartitionQueue::default();
    (0..3).for_each(|_| push(&mut queue, 10));
    let first = send(&mut queue);
    assert_eq!(sequences(&first), [0]);
    queue.handle(NOW, first[0].id, NOT_LEADER, false);
    assert_eq!(send(&mut queue), first, "the second would be taken by a broker that knows nothing");
    queue.handle(NOW, first[0].id, acknowledged(0), false);
    let others = send(&mut queue);
    assert_eq!(sequences(&others), [10, 20]);
    for batch in &others {
        queue.handle(NOW, batch.id, acknowledged(10), false);
    }
    (0..2).for_each(|_| push(&mut queue, 10));
    let later = NOW + REMEMBERED;
    assert!(send_one(&mut queue, later, FIRST).is_some());
    assert!(send_one(&mut queue, later, FIRST).is_none());
}

#[test]
fn sequences_wrap_to_zero_after_the_last_number() {
    let mut queue = remembered(i32::MAX - 4);
    for records in [5, 3, 1] {
        push(&mut queue, records);
    }
    assert_eq!(sequences(&send(&mut queue)), [i32::MAX - 4, 0, 3]);
}

#[test]
fn what_failed_retriably_is_sent_again_in_order_with_the_same_bytes() {
    let mut queue = queue_of(4);
    let sent = send(&mut queue);
    queue.handle(NOW, sent[0].id, NOT_LEADER, false);
    push(&mut queue, 10);
    assert!(send(&mut queue).is_empty(), "three batches are still in flight");
    // The batches after it were refused because it was missing: that is no gap.
    for batch in &sent[1..] {
        assert_eq!(queue.handle(NOW, batch.id, GAP, false), None);
    }
    let again = send(&mut queue);
    assert_eq!(again[..4], sent[..]);
    assert_eq!(sequences(&again), [0, 10, 20, 30, 40]);
    assert!(!queue.needs_epoch());
}

#[test]
fn a_batch_written_before_its_answer_was_lost_is_acknowledged_as_a_duplicate() {
    let mut queue = queue_of(2);
    let sent = send(&mut queue);
    queue.handle(NOW, sent[0].id, UNANSWERED, false);
    queue.handle(NOW, sent[1].id, acknowledged(110), false).unwrap();
    let again = send(&mut queue);
    assert_eq!(again, sent[..1]);
    // DUPLICATE_SEQUENCE_NUMBER comes as an acknowledgement without an offset.
    let done = queue.handle(NOW, again[0].id, acknowledged(-1), false).unwrap();
    assert_eq!((done.last_offset, done.failure), (None, None));
    assert!(queue.is_empty());
}

#[test]
fn a_pause_holds_back_every_batch_of_the_partition() {
    let mut queue = queue_of(1);
    let sent = send(&mut queue);
    let later = Moment::from_millis(50);
    queue.handle(NOW, sent[0].id, Attempt::Retry(later, None), false);
    push(&mut queue, 10);
    assert!(send(&mut queue).is_empty());
    assert_eq!(queue.next_timeout(NOW), Some(later));
    assert!(send_one(&mut queue, later, FIRST).is_some());
}

#[test]
fn a_gap_before_the_next_in_line_fails_a_transaction() {
    let mut queue = queue_of(1);
    let sent = send(&mut queue);
    let failed = queue.handle(NOW, sent[0].id, GAP, true).unwrap().failure.unwrap();
    assert_eq!(failed.cause, DeliveryCause::Refused(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
    assert!(!failed.possibly_written);
}

#[test]
fn a_gap_before_the_next_in_line_starts_anew_under_a_higher_epoch() {
    let mut queue = queue_of(3);
    let sent = send(&mut queue);
    queue.handle(NOW, sent[0].id, acknowledged(0), false);
    let again: Vec<Sealed> = {
        // The second was not sent as the next in line: the gap counts only if it is reported again in that position.
        queue.handle(NOW, sent[1].id, GAP, false);
        queue.handle(NOW, sent[2].id, GAP, false);
        send(&mut queue)
    };
    queue.handle(NOW, again[0].id, GAP, false);
    assert!(!queue.needs_epoch(), "one is still in flight");
    queue.handle(NOW, again[1].id, GAP, false);
    assert!(queue.needs_epoch());
    assert!(send(&mut queue).is_empty());
    assert!(queue.restart(RAISED).is_empty());
    let restamped = send(&mut queue);
    assert_eq!(sequences(&restamped), [0]);
    let header = BatchHeader::parse(&restamped[0].bytes).unwrap();
    assert_eq!((header.producer_id, header.producer_epoch), (RAISED.id, RAISED.epoch));
}

#[test]
fn a_batch_is_sent_under_its_new_stamp_after_a_pause() {
    let mut queue = queue_of(1);
    let sent = send(&mut queue);
    let later = Moment::from_millis(20);
    queue.handle(NOW, sent[0].id, Attempt::OutOfOrder(later, ErrorCode::UNKNOWN_PRODUCER_ID), false);
    assert!(queue.needs_epoch(), "the epoch is raised meanwhile");
    assert!(queue.restart(RAISED).is_empty());
    assert!(send(&mut queue).is_empty(), "each of its refusals would raise the epoch at once");
    assert_eq!(queue.next_timeout(NOW), Some(later));
    assert!(send_one(&mut queue, later, RAISED).is_some());
}

#[test]
fn a_batch_that_may_be_written_is_never_stamped_again() {
    let mut queue = queue_of(2);
    let sent = send(&mut queue);
    queue.handle(NOW, sent[0].id, Attempt::Refused(DeliveryCause::Refused(ErrorCode::INVALID_RECORD)), false).unwrap();
    queue.handle(NOW, sent[1].id, UNANSWERED, false);
    assert!(queue.needs_epoch());
    let lost = queue.restart(RAISED);
    assert!(lost[0].failure.unwrap().possibly_written);
    assert!(queue.is_empty());
}

#[test]
fn an_unanswered_batch_that_expires_is_possibly_written() {
    let mut queue = queue_of(2);
    let sent = send(&mut queue);
    assert_eq!(queue.expire(DEADLINE, false), None, "its attempt is not answered yet");
    queue.handle(NOW, sent[0].id, UNANSWERED, false);
    let expired = queue.expire(DEADLINE, false).unwrap().failure.unwrap();
    assert_eq!(expired, Failure { cause: DeliveryCause::TimedOut(None), possibly_written: true });
    queue.handle(NOW, sent[1].id, NOT_LEADER, false);
    let expired = queue.expire(DEADLINE, false).unwrap().failure.unwrap();
    let cause = DeliveryCause::TimedOut(Some(ErrorCode::NOT_LEADER_OR_FOLLOWER));
    assert_eq!(expired, Failure { cause, possibly_written: false });
}

/// It waits for the other replicas when another leader is elected, which may be one of these.
#[test]
fn a_deposed_leader_may_have_written_a_batch() {
    let mut queue = queue_of(2);
    let sent = send(&mut queue);
    for batch in &sent {
        queue.handle(NOW, batch.id, DEPOSED, false);
    }
    let expired = queue.expire(DEADLINE, false).unwrap().failure.unwrap();
    let cause = DeliveryCause::TimedOut(Some(ErrorCode::NOT_LEADER_OR_FOLLOWER));
    assert_eq!(expired, Failure { cause, possibly_written: true });
    // The other one would be written twice under another stamp.
    let lost = queue.restart(RAISED);
    assert!(lost[0].failure.unwrap().possibly_written);

    // The next leader has the same limit of size as the one before.
    let mut queue = queue_of(1);
    let sent = send(&mut queue);
    queue.handle(NOW, sent[0].id, DEPOSED, false);
    let again = send(&mut queue);
    assert_eq!(queue.handle(NOW, again[0].id, TOO_LARGE, false), None);
    assert_eq!(sequences(&send(&mut queue)), [0, 5]);

    // A gap before the first one says that the next leader has none of them.
    let mut queue = queue_of(3);
    let sent = send(&mut queue);
    for batch in &sent {
        queue.handle(NOW, batch.id, DEPOSED, false);
    }
    for batch in send(&mut queue) {
        queue.handle(NOW, batch.id, GAP, false);
    }
    assert!(queue.restart(RAISED).is_empty());
    queue.remembered_until = DEADLINE;
    assert_eq!(sequences(&send(&mut queue)), [0, 10, 20]);
}

/// Sends all batches; all but the first are acknowledged at `now`, before it is answered. Returns the first.
fn overtake(queue: &mut PartitionQueue, now: Moment) -> Sealed {
    let mut sent: VecDeque<Sealed> = send(queue).into();
    let first = sent.pop_front().unwrap();
    while let Some(next) = sent.pop_front() {
        queue.handle(now, next.id, acknowledged(10), false).unwrap();
        sent.extend(send(queue));
    }
    first
}

/// It waits at a leader that is deposed, while the next one, which has it, takes more than it can recognise again.
#[test]
fn a_gap_before_a_batch_that_was_overtaken_is_an_acknowledgement() {
    for transactional in [false, true] {
        for attempt in [DEPOSED, UNANSWERED] {
            let mut queue = queue_of(7);
            let first = overtake(&mut queue, NOW);
            assert_eq!(queue.handle(NOW, first.id, attempt, transactional), None);
            assert_eq!(send(&mut queue), from_ref(&first));
            let done = queue.handle(NOW, first.id, GAP, transactional).expect("it is not written again");
            assert_eq!((done.last_offset, done.failure), (None, None));
            assert!(queue.is_empty() && !queue.needs_epoch());
        }
    }
}

#[test]
fn a_batch_overtaken_at_a_leader_that_may_have_forgotten_the_producer_is_possibly_written() {
    let mut queue = queue_of(7);
    let first = overtake(&mut queue, DEADLINE);
    queue.handle(NOW, first.id, DEPOSED, false);
    assert_eq!(send(&mut queue), from_ref(&first));
    let failure = queue.handle(NOW, first.id, GAP, false).expect("it is not written again").failure.unwrap();
    let cause = DeliveryCause::Refused(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(failure, Failure { cause, possibly_written: true });
    assert!(!queue.needs_epoch(), "the leader has what follows");
}

/// Then the leader has taken the later ones although it lacked the first: it had forgotten the producer.
#[test]
fn a_batch_that_was_overtaken_and_is_certainly_not_written_is_stamped_again() {
    let mut queue = queue_of(7);
    let first = overtake(&mut queue, NOW);
    queue.handle(NOW, first.id, NOT_LEADER, false);
    for attempt in [UNANSWERED, GAP] {
        assert_eq!(send(&mut queue), from_ref(&first));
        assert_eq!(queue.handle(NOW, first.id, attempt, false), None);
    }
    assert!(queue.needs_epoch() && queue.restart(RAISED).is_empty());
    assert_eq!(sequences(&send(&mut queue)), [0]);

    // That the second one was overtaken, too, proves no more that it is in the log.
    for is_sent_with_the_first in [true, false] {
        let mut queue = queue_of(3);
        let sent = send(&mut queue);
        queue.handle(NOW, sent[2].id, acknowledged(20), false).unwrap();
        queue.handle(NOW, sent[0].id, NOT_LEADER, false);
        queue.handle(NOW, sent[1].id, DEPOSED, false);
        if !is_sent_with_the_first {
            queue.remembered_until = Moment::ZERO;
        }
        let again = send(&mut queue);
        assert_eq!(again.len(), if is_sent_with_the_first { 2 } else { 1 });
        let mut lost: Vec<Finished> =
            again.iter().filter_map(|batch| queue.handle(NOW, batch.id, GAP, false)).collect();
        assert!(queue.needs_epoch());
        lost.extend(queue.restart(RAISED));
        assert_eq!(lost.len(), 1);
        assert!(lost[0].failure.unwrap().possibly_written);
        assert_eq!(sequences(&send(&mut queue)), [0], "the first one");
    }
}

#[test]
fn a_batch_that_was_never_sent_expires_without_a_gap() {
    let mut queue = queue_of(1);
    assert!(queue.expire(DEADLINE, false).is_some());
    assert!(!queue.needs_epoch());
}

#[test]
fn a_newer_identity_waits_until_no_batch_is_stamped_with_the_old_one() {
    let mut queue = queue_of(2);
    let first = send_one(&mut queue, NOW, FIRST).unwrap();
    let second = send_one(&mut queue, NOW, RAISED).unwrap();
    assert_eq!(sequences(&[first.clone(), second.clone()]), [0, 10]);
    assert_eq!(queue.identity(), FIRST);
    queue.handle(NOW, first.id, acknowledged(0), false);
    queue.handle(NOW, second.id, acknowledged(10), false);
    push(&mut queue, 10);
    let third = send_one(&mut queue, NOW, RAISED).unwrap();
    assert_eq!((sequences(&[third]), queue.identity()), (vec![0], RAISED));
}

#[test]
fn giving_up_spares_what_is_in_flight() {
    let mut queue = queue_of(7);
    let sent = send(&mut queue);
    assert_eq!(queue.fail_all(DeliveryCause::TransactionFailed).len(), 2);
    queue.handle(NOW, sent[0].id, NOT_LEADER, true);
    assert_eq!(queue.fail_all(DeliveryCause::TransactionFailed).len(), 1);
    assert_eq!(queue.in_flight(), 4);
    for batch in &sent[1..] {
        assert!(queue.handle(NOW, batch.id, acknowledged(1), true).is_some());
    }
    assert!(queue.is_empty());
}

const TOO_LARGE: Attempt = Attempt::TooLarge(ErrorCode::MESSAGE_TOO_LARGE);

#[test]
fn a_batch_that_is_too_large_goes_on_in_halves_that_share_its_sequences() {
    let mut queue = queue_of(3);
    let buffered: usize = queue.batches.iter().map(|batch| batch.buffered_bytes).sum();
    let sent = send(&mut queue);
    assert_eq!(queue.handle(NOW, sent[0].id, TOO_LARGE, false), None);
    assert!(send(&mut queue).is_empty(), "two batches are still in flight");
    for batch in &sent[1..] {
        // They were refused because the first was missing: that is no gap.
        assert_eq!(queue.handle(NOW, batch.id, GAP, false), None);
    }
    let again = send(&mut queue);
    assert_eq!(sequences(&again), [0, 5, 10, 20]);
    assert_eq!(again[2..], sent[1..], "the others are the same bytes");

    // A half may be too large as well; one that was acknowledged stays so.
    let mut records = queue.handle(NOW, again[0].id, acknowledged(0), false).unwrap().record_count;
    assert_eq!(queue.handle(NOW, again[1].id, TOO_LARGE, false), None);
    for batch in &again[2..] {
        queue.handle(NOW, batch.id, GAP, false);
    }
    let quarters = send(&mut queue);
    assert_eq!(sequences(&quarters), [5, 7, 10, 20]);
    let mut released = buffered - queue.batches.iter().map(|batch| batch.buffered_bytes).sum::<usize>();
    for (batch, offset) in quarters.iter().zip([5, 7, 10, 20]) {
        let done = queue.handle(NOW, batch.id, acknowledged(offset), false).unwrap();
        (records, released) = (records + done.record_count, released + done.buffered_bytes);
    }
    assert_eq!((records, released), (30, buffered), "nothing is lost, and the buffer gets back what it gave");
    assert!(queue.is_empty() && !queue.needs_epoch());
    push(&mut queue, 1);
    assert_eq!(sequences(&send(&mut queue)), [30]);
}

#[test]
fn a_record_that_is_too_large_alone_is_refused() {
    let mut queue = remembered(0);
    push(&mut queue, 1);
    let sent = send(&mut queue);
    let failure = queue.handle(NOW, sent[0].id, TOO_LARGE, false).unwrap().failure.unwrap();
    assert_eq!(failure.cause, DeliveryCause::Refused(ErrorCode::MESSAGE_TOO_LARGE));
    assert!(queue.needs_epoch(), "what follows has sequences behind a gap");
}

#[test]
fn a_batch_that_may_be_written_is_not_split() {
    let mut queue = queue_of(1);
    let sent = send(&mut queue);
    queue.handle(NOW, sent[0].id, UNANSWERED, true);
    let again = send(&mut queue);
    let failure = queue.handle(NOW, again[0].id, TOO_LARGE, true).unwrap().failure.unwrap();
    assert!(failure.possibly_written);
}

#[test]
fn a_batch_that_was_overtaken_is_not_split() {
    let mut queue = queue_of(2);
    let first = overtake(&mut queue, NOW);
    queue.handle(NOW, first.id, DEPOSED, false);
    send(&mut queue);
    let failure = queue.handle(NOW, first.id, TOO_LARGE, false).expect("its halves would be new").failure.unwrap();
    assert!(failure.possibly_written);
}

#[test]
fn halves_wrap_and_are_stamped_anew_like_any_batch() {
    let mut queue = remembered(i32::MAX - 4);
    push(&mut queue, 10);
    push(&mut queue, 10);
    let sent = send(&mut queue);
    assert_eq!(sequences(&sent), [i32::MAX - 4, 5]);
    queue.handle(NOW, sent[0].id, TOO_LARGE, false);
    queue.handle(NOW, sent[1].id, GAP, false);
    let halves = send(&mut queue);
    assert_eq!(sequences(&halves), [i32::MAX - 4, 0, 5]);
    // The first half meets a real gap. The second one is split before the queue starts anew.
    queue.handle(NOW, halves[0].id, GAP, false);
    queue.handle(NOW, halves[1].id, TOO_LARGE, false);
    queue.handle(NOW, halves[2].id, GAP, false);
    assert!(queue.needs_epoch());
    assert!(queue.restart(RAISED).is_empty());
    queue.remembered_until = DEADLINE;
    let anew: Vec<Sealed> = std::iter::from_fn(|| send_one(&mut queue, NOW, RAISED)).collect();
    assert_eq!(sequences(&anew), [0, 5, 7, 10]);
    let header = BatchHeader::parse(&anew[1].bytes).unwrap();
    assert_eq!((header.producer_epoch, header.record_count), (RAISED.epoch, 2));
}

#[test]
fn a_half_that_runs_out_of_time_leaves_a_gap() {
    let mut queue = queue_of(1);
    let sent = send(&mut queue);
    queue.handle(NOW, sent[0].id, TOO_LARGE, false);
    let expired = queue.expire(DEADLINE, false).unwrap();
    assert_eq!((expired.record_count, expired.has_sequence), (5, true));
    assert_eq!(expired.failure.unwrap().cause, DeliveryCause::TimedOut(Some(ErrorCode::MESSAGE_TOO_LARGE)));
    assert!(queue.needs_epoch());
}
