//! Checkers of the results of a run. For each, the tests plant a bug that it must catch.

pub mod word_count;
