//! Settings without sense.

use super::*;
use crate::group::GroupError;

fn group() -> GroupConsumerConfig {
    GroupConsumerConfig::new("g", Subscription::Topics(vec![Str::from("t")]))
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
