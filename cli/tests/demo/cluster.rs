//! The demo on a cluster, where it has to clean up.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use kafka_wire::client::{CallOptions, Client, ClientConfig, Lane, Node};
use kafka_wire::protocol::list_groups::ListGroupsRequest;
use kafka_wire::protocol::metadata::MetadataRequest;
use testkit::broker::{Broker, BrokerConfig};

use crate::signals::wait_for;
use crate::{command, demo, ended};

/// Names of all topics and groups, but for Kafka's own.
fn left_on(bootstrap_servers: &str) -> BTreeSet<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = Client::connect(ClientConfig::new(bootstrap_servers)).await.expect("it listens");
        let options = CallOptions::default();
        let all = MetadataRequest { topics: None, ..Default::default() };
        let topics = client.request(Node::Any, Lane::General, all, options).await.expect("an answer").topics;
        let groups =
            client.request(Node::Any, Lane::General, ListGroupsRequest::default(), options).await.expect("an answer");
        let topics = topics.into_iter().filter_map(|topic| topic.name).map(|name| name.to_string());
        let groups = groups.groups.into_iter().map(|group| group.group_id.to_string());
        topics.chain(groups).filter(|name| !name.starts_with("__")).collect()
    })
}

/// A cluster whose brokers take batches of 20,000 bytes, unless a topic says otherwise.
fn tight() -> Broker {
    let config = BrokerConfig { batch_limit_bytes: 20_000, ..BrokerConfig::default() };
    Broker::start_on_thread(config).expect("a free port")
}

#[test]
fn topics_and_group_are_gone_after_a_run_and_the_limit_of_the_cluster_does_not_matter() {
    let cluster = tight();
    let run = demo(&["-b", &cluster.address(), "--records", "20k", "--kills", "1"]);
    assert!(run.stderr.contains("deleted    4 topics and the group"), "{}", run.stderr);
    let result = run.clean();
    assert!(result.contains("expected 200000  got 200000"), "{result}");
    assert_eq!(left_on(&cluster.address()), BTreeSet::new());
}

#[test]
fn a_run_that_is_stopped_or_fails_cleans_up_too() {
    let cluster = tight();
    let mut child = command(&["-b", &cluster.address(), "--records", "400k"]).spawn().unwrap();
    let stderr = wait_for(&mut child, "lag");
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    // Nobody reads the rest of stderr, which must not end the clean-up.
    drop(stderr);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(left_on(&cluster.address()), BTreeSet::new());

    let huge = std::env::temp_dir().join(format!("waterwheel-demo-huge-{}", std::process::id()));
    std::fs::File::create(&huge).unwrap().set_len(40 << 20).unwrap();
    demo(&["-b", &cluster.address(), "--input", path(&huge)]).fails(1, "line 1 is longer");
    std::fs::remove_file(&huge).unwrap();
    assert_eq!(left_on(&cluster.address()), BTreeSet::new());
}

#[test]
fn keep_keeps_them_and_says_their_names() {
    let cluster = tight();
    let run = demo(&["-b", &cluster.address(), "--records", "1k", "--kills", "0", "--keep"]);
    let left = left_on(&cluster.address());
    assert_eq!(left.len(), 5, "{left:?}");
    assert!(left.iter().all(|name| run.stderr.contains(name)), "{left:?}: {}", run.stderr);
    run.clean();
}

#[test]
fn a_cluster_is_named_by_each_of_its_flags_and_by_the_environment() {
    for flag in ["-b", "--bootstrap-server", "--bootstrap-servers", "--brokers"] {
        demo(&[flag, "127.0.0.1:1"]).fails(1, "127.0.0.1:1");
    }
    let in_environment =
        |arguments: &[&str]| ended(command(arguments).env("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1").spawn().unwrap());
    in_environment(&[]).fails(1, "127.0.0.1:1  (from KAFKA_BOOTSTRAP_SERVERS)");
    in_environment(&["-b", "127.0.0.1:2"]).fails(1, "127.0.0.1:2");
    in_environment(&["--embedded", "--records", "10", "--kills", "0"]).clean();
    in_environment(&["--port", "0", "--records", "10", "--kills", "0"]).clean();
    demo(&["-b", "127.0.0.1:1", "--embedded"]).fails(2, "--embedded");
    demo(&["-b", "localhost"]).fails(1, "localhost:9092");
}

fn path(path: &Path) -> &str {
    path.to_str().expect("our own names are text")
}
