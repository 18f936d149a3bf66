//! Broker settings that topics inherit.

use kafka_wire::protocol::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};

use super::records::{batch, produce, seal, with_topic};
use super::*;

#[test]
fn topics_inherit_what_is_altered_in_the_broker() {
    let (mut script, _) = with_topic(BrokerConfig::default());
    let connection = script.connect();
    let alter = |broker: &'static str, value: Option<&'static str>| {
        let config = AlterableConfig {
            name: Str::from_static("log.message.timestamp.type"),
            config_operation: i8::from(value.is_none()),
            value: value.map(Str::from_static),
            ..Default::default()
        };
        let resource = AlterConfigsResource {
            resource_type: 4,
            resource_name: Str::from_static(broker),
            configs: vec![config],
            ..Default::default()
        };
        IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() }
    };
    for (broker, value, is_stamped) in
        [("", Some("LogAppendTime"), true), ("1", Some("CreateTime"), false), ("1", None, true), ("", None, false)]
    {
        let response = script.context(connection, 1, &alter(broker, value));
        assert_eq!(response.responses[0].error_code, 0);
        let response = script.context(connection, 9, &produce(None, batch(3, seal((-1, -1), -1, false))));
        let written = &response.responses[0].partition_responses[0];
        assert_eq!((written.error_code, written.log_append_time_ms >= 0), (0, is_stamped), "{broker:?} {value:?}");
    }
}
