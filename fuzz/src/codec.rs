//! Codecs. The first byte chooses a codec and a container, and whether the other bytes are plain or
//! claimed to be compressed.

use std::cell::RefCell;

use allocation_counter::measure;
use kafka_wire::compression::{Compression, CompressionError, Compressor, Container, Decompressed, decompress};

/// Small, so that many inputs would exceed it.
const LIMIT_BYTES: usize = 16 << 10;

/// Working memory of the largest decoder, which is zstd's; see [`Decompressed`].
const WORK_BYTES: usize = 512 << 10;

thread_local! {
    /// The buffers are kept, as a reader of batches keeps them: the traces of one input must not change
    /// how the next is read.
    static KEPT: RefCell<(Decompressed, Compressor)> =
        RefCell::new((Decompressed::new(LIMIT_BYTES), Compressor::default()));
}

/// Plain bytes survive every codec. Bytes that are claimed to be compressed stay within the limit, decode to the same
/// twice, and if they decode, the result survives as well.
pub fn run(data: &[u8]) {
    let [choice, input @ ..] = data else { return };
    let codec = Compression::from_code(1 + (choice & 3)).expect("codes 1 to 4");
    let container = if choice & 4 == 0 { Container::Batch } else { Container::MessageV0 };
    KEPT.with_borrow_mut(|(buffer, compressor)| {
        if choice & 8 != 0 {
            comes_back(codec, container, &input[..input.len().min(LIMIT_BYTES)], buffer, compressor);
        } else if let Ok(plain) = read(codec, container, input, buffer) {
            comes_back(codec, container, &plain, buffer, compressor);
        }
    });
}

fn read(
    codec: Compression,
    container: Container,
    input: &[u8],
    buffer: &mut Decompressed,
) -> Result<Vec<u8>, CompressionError> {
    let first = bounded(|| decompress(codec, container, input, buffer).map(<[u8]>::to_vec));
    let again = decompress(codec, container, input, buffer);
    assert_eq!(again, first.as_deref().map_err(|error| *error), "{codec}");
    first
}

fn comes_back(
    codec: Compression,
    container: Container,
    plain: &[u8],
    buffer: &mut Decompressed,
    with: &mut Compressor,
) {
    let written = with.compress(codec, container, plain).expect("every codec is built in");
    assert_eq!(decompress(codec, container, written, buffer), Ok(plain), "{codec}");
}

/// Runs a decoder whose output, and a copy of it, stay within the limit.
fn bounded<T>(decode: impl FnOnce() -> T) -> T {
    let mut decoded = None;
    let taken = measure(|| decoded = Some(decode())).bytes_max;
    assert!(taken <= (2 * LIMIT_BYTES + WORK_BYTES) as u64, "{taken} bytes of memory");
    decoded.expect("it has run")
}
