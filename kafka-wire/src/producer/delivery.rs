//! The outcome of each record, reported to its sender.
//!
//! A batch has one [`Promise`], however many records it has, and each record whose sender wants its outcome has
//! a [`Delivery`]: the promise's place in memory and the number of the record. So a record costs no memory of its own,
//! and an acknowledgement settles all records of its batch at once. A batch that is split gets a promise for each part,
//! which settle into the same place.
//!
//! No clock and no runtime is needed here: settling a promise wakes its deliveries through [`std::task`].

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::error::{DeliveryCause, DeliveryError};
use crate::cluster::TopicPartition;
use crate::types::{Offset, PartitionId, TimestampMs};
use crate::wire::Str;

/// The place of an acknowledged record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordMetadata {
    /// Its partition.
    pub partition: PartitionId,
    /// Its offset; `None` if the broker reports none: with `acks=0`, and when it has recognised the repetition of a
    /// batch that it wrote before.
    pub offset: Option<Offset>,
    /// Its timestamp: the one that it was sent with, or the broker's if the topic
    /// has `message.timestamp.type=LogAppendTime`.
    pub timestamp: TimestampMs,
}

/// The outcome of one record, as a future: its place in the log, or the reason why it is not there.
///
/// It may be dropped, or [forgotten](Delivery::forget): the record is sent all the same. It may be awaited anywhere,
/// in any order, on any runtime. Cancel safe.
#[derive(Debug)]
#[must_use = "whether the record was written is lost; `forget` it where it may be"]
pub struct Delivery {
    place: Arc<Place>,
    /// Number of the record in the batch of the place.
    number: i32,
    partition: PartitionId,
    timestamp: TimestampMs,
    /// Index of its waker, once it has waited.
    waiting: Option<usize>,
}

/// The duty to report the outcome of a batch, or of a part of one. If it is dropped without a report, it reports that
/// the producer has ended.
#[derive(Debug)]
pub struct Promise {
    place: Arc<Place>,
    /// Number of its first record.
    first: i32,
    was_sent: bool,
    partition: Option<TopicPartition>,
    is_settled: bool,
}

/// The outcome of the records of a promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The records were written.
    Written {
        /// Offset of the first one.
        base_offset: Option<Offset>,
        /// The broker's timestamp, if the records have that.
        log_append_time: Option<TimestampMs>,
    },
    /// The records were not written, or the outcome is unknown.
    Failed(Box<Refusal>),
}

/// The reason why no record of a batch was written, and the records at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The error of the batch as a whole.
    pub(super) error: DeliveryError,
    /// Records at fault, by number in the batch, with the broker's message. Source: KIP-467.
    pub(super) records: Vec<(i32, Option<Str>)>,
}

/// The memory into which promises write the outcomes for one batch.
#[derive(Debug, Default)]
struct Place {
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    /// Outcomes by ranges of records: one for the whole batch, unless it was split.
    first: Option<Part>,
    more: Vec<Part>,
    waiting: Vec<Waker>,
}

#[derive(Debug)]
struct Part {
    first: i32,
    end: i32,
    outcome: Outcome,
}

impl Promise {
    /// Makes a promise for a batch that is open.
    pub(super) fn new() -> Self {
        Self { place: Arc::default(), first: 0, was_sent: false, partition: None, is_settled: false }
    }

    /// The delivery of the record with this number.
    pub(super) fn delivery(&self, number: i32, partition: PartitionId, timestamp: TimestampMs) -> Delivery {
        Delivery { place: Arc::clone(&self.place), number, partition, timestamp, waiting: None }
    }

    /// Sets the partition of the batch, for the error in case nobody settles it.
    pub(super) fn is_for(&mut self, partition: TopicPartition) {
        self.partition = Some(partition);
    }

    /// Notes that an attempt to send the batch begins.
    pub(super) fn sent(&mut self) {
        self.was_sent = true;
    }

    /// Leaves all but the first `count` records to another promise.
    pub(super) fn split_off(&mut self, count: i32) -> Self {
        let (place, partition) = (Arc::clone(&self.place), self.partition.clone());
        Self { place, first: self.first + count, was_sent: self.was_sent, partition, is_settled: false }
    }

    /// Reports the outcome of its `count` records.
    pub(super) fn settle(mut self, count: i32, outcome: Outcome) {
        self.tell(count, outcome);
    }

    fn tell(&mut self, count: i32, outcome: Outcome) {
        self.is_settled = true;
        let part = Part { first: self.first, end: self.first.saturating_add(count), outcome };
        let waiting = {
            let mut told = self.place.told();
            match &mut told.first {
                None => told.first = Some(part),
                Some(_) => told.more.push(part),
            }
            std::mem::take(&mut told.waiting)
        };
        // Deliveries that wait for another part check again.
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if !self.is_settled {
            let partition = self.partition.take().unwrap_or_else(|| TopicPartition::new("", PartitionId(-1)));
            let error = DeliveryError {
                partition,
                record_count: 1,
                batch_bytes: 0,
                cause: DeliveryCause::Ended,
                possibly_written: self.was_sent,
                message: None,
            };
            self.tell(i32::MAX, Outcome::Failed(Box::new(Refusal { error, records: Vec::new() })));
        }
    }
}

impl PartialEq for Promise {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.place, &other.place) && self.first == other.first
    }
}

impl Eq for Promise {}

impl Place {
    /// Changes behind this lock are never left half done.
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    fn of(&self, number: i32) -> Option<&Part> {
        self.first.iter().chain(&self.more).find(|part| (part.first..part.end).contains(&number))
    }

    /// Remembers the waker, at the index that the delivery had before if that is still its own.
    fn wait(&mut self, place: &mut Option<usize>, waker: &Waker) {
        match place.and_then(|index| self.waiting.get_mut(index)) {
            Some(known) if known.will_wake(waker) => {}
            // The wakers were taken since, and the index belongs to another delivery by now: at worst that
            // one checks once more.
            _ => {
                *place = Some(self.waiting.len());
                self.waiting.push(waker.clone());
            }
        }
    }
}

impl Part {
    fn answer(&self, delivery: &Delivery) -> Result<RecordMetadata, DeliveryError> {
        let number = delivery.number - self.first;
        match &self.outcome {
            Outcome::Written { base_offset, log_append_time } => Ok(RecordMetadata {
                partition: delivery.partition,
                offset: base_offset.map(|base| Offset(base.0 + i64::from(number))),
                timestamp: log_append_time.unwrap_or(delivery.timestamp),
            }),
            Outcome::Failed(refusal) => Err(refusal.of(number)),
        }
    }
}

impl Refusal {
    /// The error for the record with this number.
    fn of(&self, number: i32) -> DeliveryError {
        let error = self.error.clone();
        let own = self.records.iter().find(|(blamed, _)| *blamed == number);
        match (own, error.cause) {
            (Some((_, message)), _) => DeliveryError { message: message.clone().or(error.message.clone()), ..error },
            (None, DeliveryCause::Refused(code)) if !self.records.is_empty() => {
                DeliveryError { cause: DeliveryCause::OtherRecord(code), ..error }
            }
            (None, _) => error,
        }
    }
}

impl Future for Delivery {
    type Output = Result<RecordMetadata, DeliveryError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let mut told = this.place.told();
        if let Some(part) = told.of(this.number) {
            return Poll::Ready(part.answer(this));
        }
        told.wait(&mut this.waiting, cx.waker());
        Poll::Pending
    }
}

impl Delivery {
    /// Drops the future: the record is sent, and only `flush` and `close` report its failure.
    #[inline]
    pub fn forget(self) {}

    /// The outcome if it is known; `None` while the record is in flight.
    #[must_use]
    pub fn now(&self) -> Option<Result<RecordMetadata, DeliveryError>> {
        self.place.told().of(self.number).map(|part| part.answer(self))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;
    use crate::protocol::ErrorCode;

    const WRITTEN: Outcome = Outcome::Written { base_offset: Some(Offset(40)), log_append_time: None };

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn delivery(promise: &Promise, number: i32) -> Delivery {
        promise.delivery(number, PartitionId(2), TimestampMs(7))
    }

    fn offset(delivery: &Delivery) -> Option<i64> {
        delivery.now()?.unwrap().offset.map(|offset| offset.0)
    }

    fn refusal(records: Vec<(i32, Option<Str>)>) -> Outcome {
        let error = DeliveryError {
            partition: TopicPartition::new("t", PartitionId(2)),
            record_count: 3,
            batch_bytes: 90,
            cause: DeliveryCause::Refused(ErrorCode::INVALID_RECORD),
            possibly_written: false,
            message: Some("a batch".into()),
        };
        Outcome::Failed(Box::new(Refusal { error, records }))
    }

    #[test]
    fn one_acknowledgement_tells_every_record_its_offset() {
        let promise = Promise::new();
        let (first, third) = (delivery(&promise, 0), delivery(&promise, 2));
        assert_eq!(first.now(), None);
        promise.settle(3, WRITTEN);
        assert_eq!((offset(&first), offset(&third)), (Some(40), Some(42)));
        let told = third.now().unwrap().unwrap();
        assert_eq!((told.partition, told.timestamp), (PartitionId(2), TimestampMs(7)));
    }

    #[test]
    fn parts_of_a_split_batch_tell_their_own_records() {
        let mut promise = Promise::new();
        let deliveries: Vec<Delivery> = (0..5).map(|number| delivery(&promise, number)).collect();
        let rest = promise.split_off(2);
        rest.settle(3, Outcome::Written { base_offset: Some(Offset(90)), log_append_time: Some(TimestampMs(11)) });
        assert_eq!(deliveries.iter().map(offset).collect::<Vec<_>>(), [None, None, Some(90), Some(91), Some(92)]);
        promise.settle(2, WRITTEN);
        assert_eq!(offset(&deliveries[1]), Some(41));
        assert_eq!(deliveries[4].now().unwrap().unwrap().timestamp, TimestampMs(11));
    }

    #[test]
    fn a_record_that_is_to_blame_is_told_from_the_others_of_its_batch() {
        let promise = Promise::new();
        let (good, bad) = (delivery(&promise, 0), delivery(&promise, 1));
        promise.settle(3, refusal(vec![(1, Some("no key".into()))]));
        let (good, bad) = (good.now().unwrap().unwrap_err(), bad.now().unwrap().unwrap_err());
        assert_eq!(good.cause, DeliveryCause::OtherRecord(ErrorCode::INVALID_RECORD));
        assert_eq!(bad.cause, DeliveryCause::Refused(ErrorCode::INVALID_RECORD));
        assert_eq!(bad.message.as_deref(), Some("no key"));
        let promise = Promise::new();
        let any = delivery(&promise, 0);
        promise.settle(3, refusal(Vec::new()));
        assert_eq!(any.now().unwrap().unwrap_err().message.as_deref(), Some("a batch"));
    }

    #[test]
    fn a_promise_that_is_dropped_says_whether_the_records_may_be_written() {
        for was_sent in [false, true] {
            let mut promise = Promise::new();
            let delivery = delivery(&promise, 0);
            promise.is_for(TopicPartition::new("t", PartitionId(2)));
            if was_sent {
                promise.sent();
            }
            drop(promise);
            let error = delivery.now().unwrap().unwrap_err();
            assert_eq!((error.cause, error.possibly_written), (DeliveryCause::Ended, was_sent));
        }
    }

    #[test]
    fn each_that_waits_is_woken_once_and_takes_one_place() {
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut cx = Context::from_waker(&waker);
        let promise = Promise::new();
        let mut deliveries: Vec<Delivery> = (0..3).map(|number| delivery(&promise, number)).collect();
        for _ in 0..4 {
            for delivery in &mut deliveries {
                assert!(Pin::new(delivery).poll(&mut cx).is_pending());
            }
        }
        promise.settle(3, WRITTEN);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 3);
        assert!(deliveries.iter_mut().all(|delivery| Pin::new(delivery).poll(&mut cx).is_ready()));
    }
}
