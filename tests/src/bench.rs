//! The surroundings of a job in a test: names that no other test has, topics, a configuration; and a wait for a running
//! job.

use std::path::PathBuf;
use std::time::Duration;

use kafka_wire::client::Client;
use processor::{Config, Running};
use tokio::time::{Instant, timeout};

use crate::TestBroker;
use crate::reader::create_topic;

/// The topics of one test, and the names that its job uses.
#[derive(Debug)]
pub struct Bench {
    /// A client of the broker.
    pub client: Client,
    /// The address of the broker.
    pub brokers: String,
    /// The application id of the job.
    pub application_id: String,
    /// The topic that the job reads.
    pub input: String,
    /// The topic that the job writes.
    pub output: String,
    state_dir: PathBuf,
}

impl Bench {
    /// Creates an input and an output with these numbers of partitions. `suite` names the folder for the ids of
    /// processes.
    ///
    /// # Panics
    /// If the broker does not answer, or a topic cannot be created.
    pub async fn new(broker: &TestBroker, suite: &str, [of_input, of_output]: [i32; 2]) -> Self {
        let client = crate::connect(broker.bootstrap()).await;
        let [application_id, input, output] = ["job", "input", "output"].map(|name| broker.unique(name));
        create_topic(&client, &input, of_input).await;
        create_topic(&client, &output, of_output).await;
        let state_dir = std::env::temp_dir().join(format!("waterwheel-{suite}"));
        Self { client, brokers: broker.bootstrap().to_owned(), application_id, input, output, state_dir }
    }

    /// The configuration of a job on the broker.
    #[must_use]
    pub fn config(&self) -> Config {
        let mut config = Config::new(&self.brokers);
        config.state_dir.clone_from(&self.state_dir);
        // Far more often than by default, so that what is shuffled is deleted in every suite, also under faults.
        config.set("repartition.purge.interval.ms", "500").expect("a known key");
        // A worker whose first connection takes longer starts over, which counts as a restart.
        for key in ["bootstrap.timeout.ms", "socket.connection.setup.timeout.ms"] {
            config.set(key, "30000").expect("a known key");
        }
        config
    }
}

/// Waits until `is_so` of a running job, for at most a minute; workers that have died are replaced meanwhile.
///
/// # Panics
/// If the time runs out, or the job ends with an error; the message has `what` was waited for.
pub async fn until(mut running: Running, what: &str, is_so: impl Fn(&Running) -> bool) -> Running {
    let by = Instant::now() + PATIENCE;
    while !is_so(&running) {
        if let Ok(finished) = timeout(PAUSE, running.finished()).await {
            finished.expect("the job goes on");
        }
        assert!(Instant::now() < by, "waited for {what}: {}, {:?}", running.status(), running.tasks());
    }
    running
}

const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(5);
