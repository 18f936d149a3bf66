//! One node of Apache Kafka: broker and controller in one JVM, or broker and ZooKeeper in two.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use super::config::RealConfig;
use super::error::{Unavailable, last_lines};
use super::jars::{Home, printed, write};
use super::properties::{self, Place, Ports};
use crate::watched::Watched;

/// A running node of Apache Kafka on a free port of 127.0.0.1, a cluster of its own.
///
/// Dropping it kills the JVM and removes its data; so does the end of this process.
#[derive(Debug)]
pub struct RealKafka {
    address: String,
    directory: PathBuf,
    data: PathBuf,
    /// The command that starts the broker.
    java: Command,
    /// Kills the JVM when it is dropped. It stands before ZooKeeper, so that the broker ends first.
    broker: Watched,
    _zookeeper: Option<Watched>,
}

impl RealKafka {
    /// Starts a node and returns when it serves clients; the first call on a machine fetches the jars.
    ///
    /// Not cancel safe: a dropped future lets the start run to its end, and the node is stopped after that.
    ///
    /// # Errors
    /// [`Unavailable`] says what is missing or what the broker logged last.
    pub async fn start(config: RealConfig) -> Result<Self, Unavailable> {
        let start = tokio::task::spawn_blocking(move || Self::start_blocking(&config));
        start.await.expect("starting Kafka does not panic")
    }

    /// As [`start`](Self::start), on a thread that may block.
    ///
    /// # Errors
    /// [`Unavailable`] says what is missing or what the broker logged last.
    pub fn start_blocking(config: &RealConfig) -> Result<Self, Unavailable> {
        let home = Home::open(config.version)?;
        let formatted = if config.version.needs_zookeeper() { None } else { Some(format_once(&home, config)?) };
        let mut attempts_left = PORT_ATTEMPTS;
        loop {
            attempts_left -= 1;
            match Self::start_on_free_ports(&home, formatted.as_deref(), config) {
                Err(Unavailable::Start { log }) if log.contains(PORT_IS_TAKEN) && attempts_left > 0 => {}
                done => return done,
            }
        }
    }

    /// `HOST:PORT` that the broker listens on.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.address
    }

    /// The directory of its partitions, as `log.dirs` names it: `TOPIC-PARTITION/` with segment files.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Everything that the broker has logged; empty when it cannot be read.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join(LOG_FILE)).unwrap_or_default()
    }

    /// Kills the broker with SIGKILL. Its data stay until it is dropped.
    ///
    /// # Errors
    /// The process cannot be waited for.
    pub fn kill(&mut self) -> Result<(), Unavailable> {
        let killed = self.broker.kill().map(drop);
        killed.map_err(|error| Unavailable::io("kill the broker of", &self.directory, &error))
    }

    /// Stops the broker's process with SIGSTOP, until [`resume`](Self::resume): its connections stay open, and it is
    /// silent.
    ///
    /// # Errors
    /// The process cannot be signalled.
    pub fn pause(&self) -> Result<(), Unavailable> {
        self.broker.pause().map_err(|error| Unavailable::io("pause the broker of", &self.directory, &error))
    }

    /// Lets a paused broker go on.
    ///
    /// # Errors
    /// The process cannot be signalled.
    pub fn resume(&self) -> Result<(), Unavailable> {
        self.broker.resume().map_err(|error| Unavailable::io("resume the broker of", &self.directory, &error))
    }

    /// Lets the broker write no file beyond this size, as on a disk without room, until it is started again. It ends
    /// when it meets the limit, unless it has another `log.dirs`. On Linux alone.
    ///
    /// # Errors The limit cannot be set.
    pub fn limit_files(&self, size_bytes: u64) -> Result<(), Unavailable> {
        let limited = self.broker.limit_files(size_bytes);
        limited.map_err(|error| Unavailable::io("limit the files of the broker of", &self.directory, &error))
    }

    /// Asks the broker to end, with SIGTERM, and returns when it has: it hands its partitions over first. Its data stay
    /// until it is dropped. Blocks the thread.
    ///
    /// # Errors
    /// It does not end within a minute, or the process cannot be signalled.
    pub fn terminate_blocking(&mut self) -> Result<(), Unavailable> {
        let failed = |error| Unavailable::io("end the broker of", &self.directory, &error);
        self.broker.terminate().map_err(failed)?;
        self.wait_for_end_blocking(END_DURATION_MAX)
    }

    /// Returns when the broker has ended by itself, as it does when it cannot write its logs. Blocks the thread.
    ///
    /// # Errors
    /// It has not ended within `limit`; with the end of its log.
    pub fn wait_for_end_blocking(&mut self, limit: Duration) -> Result<(), Unavailable> {
        for _ in 0..limit.as_millis() / LOOK_INTERVAL.as_millis() {
            let ended = self.broker.try_wait();
            let ended = ended.map_err(|error| Unavailable::io("wait for the broker of", &self.directory, &error))?;
            if ended.is_some() {
                return Ok(());
            }
            #[expect(clippy::disallowed_methods, reason = "the process tells its end to nobody else")]
            std::thread::sleep(LOOK_INTERVAL);
        }
        Err(Unavailable::Start { log: last_lines(&self.log(), 40) })
    }

    /// Gives a broker that does not run the address of another one.
    pub(super) fn move_to(&mut self, address: &str) -> Result<(), Unavailable> {
        let path = self.directory.join(PROPERTIES_FILE);
        let text = fs::read_to_string(&path).map_err(|error| Unavailable::io("read", &path, &error))?;
        write(&path, &text.replace(&format!("//{}", self.address), &format!("//{address}")))?;
        address.clone_into(&mut self.address);
        Ok(())
    }

    /// Starts a killed broker again, with its data and at its addresses. Returns when it serves clients.
    ///
    /// # Errors
    /// [`Unavailable`] says what the broker logged last.
    pub fn start_again_blocking(&mut self) -> Result<(), Unavailable> {
        let mut broker = spawn(&self.java, Some(&self.directory))?;
        let stderr = broker.take_stderr().expect("nobody has taken it yet");
        let started = follow(stderr, &self.directory.join(LOG_FILE))?;
        let killed = std::mem::replace(&mut self.broker, broker).replace();
        killed.map_err(|error| Unavailable::io("kill the broker of", &self.directory, &error))?;
        wait_for(&started, self)
    }

    fn start_on_free_ports(home: &Home, formatted: Option<&Path>, config: &RealConfig) -> Result<Self, Unavailable> {
        let places = Place::of_cluster(&free_ports(1)?);
        Starting::launch(home, formatted, config, &places[0])?.wait()
    }
}

/// A node that was started, and does not serve clients yet.
pub(super) struct Starting {
    node: RealKafka,
    /// Tells that it does.
    started: Receiver<()>,
}

impl Starting {
    /// Starts a node at its place.
    ///
    /// # Errors
    /// Its files cannot be written, or its process cannot be started.
    pub(super) fn launch(
        home: &Home,
        formatted: Option<&Path>,
        config: &RealConfig,
        place: &Place,
    ) -> Result<Self, Unavailable> {
        let directory = new_directory(home)?;
        let data = directory.join("data");
        let zookeeper = match formatted {
            Some(formatted) => copy_formatted(formatted, &data, place.id).map(|()| None)?,
            None => Some(start_zookeeper(home, &directory, place.ports.metadata)?),
        };
        let properties = directory.join(PROPERTIES_FILE);
        write(&properties, &properties::of_server(config, place, &data))?;

        let mut java = home.java(config.heap_mib);
        java.args(&config.jvm_options);
        java.args(["-Dlog.level=INFO", "kafka.Kafka"]).arg(&properties);
        let mut broker = spawn(&java, Some(&directory))?;
        let stderr = broker.take_stderr().expect("nobody has taken it yet");
        let address = format!("127.0.0.1:{}", place.ports.clients);
        let node = RealKafka { address, directory, data, java, broker, _zookeeper: zookeeper };
        let started = follow(stderr, &node.directory.join(LOG_FILE))?;
        Ok(Self { node, started })
    }

    /// Waits until the node serves clients.
    ///
    /// # Errors
    /// It has ended, or takes too long; with the end of its log.
    pub(super) fn wait(self) -> Result<RealKafka, Unavailable> {
        let Self { node, started } = self;
        wait_for(&started, &node).map(|()| node)
    }
}

fn wait_for(started: &Receiver<()>, node: &RealKafka) -> Result<(), Unavailable> {
    match started.recv_timeout(START_DURATION_MAX) {
        Ok(()) => Ok(()),
        Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => {
            let log = node.log();
            // Callers look for it, and a node logs many lines after it until it has ended.
            let why = log.lines().find(|line| line.contains(PORT_IS_TAKEN));
            let log = why.into_iter().chain([&*last_lines(&log, 40)]).collect::<Vec<_>>().join("\n");
            Err(Unavailable::Start { log })
        }
    }
}

/// The directory that `StorageTool` formatted for this level, to be copied: formatting again would take a second
/// of a JVM.
pub(super) fn format_once(home: &Home, config: &RealConfig) -> Result<PathBuf, Unavailable> {
    let &RealConfig { version, transaction_version, .. } = config;
    home.make_once(&format!("formatted-{transaction_version}"), |directory| {
        let properties = home.path("format.properties");
        let config = RealConfig { version, ..RealConfig::default() };
        let places = Place::of_cluster(&[Ports { clients: 9092, metadata: 9093 }]);
        write(&properties, &properties::of_server(&config, &places[0], directory))?;
        let mut java = home.java(HEAP_OF_TOOLS_MIB);
        java.args(["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER_ID, "--config"]).arg(&properties);
        if version.has_transaction_version() {
            java.args(["--feature", &format!("transaction.version={transaction_version}")]);
        }
        let output = java.output().map_err(|error| Unavailable::spawn("java", &error))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(Unavailable::Start { log: last_lines(&printed(&output), 20) }),
        }
    })
}

/// Starts ZooKeeper without waiting for it: a node does that itself.
fn start_zookeeper(home: &Home, directory: &Path, port: u16) -> Result<Watched, Unavailable> {
    let properties = directory.join("zookeeper.properties");
    write(&properties, &properties::of_zookeeper(port, &directory.join("zookeeper")))?;
    let mut java = home.java(HEAP_OF_TOOLS_MIB);
    java.arg("org.apache.zookeeper.server.ZooKeeperServerMain").arg(&properties);
    let mut zookeeper = spawn(&java, None)?;
    let stderr = zookeeper.take_stderr().expect("nobody has taken it yet");
    follow(stderr, &directory.join("zookeeper.log"))?;
    Ok(zookeeper)
}

fn spawn(java: &Command, directory: Option<&Path>) -> Result<Watched, Unavailable> {
    Watched::spawn(java, directory).map_err(|error| Unavailable::spawn("sh", &error))
}

/// Writes the log of a JVM to a file. The receiver gets one message when the broker serves clients:
/// its port opens within milliseconds of that log line. The channel closes when the broker ends.
fn follow(stderr: ChildStderr, log: &Path) -> Result<Receiver<()>, Unavailable> {
    let mut file = File::create(log).map_err(|error| Unavailable::io("create", log, &error))?;
    let (started, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            // The pipe must be drained whatever happens to the file, or the broker would block on it.
            let _ = writeln!(file, "{line}");
            if STARTED.iter().any(|started| line.contains(started)) {
                let _ = started.send(());
            }
        }
    });
    Ok(receiver)
}

/// Ports for that many nodes, which were free a moment ago. Another process can take one before a node does, so
/// callers retry.
pub(super) fn free_ports(nodes: usize) -> Result<Vec<Ports>, Unavailable> {
    let any = Path::new("127.0.0.1:0");
    let unavailable = |error: io::Error| Unavailable::io("listen on", any, &error);
    // All of them are held until all are known, so that they differ.
    let listeners: Result<Vec<_>, _> = (0..2 * nodes).map(|_| TcpListener::bind("127.0.0.1:0")).collect();
    let ports = listeners.map_err(unavailable)?;
    let ports: Result<Vec<_>, _> = ports.iter().map(|one| one.local_addr().map(|address| address.port())).collect();
    Ok(ports.map_err(unavailable)?.chunks_exact(2).map(|two| Ports { clients: two[0], metadata: two[1] }).collect())
}

fn new_directory(home: &Home) -> Result<PathBuf, Unavailable> {
    static STARTED: AtomicU32 = AtomicU32::new(0);
    let number = STARTED.fetch_add(1, Ordering::Relaxed);
    let directory = home.path(&format!("node-{}-{number}", std::process::id()));
    fs::create_dir_all(&directory).map_err(|error| Unavailable::io("create", &directory, &error))?;
    Ok(directory)
}

/// Copies a formatted directory for the node of this id: it was formatted for node 1.
fn copy_formatted(formatted: &Path, data: &Path, id: usize) -> Result<(), Unavailable> {
    copy_files(formatted, data)?;
    if id == 1 {
        return Ok(());
    }
    let path = data.join("meta.properties");
    let text = fs::read_to_string(&path).map_err(|error| Unavailable::io("read", &path, &error))?;
    let line = |line: &str| match line.split_once('=') {
        Some(("node.id", _)) => format!("node.id={id}\n"),
        // Any 16 bytes in base64url that no other node has.
        Some(("directory.id", given)) => format!("directory.id=Node{id}{}\n", given.get(5..).unwrap_or_default()),
        _ => format!("{line}\n"),
    };
    write(&path, &text.lines().map(line).collect::<String>())
}

fn copy_files(from: &Path, to: &Path) -> Result<(), Unavailable> {
    fs::create_dir_all(to).map_err(|error| Unavailable::io("create", to, &error))?;
    let entries = fs::read_dir(from).map_err(|error| Unavailable::io("read", from, &error))?;
    for entry in entries {
        let path = entry.map_err(|error| Unavailable::io("read", from, &error))?.path();
        let name = path.file_name().expect("an entry of a directory has a name");
        if path.is_dir() {
            copy_files(&path, &to.join(name))?;
        } else {
            fs::copy(&path, to.join(name)).map_err(|error| Unavailable::io("copy", &path, &error))?;
        }
    }
    Ok(())
}

/// Longest start, on a machine that is busy with other suites.
const START_DURATION_MAX: Duration = Duration::from_secs(180);
/// Log lines by which a broker says that it serves clients: with KRaft, with ZooKeeper.
const STARTED: [&str; 2] = ["Kafka Server started", "started (kafka.server.KafkaServer)"];
/// Heap of the JVMs beside the broker's, in MiB.
const HEAP_OF_TOOLS_MIB: u32 = 128;
/// Longest end after SIGTERM: a node waits for the controller to let it go.
const END_DURATION_MAX: Duration = Duration::from_secs(180);
/// Pause between two looks whether a process has ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// File in the node's directory.
const PROPERTIES_FILE: &str = "server.properties";
/// File in the node's directory.
const LOG_FILE: &str = "broker.log";
/// The words of Java when a port has another listener.
pub(super) const PORT_IS_TAKEN: &str = "Address already in use";
/// Number of starts, after which clashes of ports are an error.
pub(super) const PORT_ATTEMPTS: u32 = 5;
/// Any 16 bytes in Kafka's base64url; each node is a cluster of its own.
const CLUSTER_ID: &str = "V2F0ZXJ3aGVlbC1UZXN0cw";
