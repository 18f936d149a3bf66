//! Splitting of a batch that the broker finds too large (MESSAGE_TOO_LARGE).
//!
//! Only the broker knows how large a batch may be: `max.message.bytes` of the topic, or of the cluster. So a refused
//! batch of several records is sent again as two of about half the size, and each of these likewise, down to batches of
//! one record. Java's producer does the same (`ProducerBatch.split`, called by `RecordAccumulator.splitAndReenqueue`).

use bytes::Bytes;

use crate::compression::Decompressed;
use crate::record::{Batch, BatchBuilder, Record, RecordError};

/// Two batches that hold the records of `sealed` in their order, neither of them empty, with sizes as equal as
/// the records allow. `None` if there are fewer than two records.
///
/// # Errors
/// The bytes are not a batch, or its records cannot be read.
pub(super) fn split(sealed: &Bytes) -> Result<Option<[BatchBuilder; 2]>, RecordError> {
    let batch = Batch::from_bytes(sealed.clone())?;
    if batch.header.record_count < 2 {
        return Ok(None);
    }
    let mut buffer = Decompressed::default();
    let mut whole_bytes = 0;
    for record in batch.open(&mut buffer)? {
        whole_bytes += bytes_of(&record?);
    }
    let (mut first, mut second) = (BatchBuilder::new(whole_bytes / 2), BatchBuilder::new(whole_bytes / 2));
    let mut before_bytes = 0;
    for record in batch.open(&mut buffer)? {
        let record = record?;
        // A record across the middle goes to the side on which more of it lies; the last one always goes
        // to the second batch.
        let is_before = before_bytes + bytes_of(&record) / 2 < whole_bytes / 2;
        let is_last = first.record_count() + 1 == batch.header.record_count;
        let is_first = first.is_empty() || (second.is_empty() && is_before && !is_last);
        let half = if is_first { &mut first } else { &mut second };
        half.append(record.timestamp, record.key, record.value, record.headers)?;
        before_bytes += bytes_of(&record);
    }
    Ok(Some([first, second]))
}

fn bytes_of(record: &Record<'_>) -> usize {
    BatchBuilder::record_bytes_max(record.key, record.value, record.headers)
}

#[cfg(test)]
mod tests {
    use super::split;
    use crate::compression::{Compression, Decompressed};
    use crate::record::{Batch, BatchBuilder, HeadersBuf, Seal};

    /// Sizes of the values in both halves of a batch that has values of these sizes.
    fn halves(sizes: &[usize]) -> Option<[Vec<usize>; 2]> {
        let mut headers = HeadersBuf::new();
        headers.push(b"h", Some(b"1"));
        let mut builder = BatchBuilder::new(0);
        for (timestamp, size) in (7..).zip(sizes) {
            builder.append(timestamp, Some(b"k"), Some(&vec![b'v'; *size]), headers.as_raw()).unwrap();
        }
        let sealed = builder.seal(Seal { compression: Compression::Lz4, ..Seal::default() }).unwrap();
        let mut timestamps = 7..;
        split(&sealed).unwrap().map(|halves| {
            halves.map(|half| {
                let batch = Batch::from_bytes(half.seal(Seal::default()).unwrap()).unwrap();
                let mut buffer = Decompressed::default();
                let sizes = batch.open(&mut buffer).unwrap().map(|record| {
                    let record = record.unwrap();
                    assert_eq!((record.timestamp, record.key), (timestamps.next().unwrap(), Some(&b"k"[..])));
                    assert_eq!(record.headers.iter().collect::<Vec<_>>(), [(&b"h"[..], Some(&b"1"[..]))]);
                    record.value.unwrap().len()
                });
                sizes.collect()
            })
        })
    }

    #[test]
    fn halves_keep_the_records_whole_and_in_order() {
        assert_eq!(halves(&[10; 6]), Some([vec![10; 3], vec![10; 3]]));
        assert_eq!(halves(&[1_000, 10, 10, 10]), Some([vec![1_000], vec![10; 3]]));
        assert_eq!(halves(&[10, 10, 10, 1_000]), Some([vec![10; 3], vec![1_000]]));
        // The long record lies across the middle.
        assert_eq!(halves(&[10, 1_000, 20]), Some([vec![10, 1_000], vec![20]]));
        assert_eq!(halves(&[20, 1_000, 10]), Some([vec![20], vec![1_000, 10]]));
        assert_eq!(halves(&[1, 2]), Some([vec![1], vec![2]]));
        assert_eq!(halves(&[5]), None);
    }
}
