//! Scripts of a transactional id: which producer holds it, and the effect of a lost answer.

use kafka_wire::types::PartitionId;

use super::*;

const TIMEOUT: Duration = Duration::from_secs(10);

struct Script {
    transactions: Transactions,
    now: Moment,
    id: Str,
}

impl Script {
    fn new(marker_delay: Duration) -> Self {
        Self::at(marker_delay, EndProtocol::V2)
    }

    fn at(marker_delay: Duration, protocol: EndProtocol) -> Self {
        Self { transactions: Transactions::new(marker_delay, protocol), now: Moment::ZERO, id: Str::from("job-0") }
    }

    fn init(&mut self, expected: Option<ProducerIdentity>) -> Result<ProducerIdentity, ErrorCode> {
        self.transactions.init(self.now, &self.id, TIMEOUT, expected)
    }

    fn add(&mut self, producer: ProducerIdentity) -> Result<(), ErrorCode> {
        self.transactions.add(self.now, &self.id, producer, [participant(), Participant::Group(Str::from("g"))])
    }

    fn end(&mut self, producer: ProducerIdentity, is_commit: bool, protocol: EndProtocol) -> Outcome {
        self.transactions.end(self.now, &self.id, producer, is_commit, protocol)
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.transactions.handle_timeout(self.now);
    }

    /// The identity and decision of the next markers.
    fn markers(&mut self) -> Option<(ProducerIdentity, bool)> {
        self.transactions.poll().map(|markers| {
            assert_eq!((markers.partitions.len(), markers.groups.len()), (1, 1));
            (markers.producer, markers.is_commit)
        })
    }
}

type Outcome = Result<ProducerIdentity, ErrorCode>;

fn participant() -> Participant {
    Participant::Partition(PartitionName { topic: Str::from("t"), partition: PartitionId(0) })
}

fn identity(id: i64, epoch: i16) -> ProducerIdentity {
    ProducerIdentity { id: ProducerId(id), epoch: ProducerEpoch(epoch) }
}

#[test]
fn version_1_keeps_the_epoch_and_answers_a_repeated_end() {
    let mut script = Script::new(Duration::ZERO);
    let producer = script.init(None).unwrap();
    assert_eq!(producer, identity(0, 0));
    script.add(producer).unwrap();
    assert_eq!(script.end(producer, true, EndProtocol::V1), Ok(producer));
    assert_eq!(script.markers(), Some((producer, true)));
    assert_eq!(script.end(producer, true, EndProtocol::V1), Ok(producer));
    assert_eq!(script.end(producer, false, EndProtocol::V1), Err(ErrorCode::INVALID_TXN_STATE));
    script.add(producer).unwrap();
    assert_eq!(script.end(producer, false, EndProtocol::V1), Ok(producer));
    assert_eq!(script.markers(), Some((producer, false)));
}

#[test]
fn version_2_bumps_the_epoch_and_tells_a_retry_from_a_further_transaction() {
    let mut script = Script::new(Duration::ZERO);
    let first = script.init(None).unwrap();
    script.add(first).unwrap();
    let second = script.end(first, true, EndProtocol::V2).unwrap();
    assert_eq!(second, identity(0, 1));
    assert_eq!(script.markers(), Some((second, true)));
    // The answer was lost: the same request gets the same answer, and the other decision is refused.
    assert_eq!(script.end(first, true, EndProtocol::V2), Ok(second));
    assert_eq!(script.end(first, false, EndProtocol::V2), Err(ErrorCode::INVALID_TXN_STATE));
    assert_eq!(script.add(first), Err(ErrorCode::PRODUCER_FENCED));
    // An empty transaction of the new epoch can be aborted but not committed.
    assert_eq!(script.end(second, true, EndProtocol::V2), Err(ErrorCode::INVALID_TXN_STATE));
    assert_eq!(script.end(second, false, EndProtocol::V2), Ok(identity(0, 2)));
    assert_eq!(script.end(first, true, EndProtocol::V2), Err(ErrorCode::PRODUCER_FENCED));
}

#[test]
fn init_aborts_an_open_transaction_and_asks_to_come_back() {
    for marker_delay in [Duration::ZERO, Duration::from_millis(30)] {
        let mut script = Script::new(marker_delay);
        let zombie = script.init(None).unwrap();
        script.add(zombie).unwrap();
        assert_eq!(script.init(None), Err(ErrorCode::CONCURRENT_TRANSACTIONS));
        if !marker_delay.is_zero() {
            assert_eq!(script.init(None), Err(ErrorCode::CONCURRENT_TRANSACTIONS));
            assert_eq!(script.transactions.next_timeout(), Some(Moment::from_millis(30)));
            script.pass(marker_delay);
        }
        assert_eq!(script.markers(), Some((identity(0, 1), false)));
        let successor = script.init(None).unwrap();
        assert_eq!(successor, identity(0, 2));
        assert_eq!(script.add(zombie), Err(ErrorCode::PRODUCER_FENCED));
        assert_eq!(script.end(zombie, true, EndProtocol::V1), Err(ErrorCode::PRODUCER_FENCED));
        assert_eq!(script.end(zombie, true, EndProtocol::V2), Err(ErrorCode::PRODUCER_FENCED));
        assert_eq!(script.init(Some(zombie)), Err(ErrorCode::PRODUCER_FENCED));
    }
}

#[test]
fn while_markers_are_in_flight_everybody_has_to_wait() {
    let mut script = Script::new(Duration::from_millis(30));
    let producer = script.init(None).unwrap();
    script.add(producer).unwrap();
    let bumped = script.end(producer, true, EndProtocol::V2).unwrap();
    assert_eq!(script.markers(), None);
    assert_eq!(script.add(bumped), Err(ErrorCode::CONCURRENT_TRANSACTIONS));
    assert_eq!(script.end(producer, true, EndProtocol::V2), Err(ErrorCode::CONCURRENT_TRANSACTIONS));
    assert_eq!(script.end(producer, false, EndProtocol::V2), Err(ErrorCode::INVALID_TXN_STATE));
    assert_eq!(script.end(bumped, true, EndProtocol::V2), Err(ErrorCode::PRODUCER_FENCED));
    script.pass(Duration::from_millis(30));
    assert_eq!(script.markers(), Some((bumped, true)));
    assert_eq!(script.transactions.next_timeout(), None);
    assert_eq!(script.add(bumped), Ok(()));
}

#[test]
fn a_transaction_past_its_timeout_is_aborted_and_its_producer_fenced() {
    for protocol in [EndProtocol::V1, EndProtocol::V2] {
        let mut script = Script::at(Duration::ZERO, protocol);
        let producer = script.init(None).unwrap();
        script.pass(Duration::from_secs(100));
        script.add(producer).unwrap();
        script.pass(TIMEOUT.saturating_sub(Duration::from_millis(1)));
        assert_eq!(script.markers(), None);
        script.pass(Duration::from_millis(1));
        let fenced = identity(0, 1);
        assert_eq!(script.markers(), Some((fenced, false)));
        assert_eq!(script.end(producer, true, EndProtocol::V1), Err(ErrorCode::PRODUCER_FENCED));
        // Version 2 lets the producer go on if no other producer has taken over in between.
        let carries_on = if protocol == EndProtocol::V2 { Ok(fenced) } else { Err(ErrorCode::PRODUCER_FENCED) };
        assert_eq!(script.init(Some(producer)), carries_on);
        assert_eq!(script.init(None), Ok(identity(0, 2)));
        assert_eq!(script.init(Some(producer)), Err(ErrorCode::PRODUCER_FENCED));
    }
}

#[test]
fn a_producer_that_carries_on_gets_the_same_answer_twice_unless_it_was_fenced() {
    let mut script = Script::new(Duration::ZERO);
    let first = script.init(None).unwrap();
    let second = script.init(Some(first)).unwrap();
    assert_eq!(second, identity(0, 1));
    assert_eq!(script.init(Some(first)), Ok(second));
    let other = script.init(None).unwrap();
    assert_eq!(other, identity(0, 2));
    assert_eq!(script.init(Some(first)), Err(ErrorCode::PRODUCER_FENCED));
    assert_eq!(script.init(Some(second)), Err(ErrorCode::PRODUCER_FENCED));
    assert_eq!(script.init(Some(identity(77, 2))), Err(ErrorCode::PRODUCER_FENCED));
}

#[test]
fn used_up_epochs_bring_a_new_producer_id() {
    let mut script = Script::new(Duration::ZERO);
    let mut producer = script.init(None).unwrap();
    while producer.epoch.0 < i16::MAX - 1 {
        producer = script.end(producer, false, EndProtocol::V2).unwrap();
        script.transactions.poll();
    }
    script.add(producer).unwrap();
    let fresh = script.end(producer, true, EndProtocol::V2).unwrap();
    assert_eq!(fresh, identity(1, 0));
    assert_eq!(script.markers(), Some((identity(0, i16::MAX), true)));
    assert_eq!(script.end(producer, true, EndProtocol::V2), Ok(fresh));
    assert_eq!(script.add(fresh), Ok(()));

    let mut script = Script::new(Duration::ZERO);
    let last = (0..i16::MAX).map(|_| script.init(None).unwrap()).last().unwrap();
    assert_eq!(last, identity(0, i16::MAX - 1));
    assert_eq!(script.init(Some(last)), Ok(identity(1, 0)));
    assert_eq!(script.init(Some(last)), Ok(identity(1, 0)));
}

#[test]
fn the_highest_epoch_is_never_given_to_a_producer() {
    for carries_on in [true, false] {
        let mut script = Script::new(Duration::ZERO);
        let last = (0..i16::MAX).map(|_| script.init(None).unwrap()).last().unwrap();
        script.add(last).unwrap();
        script.pass(TIMEOUT);
        let fenced = identity(0, i16::MAX);
        assert_eq!(script.markers(), Some((fenced, false)));
        let expected = carries_on.then_some(last);
        let fresh = identity(1, 0);
        assert_eq!(script.init(expected), Ok(fresh));
        if carries_on {
            assert_eq!(script.init(expected), Ok(fresh), "the answer was lost");
        }
        assert_eq!(script.add(last), Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING));
        script.add(fresh).unwrap();
        assert_eq!(script.end(fresh, true, EndProtocol::V2), Ok(identity(1, 1)));
    }
    // Nor does it harm anybody that guesses it.
    let mut script = Script::new(Duration::ZERO);
    let last = (0..i16::MAX).map(|_| script.init(None).unwrap()).last().unwrap();
    script.add(last).unwrap();
    script.pass(TIMEOUT);
    script.markers();
    assert_eq!(script.end(identity(0, i16::MAX), false, EndProtocol::V2), Ok(identity(1, 0)));
}

#[test]
fn an_id_that_is_not_used_is_forgotten_unless_it_has_a_transaction_open() {
    let mut script = Script::new(Duration::ZERO);
    let age = Duration::from_secs(5);
    let first = script.init(None).unwrap();
    script.add(first).unwrap();
    script.now = script.now + age;
    script.transactions.forget_unused(script.now, age);
    let next = script.end(first, true, EndProtocol::V2).unwrap();
    script.now = script.now + age;
    script.transactions.forget_unused(script.now, age);
    assert_eq!(script.add(next), Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING));
    // Its producer gets another producer id, as long as nobody else has asked for one.
    assert_eq!(script.init(Some(next)), Ok(identity(1, 0)));
    assert_eq!(script.init(Some(next)), Err(ErrorCode::PRODUCER_FENCED));
}

#[test]
fn verification_knows_the_participants_of_the_open_transaction_only() {
    let mut script = Script::new(Duration::ZERO);
    let producer = script.init(None).unwrap();
    let verify = |script: &Script| script.transactions.verify("job-0", producer, &participant());
    assert_eq!(verify(&script), Err(ErrorCode::TRANSACTION_ABORTABLE));
    script.add(producer).unwrap();
    assert_eq!(verify(&script), Ok(()));
    script.end(producer, false, EndProtocol::V1).unwrap();
    assert_eq!(verify(&script), Err(ErrorCode::TRANSACTION_ABORTABLE));
    assert_eq!(
        script.transactions.verify("nobody", producer, &participant()),
        Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING)
    );
    assert_eq!(script.add(identity(9, 0)), Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING));
}
