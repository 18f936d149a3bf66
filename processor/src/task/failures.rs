//! Records and results that fail: the stage goes on behind them, or the transaction is done again without them.
//!
//! The operators describe when which of the two happens. Whatever is left out is counted; the first ones in a span of
//! time are warned of, each with its place and a piece of its payload; and the record goes to the topic of dead letters
//! if there is one.

use std::time::Duration;

use kafka_wire::record::{HeadersBuf, RawHeaders, Record, Records};
use kafka_wire::time::Moment;
use kafka_wire::types::{Offset, TimestampMs};

use super::clocks::wall;
use super::{Task, context};
use crate::error::{Origin, ProcessError};
use crate::operator::{Context, Failure, Input, Place, Signal, Stage, Stop, catch, take_panicked};
use crate::output::{OutRecord, Output, Route};

/// The limit on warnings of single records.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    since: Moment,
    count: u32,
}

impl Warnings {
    /// Whether one more warning is within the limit.
    fn allows(&mut self, now: Moment) -> bool {
        if now.since(self.since) >= WARNING_SPAN {
            *self = Self { since: now, count: 0 };
        }
        self.count += 1;
        self.count <= WARNINGS_MAX
    }
}

impl Task {
    /// Whether the transaction has to be aborted and done again without what has failed. Ask it once for each
    /// error of a method that takes an output.
    pub const fn take_retry(&mut self) -> bool {
        std::mem::replace(&mut self.is_retrying, false)
    }

    /// Whether the open transaction leaves out anything that failed in an earlier attempt: it should be committed soon,
    /// so that the next failure has little to do again.
    #[must_use]
    pub const fn has_passed_failure(&self) -> bool {
        self.failures.has_passed_retried()
    }

    /// Runs the stage to the end of the records, or to the next mark. Also returns the greatest timestamp.
    pub(super) fn run<'r>(
        &mut self,
        (input, head): (usize, usize),
        records: &mut Records<'r>,
        mut position: Offset,
        output: &mut dyn Output,
    ) -> Result<(Option<Record<'r>>, Option<TimestampMs>), ProcessError> {
        let start = records.clone();
        let mut reached = None;
        loop {
            let excluded = self.failures.next_excluded((input, head, position));
            let (stopped, max_timestamp) = self.run_to((input, head), records, (position, excluded), output);
            reached = reached.max(max_timestamp);
            self.report(input, Some(&start), output);
            match stopped {
                Ok(Stop::End) => return Ok((None, reached)),
                Ok(Stop::Mark(mark)) => return Ok((Some(mark), reached)),
                Ok(Stop::Excluded(record)) => {
                    position = Offset(record.offset + 1);
                    if let Some(failure) = self.failures.pass((input, head, Offset(record.offset))) {
                        self.state.counters.records_in += u64::from(head == 0);
                        failure.error.kind().into_iter().for_each(|kind| self.state.counters.count_failure(kind));
                        self.tell(input, &failure, Some(&record), output);
                    }
                }
                Err(stumble) => {
                    let Stumble { error, at: Some((failed, resume_at)), has_effects } = stumble else {
                        return Err(stumble.error);
                    };
                    self.failures.exclude((input, head, failed), error.clone(), has_effects);
                    if has_effects {
                        self.is_retrying = true;
                        return Err(error);
                    }
                    *records = start.clone();
                    position = resume_at;
                }
            }
        }
    }

    /// Runs the stage to the next record that it is not for.
    fn run_to<'r>(
        &mut self,
        (input, head): (usize, usize),
        records: &mut Records<'r>,
        (position, excluded): (Offset, Option<Offset>),
        output: &mut dyn Output,
    ) -> (Result<Stop<'r>, Stumble>, Option<TimestampMs>) {
        let spec = &self.specs[input];
        let watermark = self.state.time.source_watermark(input);
        let is_internal = spec.is_internal;
        let taken = Input { index: input, watermark, position, is_internal, is_counted: head == 0, excluded };
        let place = Place { topic: &self.inputs[input].topic, partition: self.id.partition, offset: position };
        let clock = (self.now, wall(self.wall_at_zero, self.now));
        let mut context =
            context(place, clock, &self.state, (&mut self.stores, &mut self.failures, &mut self.calls), output);
        let result = catch(|| self.stage.run(spec.heads[head], records, &taken, &mut context));
        let result = result.unwrap_or_else(|message| {
            let step = String::new();
            Err(ProcessError::Panicked { origin: None, step, message })
        });
        let (counters, max_timestamp) = (context.counters, context.max_timestamp);
        let stopped = result.map_err(|error| {
            let error = named(error, context.record(), &self.names);
            let may_go_on = matches!(error, ProcessError::Panicked { .. } | ProcessError::Failed { .. });
            let at = (may_go_on && context.failures.skips(&error)).then_some((context.place.offset, context.resume_at));
            Stumble { error, at, has_effects: context.stores.has_effects() }
        });
        self.state.counters = counters;
        self.state.seen = self.state.seen.max(max_timestamp.unwrap_or(self.state.seen));
        (stopped, max_timestamp)
    }

    /// Passes a signal to the stage.
    pub(super) fn signal(&mut self, signal: Signal, output: &mut dyn Output) -> Result<(), ProcessError> {
        self.pass(|stage, context| stage.signal(context, signal), output)
    }

    /// Passes the watermark that is told to the stage.
    pub(super) fn signal_watermark(&mut self, output: &mut dyn Output) -> Result<(), ProcessError> {
        let passed = self.pass(Stage::watermark, output);
        self.is_told_in_part = self.calls.awaited > 0;
        passed
    }

    fn pass(
        &mut self,
        pass: impl FnOnce(&mut Stage, &mut Context<'_>) -> Result<(), ProcessError>,
        output: &mut dyn Output,
    ) -> Result<(), ProcessError> {
        self.failures.begin_signal();
        let place = Place { topic: "", partition: self.id.partition, offset: Offset(-1) };
        let clock = (self.now, wall(self.wall_at_zero, self.now));
        let mut context =
            context(place, clock, &self.state, (&mut self.stores, &mut self.failures, &mut self.calls), output);
        let result = catch(|| pass(&mut self.stage, &mut context));
        let result = result.unwrap_or_else(|message| {
            let step = String::new();
            Err(ProcessError::Panicked { origin: None, step, message })
        });
        self.state.counters = context.counters;
        self.report(0, None, output);
        result.map_err(|error| {
            let error = named(error, None, &self.names);
            self.is_retrying = self.failures.skips(&error) && self.failures.exclude_result(error.clone());
            error
        })
    }

    /// Reports what the operators have left out.
    fn report(&mut self, input: usize, records: Option<&Records<'_>>, output: &mut dyn Output) {
        for failure in self.failures.take() {
            let offset = failure.offset;
            let is_it = |record: &Record<'_>| Some(Offset(record.offset)) == offset;
            let record = records.and_then(|records| records.clone().flatten().find(is_it));
            self.tell(input, &failure, record.as_ref(), output);
        }
    }

    /// Warns of a record or result that is left out, and writes it to the topic of dead letters.
    fn tell(&mut self, input: usize, failure: &Failure, record: Option<&Record<'_>>, output: &mut dyn Output) {
        let Failure { offset, key, error, is_told } = failure;
        let origin = offset.map(|offset| Origin {
            topic: self.inputs[input].topic.to_string(),
            partition: self.id.partition,
            offset,
        });
        let (key, value) = (record.map_or(key.as_deref(), |record| record.key), record.and_then(|record| record.value));
        if !is_told && self.warnings.allows(self.now) {
            let (task, step, cause) = (self.id, error.step(), error.cause());
            let payload = piece(value.or(key).unwrap_or_default());
            match &origin {
                Some(Origin { topic, partition, offset }) => {
                    tracing::warn!(topic, %partition, %offset, step, cause, payload, "a record is left out: it fails");
                }
                None => tracing::warn!(%task, step, cause, payload, "the result of a key is left out: it fails"),
            }
        }
        let Some(sink) = self.dead_letters else { return };
        let headers = record.map_or(RawHeaders::EMPTY, |record| record.headers);
        // A topic with retention deletes what is old by its timestamp.
        let known = Some(self.state.seen).filter(|seen| seen.0 > 0);
        let without_record = || known.unwrap_or_else(|| wall(self.wall_at_zero, self.now));
        let timestamp = record.map_or_else(without_record, |record| TimestampMs(record.timestamp));
        let headers = describe(error, origin.as_ref(), headers);
        self.state.counters.records_out += 1;
        output.emit(OutRecord { sink, route: Route::ByKey, timestamp, key, value, headers: headers.as_raw() });
    }
}

/// An error in the middle of the records.
struct Stumble {
    error: ProcessError,
    /// The record that failed, and the first one that was taken and not processed; `None` if the job stops at the
    /// error.
    at: Option<(Offset, Offset)>,
    /// Whether the record had an effect before it failed.
    has_effects: bool,
}

/// Adds to a panic the step and the record in which it happened.
fn named(error: ProcessError, record: Option<Origin>, names: &[String]) -> ProcessError {
    match error {
        ProcessError::Panicked { origin, step, message } => {
            let panicked = take_panicked().and_then(|node| names.get(node.0).cloned());
            let step = if step.is_empty() { panicked.unwrap_or_default() } else { step };
            ProcessError::Panicked { origin: origin.or(record), step, message }
        }
        error => error,
    }
}

/// The headers of a dead letter: those of the record, and those that describe the error.
///
/// Source: KIP-1034, for the names.
fn describe(error: &ProcessError, origin: Option<&Origin>, of_record: RawHeaders<'_>) -> HeadersBuf {
    let mut headers = HeadersBuf::new();
    of_record.iter().for_each(|(key, value)| headers.push(key, value));
    let mut add = |name: &str, value: &str| {
        headers.push(format!("__streams.errors.{name}").as_bytes(), Some(value.as_bytes()));
    };
    add(
        "exception",
        match error {
            ProcessError::Undecodable { .. } => "processor::SerdeError",
            ProcessError::Untimed { .. } => "processor::ProcessError::Untimed",
            ProcessError::Panicked { .. } => "processor::ProcessError::Panicked",
            ProcessError::Failed { .. } => "processor::ProcessError::Failed",
            _ => "processor::ProcessError::Unproducible",
        },
    );
    add("message", &error.cause());
    if let Some(Origin { topic, partition, offset }) = origin {
        add("topic", topic);
        add("partition", &partition.0.to_string());
        add("offset", &offset.0.to_string());
    }
    headers
}

/// The beginning of a payload, as ASCII.
fn piece(payload: &[u8]) -> String {
    let shown = payload[..payload.len().min(PIECE_BYTES)].escape_ascii().to_string();
    if payload.len() > PIECE_BYTES { format!("{shown}... ({} bytes)", payload.len()) } else { shown }
}

/// Most bytes of a payload in a warning.
const PIECE_BYTES: usize = 64;

/// Most warnings of single records of a task in a span of time; the counters have all.
const WARNINGS_MAX: u32 = 10;
const WARNING_SPAN: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_of_a_payload_is_short_and_ascii() {
        assert_eq!(piece(b"a\n\xff"), "a\\n\\xff");
        let long = piece(&[b'x'; 1_000]);
        assert!(long.len() < 100 && long.ends_with("... (1000 bytes)"), "{long}");
    }

    #[test]
    fn warnings_are_limited_in_a_span_of_time() {
        let mut warnings = Warnings::default();
        let allowed =
            |warnings: &mut Warnings, at| (0..20).filter(|_| warnings.allows(Moment::from_millis(at))).count();
        assert_eq!([5, 9_000, 10_000].map(|at| allowed(&mut warnings, at)), [10, 0, 10]);
    }
}
