//! DescribeCluster: the cluster is one broker, which is also the controller.

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::describe_cluster::{DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse};

use super::{Client, Handled, Handler};
use crate::broker::authorized_operations::{self, if_asked};
use crate::broker::state::{NODE, State};

impl Handler for DescribeClusterRequest {
    fn handle(self, state: &mut State, client: &Client) -> Handled<DescribeClusterResponse> {
        // Version 0 does not have this field, and always means the brokers.
        if client.context.version >= 1 && self.endpoint_type != BROKERS {
            return Handled::Now(self.refuse(ErrorCode::MISMATCHED_ENDPOINT_TYPE, client.context.version));
        }
        let (host, port) = client.way_to(state);
        let broker = DescribeClusterBroker { broker_id: NODE.0, host, port, ..DescribeClusterBroker::default() };
        Handled::Now(DescribeClusterResponse {
            cluster_id: state.cluster_id.clone(),
            controller_id: NODE.0,
            brokers: vec![broker],
            cluster_authorized_operations: if_asked(
                self.include_cluster_authorized_operations,
                authorized_operations::CLUSTER,
            ),
            ..DescribeClusterResponse::default()
        })
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> DescribeClusterResponse {
        DescribeClusterResponse { error_code: error.0, ..DescribeClusterResponse::default() }
    }
}

const BROKERS: i8 = 1;
