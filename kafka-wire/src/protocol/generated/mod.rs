//! Versions of the messages. Generated.

use super::ApiKey;
use crate::wire::Layout;

/// Versions of the messages of `key`.
pub(super) const fn layout(key: ApiKey) -> Option<Layout> {
    let (first, last, stable, flexible) = match key {
        ApiKey::Produce => (3, 13, 13, 9),
        ApiKey::Fetch => (4, 18, 18, 12),
        ApiKey::ListOffsets => (1, 11, 11, 6),
        ApiKey::Metadata => (0, 13, 13, 9),
        ApiKey::OffsetCommit => (2, 10, 10, 8),
        ApiKey::OffsetFetch => (1, 10, 10, 6),
        ApiKey::FindCoordinator => (0, 6, 6, 3),
        ApiKey::JoinGroup => (0, 9, 9, 6),
        ApiKey::Heartbeat => (0, 4, 4, 4),
        ApiKey::LeaveGroup => (0, 5, 5, 4),
        ApiKey::SyncGroup => (0, 5, 5, 4),
        ApiKey::DescribeGroups => (0, 6, 6, 5),
        ApiKey::ListGroups => (0, 5, 5, 3),
        ApiKey::ApiVersions => (0, 4, 4, 3),
        ApiKey::CreateTopics => (2, 7, 7, 5),
        ApiKey::DeleteTopics => (1, 6, 6, 4),
        ApiKey::DeleteRecords => (0, 2, 2, 2),
        ApiKey::InitProducerId => (0, 6, 5, 2),
        ApiKey::AddPartitionsToTxn => (0, 5, 5, 3),
        ApiKey::AddOffsetsToTxn => (0, 4, 4, 3),
        ApiKey::EndTxn => (0, 5, 5, 3),
        ApiKey::TxnOffsetCommit => (0, 5, 5, 3),
        ApiKey::DescribeConfigs => (1, 4, 4, 4),
        ApiKey::DeleteGroups => (0, 2, 2, 2),
        ApiKey::DescribeCluster => (0, 2, 2, 0),
        _ => return None,
    };
    Some(Layout { name: key.name(), first, last, stable, flexible: Some(flexible) })
}
