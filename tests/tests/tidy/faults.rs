//! The table of faults names tests that exist.

use std::fs;

use crate::source::workspace;

/// The tests that a page names in backticks as `suite::body` or `path.rs::body`, and which are not there.
pub(crate) fn missing(page: &str) -> Vec<String> {
    let text = fs::read_to_string(workspace().join(page)).expect("the page is there");
    let named = text.split('`').skip(1).step_by(2).filter_map(|code| code.split_once("::"));
    let is_test =
        |(_, body): &(&str, &str)| body.bytes().all(|byte| byte.is_ascii_lowercase() || b"_0123456789".contains(&byte));
    let named: Vec<_> = named.filter(is_test).filter(|(suite, _)| *suite != "testkit").collect();
    assert!(named.len() > 20, "{page} names tests");
    let lacks = |(suite, body): &(&str, &str)| {
        let path = match suite.strip_suffix(".rs") {
            Some(_) => format!("kafka-wire/src/{suite}"),
            None => format!("tests/tests/{suite}.rs"),
        };
        let source = fs::read_to_string(workspace().join(path)).unwrap_or_default();
        !source.contains(&format!("fn {body}("))
    };
    named.into_iter().filter(lacks).map(|(suite, body)| format!("{suite}::{body}")).collect()
}
