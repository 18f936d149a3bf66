//! The description of the cluster: its brokers, with their racks (KIP-700, KIP-1073).

use super::{AclOperation, ItemError};
use crate::protocol::describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};
use crate::types::BrokerId;
use crate::wire::Str;

/// A cluster and its brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDescription {
    /// Id of the cluster.
    pub cluster_id: Str,
    /// The broker for requests to the controller; with KRaft any broker is.
    pub controller: Option<BrokerId>,
    /// The brokers, by id; fenced ones are among them since Kafka 4.0.
    pub brokers: Vec<BrokerDescription>,
    /// The operations on the cluster that this client may do; `None` if the broker does not tell.
    pub operations: Option<Vec<AclOperation>>,
}

/// A broker of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerDescription {
    /// `node.id`.
    pub id: BrokerId,
    /// Host that it advertises.
    pub host: Str,
    /// Port that it advertises.
    pub port: u16,
    /// `broker.rack`.
    pub rack: Option<Str>,
    /// Whether the controller keeps it from serving clients.
    pub is_fenced: bool,
}

/// Makes a request in the form of `version`.
#[must_use]
pub fn request(version: i16) -> DescribeClusterRequest {
    DescribeClusterRequest {
        include_cluster_authorized_operations: true,
        include_fenced_brokers: version >= FIRST_WITH_FENCED,
        ..Default::default()
    }
}

/// Returns the description.
///
/// # Errors
/// The broker's error.
pub fn read(response: DescribeClusterResponse) -> Result<ClusterDescription, ItemError> {
    ItemError::check(response.error_code, response.error_message)?;
    let brokers = response.brokers.into_iter().map(|broker| BrokerDescription {
        id: BrokerId(broker.broker_id),
        host: broker.host,
        port: u16::try_from(broker.port).unwrap_or(0),
        rack: broker.rack,
        is_fenced: broker.is_fenced,
    });
    let mut brokers: Vec<_> = brokers.collect();
    brokers.sort_by_key(|broker| broker.id);
    Ok(ClusterDescription {
        cluster_id: response.cluster_id,
        controller: (response.controller_id >= 0).then_some(BrokerId(response.controller_id)),
        brokers,
        operations: AclOperation::from_bits(response.cluster_authorized_operations),
    })
}

/// First version that can list fenced brokers.
const FIRST_WITH_FENCED: i16 = 2;
