//! Settings without sense.

use super::*;
use crate::group::GroupError;

fn group() -> GroupConsumerConfig {
    GroupConsumerConfig::new("g", Subscription::Topics(vec![Str::from("t")]))
}

#[tokio::test(start_paused = true)]
async fn pauses_of_zero_are_pauses_all_the_same() {
    const MOST: usize = 1_000;
    let (looks, searches) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (Arc::clone(&looks), Arc::clone(&searches));
    let script: Script = Arc::new(move |api, version, _, _| match api {
        ApiKey::ApiVersions => versions(version),
        ApiKey::Metadata if counts.0.fetch_add(1, Ordering::Relaxed) < MOST => metadata(&["a"], version),
        ApiKey::FindCoordinator if counts.1.fetch_add(1, Ordering::Relaxed) < MOST => {
            let error_code = ErrorCode::COORDINATOR_NOT_AVAILABLE.0;
            let found = Coordinator { error_code, ..Default::default() };
            answer(&FindCoordinatorResponse { coordinators: vec![found], ..Default::default() }, version)
        }
        _ => Act::Hold,
    });
    let network = Network::default().with("a", Host::Broker(script));
    let mut config = ClientConfig { seed: 1, ..ClientConfig::new("a:9092") };
    (config.retry_backoff_min, config.retry_backoff_max) = (Duration::ZERO, Duration::ZERO);
    config.metadata_max_age = Duration::ZERO;
    let client = Client::connect_with(config, Arc::new(network)).await.unwrap();
    let mut consumer = GroupConsumer::new(client, group()).await.unwrap();
    let polled = tokio::time::timeout(Duration::from_secs(1), consumer.poll()).await;
    assert!(polled.is_err(), "{polled:?}");
    let (looks, searches) = (looks.load(Ordering::Relaxed), searches.load(Ordering::Relaxed));
    assert!((2..=60).contains(&looks) && (2..=120).contains(&searches), "{looks} looks, {searches} searches");
}

#[tokio::test(start_paused = true)]
async fn a_member_whose_session_would_end_before_its_heartbeat_does_not_join() {
    let client = Network::default().with("a", plain(&["a"])).client("a:9092").await.unwrap();
    let mut config = group();
    config.heartbeat_interval = config.session_timeout;
    let refused = GroupConsumer::new(client.clone(), config.clone()).await.unwrap_err();
    assert!(matches!(refused, GroupConsumerError::Group(GroupError::Unsupported { .. })), "{refused:?}");
    assert!(refused.to_string().contains("session.timeout.ms"), "{refused}");
    // The coordinator decides about both.
    config.group_protocol = GroupProtocol::Consumer;
    GroupConsumer::new(client, config).await.unwrap();
}
