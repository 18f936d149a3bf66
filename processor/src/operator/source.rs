//! The head of a stage: decodes the records of a batch to views.

use kafka_wire::record::{Record, Records};
use kafka_wire::types::{Offset, TimestampMs};

use super::jump_guard::JumpGuard;
use super::{Chain, Context, Expected, Head, Input, NodeId, Operator, Signals, StageBuilder, Stop};
use crate::error::{Origin, ProcessError};
use crate::serde::{Serde, SerdeError};
use crate::state::{AHEAD, Stores};
use crate::types::{Rec, View};

/// The extraction of event time from records.
pub trait TimestampExtractor<K: View, V: View>: Clone + Send + Sync + 'static {
    /// Whether the event time may be another one than the timestamp of the record.
    const READS_RECORD: bool = true;

    /// The event time of a record. If records wait for their turn, it is called more than once for some of them.
    fn of(&mut self, record: &Rec<'_, K, V>) -> TimestampMs;
}

/// Takes the timestamp of the record as event time.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordTime;

impl<K: View, V: View> TimestampExtractor<K, V> for RecordTime {
    const READS_RECORD: bool = false;

    #[inline]
    fn of(&mut self, record: &Rec<'_, K, V>) -> TimestampMs {
        record.timestamp
    }
}

impl<K: View, V: View, F> TimestampExtractor<K, V> for F
where
    F: FnMut(&Rec<'_, K, V>) -> TimestampMs + Clone + Send + Sync + 'static,
{
    #[inline]
    fn of(&mut self, record: &Rec<'_, K, V>) -> TimestampMs {
        self(record)
    }
}

/// A topic, declared.
#[derive(Clone)]
pub struct Source<KS, VS, T> {
    pub(crate) node: NodeId,
    pub(crate) key: KS,
    pub(crate) value: VS,
    pub(crate) event_time: T,
    /// The largest step by which a record may move event time, in ms; `ANY_JUMP` for no limit.
    pub(crate) jump_max_ms: i64,
}

impl<KS: Serde, VS: Serde, T: TimestampExtractor<KS::View, VS::View>> Chain for Source<KS, VS, T> {
    type Key = KS::View;
    type Value = VS::View;

    fn build<N: Operator<KS::View, VS::View>>(&self, next: N, stage: &mut StageBuilder<'_>) {
        stage.head(
            self.node,
            Box::new(SourceOperator { guard: JumpGuard::new(self.jump_max_ms), source: self.clone(), next }),
        );
    }
}

/// The part that could not be decoded, and the error.
type Failure = (&'static str, SerdeError);

/// A topic, built: decodes, and pushes.
pub struct SourceOperator<KS, VS, T, N> {
    source: Source<KS, VS, T>,
    guard: JumpGuard,
    next: N,
}

impl<KS, VS, T, N> SourceOperator<KS, VS, T, N>
where
    KS: Serde,
    VS: Serde,
    T: TimestampExtractor<KS::View, VS::View>,
    N: Operator<KS::View, VS::View>,
{
    #[inline]
    fn decode<'r>(&self, record: &Record<'r>) -> Result<Rec<'r, KS::View, VS::View>, Failure> {
        Ok(Rec {
            key: self.source.key.decode_nullable(record.key).map_err(|cause| ("key", cause))?,
            value: self.source.value.decode_nullable(record.value).map_err(|cause| ("value", cause))?,
            timestamp: TimestampMs(record.timestamp),
            headers: record.headers,
            raw_key: record.key,
        })
    }

    /// Announces records to the operators, and pushes them.
    fn push_all(
        &mut self,
        ahead: &mut Vec<(Offset, Rec<'_, KS::View, VS::View>)>,
        input: &Input,
        context: &mut Context<'_>,
    ) -> Result<(), ProcessError> {
        if ahead.is_empty() {
            return Ok(());
        }
        let mut expected = [Expected::default(); AHEAD];
        for (place, (_, record)) in expected.iter_mut().zip(&*ahead) {
            *place = Expected { key: record.raw_key.unwrap_or_default(), timestamp: record.timestamp };
        }
        self.next.expect(&expected[..ahead.len()], context);
        for (offset, record) in ahead.drain(..) {
            context.begin_record(offset);
            context.resume_at = offset;
            self.push(record, input, context)?;
        }
        Ok(())
    }

    #[inline]
    fn push(
        &mut self,
        record: Rec<'_, KS::View, VS::View>,
        input: &Input,
        context: &mut Context<'_>,
    ) -> Result<(), ProcessError> {
        self.next.push(record, context)?;
        context.counters.records_in += u64::from(input.is_counted);
        Ok(())
    }
}

impl<KS: Serde, VS: Serde, T: Send, N: Signals> Signals for SourceOperator<KS, VS, T, N> {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        Some(&mut self.next)
    }

    fn committed(&mut self, stores: &mut Stores) {
        self.guard.committed();
        self.next.committed(stores);
    }

    fn forget_calls(&mut self) {
        self.guard.rolled_back();
        self.next.forget_calls();
    }
}

impl<KS, VS, T, N> Head for SourceOperator<KS, VS, T, N>
where
    KS: Serde,
    VS: Serde,
    T: TimestampExtractor<KS::View, VS::View>,
    N: Operator<KS::View, VS::View>,
{
    fn run<'r>(
        &mut self,
        records: &mut Records<'r>,
        input: &Input,
        context: &mut Context<'_>,
    ) -> Result<Stop<'r>, ProcessError> {
        let looks_ahead = self.next.looks_ahead();
        let excluded = input.excluded.unwrap_or(NOWHERE).0;
        let mut ahead = Vec::new();
        let mut next_offset = input.position;
        for record in records {
            let record = match record {
                Ok(record) if record.offset < input.position.0 => continue,
                Ok(record) if record.offset == excluded => {
                    self.push_all(&mut ahead, input, context)?;
                    return Ok(Stop::Excluded(record));
                }
                Ok(record) => record,
                Err(cause) => {
                    self.push_all(&mut ahead, input, context)?;
                    return Err(ProcessError::Corrupt { origin: origin(context, next_offset), cause });
                }
            };
            next_offset = Offset(record.offset + 1);
            if input.is_internal && record.key.is_none() {
                self.push_all(&mut ahead, input, context)?;
                return Ok(Stop::Mark(record));
            }
            let offset = Offset(record.offset);
            context.begin_record(offset);
            if ahead.is_empty() {
                context.resume_at = offset;
            }
            match self.decode(&record) {
                Ok(mut decoded) => {
                    decoded.timestamp = self.source.event_time.of(&decoded);
                    // A record without a timestamp does not advance event time.
                    let believed = |timestamp: &TimestampMs| {
                        timestamp.0 >= 0 && self.guard.believes((*timestamp, record.offset), input, context)
                    };
                    context.max_timestamp = Some(decoded.timestamp).filter(believed).max(context.max_timestamp);
                    if !looks_ahead {
                        self.push(decoded, input, context)?;
                        continue;
                    }
                    if ahead.is_empty() {
                        ahead.reserve_exact(AHEAD);
                    }
                    ahead.push((offset, decoded));
                    if ahead.len() == AHEAD {
                        self.push_all(&mut ahead, input, context)?;
                    }
                }
                Err((part, cause)) => {
                    self.push_all(&mut ahead, input, context)?;
                    context.begin_record(offset);
                    let error = ProcessError::Undecodable { origin: origin(context, offset), part, cause };
                    if input.is_internal {
                        return Err(error);
                    }
                    context.leave_out(error)?;
                    context.counters.records_in += u64::from(input.is_counted);
                }
            }
        }
        self.push_all(&mut ahead, input, context)?;
        Ok(Stop::End)
    }

    fn event_time(&mut self, record: &Record<'_>) -> TimestampMs {
        let written = TimestampMs(record.timestamp);
        if !T::READS_RECORD {
            return written;
        }
        self.decode(record).map_or(written, |decoded| self.source.event_time.of(&decoded))
    }
}

/// The offset of no record.
const NOWHERE: Offset = Offset(i64::MIN);

fn origin(context: &Context<'_>, offset: Offset) -> Origin {
    Origin { topic: context.place.topic.to_owned(), partition: context.place.partition, offset }
}
