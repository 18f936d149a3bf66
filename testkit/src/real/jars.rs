//! Jars, and formatted directories of Kafka, made once per version and target directory.
//!
//! Test binaries run at the same time, in several processes: each maker holds an exclusive file lock, builds beside
//! the final name and renames, so that a directory under its final name is always complete.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::error::{Unavailable, last_lines};
use super::version::KafkaVersion;

/// The directory of the jars and of the nodes' data.
#[derive(Clone, Debug)]
pub(super) struct Home {
    root: PathBuf,
    /// The Maven project that names the jars.
    pom: String,
}

impl Home {
    /// The home of a version in Cargo's target directory, with the jars in it; the first call on a machine runs Maven.
    ///
    /// # Errors
    /// [`Unavailable`] when `java` or `mvn` is missing, or the jars cannot be fetched.
    pub(super) fn open(version: KafkaVersion) -> Result<Self, Unavailable> {
        Self::named(&format!("kafka-{version}"), version.pom())
    }

    /// As [`Home::open`], for the jars of any Maven project; `name` must say what they are.
    pub(super) fn named(name: &str, pom: String) -> Result<Self, Unavailable> {
        let java = Command::new("java").arg("-version").output();
        java.map_err(|error| Unavailable::spawn("java", &error))?;

        let home = Self { root: target_directory().join(name), pom };
        fs::create_dir_all(&home.root).map_err(|error| Unavailable::io("create", &home.root, &error))?;
        home.make_once("jars", |directory| home.fetch_jars(directory))?;
        Ok(home)
    }

    /// The value of `java -cp`.
    fn class_path(&self) -> String {
        self.root.join("jars").join("*").display().to_string()
    }

    /// A command for a JVM for short or light work, with the class path and the logging of this version.
    pub(super) fn java(&self, heap_mib: u32) -> Command {
        let mut java = Command::new("java");
        java.args([&format!("-Xmx{heap_mib}m"), "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg(format!("-Dlog4j2.configurationFile={}", self.log_config().display()))
            .args(["-cp", &self.class_path()]);
        java
    }

    /// The logging configuration of broker and tools.
    fn log_config(&self) -> PathBuf {
        self.root.join("jars").join("log4j2.xml")
    }

    /// The path of a file or directory in the home.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The directory `name`, made by `make` unless it is there; `make` gets an empty directory to fill.
    pub(super) fn make_once(
        &self,
        name: &str,
        make: impl FnOnce(&Path) -> Result<(), Unavailable>,
    ) -> Result<PathBuf, Unavailable> {
        let done = self.path(name);
        let lock_path = self.path("lock");
        let lock = File::create(&lock_path).map_err(|error| Unavailable::io("create", &lock_path, &error))?;
        lock.lock().map_err(|error| Unavailable::io("lock", &lock_path, &error))?;
        if done.is_dir() {
            return Ok(done);
        }
        let draft = self.path(&format!("{name}.draft"));
        if draft.exists() {
            fs::remove_dir_all(&draft).map_err(|error| Unavailable::io("remove", &draft, &error))?;
        }
        fs::create_dir_all(&draft).map_err(|error| Unavailable::io("create", &draft, &error))?;
        make(&draft)?;
        fs::rename(&draft, &done).map_err(|error| Unavailable::io("rename", &draft, &error))?;
        Ok(done)
    }

    fn fetch_jars(&self, directory: &Path) -> Result<(), Unavailable> {
        let pom = self.path("pom.xml");
        write(&pom, &self.pom)?;
        write(&directory.join("log4j2.xml"), include_str!("log4j2.xml"))?;
        let output = Command::new("mvn")
            .args(["-q", "-B", "-f"])
            .arg(&pom)
            .arg("org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies")
            .arg("-DincludeScope=runtime")
            .arg(format!("-DoutputDirectory={}", directory.display()))
            .output()
            .map_err(|error| Unavailable::spawn("mvn", &error))?;
        if output.status.success() {
            return Ok(());
        }
        Err(Unavailable::Fetch { output: last_lines(&printed(&output), 20) })
    }
}

/// The output of a program, stdout before stderr.
pub(super) fn printed(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// Writes a file; the error names it.
pub(super) fn write(path: &Path, text: &str) -> Result<(), Unavailable> {
    fs::write(path, text).map_err(|error| Unavailable::io("write", path, &error))
}

/// Cargo's target directory, found by the tag file that Cargo puts there; otherwise the system's temporary directory.
fn target_directory() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let tagged = program.ancestors().skip(1).find(|directory| directory.join("CACHEDIR.TAG").is_file());
    tagged.map_or_else(std::env::temp_dir, Path::to_owned)
}
