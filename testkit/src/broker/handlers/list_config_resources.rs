//! ListConfigResources: topics, and the broker with its loggers; there are no groups and subscriptions with settings
//! (KIP-1142).

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::list_config_resources::{
    ConfigResource, ListConfigResourcesRequest, ListConfigResourcesResponse,
};
use kafka_wire::wire::Str;

use super::{Client, Handled, Handler};
use crate::broker::state::{NODE, State};

impl Handler for ListConfigResourcesRequest {
    fn handle(self, state: &mut State, client: &Client) -> Handled<ListConfigResourcesResponse> {
        // Version 0 asks for subscriptions to client metrics alone.
        let kinds = match (client.context.version, self.resource_types.as_slice()) {
            (0, _) => vec![CLIENT_METRICS],
            (_, []) => KINDS.to_vec(),
            (_, kinds) => kinds.to_vec(),
        };
        if kinds.iter().any(|kind| !KINDS.contains(kind)) {
            return Handled::Now(self.refuse(ErrorCode::UNSUPPORTED_VERSION, client.context.version));
        }
        let resource =
            |resource_type, resource_name| ConfigResource { resource_type, resource_name, ..Default::default() };
        let mut config_resources = Vec::new();
        for kind in kinds {
            match kind {
                TOPIC => config_resources.extend(state.topics.iter().map(|topic| resource(TOPIC, topic.name.clone()))),
                BROKER | BROKER_LOGGERS => config_resources.push(resource(kind, Str::from(NODE.0.to_string()))),
                _ => {}
            }
        }
        Handled::Now(ListConfigResourcesResponse { config_resources, ..Default::default() })
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> ListConfigResourcesResponse {
        ListConfigResourcesResponse { error_code: error.0, ..Default::default() }
    }
}

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGERS: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;
const KINDS: [i8; 5] = [TOPIC, BROKER, BROKER_LOGGERS, CLIENT_METRICS, GROUP];
