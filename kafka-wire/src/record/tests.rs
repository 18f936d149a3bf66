use bytes::Bytes;

use super::*;
use crate::compression::{Compression, Decompressed};
use crate::types::{ProducerEpoch, ProducerId};

fn batch_of(values: &[&[u8]], seal: Seal) -> Bytes {
    let mut builder = BatchBuilder::new(1024);
    let mut headers = HeadersBuf::new();
    headers.push(b"\xff", None);
    headers.push(b"k", Some(b"v"));
    for (timestamp, value) in (1_000..).zip(values) {
        builder.append(timestamp, None, Some(value), headers.as_raw()).unwrap();
    }
    builder.seal(seal).unwrap()
}

#[test]
fn what_is_built_reads_back() {
    for compression in [Compression::None, Compression::Lz4] {
        let long = [b'x'; 5_000];
        let bytes = batch_of(&[b"one", b"", &long], Seal { compression, transactional: true, ..Seal::default() });
        let batch = Batch::from_bytes(bytes).unwrap();
        assert_eq!(batch.header.compression(), compression);
        assert!(batch.header.is_transactional() && !batch.header.is_control());
        let mut buffer = Decompressed::default();
        let records: Vec<_> = batch.open(&mut buffer).unwrap().map(Result::unwrap).collect();
        assert_eq!(
            records.iter().map(|r| (r.offset, r.timestamp)).collect::<Vec<_>>(),
            [(0, 1000), (1, 1001), (2, 1002)]
        );
        assert_eq!(records[2].value, Some(long.as_slice()));
        assert_eq!(
            records[0].headers.iter().collect::<Vec<_>>(),
            [(b"\xff".as_slice(), None), (b"k", Some(b"v".as_slice()))]
        );
    }
}

#[test]
fn markers_read_back() {
    let bytes = ControlRecord::Abort { coordinator_epoch: 7 }.encode(5, ProducerId(9), ProducerEpoch(1)).unwrap();
    let batch = Batch::from_bytes(bytes).unwrap();
    assert!(batch.header.is_control());
    let mut buffer = Decompressed::default();
    let record = batch.open(&mut buffer).unwrap().next().unwrap().unwrap();
    assert_eq!(ControlRecord::decode(&record), Ok(ControlRecord::Abort { coordinator_epoch: 7 }));
}
