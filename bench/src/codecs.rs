//! A batch of JSON events, through each codec.
//!
//! There are two tables: the codec alone, where ours also writes the header of the batch and its checksum; and whole
//! batches, from records and to records, where the codec is used within the hand-written floor.

use std::hint::black_box;

use bytes::Bytes;
use kafka_wire::compression::{Compression, Compressor, Container, Decompressed, decompress};
use kafka_wire::record::{Batch, BatchBuilder, Seal};

use crate::bare::{self, Codec};
use crate::harness::{Contender, Measure, OURS, Table, Target, Unit, contender};
use crate::records::read_ours;
use crate::shapes::Shape;
use crate::{floor, peers};

const COLUMNS: &[&str] = &[OURS, "codec alone", peers::krafka::NAME, peers::kafka_protocol::NAME, "C"];
const TARGET: Target = Target::SpeedAtLeast(0.95, "codec alone");

/// Speed in megabytes of plain records per second.
pub(crate) fn times(filter: &str, rounds: usize) {
    let mut table = Table::new("codecs, MB/s of JSON events", COLUMNS, filter, rounds);
    let shape = Shape::json_events();
    for compression in [Compression::Lz4, Compression::Snappy, Compression::Gzip, Compression::Zstd] {
        let fixture = Fixture::new(&shape, compression);
        let share = fixture.sealed.len() as f64 / fixture.plain.len() as f64 * 100.0;
        type Contenders<'a> = fn(&Fixture<'a>) -> Vec<Contender<'a>>;
        let works: [(&str, Contenders<'_>); 4] = [
            ("seal", Fixture::sealers),
            ("decompress", Fixture::decoders),
            ("write batch", Fixture::writers),
            ("read batch", Fixture::readers),
        ];
        for (work, contenders) in works {
            let name = format!("{compression} ({share:.0} %), {work}");
            if table.wants(&name) {
                let unit = Unit::MegabytesPerSecond(fixture.plain.len() - floor::HEADER_BYTES);
                table.measure(Measure { name, unit, target: TARGET, contenders: contenders(&fixture) });
            }
        }
    }
}

struct Fixture<'a> {
    shape: &'a Shape,
    compression: Compression,
    seal: Seal,
    /// The batch without a codec, and with it.
    plain: Bytes,
    sealed: Bytes,
}

impl<'a> Fixture<'a> {
    fn new(shape: &'a Shape, compression: Compression) -> Self {
        let seal = Seal { compression, ..Seal::default() };
        let plain = shape.build(0).seal(Seal::default()).expect("no codec");
        let sealed = shape.build(0).seal(seal).expect("every codec is built in");
        Self { shape, compression, seal, plain, sealed }
    }

    fn below_ours(&self) -> Box<dyn Codec> {
        bare::below_ours(self.compression, self.plain.len())
    }

    fn in_c(&self, work: impl Fn(&mut dyn Codec) -> u64 + 'a) -> Option<Contender<'a>> {
        let mut codec = bare::in_c(self.compression, self.plain.len())?;
        Some(contender("C", move || work(&mut *codec)))
    }

    /// Ways to compress records that lie in an open batch. Each of them pays for a copy of it, because ours consumes
    /// it.
    fn sealers(&self) -> Vec<Contender<'a>> {
        let open: BatchBuilder = self.shape.build(self.plain.len());
        let (seal, mut compressor, mut codec) = (self.seal, Compressor::default(), self.below_ours());
        let (plain, c_plain) = (self.plain.clone(), self.plain.clone());
        let (codec_open, c_open) = (open.clone(), open.clone());
        let bare = move |codec: &mut dyn Codec, open: &BatchBuilder, plain: &Bytes| {
            black_box(open.clone());
            codec.encode(black_box(&plain[floor::HEADER_BYTES..])) as u64
        };
        let mut contenders = vec![
            contender(OURS, move || open.clone().seal_with(seal, &mut compressor).expect("a codec").len() as u64),
            contender("codec alone", move || bare(&mut *codec, &codec_open, &plain)),
        ];
        contenders.extend(self.in_c(move |codec| bare(codec, &c_open, &c_plain)));
        contenders
    }

    fn decoders(&self) -> Vec<Contender<'a>> {
        let (compression, mut buffer, mut codec) = (self.compression, Decompressed::default(), self.below_ours());
        let [ours, bare, c] = [(); 3].map(|()| self.sealed.slice(floor::HEADER_BYTES..));
        let mut contenders = vec![
            contender(OURS, move || {
                let plain = decompress(compression, Container::Batch, black_box(&ours), &mut buffer);
                plain.expect("our own").len() as u64
            }),
            contender("codec alone", move || codec.decode(black_box(&bare)).len() as u64),
        ];
        contenders.extend(self.in_c(move |codec| codec.decode(black_box(&c)).len() as u64));
        let expected = (self.plain.len() - floor::HEADER_BYTES) as u64;
        for decoder in &mut contenders {
            assert_eq!(decoder.run(), expected, "{} decompresses all of it", decoder.name);
        }
        contenders
    }

    fn writers(&self) -> Vec<Contender<'a>> {
        let (shape, seal, compression) = (self.shape, self.seal, self.compression);
        let (capacity_bytes, sealed) = (self.plain.len() + 64, self.sealed.clone());
        let (mut compressor, mut codec) = (Compressor::default(), self.below_ours());
        let mut plain = Vec::with_capacity(capacity_bytes);
        let kafka_protocol = peers::kafka_protocol::records(shape);
        let mut contenders = vec![
            contender(OURS, move || {
                let batch = black_box(shape).build(capacity_bytes).seal_with(seal, &mut compressor);
                batch.expect("a codec").len() as u64
            }),
            contender("codec alone", move || {
                plain.clear();
                floor::append(black_box(shape), &mut plain);
                let size = codec.encode(&plain);
                // The same number of bytes was written.
                size as u64 + u64::from(black_box(crc32c::crc32c(&sealed)))
            }),
            contender(peers::kafka_protocol::NAME, move || {
                peers::kafka_protocol::write(black_box(&kafka_protocol), compression, capacity_bytes).len() as u64
            }),
        ];
        if let Some(krafka) = peers::krafka::records(shape, compression) {
            let write = move || peers::krafka::write(black_box(&krafka)).len() as u64;
            contenders.push(contender(peers::krafka::NAME, write));
        }
        contenders
    }

    fn readers(&self) -> Vec<Contender<'a>> {
        let batch = Batch::from_bytes(self.sealed.clone()).expect("a good batch");
        let (mut buffer, mut codec) = (Decompressed::default(), self.below_ours());
        let [sealed, krafka, kafka_protocol] = [(); 3].map(|()| self.sealed.clone());
        let mut contenders = vec![
            contender(OURS, move || read_ours(black_box(&batch), &mut buffer)),
            contender("codec alone", move || {
                let sealed = black_box(&sealed);
                floor::check(sealed);
                floor::walk(sealed, codec.decode(&sealed[floor::HEADER_BYTES..]))
            }),
            contender(peers::krafka::NAME, move || peers::krafka::read(black_box(&krafka))),
            contender(peers::kafka_protocol::NAME, move || peers::kafka_protocol::read(black_box(&kafka_protocol))),
        ];
        let expected = floor::read(&self.plain);
        for reader in &mut contenders {
            assert_eq!(reader.run(), expected, "{} reads the same", reader.name);
        }
        contenders
    }
}
