//! The programs of other packages that suites start.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The folder with the programs `waterwheel` and `wordcount`, built by the first caller, because cargo builds no
/// programs of other packages for a test. The variable `WATERWHEEL_PROGRAMS` names a folder in which they are already.
///
/// # Panics
/// If they do not build.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        if let Some(built) = std::env::var_os("WATERWHEEL_PROGRAMS") {
            return built.into();
        }
        let test = std::env::current_exe().expect("a test has a path");
        let profile = test.ancestors().nth(2).expect("a test lies in <target>/<profile>/deps");
        let mut build = Command::new(env!("CARGO"));
        // This package is built too, so that cargo selects the same features as for the test and builds no library
        // twice.
        build
            .args(["build", "-p", "examples", "-p", "waterwheel", "-p", "conformance", "--target-dir"])
            .arg(profile.parent().expect("a profile has a parent"));
        if profile.ends_with("release") {
            build.arg("--release");
        }
        let status = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs this test");
        assert!(status.success(), "the programs do not build");
        profile.to_owned()
    })
}
