//! Reads partitions once, from their first record to the end that they have at the start.

use std::collections::BTreeMap;
use std::fmt;

use super::{Client, Consumer, MetadataError};
use crate::cluster::TopicPartition;
use crate::compression::Decompressed;
use crate::consumer::{ConsumeError, ConsumerConfig, ReadToEnd};
use crate::record::Record;
use crate::types::Offset;

/// The reason why a topic cannot be read to its end.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum ReadToEndError {
    /// The ends of the partitions cannot be looked up.
    Metadata(MetadataError),
    /// A partition cannot be read.
    Consume(ConsumeError),
}

/// Passes every record that the partitions have now to `handle`, in the order of each partition, for example to fill
/// a table from a topic. With `read_committed`, "now" ends at the last stable offset.
///
/// Batches that decompress to more than 128 MiB are an error, as for [`Decompressed::default`].
///
/// Cancel safe: a cancelled call leaves nothing running.
///
/// # Errors
/// See [`ReadToEndError`]; records before the error were passed to `handle`.
pub async fn read_to_end(
    client: &Client,
    partitions: &[TopicPartition],
    config: ConsumerConfig,
    mut handle: impl FnMut(&TopicPartition, Record<'_>),
) -> Result<(), ReadToEndError> {
    let wanted: Vec<_> = partitions.iter().flat_map(ReadToEnd::queries).collect();
    let listed = client.list_offsets(&wanted, config.isolation).await?;
    let found: Vec<_> = listed.iter().map(|listed| listed.offset).collect();
    let readings = partitions.iter().cloned().zip(found.chunks(2).map(ReadToEnd::between));
    let mut left: BTreeMap<_, _> = readings.filter(|(_, reading)| !reading.is_done()).collect();
    let mut consumer = Consumer::new(client.clone(), config);
    for (partition, reading) in &left {
        consumer.assign(partition.clone(), reading.position());
    }
    let mut buffer = Decompressed::default();
    while !left.is_empty() {
        let mut fetched = consumer.poll().await?;
        let partition = fetched.partition().clone();
        let Some(reading) = left.get_mut(&partition) else { continue };
        while let Some(batch) = fetched.next_batch() {
            let batch = batch?;
            for record in batch.records(&mut buffer)? {
                let record = record?;
                if reading.has(Offset(record.offset)) {
                    handle(&partition, record);
                }
            }
        }
        if reading.advance(fetched.next_offset()) {
            consumer.unassign(&partition);
            left.remove(&partition);
        }
    }
    Ok(())
}

impl From<MetadataError> for ReadToEndError {
    fn from(error: MetadataError) -> Self {
        Self::Metadata(error)
    }
}

impl From<ConsumeError> for ReadToEndError {
    fn from(error: ConsumeError) -> Self {
        Self::Consume(error)
    }
}

impl fmt::Display for ReadToEndError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Metadata(error) => error.fmt(f),
            Self::Consume(error) => error.fmt(f),
        }
    }
}

debug_as_text!(ReadToEndError);

impl ReadToEndError {
    /// Returns whether another attempt may succeed.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        match self {
            Self::Metadata(error) => error.is_retriable(),
            Self::Consume(_) => false,
        }
    }
}

impl std::error::Error for ReadToEndError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Metadata(error) => Some(error),
            Self::Consume(error) => Some(error),
        }
    }
}
