//! Damaged requests of every API: the broker answers or closes, and never panics.

use kafka_wire::protocol::create_topics::{CreatableTopic, CreateTopicsRequest};
use kafka_wire::protocol::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use kafka_wire::protocol::describe_producers::{DescribeProducersRequest, TopicRequest};
use kafka_wire::protocol::metadata::MetadataRequestTopic;
use kafka_wire::rng::Rng;

use super::records::{TOPIC, batch, fetch, produce, seal, with_topic};
use super::*;

#[test]
fn what_a_request_names_again_and_again_is_told_once() {
    let (mut script, _) = with_topic(BrokerConfig::default());
    let connection = script.connect();
    let wanted = MetadataRequestTopic { name: Some(Str::from(TOPIC)), ..Default::default() };
    let request = MetadataRequest { topics: Some(vec![wanted; 3]), ..Default::default() };
    assert_eq!(script.context(connection, 12, &request).topics.len(), 1);

    let wanted = TopicRequest { name: Str::from(TOPIC), partition_indexes: vec![0, 1, 0], ..Default::default() };
    let described = script.context(connection, 0, &DescribeProducersRequest { topics: vec![wanted.clone(), wanted] });
    let counts: Vec<_> = described.topics.iter().map(|topic| topic.partitions.len()).collect();
    assert_eq!(counts, [2, 0]);

    let wanted = DescribeConfigsResource { resource_type: 2, resource_name: Str::from(TOPIC), ..Default::default() };
    let other = DescribeConfigsResource { configuration_keys: Some(vec![Str::from("retention.ms")]), ..wanted.clone() };
    let request = DescribeConfigsRequest { resources: vec![wanted.clone(), other, wanted], ..Default::default() };
    assert_eq!(script.context(connection, 4, &request).results.len(), 2);
}

#[test]
fn a_long_list_of_topics_to_create_is_answered() {
    let (mut script, _) = with_topic(BrokerConfig::default());
    let connection = script.connect();
    let twice = CreatableTopic { name: Str::from("twice"), num_partitions: 1, ..Default::default() };
    // By comparing each name with each this takes minutes.
    let request = CreateTopicsRequest { topics: vec![twice; 100_000], ..Default::default() };
    let results = script.context(connection, 7, &request).topics;
    assert!(results.len() == 100_000 && results.iter().all(|topic| topic.error_code == ErrorCode::INVALID_REQUEST.0));
}

#[test]
fn damaged_requests_never_panic() {
    let mut frames = vec![
        encode(9, 1, &produce(None, batch(3, seal((5, 0), 0, false)))),
        encode(12, 1, &produce(Some("job"), batch(3, seal((5, 0), 0, true)))),
        encode(12, 1, &fetch(0, 100)),
    ];
    macro_rules! add {
        ($key:ident, $request:ty, $response:ty) => {
            frames.extend(ApiKey::$key.versions().map(|version| encode(version, 1, &<$request>::default())));
        };
    }
    kafka_wire::for_each_api!(add);
    let mut rng = Rng::from_seed(20);
    let below = |rng: &mut Rng, bound: usize| usize::try_from(rng.below(bound as u64)).unwrap();
    let (mut script, _) = with_topic(BrokerConfig { partitions_max: 100, ..BrokerConfig::default() });
    for frame in &frames {
        for _ in 0..60 {
            let mut damaged = frame.to_vec();
            for _ in 0..=below(&mut rng, 3) {
                // The damage is mostly after the API key and the version, so that the request reaches the handlers.
                let at = 4 + below(&mut rng, damaged.len() - 4);
                damaged[at] = [0, 1, 0x7f, 0x80, 0xff, 0xfe][below(&mut rng, 6)];
            }
            damaged.truncate(damaged.len() - below(&mut rng, 8) / 6 * below(&mut rng, damaged.len()));
            let connection = script.connect();
            script.core.handle_frame(script.now, connection, Bytes::from(damaged));
            while script.core.poll().is_some() {}
            script.pass(Duration::from_millis(10));
            script.core.disconnect(connection);
        }
    }
    let connection = script.connect();
    script.context(connection, 4, &ApiVersionsRequest::default());
}
