//! Ctrl-C and SIGTERM in the middle of a run.

use std::io::{BufRead, BufReader, Read as _};
use std::process::{Child, ChildStderr, Command, Stdio};

use crate::command;

/// Sends the signals at once, by a shell that has `kill` built in: the program cannot end in order between two of them.
fn send(child: &Child, signals: &[&str]) {
    let script: Vec<String> = signals.iter().map(|signal| format!("kill {signal} {}", child.id())).collect();
    assert!(Command::new("sh").args(["-c", &script.join("; ")]).status().expect("sh runs").success());
}

/// Waits for the line of stderr that contains `moment`, and returns the rest of stderr.
pub(crate) fn wait_for(child: &mut Child, moment: &str) -> BufReader<ChildStderr> {
    let mut stderr = BufReader::new(child.stderr.take().expect("it is piped"));
    let mut line = String::new();
    while !line.contains(moment) {
        line.clear();
        assert!(stderr.read_line(&mut line).expect("UTF-8") > 0, "{moment:?} never came");
    }
    stderr
}

/// Waits for that line, sends the signals, and returns exit code, stdout and the rest of stderr.
fn stopped(moment: &str, signals: &[&str], arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut yes = Command::new("yes").arg("a b").stdout(Stdio::piped()).spawn().expect("yes runs");
    let mut child = command(arguments).stdin(yes.stdout.take().expect("it is piped")).spawn().expect("the binary runs");
    let mut stderr = wait_for(&mut child, moment);
    send(&child, signals);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).expect("UTF-8");
    let output = child.wait_with_output().expect("the binary ends");
    yes.wait().expect("it ends without a reader");
    (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"), rest)
}

#[test]
fn the_first_signal_stops_the_job_and_audits_what_is_out() {
    let (code, stdout, stderr) = stopped("lag", &["-INT"], &["--records", "400k", "--kills", "1"]);
    assert_eq!(code, Some(130), "{stdout}{stderr}");
    for said in ["stopped ", "lost 0  duplicated 0", "SIGINT came first", "clean as far as it went"] {
        assert!(stdout.contains(said), "{said}: {stdout}");
    }
    let (code, stdout, stderr) = stopped("lag", &["-TERM"], &["--records", "400k", "--json"]);
    assert_eq!(code, Some(143), "{stdout}{stderr}");
    let result: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&result["clean"], &result["interrupted"]), (&true.into(), &"SIGTERM".into()));
    let number = |field: &str| result[field].as_u64().unwrap();
    assert_eq!(number("expected_words") + number("open_words"), 4_000_000);
    assert!(number("open_words") > 0);
}

#[test]
fn a_second_signal_ends_the_run_at_once() {
    let (code, stdout, _) = stopped("lag", &["-INT", "-TERM"], &["--records", "400k"]);
    // Two signals at the same moment may be handled in either order.
    assert!(matches!(code, Some(130 | 143)), "{code:?}");
    assert_eq!(stdout, "");
}

#[test]
fn a_signal_while_the_input_is_written_ends_the_run_before_the_job() {
    let (code, stdout, stderr) = stopped("input ", &["-INT"], &["--input", "-"]);
    assert_eq!((code, &*stdout), (Some(130), ""), "{stderr}");
    assert!(stderr.contains("nothing was counted"), "{stderr}");
}
