//! Numbers as people type them.

/// Reads a count: digits, which `_` or `,` may group, optionally with a fraction, and `k`, `M` or `G` for thousands,
/// millions and thousands of millions: `250000`, `250_000`, `250k`, `1.5M`.
///
/// # Errors
/// The error lists the accepted forms.
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
    let (whole, fraction) = match number.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (number, ""),
    };
    // The result must be whole: 1.5k is 1500, and 1.5 is refused.
    if fraction.len() > zeros || !is_digits(fraction) {
        return None;
    }
    let whole = ungrouped(whole)?;
    format!("{whole}{fraction:0<zeros$}").parse().ok()
}

/// The digits without group separators. A comma must stand before three digits: 1,5M is not fifteen millions.
fn ungrouped(whole: &str) -> Option<String> {
    let divider = if whole.contains(',') { ',' } else { '_' };
    let mut groups = whole.split(divider);
    let first = groups.next().filter(|group| !group.is_empty() && is_digits(group))?;
    let mut digits = first.to_owned();
    for group in groups {
        let is_whole = if divider == ',' { group.len() == 3 } else { !group.is_empty() };
        if !is_whole || !is_digits(group) {
            return None;
        }
        digits.push_str(group);
    }
    Some(digits)
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
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
            "1,5M",
            "1,00",
            "1__0",
            "1.2345k",
            "0x10",
            "99999999999G",
            "\u{663}",
        ] {
            assert!(count(text).unwrap_err().contains("250_000"), "{text}");
        }
    }
}
