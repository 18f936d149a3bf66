//! One node of Apache Kafka: broker and controller in one JVM.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use super::error::{Unavailable, last_lines};
use super::jars::{Home, printed, write};
use crate::watched::Watched;

/// How to start a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealConfig {
    /// Finalized level of the feature `transaction.version`: 1 is the protocol of KIP-98, 2 that of KIP-890.
    pub transaction_version: i16,
    /// `HOST:PORT` that the broker tells clients to use; by default the address it listens on.
    pub advertised_address: Option<String>,
    /// More lines of `server.properties`, after ours: a repeated key overrides.
    pub properties: Vec<(String, String)>,
    /// Heap of the JVM in MiB; from 96 it survives any load of the suites.
    pub heap_mib: u32,
}

impl Default for RealConfig {
    fn default() -> Self {
        Self { transaction_version: 2, advertised_address: None, properties: Vec::new(), heap_mib: 192 }
    }
}

/// A running node of Apache Kafka on a free port of 127.0.0.1, alone in its cluster.
///
/// Dropping it kills the JVM and removes its data; so does the end of this process.
#[derive(Debug)]
pub struct RealKafka {
    address: String,
    directory: PathBuf,
    data: PathBuf,
    /// Kills the JVM when it is dropped.
    _broker: Watched,
}

impl RealKafka {
    /// Starts a node and returns when it serves clients; the first call on a machine fetches the jars.
    ///
    /// Not cancel safe in time: a dropped future lets the start run to its end, then the node is stopped.
    ///
    /// # Errors
    /// [`Unavailable`] says what is missing or what the broker logged last.
    pub async fn start(config: RealConfig) -> Result<Self, Unavailable> {
        let start = tokio::task::spawn_blocking(move || Self::start_blocking(&config));
        start.await.expect("starting Kafka does not panic")
    }

    /// As [`start`](Self::start), for a thread that may block.
    ///
    /// # Errors
    /// [`Unavailable`] says what is missing or what the broker logged last.
    pub fn start_blocking(config: &RealConfig) -> Result<Self, Unavailable> {
        let home = Home::open()?;
        let formatted = format_once(&home, config.transaction_version)?;
        let mut attempts_left = PORT_ATTEMPTS;
        loop {
            attempts_left -= 1;
            match Self::start_on_free_ports(&home, &formatted, config) {
                Err(Unavailable::Start { log }) if log.contains("Address already in use") && attempts_left > 0 => {}
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

    fn start_on_free_ports(home: &Home, formatted: &Path, config: &RealConfig) -> Result<Self, Unavailable> {
        let [port, controller_port] = free_ports()?;
        let directory = new_directory(home)?;
        let data = directory.join("data");
        copy_files(formatted, &data)?;
        let properties = directory.join("server.properties");
        write(&properties, &server_properties(config, port, controller_port, &data))?;

        let mut broker = spawn(home, &directory, &properties, config.heap_mib)?;
        let stderr = broker.take_stderr().expect("nobody has taken it yet");
        let node = Self { address: format!("127.0.0.1:{port}"), directory, data, _broker: broker };
        let started = follow(stderr, &node.directory.join(LOG_FILE))?;
        match started.recv_timeout(START_DURATION_MAX) {
            Ok(()) => Ok(node),
            Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => {
                Err(Unavailable::Start { log: last_lines(&node.log(), 40) })
            }
        }
    }
}

/// The directory that `StorageTool` formatted for this level, to be copied: formatting again would cost a second of JVM.
fn format_once(home: &Home, transaction_version: i16) -> Result<PathBuf, Unavailable> {
    home.make_once(&format!("formatted-{transaction_version}"), |directory| {
        let properties = home.path("format.properties");
        let config = RealConfig { transaction_version, ..RealConfig::default() };
        write(&properties, &server_properties(&config, 9092, 9093, directory))?;
        let output = Command::new("java")
            .arg(format!("-Dlog4j2.configurationFile={}", home.log_config().display()))
            .args(["-XX:TieredStopAtLevel=1", "-cp", &home.class_path(), "kafka.tools.StorageTool", "format"])
            .args(["--cluster-id", CLUSTER_ID, "--config"])
            .arg(&properties)
            .args(["--feature", &format!("transaction.version={transaction_version}")])
            .output()
            .map_err(|error| Unavailable::spawn("java", &error))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(Unavailable::Start { log: last_lines(&printed(&output), 20) }),
        }
    })
}

fn server_properties(config: &RealConfig, port: u16, controller_port: u16, data: &Path) -> String {
    let listener = format!("127.0.0.1:{port}");
    let advertised = config.advertised_address.as_ref().unwrap_or(&listener);
    let mut text = format!(
        "controller.quorum.voters=1@127.0.0.1:{controller_port}\n\
         listeners=PLAINTEXT://{listener},CONTROLLER://127.0.0.1:{controller_port}\n\
         advertised.listeners=PLAINTEXT://{advertised}\n\
         log.dirs={}\n{BASE_PROPERTIES}",
        data.display(),
    );
    for (key, value) in &config.properties {
        writeln!(text, "{key}={value}").expect("a String takes every write");
    }
    text
}

fn spawn(home: &Home, directory: &Path, properties: &Path, heap_mib: u32) -> Result<Watched, Unavailable> {
    let mut command = Command::new("java");
    command
        .args(["-Xms64m", &format!("-Xmx{heap_mib}m"), "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .arg("-Dlog.level=INFO")
        .arg(format!("-Dlog4j2.configurationFile={}", home.log_config().display()))
        .args(["-cp", &home.class_path(), "kafka.Kafka"])
        .arg(properties);
    Watched::spawn(&command, Some(directory)).map_err(|error| Unavailable::spawn("sh", &error))
}

/// Writes the broker's log to a file. Tells the receiver once when the broker serves clients: its port opens within
/// milliseconds of that line. The channel closes when the broker ends.
fn follow(stderr: ChildStderr, log: &Path) -> Result<Receiver<()>, Unavailable> {
    let mut file = File::create(log).map_err(|error| Unavailable::io("create", log, &error))?;
    let (started, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            // The pipe must be drained whatever happens to the file, or the broker would block on it.
            let _ = writeln!(file, "{line}");
            if line.contains("Kafka Server started") {
                let _ = started.send(());
            }
        }
    });
    Ok(receiver)
}

/// Two ports that were free a moment ago; another process can take one before the broker does, so callers retry.
fn free_ports() -> Result<[u16; 2], Unavailable> {
    let any = Path::new("127.0.0.1:0");
    let bind = || TcpListener::bind("127.0.0.1:0").map_err(|error| Unavailable::io("listen on", any, &error));
    let listeners = [bind()?, bind()?];
    let port = |listener: &TcpListener| {
        listener.local_addr().map(|address| address.port()).map_err(|error| Unavailable::io("listen on", any, &error))
    };
    Ok([port(&listeners[0])?, port(&listeners[1])?])
}

fn new_directory(home: &Home) -> Result<PathBuf, Unavailable> {
    static STARTED: AtomicU32 = AtomicU32::new(0);
    let number = STARTED.fetch_add(1, Ordering::Relaxed);
    let directory = home.path(&format!("node-{}-{number}", std::process::id()));
    fs::create_dir_all(&directory).map_err(|error| Unavailable::io("create", &directory, &error))?;
    Ok(directory)
}

fn copy_files(from: &Path, to: &Path) -> Result<(), Unavailable> {
    fs::create_dir_all(to).map_err(|error| Unavailable::io("create", to, &error))?;
    let entries = fs::read_dir(from).map_err(|error| Unavailable::io("read", from, &error))?;
    for entry in entries {
        let path = entry.map_err(|error| Unavailable::io("read", from, &error))?.path();
        let name = path.file_name().expect("an entry of a directory has a name");
        fs::copy(&path, to.join(name)).map_err(|error| Unavailable::io("copy", &path, &error))?;
    }
    Ok(())
}

/// Longest start, on a machine that is busy with other suites.
const START_DURATION_MAX: Duration = Duration::from_secs(60);
/// In the node's directory.
const LOG_FILE: &str = "broker.log";
/// Starts until a clash of ports is given up on.
const PORT_ATTEMPTS: u32 = 5;
/// Any 16 bytes in Kafka's base64url; each node is a cluster of its own.
const CLUSTER_ID: &str = "V2F0ZXJ3aGVlbC1UZXN0cw";
/// One node holds every replica; few internal partitions and threads keep the start short and the memory small. Access
/// control entries can be made, and deny nobody anything: every client here is anonymous.
const BASE_PROPERTIES: &str = "\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=5
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=5
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=2
background.threads=2
log.cleaner.dedupe.buffer.size=2097152
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
";
