//! Keys that are mostly short, in two words.

use std::borrow::Borrow;
use std::cmp::Ordering;

/// The bytes of a key, short ones in place. Keys are in the order of their bytes.
#[derive(Clone, Debug)]
pub(super) enum SmallKey {
    Short {
        len: u8,
        bytes: [u8; SHORT_BYTES],
    },
    /// Behind a thin pointer, so that it takes no more room than a short one.
    Long(Box<Box<[u8]>>),
}

/// The most bytes of a key that is kept in place.
const SHORT_BYTES: usize = 14;

impl SmallKey {
    #[inline]
    pub(super) fn new(key: &[u8]) -> Self {
        if key.len() > SHORT_BYTES {
            return Self::Long(Box::new(key.into()));
        }
        let mut bytes = [0; SHORT_BYTES];
        bytes[..key.len()].copy_from_slice(key);
        Self::Short { len: key.len() as u8, bytes }
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => &bytes[..usize::from(*len).min(SHORT_BYTES)],
            Self::Long(bytes) => bytes,
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Short { .. } => 0,
            Self::Long(bytes) => size_of::<Box<[u8]>>() + bytes.len(),
        }
    }
}

impl Borrow<[u8]> for SmallKey {
    fn borrow(&self) -> &[u8] {
        self.as_slice()
    }
}

impl PartialEq for SmallKey {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for SmallKey {}

impl PartialOrd for SmallKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SmallKey {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_takes_two_words() {
        assert_eq!(size_of::<SmallKey>(), 16);
    }

    #[test]
    fn keys_of_all_lengths_are_in_the_order_of_their_bytes() {
        let keys: Vec<Vec<u8>> = (0..40).map(|length| vec![b'a' + length % 3; usize::from(length)]).collect();
        for one in &keys {
            for other in &keys {
                assert_eq!(SmallKey::new(one).cmp(&SmallKey::new(other)), one.cmp(other));
            }
            assert_eq!(SmallKey::new(one).as_slice(), one);
        }
    }
}
