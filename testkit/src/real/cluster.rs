//! Several nodes of Apache Kafka as one cluster, for what a single node cannot show: replicas, racks, and leaders that
//! move.

use super::config::RealConfig;
use super::error::Unavailable;
use super::jars::Home;
use super::node::{PORT_ATTEMPTS, PORT_IS_TAKEN, RealKafka, Starting, format_once, free_ports};
use super::properties::Place;

/// A running cluster of Apache Kafka on free ports of 127.0.0.1. Its nodes have the ids 1, 2 and so on, each is broker
/// and controller, and node `N` is in the rack `rack-N`. Consumers that name their rack read from the replica there.
///
/// Dropping it kills the JVMs and removes their data; so does the end of this process.
#[derive(Debug)]
pub struct RealCluster {
    nodes: Vec<RealKafka>,
}

impl RealCluster {
    /// Starts a cluster and returns when all its nodes serve clients.
    ///
    /// Not cancel safe: a dropped future lets the start run to its end, and the nodes are stopped after that.
    ///
    /// # Errors
    /// [`Unavailable`] says what is missing or what a broker logged last. Versions with ZooKeeper form no cluster here.
    pub async fn start(count: usize, config: RealConfig) -> Result<Self, Unavailable> {
        let start = tokio::task::spawn_blocking(move || Self::start_blocking(count, &config));
        start.await.expect("starting Kafka does not panic")
    }

    /// The addresses of all nodes, separated by commas.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.nodes.iter().map(RealKafka::bootstrap).collect::<Vec<_>>().join(",")
    }

    /// The nodes, in the order of their ids.
    #[must_use]
    pub fn nodes(&self) -> &[RealKafka] {
        &self.nodes
    }

    /// Kills the node of this id, from 1, with SIGKILL. Its data stay.
    ///
    /// # Errors
    /// There is no such node, or its process cannot be waited for.
    pub fn kill(&mut self, id: usize) -> Result<(), Unavailable> {
        self.node(id)?.kill()
    }

    /// Stops the process of the node of this id with SIGSTOP, until [`resume`](Self::resume): its connections stay
    /// open, and it is silent.
    ///
    /// # Errors There is no such node, or its process cannot be signalled.
    pub fn pause(&mut self, id: usize) -> Result<(), Unavailable> {
        self.node(id)?.pause()
    }

    /// Lets a paused node go on.
    ///
    /// # Errors
    /// There is no such node, or its process cannot be signalled.
    pub fn resume(&mut self, id: usize) -> Result<(), Unavailable> {
        self.node(id)?.resume()
    }

    /// Asks the node of this id to end, with SIGTERM, and returns when it has. Its data stay. Blocks the thread.
    ///
    /// # Errors
    /// There is no such node, or it does not end within a minute.
    pub fn terminate_blocking(&mut self, id: usize) -> Result<(), Unavailable> {
        self.node(id)?.terminate_blocking()
    }

    /// Exchanges the addresses of two nodes that do not run: each comes back where clients knew the other one.
    ///
    /// # Errors
    /// There is no such node, or its configuration cannot be written.
    pub fn exchange_addresses(&mut self, a: usize, b: usize) -> Result<(), Unavailable> {
        let [first, second] = [self.node(a)?.bootstrap().to_owned(), self.node(b)?.bootstrap().to_owned()];
        self.node(a)?.move_to(&second)?;
        self.node(b)?.move_to(&first)
    }

    /// Starts a killed node again, with its data and at its addresses, and returns when it serves clients. That takes a
    /// majority of the nodes. Blocks the thread.
    ///
    /// # Errors
    /// There is no such node, or [`Unavailable`] says what it logged last.
    pub fn start_again_blocking(&mut self, id: usize) -> Result<(), Unavailable> {
        self.node(id)?.start_again_blocking()
    }

    fn node(&mut self, id: usize) -> Result<&mut RealKafka, Unavailable> {
        let node = id.checked_sub(1).and_then(|index| self.nodes.get_mut(index));
        node.ok_or_else(|| Unavailable::Start { log: format!("there is no node {id}") })
    }

    fn start_blocking(count: usize, config: &RealConfig) -> Result<Self, Unavailable> {
        if config.version.needs_zookeeper() {
            return Err(Unavailable::Start { log: format!("Kafka {} needs ZooKeeper", config.version) });
        }
        let home = Home::open(config.version)?;
        let formatted = format_once(&home, config)?;
        let mut attempts_left = PORT_ATTEMPTS;
        loop {
            attempts_left -= 1;
            let places = Place::of_cluster(&free_ports(count)?);
            let start = |place: &Place| Starting::launch(&home, Some(&formatted), &of_node(config, place.id), place);
            // A node serves clients only when a majority is there, so all are started before any is waited for.
            let starting: Result<Vec<_>, _> = places.iter().map(start).collect();
            let nodes: Result<Vec<_>, _> = starting?.into_iter().map(Starting::wait).collect();
            match nodes {
                Err(Unavailable::Start { log }) if log.contains(PORT_IS_TAKEN) && attempts_left > 0 => {}
                nodes => return nodes.map(|nodes| Self { nodes }),
            }
        }
    }
}

/// The configuration of one node of several.
fn of_node(config: &RealConfig, id: usize) -> RealConfig {
    let of_cluster = [
        ("broker.rack", format!("rack-{id}")),
        ("replica.selector.class", "org.apache.kafka.common.replica.RackAwareReplicaSelector".to_owned()),
        ("auto.leader.rebalance.enable", "false".to_owned()),
    ];
    let properties = of_cluster.map(|(key, value)| (key.to_owned(), value)).into_iter();
    RealConfig { properties: properties.chain(config.properties.clone()).collect(), ..config.clone() }
}
