//! Checkers of what a run left behind; each has a planted bug that it must catch.

pub mod word_count;
