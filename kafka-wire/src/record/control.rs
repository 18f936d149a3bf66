//! Control records: the markers that end a transaction in a partition.

use bytes::Bytes;
use nom::Parser;
use nom::number::complete::{be_i16, be_i32};

use super::{BatchBuilder, RawHeaders, Record, RecordError, RecordErrorCause, Seal};
use crate::types::{ProducerEpoch, ProducerId};

/// The content of a control record.
///
/// Its key is `version i16, type i16`, its value `version i16, coordinator epoch i32`; newer versions may add fields,
/// which are ignored. Source: KIP-98, `ControlRecordType`, `EndTransactionMarker`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlRecord {
    /// The producer's transaction was aborted: `read_committed` readers skip its records before this one.
    Abort {
        /// Epoch of the coordinator that wrote the marker; it fences older coordinators.
        coordinator_epoch: i32,
    },
    /// The producer's transaction was committed.
    Commit {
        /// Epoch of the coordinator that wrote the marker; it fences older coordinators.
        coordinator_epoch: i32,
    },
    /// A type without a meaning for clients (the metadata log has some). Readers skip it like the others.
    Other {
        /// Number of the type.
        kind: i16,
    },
}

const ABORT: i16 = 0;
const COMMIT: i16 = 1;

impl ControlRecord {
    /// Decodes `record`, which must be of a batch whose header says `is_control`.
    ///
    /// # Errors
    /// `NotControl` if the key is null, too short or of a negative version, or the value is of a negative version;
    /// `Truncated` if an abort or commit marker lacks its value.
    pub fn decode(record: &Record<'_>) -> Result<Self, RecordError> {
        let (version, kind) =
            pair(record.key, be_i16).ok_or(RecordError::new(0, "control record key", RecordErrorCause::NotControl))?;
        if version < 0 {
            return Err(RecordError::new(0, "control record key version", RecordErrorCause::NotControl));
        }
        if kind != ABORT && kind != COMMIT {
            return Ok(Self::Other { kind });
        }
        let value = pair(record.value, be_i32);
        let (version, coordinator_epoch) =
            value.ok_or(RecordError::new(0, "control record value", RecordErrorCause::Truncated))?;
        if version < 0 {
            return Err(RecordError::new(0, "control record value version", RecordErrorCause::NotControl));
        }
        Ok(if kind == ABORT { Self::Abort { coordinator_epoch } } else { Self::Commit { coordinator_epoch } })
    }

    /// Kafka's name of the type; `UNKNOWN` for a type that this build does not know.
    ///
    /// Source: `ControlRecordType`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Abort { .. } => "ABORT",
            Self::Commit { .. } => "COMMIT",
            Self::Other { kind: 2 } => "LEADER_CHANGE",
            Self::Other { kind: 3 } => "SNAPSHOT_HEADER",
            Self::Other { kind: 4 } => "SNAPSHOT_FOOTER",
            Self::Other { kind: 5 } => "KRAFT_VERSION",
            Self::Other { kind: 6 } => "KRAFT_VOTERS",
            Self::Other { .. } => "UNKNOWN",
        }
    }

    /// The complete batch of one marker, as a coordinator has it written: transactional, control, no sequence,
    /// offset 0.
    ///
    /// # Errors
    /// `NotControl` for [`Self::Other`], whose value is not known here.
    pub fn encode(
        self,
        timestamp: i64,
        producer_id: ProducerId,
        producer_epoch: ProducerEpoch,
    ) -> Result<Bytes, RecordError> {
        let (kind, coordinator_epoch) = match self {
            Self::Abort { coordinator_epoch } => (ABORT, coordinator_epoch),
            Self::Commit { coordinator_epoch } => (COMMIT, coordinator_epoch),
            Self::Other { .. } => return Err(RecordError::new(0, "control record", RecordErrorCause::NotControl)),
        };
        let key = [[0, 0], kind.to_be_bytes()].concat();
        let value = [[0, 0].as_slice(), &coordinator_epoch.to_be_bytes()].concat();
        let mut builder = BatchBuilder::new(128);
        builder.append(timestamp, Some(&key), Some(&value), RawHeaders::EMPTY)?;
        let seal = Seal { producer_id, producer_epoch, ..Seal::default() };
        Ok(builder.seal_control(seal).expect("no codec is asked for"))
    }
}

/// A version and the number after it, at the start of `bytes`.
fn pair<'a, T>(
    bytes: Option<&'a [u8]>,
    number: impl Parser<&'a [u8], Output = T, Error = nom::error::Error<&'a [u8]>>,
) -> Option<(i16, T)> {
    let (_, pair) = (be_i16, number).parse(bytes?).ok()?;
    Some(pair)
}
