//! The messages and entries of a foreign-key join, and their serdes.

use kafka_wire::types::TimestampMs;

use crate::serde::{Serde, SerdeError};
use crate::types::Owned;

/// A message of a left row to the task of a right row.
pub struct Subscription<L> {
    /// The number of the change; later changes of the row have greater ones.
    pub(super) version: u64,
    /// The key of the left row, as in the log.
    pub(super) primary: Vec<u8>,
    pub(super) request: Request<L>,
}

/// The request of a [`Subscription`].
pub(super) enum Request<L> {
    /// Join this row, now and at each change of the right row.
    Join(L),
    /// Put out this row, which points to no right row.
    Alone(L),
    /// Forget the subscription: the row points to another right row now.
    Moved,
    /// Forget the subscription, and take back the result: the row is gone, or it has no result any more.
    Gone {
        /// The watermark of the left task.
        watermark: TimestampMs,
    },
}

/// A left row that points to a right one.
#[derive(Clone, Debug)]
pub struct Subscriber<L> {
    pub(super) version: u64,
    pub(super) row: L,
}

/// The answer for a left row.
pub struct Answer<B> {
    /// The number of the change of the left row that it is for.
    pub(super) version: u64,
    pub(super) result: Answered<B>,
}

/// The result of an [`Answer`].
pub(super) enum Answered<B> {
    Row(B),
    NoRow,
    Gone { watermark: TimestampMs },
}

/// The serde of a [`Subscription`]: the kind of its request, the number (u64), the watermark of `Gone` (i64), the
/// length of the key (u32), the key, the row. Numbers are big endian.
#[derive(Clone)]
pub(crate) struct SubscriptionSerde<S>(pub(crate) S);

impl<L: 'static, S: Serde<View = Owned<L>>> Serde for SubscriptionSerde<S> {
    type View = Owned<Subscription<L>>;

    fn decode(&self, bytes: &[u8]) -> Result<Subscription<L>, SerdeError> {
        let mut rest = bytes;
        let [kind] = chunk(&mut rest)?;
        let version = u64::from_be_bytes(chunk(&mut rest)?);
        let watermark = if kind == GONE { i64::from_be_bytes(chunk(&mut rest)?) } else { 0 };
        let length = usize::try_from(u32::from_be_bytes(chunk(&mut rest)?)).unwrap_or(usize::MAX);
        let short = SerdeError::Length { expected: length, actual: rest.len() };
        let (primary, row) = rest.split_at_checked(length).ok_or(short)?;
        let request = match kind {
            JOIN => Request::Join(self.0.decode(row)?),
            ALONE => Request::Alone(self.0.decode(row)?),
            MOVED => Request::Moved,
            GONE => Request::Gone { watermark: TimestampMs(watermark) },
            kind => return Err(SerdeError::Custom(format!("a subscription of the unknown kind {kind}"))),
        };
        Ok(Subscription { version, primary: primary.to_vec(), request })
    }

    fn encode(&self, value: &Subscription<L>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        let kind = match value.request {
            Request::Join(_) => JOIN,
            Request::Alone(_) => ALONE,
            Request::Moved => MOVED,
            Request::Gone { .. } => GONE,
        };
        out.push(kind);
        out.extend_from_slice(&value.version.to_be_bytes());
        if let Request::Gone { watermark } = value.request {
            out.extend_from_slice(&watermark.0.to_be_bytes());
        }
        out.extend_from_slice(&length(&value.primary));
        out.extend_from_slice(&value.primary);
        match &value.request {
            Request::Join(row) | Request::Alone(row) => self.0.encode(row, out),
            Request::Moved | Request::Gone { .. } => Ok(()),
        }
    }
}

/// The serde of a [`Subscriber`]: the number (u64, big endian), the row.
#[derive(Clone)]
pub(crate) struct SubscriberSerde<S>(pub(crate) S);

impl<L: 'static, S: Serde<View = Owned<L>>> Serde for SubscriberSerde<S> {
    type View = Owned<Subscriber<L>>;

    fn decode(&self, bytes: &[u8]) -> Result<Subscriber<L>, SerdeError> {
        let mut rest = bytes;
        let version = u64::from_be_bytes(chunk(&mut rest)?);
        Ok(Subscriber { version, row: self.0.decode(rest)? })
    }

    fn encode(&self, value: &Subscriber<L>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(&value.version.to_be_bytes());
        self.0.encode(&value.row, out)
    }
}

/// The serde of an [`Answer`]: the kind of its result, the number (u64), the watermark of `Gone` (i64) or the row.
#[derive(Clone)]
pub(crate) struct AnswerSerde<S>(pub(crate) S);

impl<B: 'static, S: Serde<View = Owned<B>>> Serde for AnswerSerde<S> {
    type View = Owned<Answer<B>>;

    fn decode(&self, bytes: &[u8]) -> Result<Answer<B>, SerdeError> {
        let mut rest = bytes;
        let [kind] = chunk(&mut rest)?;
        let version = u64::from_be_bytes(chunk(&mut rest)?);
        let result = match kind {
            JOIN => Answered::Row(self.0.decode(rest)?),
            MOVED => Answered::NoRow,
            GONE => Answered::Gone { watermark: TimestampMs(i64::from_be_bytes(chunk(&mut rest)?)) },
            kind => return Err(SerdeError::Custom(format!("an answer of the unknown kind {kind}"))),
        };
        Ok(Answer { version, result })
    }

    fn encode(&self, value: &Answer<B>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        let kind = match value.result {
            Answered::Row(_) => JOIN,
            Answered::NoRow => MOVED,
            Answered::Gone { .. } => GONE,
        };
        out.push(kind);
        out.extend_from_slice(&value.version.to_be_bytes());
        match &value.result {
            Answered::Row(row) => self.0.encode(row, out),
            Answered::NoRow => Ok(()),
            Answered::Gone { watermark } => {
                out.extend_from_slice(&watermark.0.to_be_bytes());
                Ok(())
            }
        }
    }
}

/// The last answer for a left row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    pub(super) version: u64,
    pub(super) state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Row,
    NoRow,
    /// The left row is gone; its number is kept until this watermark.
    Gone {
        end: TimestampMs,
    },
}

/// The serde of [`Shown`]: the kind of its state, the number (u64), and the end of `Gone` (i64), big endian.
#[derive(Clone, Copy)]
pub(crate) struct ShownSerde;

impl Serde for ShownSerde {
    type View = Owned<Shown>;

    fn decode(&self, bytes: &[u8]) -> Result<Shown, SerdeError> {
        let mut rest = bytes;
        let [kind] = chunk(&mut rest)?;
        let version = u64::from_be_bytes(chunk(&mut rest)?);
        let state = match kind {
            JOIN => State::Row,
            GONE => State::Gone { end: TimestampMs(i64::from_be_bytes(chunk(&mut rest)?)) },
            _ => State::NoRow,
        };
        Ok(Shown { version, state })
    }

    fn encode(&self, value: &Shown, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        let (kind, end) = match value.state {
            State::Row => (JOIN, None),
            State::NoRow => (MOVED, None),
            State::Gone { end } => (GONE, Some(end.0.to_be_bytes())),
        };
        out.push(kind);
        out.extend_from_slice(&value.version.to_be_bytes());
        out.extend_from_slice(end.as_ref().map_or(&[], |end| end.as_slice()));
        Ok(())
    }
}

const JOIN: u8 = 0;
const ALONE: u8 = 1;
const MOVED: u8 = 2;
const GONE: u8 = 3;

/// Removes the first bytes of `rest`.
fn chunk<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], SerdeError> {
    let (first, after) = rest.split_first_chunk().ok_or(SerdeError::Length { expected: N, actual: rest.len() })?;
    *rest = after;
    Ok(*first)
}

/// The length of a key, as it stands before the key.
pub(super) fn length(key: &[u8]) -> [u8; 4] {
    // A key comes from a record, which is shorter.
    u32::try_from(key.len()).unwrap_or(u32::MAX).to_be_bytes()
}
