//! Tests of every command: version, logs, completions, manual pages.

use std::process::{Command, Output};

fn waterwheel(arguments: &[&str]) -> Output {
    waterwheel_with(arguments, &[])
}

fn waterwheel_with(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waterwheel"));
    command.args(arguments).env_remove("RUST_LOG").env_remove("KAFKA_BOOTSTRAP_SERVERS");
    command.envs(variables.iter().copied()).output().expect("the binary runs")
}

#[track_caller]
fn printed(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn the_version_tells_the_commit_where_there_is_one() {
    let version = printed(waterwheel(&["--version"]));
    // The version is compared with the one of this build: the work tree may have moved on since.
    assert_eq!(version.trim(), concat!("waterwheel ", env!("WATERWHEEL_VERSION")));
    let mut git = Command::new("git");
    git.args(["ls-files", "--error-unmatch", "build.rs"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let is_tracked = git.output().is_ok_and(|output| output.status.success());
    let commit =
        version.trim().strip_suffix(')').and_then(|version| version.rsplit_once('(')).map(|(_, commit)| commit);
    let is_commit = |commit: &str| commit.len() == 10 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(commit.is_some_and(is_commit) || !is_tracked, "{version}");
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
}

#[test]
fn every_shell_gets_completions_and_every_command_a_page() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = printed(waterwheel(&["completions", shell]));
        assert!(script.contains("roundtrip") && script.contains("bootstrap-server"), "{shell}");
    }
    for (page, text) in
        [(&["man"][..], "completions"), (&["man", "demo"], "bootstrap"), (&["man", "wire", "decode"], "frames")]
    {
        assert!(printed(waterwheel(page)).contains(text), "{page:?}");
    }
    let output = waterwheel(&["man", "dmeo"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("it has: demo, broker"), "{output:?}");

    let folder = std::env::temp_dir().join(format!("waterwheel-man-{}", std::process::id()));
    printed(waterwheel(&["man", "--dir", folder.to_str().unwrap()]));
    assert!(folder.join("waterwheel.1").exists() && folder.join("waterwheel-demo.1").exists());
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn logs_are_json_where_no_terminal_is_and_follow_flag_and_variable() {
    let run = ["demo", "--records", "100", "--kills", "0"];
    let lines = |arguments: &[&str], variables: &[(&str, &str)]| -> Vec<String> {
        let output = waterwheel_with(&[&run, arguments].concat(), variables);
        assert!(output.status.success(), "{output:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        stderr.lines().filter(|line| line.contains("committed and left the group")).map(str::to_owned).collect()
    };
    assert!(lines(&[], &[]).is_empty(), "the demo logs errors alone");
    for (arguments, variables) in [(&["--log", "info"][..], &[][..]), (&[], &[("RUST_LOG", "warn,processor=info")])] {
        let found = lines(arguments, variables);
        let line: serde_json::Value = serde_json::from_str(&found[0]).unwrap();
        assert_eq!((&line["level"], &line["message"]), (&"INFO".into(), &"committed and left the group".into()));
    }
    assert!(lines(&["--log", "off"], &[("RUST_LOG", "info")]).is_empty(), "the flag goes first");
    assert!(lines(&[], &[("RUST_LOG", "[span]=?")]).is_empty(), "a variable that others may understand is no error");
    let text = lines(&["--log", "info", "--log-format", "text"], &[]);
    assert!(text[0].contains("INFO") && !text[0].starts_with('{'), "{text:?}");
    let output = waterwheel(&["demo", "--log", "loud?=x"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn help_tells_the_exit_codes() {
    for command in [&["--help"][..], &["demo", "--help"]] {
        assert!(printed(waterwheel(command)).contains("Exit codes: 0 "), "{command:?}");
    }
}
