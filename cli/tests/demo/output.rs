//! The destinations of the demo's output.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;

use crate::{Folder, command, demo, ended};

#[test]
fn the_result_goes_to_stdout_and_the_rest_to_stderr() {
    let run = demo(&["--records", "5k", "--kills", "0"]);
    for word in ["broker", "input", "loaded", "Topology"] {
        assert!(run.stderr.contains(word) && !run.stdout.contains(word), "{word}: {run:?}");
    }
    for word in ["done", "top words", "audit", "clean: every word counted exactly once"] {
        assert!(run.stdout.contains(word) && !run.stderr.contains(word), "{word}: {run:?}");
    }
}

#[test]
fn json_has_the_fields_that_help_lists() {
    let result = demo(&["--records", "5k", "--kills", "1", "--json"]).clean();
    let result: serde_json::Value = serde_json::from_str(&result).unwrap();
    assert_eq!(result["clean"], true);
    assert_eq!((&result["expected_words"], &result["got_words"]), (&50_000.into(), &50_000.into()));
    assert_eq!((&result["lost_words"], &result["open_words"]), (&0.into(), &0.into()));
    assert!(result["interrupted"].is_null());
    assert_eq!(result["top_words"].as_array().unwrap().len(), 5);
    assert_eq!(result["topics"].as_array().unwrap().len(), 4);

    let help = demo(&["--help"]).clean();
    let (_, help) = help.split_once("--json").unwrap();
    let (help, _) = help.split_once("--keep").unwrap();
    let told: BTreeSet<&str> = help.split('`').skip(1).step_by(2).collect();
    for field in result.as_object().unwrap().keys() {
        assert!(told.contains(&**field), "--help does not tell of {field}");
    }
}

#[test]
fn a_place_for_counts_that_cannot_be_written_is_told_before_the_work() {
    let run = demo(&["--records", "1k", "--counts", "/nonexistent/x"]);
    run.fails(1, "--counts /nonexistent/x");
    assert!(!run.stderr.contains("broker "), "{}", run.stderr);
    demo(&["--json", "--counts", "-"]).fails(2, "--counts a file");
    // The file opens, but cannot be written: the audit is printed all the same.
    let run = demo(&["--records", "1k", "--kills", "0", "--counts", "/dev/full"]);
    run.fails(1, "--counts /dev/full");
    assert!(run.stdout.contains("clean: every word"), "{run:?}");
}

#[test]
fn a_run_that_fails_leaves_the_file_of_counts_as_it_was() {
    let folder = Folder::new("counts");
    let old = folder.file("old", "kept\n");
    demo(&["--bootstrap-server", "127.0.0.1:1", "--counts", &old]).fails(1, "127.0.0.1:1");
    assert_eq!(fs::read_to_string(&old).unwrap(), "kept\n");
    let new = folder.path("new");
    demo(&["--bootstrap-server", "127.0.0.1:1", "--counts", &new]).fails(1, "127.0.0.1:1");
    assert!(!fs::exists(&new).unwrap());
    // A longer file is replaced completely.
    let long = folder.file("long", "x".repeat(10_000_000));
    demo(&["--records", "1k", "--kills", "0", "--counts", &long]).clean();
    assert!(fs::read_to_string(&long).unwrap().ends_with('\n'));
}

#[test]
fn readers_that_have_gone_neither_end_the_run_nor_make_noise() {
    for arguments in [&["--records", "5k", "--kills", "1"][..], &["--records", "1k", "--json"], &["--help"]] {
        let mut child = command(arguments).spawn().unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        assert_eq!(child.wait().unwrap().code(), Some(0), "{arguments:?}");
    }
    let full = Stdio::from(fs::File::create("/dev/full").unwrap());
    let child = command(&["--records", "1k", "--kills", "0"]).stdout(full).spawn().unwrap();
    ended(child).fails(1, "standard output: No space left");
}
