//! Damage to bytes: accidental, and such as an attacker would choose.

use kafka_wire::rng::Rng;

/// A copy with one to three faults. They are few, so that most of the message is still read before the first.
pub(crate) fn damaged(rng: &mut Rng, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=below(rng, 3) {
        damage(rng, &mut bytes);
    }
    bytes
}

fn damage(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let at = below(rng, bytes.len() + 1);
    let left = bytes.len() - at;
    match below(rng, 9) {
        // A flipped bit.
        0 | 1 if left > 0 => bytes[at] ^= 1 << below(rng, 8),
        // A byte with a special value as a length, a count or a marker.
        2 | 3 if left > 0 => bytes[at] = BYTES[below(rng, BYTES.len())],
        4 => bytes.truncate(at),
        // A wrong length: 16 or 32 bits, or a varint.
        5 if left >= 2 => bytes[at..at + 2].copy_from_slice(&SHORTS[below(rng, SHORTS.len())].to_be_bytes()),
        6 if left >= 4 => bytes[at..at + 4].copy_from_slice(&INTS[below(rng, INTS.len())].to_be_bytes()),
        7 => {
            let spelling = VARINTS[below(rng, VARINTS.len())];
            bytes.splice(at..at + left.min(below(rng, 2)), spelling.iter().copied());
        }
        // Bytes that are doubled or removed.
        _ => {
            let piece = bytes[at..at + below(rng, left.min(12) + 1)].to_vec();
            if below(rng, 2) == 0 {
                bytes.splice(at..at, piece);
            } else {
                bytes.drain(at..at + piece.len());
            }
        }
    }
}

const BYTES: &[u8] = &[0, 1, 2, 3, 0x7f, 0x80, 0x81, 0xc0, 0xfe, 0xff];

const SHORTS: &[i16] = &[-1, -2, i16::MIN, i16::MAX, 0, 1, 5];

const INTS: &[i32] = &[-1, -2, i32::MIN, i32::MAX, 0, 1, 5, 1000, 0x8000];

const VARINTS: &[&[u8]] = &[
    &[0x80, 0x00],
    &[0x81, 0x80, 0x00],
    &[0xff, 0xff, 0xff, 0xff, 0x07],
    &[0x80, 0x80, 0x80, 0x80, 0x08],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0x81, 0x80, 0x80, 0x80, 0x10],
    &[0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
    &[0x80, 0x80, 0x02],
    &[0x81, 0x80, 0x02],
];

fn below(rng: &mut Rng, bound: usize) -> usize {
    usize::try_from(rng.below(bound as u64)).expect("below a size")
}
