//! The demo as a user runs it.

use std::fs;
use std::process::{Command, Output};

fn demo(arguments: &[&str]) -> (Output, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_waterwheel")).arg("demo").args(arguments).output().expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, text)
}

#[test]
fn a_run_with_kills_is_clean() {
    let (output, text) = demo(&["--records", "20000", "--kills", "2"]);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("expected 200000  got 200000  lost 0  duplicated 0"), "{text}");
}

#[test]
fn files_are_counted_as_tr_and_uniq_do_and_lines_that_are_not_utf8_are_reported() {
    let folder = std::env::temp_dir().join(format!("waterwheel-demo-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("a.txt"), b"To be, or not to be!\r\ncaf\xe9 is left out\n").unwrap();
    fs::write(folder.join("b.txt"), "long ".repeat(400_000)).unwrap();
    let counts = folder.join("counts");
    let (output, text) =
        demo(&["--input", folder.to_str().unwrap(), "--counts", counts.to_str().unwrap(), "--kills", "1"]);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 lines are not UTF-8"), "{text}");
    let expected = "      2 be\n 400000 long\n      1 not\n      1 or\n      2 to\n";
    assert_eq!(fs::read_to_string(counts).unwrap(), expected);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn bad_input_is_named() {
    let (output, text) = demo(&["--input", "/nonexistent/words"]);
    assert!(!output.status.success() && text.contains("/nonexistent/words"), "{text}");
    let (output, text) = demo(&["--kill", "2"]);
    assert!(output.status.code() == Some(2) && text.contains("--kills"), "{text}");
    let (output, text) = demo(&["--brokers", "127.0.0.1:1"]);
    assert!(!output.status.success() && text.contains("127.0.0.1:1"), "{text}");
}
