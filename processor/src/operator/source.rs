//! The head of a stage: decodes the records of a batch to views.

use kafka_wire::record::{HeadersBuf, Record, Records};
use kafka_wire::types::{Offset, TimestampMs};

use super::jump_guard::JumpGuard;
use super::{Chain, Context, Expected, Head, Input, NodeId, Operator, Signals, StageBuilder, Undecodable};
use crate::error::{Origin, ProcessError};
use crate::output::{OutRecord, Route, SinkId};
use crate::serde::{Serde, SerdeError};
use crate::state::AHEAD;
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
            context.place.offset = offset;
            self.next.push(record, context)?;
        }
        Ok(())
    }
}

impl<KS: Serde, VS: Serde, T: Send, N: Signals> Signals for SourceOperator<KS, VS, T, N> {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        Some(&mut self.next)
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
    ) -> Result<Option<Record<'r>>, ProcessError> {
        let looks_ahead = self.next.looks_ahead();
        let mut ahead = Vec::new();
        let mut next_offset = input.position;
        for record in records {
            let record = match record {
                Ok(record) if record.offset < input.position.0 => continue,
                Ok(record) => record,
                Err(cause) => {
                    self.push_all(&mut ahead, context)?;
                    return Err(ProcessError::Corrupt { origin: origin(context, next_offset), cause });
                }
            };
            next_offset = Offset(record.offset + 1);
            if input.is_internal && record.key.is_none() {
                self.push_all(&mut ahead, context)?;
                return Ok(Some(record));
            }
            context.counters.records_in += u64::from(input.is_counted);
            match self.decode(&record) {
                Ok(mut decoded) => {
                    decoded.timestamp = self.source.event_time.of(&decoded);
                    // A record without a timestamp does not advance event time.
                    let believed = |timestamp: &TimestampMs| {
                        timestamp.0 >= 0 && self.guard.believes((*timestamp, record.offset), context)
                    };
                    context.max_timestamp = Some(decoded.timestamp).filter(believed).max(context.max_timestamp);
                    if !looks_ahead {
                        context.place.offset = Offset(record.offset);
                        self.next.push(decoded, context)?;
                        continue;
                    }
                    if ahead.is_empty() {
                        ahead.reserve_exact(AHEAD);
                    }
                    ahead.push((Offset(record.offset), decoded));
                    if ahead.len() == AHEAD {
                        self.push_all(&mut ahead, context)?;
                    }
                }
                Err(failure) => {
                    self.push_all(&mut ahead, context)?;
                    context.place.offset = Offset(record.offset);
                    skip_or_fail(&record, failure, input, context)?;
                }
            }
        }
        self.push_all(&mut ahead, context)?;
        Ok(None)
    }

    fn event_time(&mut self, record: &Record<'_>) -> TimestampMs {
        let written = TimestampMs(record.timestamp);
        if !T::READS_RECORD {
            return written;
        }
        self.decode(record).map_or(written, |decoded| self.source.event_time.of(&decoded))
    }
}

#[cold]
fn skip_or_fail(
    record: &Record<'_>,
    (part, cause): Failure,
    input: &Input,
    context: &mut Context<'_>,
) -> Result<(), ProcessError> {
    if input.is_internal || input.undecodable == Undecodable::Fail {
        return Err(ProcessError::Undecodable { origin: origin(context, Offset(record.offset)), part, cause });
    }
    context.counters.undecodable += 1;
    if let Some(sink) = input.dead_letters {
        dead_letter(sink, record, &cause, context);
    }
    let (topic, partition, offset) = (context.place.topic, context.place.partition.0, record.offset);
    tracing::debug!(topic, partition, offset, part, %cause, "record skipped: it cannot be decoded");
    Ok(())
}

/// Writes a record unchanged into the topic of dead letters, in the open transaction, with headers that describe
/// the error.
///
/// Source: KIP-1034, for the names of the headers.
fn dead_letter(sink: SinkId, record: &Record<'_>, cause: &SerdeError, context: &mut Context<'_>) {
    let mut headers = HeadersBuf::new();
    record.headers.iter().for_each(|(key, value)| headers.push(key, value));
    let (topic, partition) = (context.place.topic, context.place.partition.0.to_string());
    let (offset, message) = (record.offset.to_string(), cause.to_string());
    for (name, value) in [
        ("exception", "processor::SerdeError"),
        ("message", message.as_str()),
        ("topic", topic),
        ("partition", partition.as_str()),
        ("offset", offset.as_str()),
    ] {
        headers.push(format!("__streams.errors.{name}").as_bytes(), Some(value.as_bytes()));
    }
    context.counters.records_out += 1;
    let (route, timestamp) = (Route::ByKey, TimestampMs(record.timestamp));
    let (key, value) = (record.key, record.value);
    context.output.emit(OutRecord { sink, route, timestamp, key, value, headers: headers.as_raw() });
}

fn origin(context: &Context<'_>, offset: Offset) -> Origin {
    Origin { topic: context.place.topic.to_owned(), partition: context.place.partition, offset }
}
