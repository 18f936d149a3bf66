//! Reads partitions once, from their first record to the end that they have at the start.

use std::collections::BTreeMap;
use std::fmt;

use super::{Client, Consumer, MetadataError};
use crate::admin::OffsetSpec;
use crate::cluster::TopicPartition;
use crate::compression::Decompressed;
use crate::consumer::{ConsumeError, ConsumerConfig};
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
    let (starts, mut ends) = tokio::try_join!(
        list(client, partitions, OffsetSpec::Earliest, config),
        list(client, partitions, OffsetSpec::Latest, config),
    )?;
    let mut consumer = Consumer::new(client.clone(), config);
    ends.retain(|partition, end| starts.get(partition).is_some_and(|start| start < end));
    for partition in ends.keys() {
        consumer.assign(partition.clone(), starts.get(partition).copied().unwrap_or_default());
    }
    let mut buffer = Decompressed::default();
    while !ends.is_empty() {
        let mut fetched = consumer.poll().await?;
        let partition = fetched.partition().clone();
        let Some(&end) = ends.get(&partition) else { continue };
        while let Some(batch) = fetched.next_batch() {
            let batch = batch?;
            for record in batch.records(&mut buffer)? {
                let record = record?;
                if record.offset < end.0 {
                    handle(&partition, record);
                }
            }
        }
        if fetched.next_offset() >= end {
            consumer.unassign(&partition);
            ends.remove(&partition);
        }
    }
    Ok(())
}

async fn list(
    client: &Client,
    partitions: &[TopicPartition],
    spec: OffsetSpec,
    config: ConsumerConfig,
) -> Result<BTreeMap<TopicPartition, Offset>, MetadataError> {
    let wanted: Vec<_> = partitions.iter().map(|partition| (partition.clone(), spec)).collect();
    let listed = client.list_offsets(&wanted, config.isolation).await?;
    Ok(listed.into_iter().filter_map(|listed| Some((listed.partition, listed.offset?))).collect())
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
