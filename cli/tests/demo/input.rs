//! Inputs of the demo: each is read once, whatever kind of file it is.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::{Folder, command, demo, demo_reading, ended};

#[test]
fn files_are_counted_as_tr_and_uniq_do_and_lines_that_are_not_utf8_are_reported() {
    let folder = Folder::new("files");
    let counts = Folder::new("files-counts").path("counts");
    std::fs::create_dir_all(std::path::Path::new(&counts).parent().unwrap()).unwrap();
    folder.file("a.txt", b"To be, or not to be!\r\ncaf\xe9 is left out\n");
    folder.file("b.txt", "long ".repeat(400_000));
    let result = demo(&["--input", &folder.path(""), "--counts", &counts, "--kills", "1"]).clean();
    assert!(result.contains("1 of the 3 lines are not UTF-8"), "{result}");
    let expected = "      2 be\n 400000 long\n      1 not\n      1 or\n      2 to\n";
    assert_eq!(std::fs::read_to_string(counts).unwrap(), expected);
}

#[test]
fn standard_input_is_read_once_by_each_of_its_names() {
    for name in ["-", "/dev/stdin", "/proc/self/fd/0"] {
        let run = demo_reading(&["--input", name, "--kills", "0", "--counts", "-"], b"one two\nthree\n");
        assert!(run.stderr.contains("expected 3  got 3"), "{name}: {}", run.stderr);
        assert_eq!(run.clean(), "      1 one\n      1 three\n      1 two\n", "{name}");
    }
    demo(&["--input", "-", "-"]).fails(2, "standard input can be read once");
    let nothing = demo_reading(&["--input", "-"], b"").clean();
    assert!(nothing.contains("expected 0  got 0") && nothing.contains("clean"), "{nothing}");
}

#[test]
fn a_pipe_is_read_to_its_end_and_beside_files() {
    let folder = Folder::new("pipe");
    let pipe = folder.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let file = folder.file("file", "two\n");
    let child = command(&["--input", &pipe, &file, "--kills", "0"]).spawn().unwrap();
    // This blocks until the demo opens its end of the pipe.
    File::create(&pipe).unwrap().write_all(b"one\ntwo").unwrap();
    let result = ended(child).clean();
    assert!(result.contains("top words  two 2, one 1"), "{result}");
    // A pipe in a folder was not named by the user, and waiting for it would last for ever.
    let result = demo(&["--input", &folder.path(""), "--kills", "0"]).clean();
    assert!(result.contains("done       1 lines"), "{result}");
}

#[test]
fn a_file_that_grows_ends_where_it_ended_at_the_start() {
    let folder = Folder::new("grows");
    let file = folder.file("log", "a b c\n".repeat(20_000));
    let mut child = command(&["--input", &file, "--kills", "1"]).spawn().unwrap();
    let mut log = OpenOptions::new().append(true).open(&file).unwrap();
    while child.try_wait().unwrap().is_none() {
        log.write_all(b"more and more\n").unwrap();
        std::thread::yield_now();
    }
    let result = ended(child).clean();
    assert!(result.contains("clean: every word counted exactly once"), "{result}");
}

#[test]
fn lines_are_cut_at_the_number_asked_for_although_the_input_never_ends() {
    let mut yes = Command::new("yes").arg("a b").stdout(Stdio::piped()).spawn().unwrap();
    let child = command(&["--input", "-", "--records", "1k", "--kills", "0"])
        .stdin(yes.stdout.take().unwrap())
        .spawn()
        .unwrap();
    let result = ended(child).clean();
    yes.wait().unwrap();
    assert!(result.contains("expected 2000  got 2000"), "{result}");
}

#[test]
fn a_line_that_is_too_long_is_named_with_the_way_out() {
    let folder = Folder::new("long-line");
    let path = folder.file("huge", "short\n");
    OpenOptions::new().append(true).open(&path).unwrap().set_len(40 << 20).unwrap();
    let run = demo(&["--input", &path]);
    run.fails(1, &format!("{path}: line 2 is longer than 33554432 bytes"));
    run.fails(1, &format!("fold -s -b -w 1000000 {path} | waterwheel demo --input -"));
    assert_eq!(run.stdout, "");
}

#[test]
fn a_word_of_3_mb_is_counted_like_any_other() {
    let folder = Folder::new("long-word");
    // Digits in random order, which do not compress.
    let mut state = 1_u64;
    let mut digit = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        b"0123456789abcdef"[(state >> 60) as usize]
    };
    let word: Vec<u8> = (0..3_000_000).map(|_| digit()).collect();
    let path = folder.file("word", [b"a ", &*word, b" a\n"].concat());
    let result = demo(&["--input", &path, "--kills", "0", "--json"]).clean();
    assert!(result.contains(r#""expected_words":3,"got_words":3"#), "{}", &result[..200]);
}

#[test]
fn a_long_word_is_shown_by_its_beginning() {
    let result = demo_reading(&["--input", "-", "--kills", "0"], &[b'a'; 100_000]).clean();
    assert!(result.contains("aaaa... of 100000 bytes 1  (1 different)") && result.len() < 1_000, "{result}");
}

#[test]
fn input_that_is_not_there_is_named() {
    demo(&["--input", "/nonexistent/words"]).fails(1, "/nonexistent/words");
    let folder = Folder::new("empty");
    demo(&["--input", &folder.path("")]).fails(1, "--input takes text files or folders");
}
