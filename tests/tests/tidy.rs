//! Rules for the source tree: imports between modules, lengths of files and functions, comments, and advice.
//!
//! Each rule reads the sources as text, and reports all its findings at once, one line for each place.

#[path = "tidy/advice.rs"]
mod advice;
#[path = "tidy/faults.rs"]
mod faults;
#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/source.rs"]
mod source;

use imports::Imports;
use source::{Source, files, top_level_uses, workspace};

/// Modules of kafka-wire by rank: a module uses its own files and lower ranks, never a sibling or a higher rank.
const KAFKA_WIRE: &[&[&str]] = &[
    &["types", "time", "rng"],
    &["wire"],
    &["record", "protocol"],
    &["cluster", "sasl"],
    &["metrics"],
    &["session", "producer", "consumer", "group", "admin"],
    &["client"],
    &["blocking"],
];

/// Modules of processor by rank.
const PROCESSOR: &[&[&str]] = &[
    &["types", "cep"],
    &["serde"],
    &["error", "output"],
    &["state", "window", "watermark"],
    &["operator"],
    &["topology"],
    &["task"],
    &["commit"],
    &["worker"],
    &["runtime", "driver", "files"],
];

/// The dependencies that are allowed inside the workspace, dev-dependencies included: tests that need a
/// broker are in `tests/`.
const ARROWS: &[(&str, &[&str])] = &[
    ("kafka-wire", &["kafka-wire-compression"]),
    ("kafka-wire/compression", &["kafka-wire-compression"]), // It depends on itself, with all features, for its tests.
    ("kafka-wire/codegen", &[]),
    ("processor", &["kafka-wire", "processor-derive"]),
    ("processor/derive", &[]),
    ("processor/formats", &["processor", "processor-formats"]), // Itself, as above.
    ("testkit", &["kafka-wire"]),
    ("fuzz", &["kafka-wire", "kafka-wire-codegen"]),
];

/// The crates in which files must not import each other in a circle.
const CRATES: &[&str] = &[
    "kafka-wire",
    "kafka-wire/codegen",
    "kafka-wire/compression",
    "processor",
    "processor/derive",
    "processor/formats",
    "testkit",
    "cli",
    "tests",
    "fuzz",
    "bench",
];

/// Most lines of a file, without its tests.
const LINES_MAX: usize = 600;

/// Most lines of tests at the end of a file; longer tests belong in a `tests.rs` beside it.
const INLINE_TEST_LINES_MAX: usize = 150;

/// Most lines of a function.
const FUNCTION_LINES_MAX: usize = 70;

/// Columns of a line, in comments as in code (`max_width` in rustfmt.toml).
const WIDTH_MAX: usize = 120;

/// Files that may have up to 1,000 lines, with the reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// Functions that may be longer, as `file::function`, with the reason.
const LONG_FUNCTIONS: &[(&str, &str)] = &[];

/// Every handwritten Rust file of the workspace.
fn sources() -> Vec<Source> {
    let rooms = ["kafka-wire", "processor", "testkit", "cli", "tests", "fuzz", "examples", "bench"];
    rooms.iter().flat_map(|room| files(room)).filter(|source| !source.path.contains("/protocol/generated/")).collect()
}

#[track_caller]
fn assert_none(law: &str, found: &[String]) {
    assert!(found.is_empty(), "{law}:\n  {}", found.join("\n  "));
}

/// Uses of a module of the same or a higher rank.
fn rank_breaches(room: &str, ranks: &[&[&str]]) -> Vec<String> {
    let rank = |module: &str| ranks.iter().position(|modules| modules.contains(&module));
    let mut found = Vec::new();
    for source in files(&format!("{room}/src")) {
        let Some(module) = source.module() else { continue };
        let Some(own) = rank(&module) else {
            found.push(format!("{}: module {module} has no rank in tests/tests/tidy.rs", source.path));
            continue;
        };
        for (line, used) in top_level_uses(&source) {
            // A name that is no module is an item of the crate's root, which all modules may use.
            let Some(other) = rank(&used) else { continue };
            if used != module && other >= own {
                found.push(format!("{}:{line}: {module} (rank {own}) uses {used} (rank {other})", source.path));
            }
        }
    }
    found
}

#[test]
fn modules_use_only_lower_ranks() {
    let mut found = rank_breaches("kafka-wire", KAFKA_WIRE);
    found.extend(rank_breaches("processor", PROCESSOR));
    assert_none("a module uses its own files and lower ranks only", &found);
}

#[test]
fn files_import_each_other_in_no_circle() {
    let mut found = Vec::new();
    for room in CRATES {
        let sources = files(&format!("{room}/src"));
        let written = sources.iter().filter(|source| !source.path.contains("/protocol/generated/"));
        found.extend(Imports::read(written).circles());
    }
    assert_none("files that import each other in a circle", &found);
}

#[test]
fn crates_depend_only_downwards() {
    let rooms = [
        "kafka-wire",
        "processor",
        "processor-derive",
        "testkit",
        "waterwheel",
        "conformance",
        "fuzz-targets",
        "kafka-wire-codegen",
        "kafka-wire-compression",
    ];
    let mut found = Vec::new();
    for (room, allowed) in ARROWS {
        let manifest = workspace().join(room).join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest).expect("every room has a manifest");
        let dependencies = text.split_once("dependencies]").map_or("", |(_, after)| after);
        for line in dependencies.lines() {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if rooms.contains(&name) && name != *room && !allowed.contains(&name) {
                found.push(format!("{room}/Cargo.toml: {name}"));
            }
        }
    }
    assert_none("an arrow that architecture does not have", &found);
}

#[test]
fn files_stay_within_their_budget() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        let (code, tests) = source.code_and_test_lines();
        let is_excused = LONG_FILES.iter().any(|(path, _)| *path == source.path) && code <= 1000;
        if code > LINES_MAX && !is_excused {
            found.push(format!("{}: {code} lines, budget {LINES_MAX}", source.path));
        }
        if tests > INLINE_TEST_LINES_MAX {
            found.push(format!("{}: {tests} lines of tests, which belong in a tests.rs", source.path));
        }
    }
    for (path, _) in LONG_FILES {
        if !sources().iter().any(|source| source.path == *path && source.code_and_test_lines().0 > LINES_MAX) {
            found.push(format!("{path}: needs its excuse no more"));
        }
    }
    assert_none("too long for one file", &found);
}

#[test]
fn functions_stay_within_their_budget() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        for (line, name, length) in source.functions() {
            let place = format!("{}::{name}", source.path);
            if length > FUNCTION_LINES_MAX && !LONG_FUNCTIONS.iter().any(|(excused, _)| *excused == place) {
                found.push(format!("{}:{line}: {name} has {length} lines, budget {FUNCTION_LINES_MAX}", source.path));
            }
        }
    }
    assert_none("too long for one function", &found);
}

#[test]
fn comments_are_ascii() {
    let mut found = Vec::new();
    for source in sources() {
        for (line, comment) in source.comments() {
            if !comment.is_ascii() {
                found.push(format!("{}:{line}: {comment}", source.path));
            }
        }
    }
    assert_none("a comment that is not ASCII", &found);
}

#[test]
fn comments_fit_into_the_width() {
    let mut found = Vec::new();
    for source in sources() {
        for (line, text) in source.lines() {
            let width = text.chars().count();
            if text.trim_start().starts_with("//") && width > WIDTH_MAX {
                found.push(format!("{}:{line}: {width} columns", source.path));
            }
        }
    }
    assert_none("a comment wider than the code may be", &found);
}

#[test]
fn the_table_of_faults_names_tests_that_exist() {
    assert_none("a test that tests/FAULTS.md names and is not there", &faults::missing("tests/FAULTS.md"));
}

#[test]
fn comments_begin_with_the_name_of_a_thing() {
    let mut found = Vec::new();
    for source in sources() {
        for (line, text) in source.lines() {
            let Some(comment) = text.trim_start().strip_prefix("//") else { continue };
            let comment = comment.trim_start_matches(['/', '!']).trim();
            if comment.starts_with("What ") && !comment.ends_with('?') {
                found.push(format!("{}:{line}: {comment}", source.path));
            }
        }
    }
    assert_none("a comment that begins with \"What\" where a noun says which thing it is about", &found);
}

#[test]
fn advice_names_settings_that_exist() {
    assert_eq!(
        advice::dotted("f(\"see linger.ms, or a.rs\") // \"no.text\""),
        [(1, "linger.ms".into()), (1, "a.rs".into())]
    );
    let known = advice::known();
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| advice::has_errors(source)) {
        for (line, name) in advice::dotted(source.code()) {
            if !known.contains(&name) {
                found.push(format!("{}:{line}: {name}", source.path));
            }
        }
    }
    assert_none("an error that names a setting which no reference has", &found);
}

#[test]
fn no_test_is_switched_off() {
    let mut found = Vec::new();
    for source in sources() {
        for (line, text) in source.lines() {
            if text.trim_start().starts_with("#[ignore") {
                found.push(format!("{}:{line}", source.path));
            }
        }
    }
    assert_none("a test that nothing runs", &found);
}
