//! Base64, the text form of ids and byte fields.

/// The digits of `bytes` in this alphabet, without padding.
pub(crate) fn digits<'a>(bytes: &'a [u8], alphabet: &'a [u8; 64]) -> impl Iterator<Item = char> + 'a {
    bytes.chunks(3).flat_map(move |chunk| {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        (0..=chunk.len()).map(move |digit| {
            let digit = alphabet.get((bits >> (18 - 6 * digit)) as usize & 0x3f);
            char::from(*digit.expect("six bits index an alphabet of 64"))
        })
    })
}
