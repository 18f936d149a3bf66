//! The rules for records of a topic: a compacted topic needs keys, and every topic bounds the timestamps.
//!
//! One record that breaks a rule makes the whole batch refused, and the response names each such record (KIP-467).
//! Source: `LogValidator` of Kafka.

use kafka_wire::compression::Decompressed;
use kafka_wire::protocol::ErrorCode;
use kafka_wire::record::{Batch, Record};
use kafka_wire::types::{Offset, TimestampMs};

use super::topics::Topic;

/// The rules that a topic has for each record.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordRules {
    needs_key: bool,
    /// The earliest and the latest allowed timestamp; `None` if the broker sets timestamps itself.
    dates: Option<(i64, i64)>,
}

/// The reason why a batch is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) error: ErrorCode,
    /// The records at fault, by their index in the batch; empty if the fault is not that of a record.
    pub(super) records: Vec<(i32, String)>,
    /// The start offset of the log, which the response has beside the records.
    pub(super) log_start_offset: Offset,
}

impl Refusal {
    /// The common fault of the records, in words; `None` if the fault is not that of a record.
    pub(super) fn summary(&self) -> Option<String> {
        let count = self.records.len();
        (count > 0).then(|| format!("{count} records are refused, and the batch with them: {}", self.error.meaning()))
    }
}

impl From<ErrorCode> for Refusal {
    fn from(error: ErrorCode) -> Self {
        Self { error, records: Vec::new(), log_start_offset: Offset(-1) }
    }
}

impl RecordRules {
    /// The rules of a topic at the time `now`.
    pub(super) fn of(topic: &Topic, now: TimestampMs) -> Self {
        let number = |name, default| topic.config(name).and_then(|value| value.trim().parse().ok()).unwrap_or(default);
        let before = number("message.timestamp.before.max.ms", i64::MAX);
        let after = number("message.timestamp.after.max.ms", AFTER_MAX_MS);
        let dates = (now.0.saturating_sub(before), now.0.saturating_add(after));
        Self {
            needs_key: topic.config("cleanup.policy").is_some_and(|policy| policy.contains("compact")),
            dates: (topic.config("message.timestamp.type").map(str::trim) != Some("LogAppendTime")).then_some(dates),
        }
    }

    /// Checks a batch against the rules. Its records are read only if the header does not show that they follow
    /// the rules.
    pub(super) fn check(&self, batch: &Batch, log_start_offset: Offset) -> Result<(), Refusal> {
        let may_be_late = self.dates.is_some_and(|(_, latest)| batch.header.max_timestamp > latest);
        let may_be_early = self.dates.is_some_and(|(earliest, _)| earliest > 0);
        if !self.needs_key && !may_be_late && !may_be_early {
            return Ok(());
        }
        let mut buffer = Decompressed::default();
        let records = batch.open(&mut buffer).map_err(|_| ErrorCode::CORRUPT_MESSAGE)?;
        let (mut error, mut refused) = (ErrorCode::INVALID_RECORD, Vec::new());
        for (index, record) in (0..).zip(records) {
            let record = record.map_err(|_| ErrorCode::INVALID_RECORD)?;
            if let Err((fault, why)) = self.check_record(&record) {
                // A bad timestamp decides the error of the batch, whatever else is wrong with its other records.
                error = if fault == ErrorCode::INVALID_TIMESTAMP { fault } else { error };
                refused.push((index, why));
            }
        }
        if refused.is_empty() { Ok(()) } else { Err(Refusal { error, records: refused, log_start_offset }) }
    }

    fn check_record(&self, record: &Record<'_>) -> Result<(), (ErrorCode, String)> {
        if self.needs_key && record.key.is_none() {
            return Err((ErrorCode::INVALID_RECORD, "a compacted topic takes no record without a key".to_owned()));
        }
        match self.dates {
            Some((earliest, latest))
                if record.timestamp != NO_TIMESTAMP && !(earliest..=latest).contains(&record.timestamp) =>
            {
                let why = format!("timestamp {} is not within {earliest} and {latest}", record.timestamp);
                Err((ErrorCode::INVALID_TIMESTAMP, why))
            }
            _ => Ok(()),
        }
    }
}

/// Default of `message.timestamp.after.max.ms`.
const AFTER_MAX_MS: i64 = 3_600_000;
const NO_TIMESTAMP: i64 = -1;
