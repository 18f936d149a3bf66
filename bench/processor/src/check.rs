//! The check of a job's output against a count of the input.

use std::collections::HashMap;

/// The expected output, computed from the input alone.
pub(crate) enum Expected {
    /// One output record for each input record, in any order.
    Each { records: u64, fingerprints: u64 },
    /// Increasing counts for each key, of which this is the last. A result that occurs twice shows, because the
    /// second is not greater.
    Last(HashMap<Vec<u8>, i64>),
    /// One record for each key and window. Here, a key is followed by the start of the window; in the output,
    /// the value begins with it.
    Once(HashMap<Vec<u8>, i64>),
    /// Values for each key, of which this is the last: each replaces the one before it.
    Latest(HashMap<Vec<u8>, Vec<u8>>),
    /// Numbers for each key that add up to this. A number is the second column of a value.
    Sums(HashMap<Vec<u8>, i64>),
}

/// The output that has been read so far.
pub(crate) struct Seen<'e> {
    expected: &'e Expected,
    records: u64,
    fingerprints: u64,
    numbers: HashMap<Vec<u8>, i64>,
    values: HashMap<Vec<u8>, Vec<u8>>,
    wrong: Option<String>,
}

impl<'e> Seen<'e> {
    pub(crate) fn nothing(expected: &'e Expected) -> Self {
        let (numbers, values) = (HashMap::new(), HashMap::new());
        Self { expected, records: 0, fingerprints: 0, numbers, values, wrong: None }
    }

    /// Takes the next record of a partition.
    pub(crate) fn take(&mut self, key: &[u8], value: &[u8]) {
        self.records += 1;
        let windowed;
        let (key, number) = match self.expected {
            Expected::Each { .. } => {
                self.fingerprints = self.fingerprints.wrapping_add(fingerprint(key, value));
                return;
            }
            Expected::Latest(_) => {
                self.values.insert(key.to_vec(), value.to_vec());
                return;
            }
            Expected::Sums(_) => {
                match value.get(8..16).and_then(number) {
                    Some(number) => *self.numbers.entry(key.to_vec()).or_default() += number,
                    None => self.fail(format!("a value of {} bytes", value.len())),
                }
                return;
            }
            Expected::Last(_) => (key, number(value)),
            Expected::Once(_) if key == SENTINEL_KEY.to_be_bytes() => return,
            Expected::Once(_) => {
                let (start, sum) = value.split_at(value.len().min(8));
                windowed = [key, start].concat();
                (windowed.as_slice(), number(sum))
            }
        };
        let Some(number) = number else { return self.fail(format!("a value of {} bytes", value.len())) };
        let twice = match self.numbers.get_mut(key) {
            Some(before) => {
                let is_greater = *before < number && matches!(self.expected, Expected::Last(_));
                *before = number;
                !is_greater
            }
            None => {
                self.numbers.insert(key.to_vec(), number);
                false
            }
        };
        if twice {
            self.fail(format!("a result that was there before: {key:?} {number}"));
        }
    }

    /// Checks that the output is complete and without duplicates.
    ///
    /// # Errors
    /// The first difference.
    pub(crate) fn verdict(self) -> Result<(), String> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        match self.expected {
            Expected::Each { records, fingerprints } => {
                match (*records, *fingerprints) == (self.records, self.fingerprints) {
                    true => Ok(()),
                    false => Err(format!("{} records of {records}, or other ones", self.records)),
                }
            }
            Expected::Last(expected) | Expected::Once(expected) | Expected::Sums(expected) => {
                same(&self.numbers, expected)
            }
            Expected::Latest(expected) => same(&self.values, expected),
        }
    }

    fn fail(&mut self, wrong: String) {
        self.wrong.get_or_insert(wrong);
    }
}

fn same<T: PartialEq>(seen: &HashMap<Vec<u8>, T>, expected: &HashMap<Vec<u8>, T>) -> Result<(), String> {
    let right = expected.iter().filter(|(key, value)| seen.get(*key) == Some(value)).count();
    match right == expected.len() && seen.len() == expected.len() {
        true => Ok(()),
        false => Err(format!("{right} right of {}, {} seen", expected.len(), seen.len())),
    }
}

fn number(bytes: &[u8]) -> Option<i64> {
    bytes.try_into().ok().map(i64::from_be_bytes)
}

/// A hash that is hardly ever the same for two records (FNV-1a, mixed): sums of hashes compare sets.
pub(crate) fn fingerprint(key: &[u8], value: &[u8]) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = key.iter().chain(value).fold(0xcbf2_9ce4_8422_2325, fold);
    (hash ^ (hash >> 29)).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (hash >> 32)
}

/// The key of the records that close the last windows of a job; the check leaves it out.
pub(crate) const SENTINEL_KEY: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(expected: &Expected, records: &[(&[u8], Vec<u8>)]) -> Result<(), String> {
        let mut seen = Seen::nothing(expected);
        records.iter().for_each(|(key, value)| seen.take(key, value));
        seen.verdict()
    }

    fn be(number: i64) -> Vec<u8> {
        number.to_be_bytes().to_vec()
    }

    #[test]
    fn a_count_that_is_lost_repeated_or_too_high_is_found() {
        let expected = Expected::Last(HashMap::from([(b"k".to_vec(), 3)]));
        assert!(verdict(&expected, &[(b"k", be(1)), (b"k", be(3))]).is_ok());
        assert!(verdict(&expected, &[(b"k", be(1))]).is_err());
        assert!(verdict(&expected, &[(b"k", be(3)), (b"k", be(3))]).is_err());
        assert!(verdict(&expected, &[(b"k", be(3)), (b"k", be(4))]).is_err());
        assert!(verdict(&expected, &[(b"k", be(3)), (b"l", be(1))]).is_err());
    }

    #[test]
    fn a_window_that_comes_twice_or_with_another_sum_is_found() {
        let expected = Expected::Once(HashMap::from([([b"k".as_slice(), &be(10)].concat(), 3)]));
        let sum = |start, sum| [be(start), be(sum)].concat();
        assert!(verdict(&expected, &[(b"k", sum(10, 3)), (&SENTINEL_KEY.to_be_bytes(), sum(20, 0))]).is_ok());
        assert!(verdict(&expected, &[(b"k", sum(10, 3)), (b"k", sum(10, 3))]).is_err());
        assert!(verdict(&expected, &[(b"k", sum(10, 2))]).is_err());
        assert!(verdict(&expected, &[]).is_err());
    }

    #[test]
    fn a_value_that_is_not_the_last_one_is_found() {
        let expected = Expected::Latest(HashMap::from([(b"k".to_vec(), be(2))]));
        assert!(verdict(&expected, &[(b"k", be(1)), (b"k", be(2))]).is_ok());
        assert!(verdict(&expected, &[(b"k", be(2)), (b"k", be(1))]).is_err());
        assert!(verdict(&expected, &[(b"k", be(2)), (b"l", be(2))]).is_err());
        assert!(verdict(&expected, &[]).is_err());
    }

    #[test]
    fn a_number_that_is_missing_or_doubled_is_found() {
        let expected = Expected::Sums(HashMap::from([(b"k".to_vec(), 3)]));
        let part = |number| [be(0), be(number), be(9)].concat();
        assert!(verdict(&expected, &[(b"k", part(1)), (b"k", part(2))]).is_ok());
        assert!(verdict(&expected, &[(b"k", part(1))]).is_err());
        assert!(verdict(&expected, &[(b"k", part(1)), (b"k", part(2)), (b"k", part(2))]).is_err());
        assert!(verdict(&expected, &[(b"k", be(3))]).is_err());
    }

    #[test]
    fn a_record_that_is_missing_doubled_or_changed_is_found() {
        let fingerprints = fingerprint(b"k", b"A").wrapping_add(fingerprint(b"l", b"B"));
        let expected = Expected::Each { records: 2, fingerprints };
        let [a, b] = [(b"k".as_slice(), b"A".to_vec()), (b"l".as_slice(), b"B".to_vec())];
        assert!(verdict(&expected, &[b.clone(), a.clone()]).is_ok());
        assert!(verdict(&expected, std::slice::from_ref(&a)).is_err());
        assert!(verdict(&expected, &[a.clone(), a.clone()]).is_err());
        assert!(verdict(&expected, &[a, (b"l", b"b".to_vec())]).is_err());
    }
}
