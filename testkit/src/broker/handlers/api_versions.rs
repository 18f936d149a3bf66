//! ApiVersions: the APIs with the versions that the broker serves, and its finalized features.

use kafka_wire::protocol::api_versions::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use kafka_wire::protocol::{ApiKey, ErrorCode};
use kafka_wire::wire::Str;

use super::{Client, Handled, Handler, served};
use crate::broker::connection::RequestContext;
use crate::broker::state::{NODE, State};

impl Handler for ApiVersionsRequest {
    fn handle(self, state: &mut State, client: &Client) -> Handled<ApiVersionsResponse> {
        let is_named = |text: &Str| text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
        if client.context.version >= 3
            && !(is_named(&self.client_software_name) && is_named(&self.client_software_version))
        {
            return Handled::Now(self.refuse(ErrorCode::INVALID_REQUEST, client.context.version));
        }
        if let Err(error) = check_target(&self, state) {
            return Handled::Now(self.refuse(error, client.context.version));
        }
        let level = state.config.transaction_version;
        let response = ApiVersionsResponse { api_keys: keys(), ..ApiVersionsResponse::default() };
        if client.context.version < 3 {
            return Handled::Now(response);
        }
        Handled::Now(ApiVersionsResponse {
            supported_features: vec![SupportedFeatureKey {
                name: TRANSACTION_VERSION,
                min_version: 0,
                max_version: 2,
                ..Default::default()
            }],
            finalized_features_epoch: 1,
            finalized_features: vec![FinalizedFeatureKey {
                name: TRANSACTION_VERSION,
                max_version_level: level,
                min_version_level: level,
                ..Default::default()
            }],
            ..response
        })
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> ApiVersionsResponse {
        ApiVersionsResponse { error_code: error.0, ..ApiVersionsResponse::default() }
    }
}

/// Checks that the client has reached the node that it means to reach, if the request names one (version 5
/// and later, KIP-1242).
fn check_target(request: &ApiVersionsRequest, state: &State) -> Result<(), ErrorCode> {
    match (&request.cluster_id, request.node_id) {
        (None, NOT_GIVEN) => Ok(()),
        (None, _) | (Some(_), NOT_GIVEN) => Err(ErrorCode::INVALID_REQUEST),
        (Some(cluster), node) if *cluster == state.cluster_id && node == NODE.0 => Ok(()),
        (Some(_), _) => Err(ErrorCode::REBOOTSTRAP_REQUIRED),
    }
}

/// Answers an ApiVersions request of a version that the broker does not serve: with version 0, the error and the
/// versions to choose from, so that the client can ask again (KIP-511).
pub(in crate::broker) fn refuse_version(state: &mut State, context: RequestContext) {
    let response = ApiVersionsResponse {
        error_code: ErrorCode::UNSUPPORTED_VERSION.0,
        api_keys: keys(),
        ..ApiVersionsResponse::default()
    };
    state.answer(RequestContext { version: 0, ..context }, &response);
}

fn keys() -> Vec<ApiVersion> {
    let key = |key: ApiKey| i16::from(key);
    let mut keys: Vec<_> = served()
        .map(|(api, versions)| ApiVersion {
            api_key: key(api),
            min_version: if api == ApiKey::Produce { PRODUCE_MIN_VERSION } else { *versions.start() },
            max_version: *versions.end(),
            ..Default::default()
        })
        .collect();
    keys.sort_by_key(|version| version.api_key);
    keys
}

/// Lowest version of Produce that clients are told, although none below 3 is served. As in Apache Kafka since 4.0:
/// librdkafka before 2.11.1 compresses with gzip, snappy and lz4 only for a broker that has version 0 (KAFKA-18659).
const PRODUCE_MIN_VERSION: i16 = 0;
/// `NodeId` of a client that does not say which node it means to reach.
const NOT_GIVEN: i32 = -1;
const TRANSACTION_VERSION: Str = Str::from_static("transaction.version");
