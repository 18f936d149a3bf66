//! Deleting the oldest records of partitions.

use crate::cluster::TopicPartition;
use crate::protocol::ErrorCode;
use crate::protocol::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic,
};
use crate::types::{Offset, PartitionId};

/// A request to one leader to delete the records before the given offsets (exclusive; -1 stands for
/// the high watermark).
#[must_use]
pub fn request(partitions: &[(TopicPartition, Offset)], timeout_ms: i32) -> DeleteRecordsRequest {
    let mut topics: Vec<DeleteRecordsTopic> = Vec::new();
    for (partition, before) in partitions {
        let asked =
            DeleteRecordsPartition { partition_index: partition.partition.0, offset: before.0, ..Default::default() };
        match topics.last_mut() {
            Some(last) if last.name == partition.topic => last.partitions.push(asked),
            _ => topics.push(DeleteRecordsTopic {
                name: partition.topic.clone(),
                partitions: vec![asked],
                ..Default::default()
            }),
        }
    }
    DeleteRecordsRequest { topics, timeout_ms, ..Default::default() }
}

/// The new start offset of each partition, or the reason why nothing was deleted.
pub fn read(response: DeleteRecordsResponse) -> impl Iterator<Item = (TopicPartition, Result<Offset, ErrorCode>)> {
    response.topics.into_iter().flat_map(|topic| {
        let name = topic.name;
        topic.partitions.into_iter().map(move |answer| {
            let partition = TopicPartition::new(name.clone(), PartitionId(answer.partition_index));
            (partition, ErrorCode(answer.error_code).ok().map(|()| Offset(answer.low_watermark)))
        })
    })
}
