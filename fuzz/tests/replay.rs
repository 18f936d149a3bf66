//! Replays every stored input of every target.

use std::fs;
use std::path::Path;

use fuzz_targets::TARGETS;

/// Runs the files of a folder; a panic is reported behind the name of its file.
fn replay(folder: &str) -> usize {
    let mut count = 0;
    for (target, run) in TARGETS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(target);
        let Ok(files) = fs::read_dir(path) else { continue };
        for file in files {
            let path = file.expect("the folder can be read").path();
            eprintln!("{}", path.display());
            run(&fs::read(&path).expect("the file can be read"));
            count += 1;
        }
    }
    count
}

#[test]
fn the_corpus_passes() {
    assert!(replay("corpus") > TARGETS.len(), "the corpus is checked in");
}

#[test]
fn past_finds_pass() {
    replay("regressions");
}

#[test]
fn every_target_has_a_corpus_and_a_binary() {
    for (target, _) in TARGETS {
        let room = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(room.join("corpus").join(target).is_dir(), "corpus/{target}");
        assert!(room.join("fuzz_targets").join(target).with_extension("rs").is_file(), "fuzz_targets/{target}.rs");
    }
}
