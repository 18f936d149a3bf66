//! Variable-length integers, against a reference reader.

use kafka_wire::wire::varint::{put_unsigned_varint, unsigned_varint, varlong};

/// Reads one number of each kind, and writes it again.
pub fn run(input: &[u8]) {
    let left = |left: &[u8]| input.len() - left.len();
    let short = reference(input, 5, 32);
    assert_eq!(unsigned_varint(input).ok().map(|(rest, number)| (u64::from(number), left(rest))), short);
    // Zig-zag: 0, -1, 1, -2 and so on.
    let signed = |number: u64| if number & 1 == 0 { i128::from(number / 2) } else { -i128::from(number / 2) - 1 };
    let expected = reference(input, 10, 64).map(|(number, size)| (signed(number), size));
    assert_eq!(varlong(input).ok().map(|(rest, number)| (i128::from(number), left(rest))), expected);
    if let Some((number, size)) = short {
        rewrite(number, size);
    }
}

/// The number and its size, if it ends within `bytes_max` and fits `bits`.
fn reference(input: &[u8], bytes_max: usize, bits: u32) -> Option<(u64, usize)> {
    let size = 1 + input.iter().take(bytes_max).position(|byte| *byte < 0x80)?;
    let number = input[..size].iter().rev().fold(0u128, |number, byte| number << 7 | u128::from(byte & 0x7f));
    (number < 1 << bits).then(|| (u64::try_from(number).expect("64 bits at most"), size))
}

/// Our encoding is of the same number, in the fewest bytes.
fn rewrite(number: u64, size: usize) {
    let mut bytes = Vec::new();
    put_unsigned_varint(&mut bytes, u32::try_from(number).expect("32 bits at most"));
    assert_eq!(reference(&bytes, 5, 32), Some((number, bytes.len())));
    assert!(bytes.len() <= size && (bytes.len() == 1 || bytes.last() != Some(&0)));
}
