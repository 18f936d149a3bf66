//! Brokers that do not answer, although they can be reached.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::admin::OffsetSpec;
use crate::cluster::TopicPartition;
use crate::types::IsolationLevel;

/// A broker of the cluster `hosts`, which leaves every question about metadata and coordinators without an answer while
/// the flag is set.
fn silent_while(is_silent: &Arc<AtomicBool>, hosts: &'static [&'static str]) -> Host {
    let is_silent = Arc::clone(is_silent);
    Host::Broker(Arc::new(move |api, version, _, _| match api {
        ApiKey::ApiVersions => versions(version),
        _ if is_silent.load(Ordering::Relaxed) => Act::Hold,
        ApiKey::Metadata => metadata(hosts, version),
        ApiKey::FindCoordinator => {
            let found = Coordinator { node_id: 1, host: Str::from("a"), port: 9092, ..Default::default() };
            answer(&FindCoordinatorResponse { coordinators: vec![found], ..Default::default() }, version)
        }
        _ => answer(&HeartbeatResponse::default(), version),
    }))
}

/// Asks for the leader of a partition anew; returns the time that it took.
async fn ask(client: &Client) -> Duration {
    let start = client.now();
    client.invalidate("t");
    client.leader("t", PartitionId(0)).await.expect("another broker answers");
    client.now() - start
}

#[tokio::test(start_paused = true)]
async fn a_silent_broker_holds_up_a_question_for_a_second_once() {
    const HOSTS: &[&str] = &["a", "b"];
    let (a, b) = (Arc::default(), Arc::default());
    let network = Network::default().with("a", silent_while(&a, HOSTS)).with("b", silent_while(&b, HOSTS));
    let client = network.client("a:9092").await.unwrap();
    a.store(true, Ordering::Relaxed);
    assert_eq!(ask(&client).await.as_secs(), 1);
    let start = client.now();
    assert_eq!(client.coordinator(CoordinatorKind::Group, "g").await, Ok(BrokerId(1)));
    assert_eq!(
        (ask(&client).await, client.now() - start),
        (Duration::ZERO, Duration::ZERO),
        "the other one goes first"
    );

    // It answers again on the next connection; now the other one is silent.
    a.store(false, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(31)).await;
    let request = HeartbeatRequest::default();
    client.request(Node::Broker(BrokerId(1)), Lane::General, request, CallOptions::default()).await.unwrap();
    b.store(true, Ordering::Relaxed);
    let (first, second) = (ask(&client).await, ask(&client).await);
    assert!(first.as_secs() <= 1 && second.is_zero(), "{first:?}, {second:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_open_is_waited_for_as_briefly() {
    const HOSTS: &[&str] = &["a", "b", "c"];
    let a = Arc::default();
    let network = Network::default().with("a", silent_while(&a, HOSTS)).with("b", Host::Dropped);
    let client = network.clone().with("c", silent_while(&Arc::default(), HOSTS)).client("a:9092").await.unwrap();
    a.store(true, Ordering::Relaxed);
    assert!(ask(&client).await.as_secs() <= 2);
    assert_eq!(ask(&client).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_dies_of_a_question_is_followed_by_the_next_one() {
    const HOSTS: &[&str] = &["a", "b"];
    let dies = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&dies);
    let dying: Script = Arc::new(move |api, version, _, _| match api {
        ApiKey::ApiVersions => versions(version),
        _ if flag.load(Ordering::Relaxed) => Act::Close,
        _ => metadata(HOSTS, version),
    });
    let network = Network::default().with("a", Host::Broker(dying)).with("b", plain(HOSTS));
    let client = network.client("a:9092").await.unwrap();
    dies.store(true, Ordering::Relaxed);
    assert_eq!(ask(&client).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn the_only_broker_has_the_whole_time() {
    let script: Script = Arc::new(move |api, version, index, _| match (api, index) {
        (ApiKey::ApiVersions, _) => versions(version),
        (_, 0..4) => metadata(&["a"], version),
        _ => Act::Hold,
    });
    let network = Network::default().with("a", Host::Broker(script));
    let client = network.client("a:9092").await.unwrap();
    client.refresh(&[]).await.expect("it answers once");
    let start = client.now();
    let request = client.refresh(&[]).await;
    assert!(matches!(request, Err(RequestError::Unanswered { .. })), "{request:?}");
    assert_eq!(((client.now() - start).as_secs(), network.dials()), (30, 1), "its bootstrap address is its own");
}

#[tokio::test(start_paused = true)]
async fn a_question_to_leaders_ends_in_time_while_no_broker_answers() {
    let is_silent = Arc::default();
    let network = Network::default().with("a", silent_while(&is_silent, &["a"]));
    let client = network.client("a:9092").await.unwrap();
    is_silent.store(true, Ordering::Relaxed);
    let start = client.now();
    let asked = [0, 1].map(|index| (TopicPartition::new("new", PartitionId(index)), OffsetSpec::Latest));
    let outcome = client.list_offsets(&asked, IsolationLevel::ReadUncommitted).await;
    assert!(matches!(outcome, Err(MetadataError::Request(_))), "{outcome:?}");
    assert!((30..=32).contains(&(client.now() - start).as_secs()), "{:?}", client.now() - start);
}
