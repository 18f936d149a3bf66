//! Patterns of names that clients send.

use regex_lite::{Error, Regex, RegexBuilder};

/// Compiles a pattern that has to match a whole name.
///
/// # Errors
/// If the pattern is invalid, or takes too much memory.
pub(super) fn whole(pattern: &str) -> Result<Regex, Error> {
    // The pattern is compiled by itself first: with brackets around it, an invalid pattern could become a valid one.
    RegexBuilder::new(pattern).size_limit(PATTERN_LIMIT_BYTES).build()?;
    RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(PATTERN_LIMIT_BYTES).build()
}

/// Most memory of a compiled pattern; a larger one counts as invalid.
const PATTERN_LIMIT_BYTES: usize = 256 * 1024;
