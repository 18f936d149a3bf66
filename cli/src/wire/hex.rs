//! Hex text as people paste it.

use std::fmt;

use bytes::BytesMut;

/// The error for text that is not bytes in hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HexError {
    /// A character that is not a digit; characters are counted from 1.
    NoDigit { position: usize, found: char },
    /// The number of digits is odd.
    HalfByte { digits: usize },
}

impl fmt::Display for HexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDigit { position, found } => {
                write!(f, "character {position} of the hex is {found:?}, no hex digit")
            }
            Self::HalfByte { digits } => write!(f, "{digits} hex digits are no whole bytes"),
        }
    }
}

/// Appends the bytes that `digits` stand for: pairs of digits and nothing else.
///
/// # Errors
/// The first character that is not a digit, or an odd number of digits. The content of `to` is then meaningless.
pub(super) fn decode(digits: &[u8], to: &mut BytesMut) -> Result<(), HexError> {
    let (pairs, half) = digits.as_chunks::<2>();
    let start = to.len();
    to.resize(start + pairs.len(), 0);
    let mut seen = 0;
    for (byte, pair) in to[start..].iter_mut().zip(pairs) {
        let [high, low] = pair.map(|digit| VALUES[usize::from(digit)]);
        seen |= high | low;
        *byte = high << 4 | low & 0x0f;
    }
    // One check at the end replaces two branches per byte; the position is searched only after an error.
    let is_digit = |digit: &u8| VALUES[usize::from(*digit)] != NO_DIGIT;
    if seen & NO_DIGIT == NO_DIGIT || !half.iter().all(is_digit) {
        let at = digits.iter().position(|digit| !is_digit(digit)).unwrap_or_default();
        let found = String::from_utf8_lossy(&digits[at..]).chars().next().unwrap_or_default();
        return Err(HexError::NoDigit { position: at + 1, found });
    }
    if half.is_empty() { Ok(()) } else { Err(HexError::HalfByte { digits: digits.len() }) }
}

/// Reads hex with white space anywhere in it, as tools print it.
///
/// # Errors
/// The first character that is neither a digit nor white space, by its index among the digits; or an odd number
/// of digits.
pub(super) fn decode_spaced(text: &str) -> Result<BytesMut, HexError> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let mut bytes = BytesMut::new();
    decode(&digits, &mut bytes)?;
    Ok(bytes)
}

/// No value of a digit has a bit in the upper half.
const NO_DIGIT: u8 = 0xff;

const VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut digit = 0;
    while digit < 10 {
        values[b'0' as usize + digit] = digit as u8;
        digit += 1;
    }
    while digit < 16 {
        values[b'a' as usize + digit - 10] = digit as u8;
        values[b'A' as usize + digit - 10] = digit as u8;
        digit += 1;
    }
    values
};

#[cfg(test)]
mod tests {
    use super::{HexError, decode_spaced};

    #[test]
    fn digits_of_either_case_with_white_space_are_bytes() {
        assert_eq!(decode_spaced("00 7f\n80Ff").unwrap(), [0, 0x7f, 0x80, 0xff][..]);
        assert!(decode_spaced("").unwrap().is_empty());
    }

    #[test]
    fn the_first_wrong_character_is_named() {
        assert_eq!(decode_spaced("00g1"), Err(HexError::NoDigit { position: 3, found: 'g' }));
        assert_eq!(decode_spaced("00\u{e9}"), Err(HexError::NoDigit { position: 3, found: '\u{e9}' }));
        assert_eq!(decode_spaced("12x"), Err(HexError::NoDigit { position: 3, found: 'x' }));
        assert_eq!(decode_spaced("123"), Err(HexError::HalfByte { digits: 3 }));
    }
}
