//! A PostgreSQL server of a test: on a port and in a folder of its own, killed and started again at will.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use testkit::watched::Watched;
use tokio::net::TcpSocket;

use crate::{reserve_port, skip};

/// A server. Dropping it kills it and removes its folder.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    /// Keeps the port while the server is not there.
    _reserved: TcpSocket,
    process: Option<Watched>,
}

impl Postgres {
    /// Starts a server with an empty database. `None` where PostgreSQL is not installed, which is said as for Apache
    /// Kafka: `what` does not run then.
    ///
    /// # Panics
    /// If the server does not start.
    pub async fn start(what: &str) -> Option<Self> {
        let Some(programs) = programs() else {
            skip(what, "PostgreSQL's server is not installed (on Debian: apt-get install postgresql)");
            return None;
        };
        let (reserved, port) = reserve_port();
        let folder = std::env::temp_dir().join(format!("waterwheel-postgres-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the directory for temporary files can be written");
        let mut server = Self { programs, folder, port, _reserved: reserved, process: None };
        if is_root() {
            run(Command::new("chown").arg(format!("{USER}:{USER}")).arg(&server.folder));
        }
        let data = server.folder.join("data");
        run(server.as_user("initdb").args(["--auth=trust", "--username=waterwheel", "--no-sync", "-D"]).arg(data));
        server.restart().await;
        Some(server)
    }

    /// The address of the database.
    #[must_use]
    pub fn address(&self) -> String {
        format!("postgresql://waterwheel@127.0.0.1:{}/postgres", self.port)
    }

    /// Kills the server with SIGKILL.
    ///
    /// # Panics
    /// If it had ended by itself.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        let ended = process.try_wait().expect("the process is ours");
        assert!(ended.is_none(), "PostgreSQL ended by itself: {ended:?}");
        process.kill().expect("the process is ours");
    }

    /// Starts a killed server again, which recovers what was committed.
    ///
    /// # Panics
    /// If it does not answer within a minute.
    pub async fn restart(&mut self) {
        let is_up = async || {
            // It refuses to start as long as processes of the one that was killed are there.
            let has_ended = |process: &mut Watched| process.try_wait().expect("the process is ours").is_some();
            if self.process.as_mut().is_none_or(has_ended) {
                self.process = Some(self.spawn());
            }
            self.query("SELECT 1").ok()
        };
        crate::within("an answer of PostgreSQL", Duration::from_secs(60), until(is_up)).await;
    }

    /// The lines of a query's result, as `psql` prints them: columns separated by `|`.
    ///
    /// # Errors
    /// The messages of `psql`.
    ///
    /// # Panics
    /// If there is no `psql`.
    pub fn query(&self, query: &str) -> Result<Vec<String>, String> {
        let mut psql = Command::new(self.programs.join("psql"));
        let output = psql.args(["--no-psqlrc", "-At", "-c", query]).arg(self.address()).output().expect("psql runs");
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }

    fn spawn(&self) -> Watched {
        let port = self.port.to_string();
        let mut command = self.as_user("postgres");
        command.arg("-D").arg(self.folder.join("data")).args(["-p", &port, "-h", "127.0.0.1", "-k"]).arg(&self.folder);
        let mut process = Watched::spawn(&command, None).expect("PostgreSQL can be started");
        let mut stderr = process.take_stderr().expect("nobody has taken it yet");
        let log = self.folder.join("log");
        std::thread::spawn(move || {
            let mut log = std::fs::File::options().append(true).create(true).open(log).expect("the folder is ours");
            // It ends with the process.
            let _ = std::io::copy(&mut stderr, &mut log);
        });
        process
    }

    /// A program of PostgreSQL. The server refuses to run as root: then it runs as the user of Debian's package.
    fn as_user(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        if !is_root() {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]).arg(program);
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.process = None;
        // A folder that stays does no harm.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Repeats a look until it sees something.
async fn until<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The folder of the newest server that is installed: Debian's, or that on the path.
fn programs() -> Option<PathBuf> {
    let of_debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let of_debian = of_debian.map(|version| version.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = of_debian.collect();
    folders.sort();
    folders.reverse();
    folders.extend(std::env::split_paths(&path));
    folders.into_iter().find(|folder| folder.join("initdb").is_file())
}

/// Whether this is root, by the owner of its own process in Linux's `/proc`.
fn is_root() -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        std::fs::metadata(Path::new("/proc/self")).is_ok_and(|process| process.uid() == 0)
    }
    #[cfg(not(unix))]
    false
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The user that Debian's package makes.
const USER: &str = "postgres";
