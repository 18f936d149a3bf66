//! Replays every stored input of every target.

use fuzz_targets::{TARGETS, seeds};

#[test]
fn seeds_pass() {
    for (target, run) in TARGETS {
        let seeds = seeds::of(target);
        assert!(!seeds.is_empty(), "{target} starts from nothing");
        for (name, input) in seeds {
            eprintln!("{target}: {name}");
            run(&input);
        }
    }
}

#[test]
fn past_finds_pass() {
    for (target, run) in TARGETS {
        for (name, input) in seeds::files(&seeds::room().join("regressions").join(target)) {
            eprintln!("{target}: {name}");
            run(&input);
        }
    }
}

#[test]
fn every_target_has_a_binary() {
    for (target, _) in TARGETS {
        assert!(seeds::room().join("fuzz_targets").join(target).with_extension("rs").is_file(), "{target}");
    }
}
