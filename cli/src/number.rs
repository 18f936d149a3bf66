//! Numbers as people type them.

/// Reads a count: digits, in groups divided by `_` or `,` where that helps, and `k`, `M` or `G` for thousands, millions
/// and thousands of millions, after a fraction if need be: `250000`, `250_000`, `250k`, `1.5M`.
///
/// # Errors
/// Says what is taken.
pub(crate) fn count(text: &str) -> Result<u64, String> {
    parse(text).ok_or_else(|| format!("`{text}` is no count: write it as 250000, 250_000, 250k or 1.5M"))
}

fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, zeros) = match text.char_indices().next_back()? {
        (at, 'k' | 'K') => (&text[..at], 3),
        (at, 'm' | 'M') => (&text[..at], 6),
        (at, 'g' | 'G') => (&text[..at], 9),
        _ => (text, 0),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    // A fraction of a record is none: 1.5k is 1500, and 1.5 is refused.
    if fraction.len() > zeros || (number.contains('.') && fraction.is_empty()) {
        return None;
    }
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let groups_end = |byte: u8| byte.is_ascii_digit();
    if !whole.bytes().next().is_some_and(groups_end) || !whole.bytes().next_back().is_some_and(groups_end) {
        return None;
    }
    let whole = whole.replace(['_', ','], "");
    if !is_digits(&whole) || !is_digits(fraction) {
        return None;
    }
    format!("{whole}{fraction:0<zeros$}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn counts_are_read_as_people_write_them() {
        for (text, expected) in [
            ("0", 0),
            ("250000", 250_000),
            ("250_000", 250_000),
            ("1,000,000", 1_000_000),
            ("1k", 1_000),
            ("2M", 2_000_000),
            ("2m", 2_000_000),
            ("1.5M", 1_500_000),
            ("0.25k", 250),
            ("3G", 3_000_000_000),
        ] {
            assert_eq!(count(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_count_is_refused_with_what_is_one() {
        for text in [
            "",
            "k",
            "-1",
            "1.5",
            "1.k",
            "1kk",
            "1e6",
            "_1",
            "1_",
            "1..5M",
            "1.2345k",
            "0x10",
            "99999999999G",
            "\u{663}",
        ] {
            assert!(count(text).unwrap_err().contains("250_000"), "{text}");
        }
    }
}
