//! The requirements of a job on the brokers, with the first Kafka release that meets each.

use kafka_wire::client::{CallOptions, Client, Lane, Node};
use kafka_wire::protocol::ApiKey;
use kafka_wire::protocol::api_versions::ApiVersionsRequest;
use kafka_wire::session::BrokerVersions;
use kafka_wire::wire::Str;

use super::error::RunError;

/// A version of an API that exactly-once needs.
struct Need {
    api: ApiKey,
    version: i16,
    /// First release of Apache Kafka that has it.
    since: &'static str,
    /// The problem without it.
    why: &'static str,
}

const NEEDS: [Need; 3] = [
    Need {
        api: ApiKey::OffsetFetch,
        version: 7,
        since: "2.5",
        why: "offsets of open transactions are held back, KIP-447",
    },
    Need {
        api: ApiKey::TxnOffsetCommit,
        version: 3,
        since: "2.5",
        why: "a worker that lost its partitions is fenced, KIP-447",
    },
    Need {
        api: ApiKey::InitProducerId,
        version: 3,
        since: "2.5",
        why: "a producer gets a new epoch after an error, KIP-360",
    },
];

/// Checks that the brokers are new enough for a job: Kafka 2.5 and later are.
///
/// One broker is asked. [`App::start`](super::App::start) does this by itself; call it to know before topics
/// are created.
///
/// # Errors
/// [`RunError::BrokersTooOld`] names the first unmet requirement; [`RunError::Connect`] means that no broker answered.
pub async fn check_brokers(client: &Client) -> Result<(), RunError> {
    let request = ApiVersionsRequest {
        client_software_name: Str::from_static("waterwheel"),
        client_software_version: Str::from_static(env!("CARGO_PKG_VERSION")),
        ..Default::default()
    };
    let response = client.request(Node::Any, Lane::General, request, CallOptions::default()).await;
    let response = response.map_err(|error| RunError::Connect(error.to_string()))?;
    unmet(&BrokerVersions::from_response(&response)).map_or(Ok(()), Err)
}

/// The first requirement that a broker does not meet.
fn unmet(versions: &BrokerVersions) -> Option<RunError> {
    NEEDS.iter().find_map(|need| {
        let offered = versions.range(need.api).map(|range| *range.end());
        let &Need { api, version: needed, since, why } = need;
        let error = RunError::BrokersTooOld { api: api.name(), offered, needed, since, why };
        offered.is_none_or(|offered| offered < needed).then_some(error)
    })
}

#[cfg(test)]
mod tests {
    use kafka_wire::protocol::api_versions::{ApiVersion, ApiVersionsResponse};

    use super::*;

    fn broker_with(offset_fetch: i16) -> BrokerVersions {
        let range = |api: ApiKey, max_version| ApiVersion {
            api_key: api.into(),
            min_version: 0,
            max_version,
            ..Default::default()
        };
        let api_keys = vec![
            range(ApiKey::OffsetFetch, offset_fetch),
            range(ApiKey::TxnOffsetCommit, 3),
            range(ApiKey::InitProducerId, 3),
        ];
        BrokerVersions::from_response(&ApiVersionsResponse { api_keys, ..Default::default() })
    }

    #[test]
    fn a_broker_that_is_too_old_is_told_by_api_and_release() {
        assert!(unmet(&broker_with(7)).is_none());
        let error = unmet(&broker_with(5)).expect("v5 is of Kafka 2.1").to_string();
        assert!(error.contains("OffsetFetch only up to v5") && error.contains("since 2.5"), "{error}");
        let error = unmet(&BrokerVersions::default()).expect("nothing is served").to_string();
        assert!(error.contains("no OffsetFetch"), "{error}");
    }
}
