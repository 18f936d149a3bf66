//! The contents of `server.properties` and of ZooKeeper's configuration.

use std::fmt::Write as _;
use std::path::Path;

use super::config::RealConfig;

/// Ports of 127.0.0.1 that a node uses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) clients: u16,
    /// Port of the KRaft controller, or of ZooKeeper.
    pub(super) metadata: u16,
}

/// The place of a node in its cluster.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Its id, from 1.
    pub(super) id: usize,
    pub(super) ports: Ports,
    /// The controllers of all nodes, as `controller.quorum.voters` names them.
    pub(super) voters: String,
}

impl Place {
    /// The places of the nodes of one cluster, in the order of their ids.
    pub(super) fn of_cluster(ports: &[Ports]) -> Vec<Self> {
        let voter = |(index, ports): (usize, &Ports)| format!("{}@127.0.0.1:{}", index + 1, ports.metadata);
        let voters = ports.iter().enumerate().map(voter).collect::<Vec<_>>().join(",");
        let place = |(index, &ports)| Self { id: index + 1, ports, voters: voters.clone() };
        ports.iter().enumerate().map(place).collect()
    }
}

/// The configuration of a node.
pub(super) fn of_server(config: &RealConfig, place: &Place, data: &Path) -> String {
    let Place { id, ports: Ports { clients, metadata }, voters } = place;
    let listener = format!("127.0.0.1:{clients}");
    let advertised = config.advertised_address.as_ref().unwrap_or(&listener);
    let mut text = if config.version.needs_zookeeper() {
        format!("listeners=PLAINTEXT://{listener}\nzookeeper.connect=127.0.0.1:{metadata}\n{OF_ZOOKEEPER}")
    } else {
        format!(
            "node.id={id}\ncontroller.quorum.voters={voters}\n\
             listeners=PLAINTEXT://{listener},CONTROLLER://127.0.0.1:{metadata}\n{OF_KRAFT}"
        )
    };
    write!(text, "advertised.listeners=PLAINTEXT://{advertised}\nlog.dirs={}\n{OF_ALL}", data.display())
        .expect("a String takes every write");
    for (key, value) in &config.properties {
        writeln!(text, "{key}={value}").expect("a String takes every write");
    }
    text
}

/// The configuration of the ZooKeeper beside a node.
pub(super) fn of_zookeeper(port: u16, data: &Path) -> String {
    let data = data.display();
    format!("dataDir={data}\nclientPort={port}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n")
}

/// Access control entries can be created, and refuse no client of the tests: a client is anonymous and so a superuser,
/// or is named by its certificate and may do everything that no entry is about.
const OF_KRAFT: &str = "\
process.roles=broker,controller
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=true
";
/// A start on a busy machine takes longer than the 18 s that a node waits for ZooKeeper by default.
const OF_ZOOKEEPER: &str = "\
broker.id=1
zookeeper.connection.timeout.ms=60000
zookeeper.session.timeout.ms=60000
";
/// One node holds every replica; few internal partitions and threads keep the start short and the memory small.
/// A version ignores keys that it does not know.
const OF_ALL: &str = "\
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
";
