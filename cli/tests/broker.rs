//! The embedded broker as a user runs it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// Starts it on a free port, waits until it serves, sends the signals and tells how it ended.
fn ended_by(signals: &[&str]) -> Option<i32> {
    let mut broker = Command::new(env!("CARGO_BIN_EXE_waterwheel"))
        .args(["broker", "--port", "0"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut line = String::new();
    BufReader::new(broker.stderr.take().expect("it is piped")).read_line(&mut line).expect("it says its address");
    assert!(line.contains("127.0.0.1:"), "{line}");
    for signal in signals {
        let sent = Command::new("kill").args([signal, &*broker.id().to_string()]).status().expect("kill runs");
        assert!(sent.success());
    }
    broker.wait().expect("it ends").code()
}

#[test]
fn ctrl_c_and_sigterm_end_it_in_order() {
    assert_eq!(ended_by(&["-INT"]), Some(0));
    assert_eq!(ended_by(&["-TERM"]), Some(0));
}
