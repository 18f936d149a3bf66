//! The cost of depending on `kafka-wire`: crates, C, and the time to build it once its dependencies are built.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const CRATES_MAX: usize = 18;
const CRATES_ALL_FEATURES_MAX: usize = 51;
const BUILD_MAX: Duration = Duration::from_secs(20);

/// Prints a line for each figure, with its target. Counts include `kafka-wire` itself.
pub(crate) fn print() {
    let bare = crates(&["--no-default-features"]);
    report(
        "crates of --no-default-features",
        &bare.len().to_string(),
        &format!("at most {CRATES_MAX}"),
        bare.len() <= CRATES_MAX,
    );
    let all = crates(&["--all-features"]);
    let limit = format!("at most {CRATES_ALL_FEATURES_MAX}");
    report("crates of --all-features", &all.len().to_string(), &limit, all.len() <= CRATES_ALL_FEATURES_MAX);
    // Build dependencies are checked too: a crate that compiles C has one of these.
    let compilers = ["cc", "cmake", "bindgen", "pkg-config"];
    let builders = tree(&["--all-features", "-e", "normal,build"]);
    let found: Vec<&str> = compilers.into_iter().filter(|name| builders.contains(*name)).collect();
    report("crates that compile C", &found.len().to_string(), "none", found.is_empty());
    for (package, features) in [
        ("kafka-wire", "--no-default-features"),
        ("kafka-wire", "--features=default"),
        ("kafka-wire", "--all-features"),
        ("kafka-wire-compression", "--all-features"),
    ] {
        let time = build_alone(package, features);
        let name = format!("{package} alone, {features}");
        report(
            &name,
            &format!("{:.1} s", time.as_secs_f64()),
            &format!("at most {} s", BUILD_MAX.as_secs()),
            time <= BUILD_MAX,
        );
    }
}

fn report(name: &str, figure: &str, target: &str, is_met: bool) {
    println!("{name:<46}{figure:>15}   {target}: {}", if is_met { "met" } else { "MISSED" });
}

/// Names of the crates that go into a program.
fn crates(features: &[&str]) -> BTreeSet<String> {
    tree(&[features, &["-e", "normal"]].concat())
}

fn tree(arguments: &[&str]) -> BTreeSet<String> {
    let mut command = cargo("tree", "kafka-wire");
    command.args(["--prefix", "none", "--format", "{p}"]).args(arguments);
    let output = command.stderr(Stdio::inherit()).output().expect("cargo runs");
    assert!(output.status.success(), "cargo tree {arguments:?}");
    let text = String::from_utf8(output.stdout).expect("names are UTF-8");
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// Builds a package and its dependencies, then the package once more by itself, in a directory of its own so that other
/// builds are left alone.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn build_alone(package: &str, features: &str) -> Duration {
    let build = || run(cargo("build", package).args(["--release", "--quiet", features]));
    build();
    run(cargo("clean", package).args(["--release", "--quiet"]));
    let start = Instant::now();
    build();
    start.elapsed()
}

fn run(command: &mut Command) {
    assert!(command.status().expect("cargo runs").success(), "{command:?}");
}

/// A cargo command about a package of the workspace that has `kafka-wire`.
fn cargo(command: &str, package: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.arg(command).args(["--package", package]).current_dir(&root);
    cargo.env("CARGO_TARGET_DIR", root.join("bench/target/sizes"));
    cargo
}
