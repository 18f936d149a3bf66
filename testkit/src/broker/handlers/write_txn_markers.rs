//! WriteTxnMarkers: ends transactions in single partitions, as an administrator does with one that hangs (KIP-664).

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::write_txn_markers::{
    WritableTxnMarker, WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
    WriteTxnMarkersRequest, WriteTxnMarkersResponse,
};
use kafka_wire::types::{PartitionId, ProducerEpoch, ProducerId};
use kafka_wire::wire::Str;

use super::{Client, Handled, Handler, code};
use crate::broker::log::{Log, LogSettings, Write};
use crate::broker::state::State;

impl Handler for WriteTxnMarkersRequest {
    fn handle(self, state: &mut State, _client: &Client) -> Handled<WriteTxnMarkersResponse> {
        Handled::Now(respond(&self, |marker, topic, index| write(state, marker, topic, index)))
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> WriteTxnMarkersResponse {
        respond(self, |_, _, _| Err(error))
    }
}

fn write(state: &mut State, marker: &WritableTxnMarker, topic: &Str, index: i32) -> Result<(), ErrorCode> {
    let (id, epoch) = (ProducerId(marker.producer_id), ProducerEpoch(marker.producer_epoch));
    let partition = state.topics.partition(topic, index).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    if let Some(known) = partition.log.producers().find(|producer| producer.id == id) {
        if epoch < known.epoch {
            return Err(ErrorCode::INVALID_PRODUCER_EPOCH);
        }
        // The transaction coordinator here only ever has the epoch 0.
        if known.has_marker && marker.coordinator_epoch < 0 {
            return Err(ErrorCode::TRANSACTION_COORDINATOR_FENCED);
        }
    }
    let (now, index) = (state.timestamp(), PartitionId(index));
    let end = |log: &mut Log, settings: &LogSettings| {
        let write = Write { now, log_append_time: false, settings };
        log.end_transaction(id, epoch, marker.transaction_result, &write);
    };
    state.topics.change_log(now, topic, index, end).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    state.wake(topic, index);
    Ok(())
}

fn respond(
    request: &WriteTxnMarkersRequest,
    mut write: impl FnMut(&WritableTxnMarker, &Str, i32) -> Result<(), ErrorCode>,
) -> WriteTxnMarkersResponse {
    let mut markers = Vec::with_capacity(request.markers.len());
    for marker in &request.markers {
        let mut topics = Vec::with_capacity(marker.topics.len());
        for topic in &marker.topics {
            let partitions = topic.partition_indexes.iter().map(|&partition_index| WritableTxnMarkerPartitionResult {
                partition_index,
                error_code: code(write(marker, &topic.name, partition_index)),
                ..Default::default()
            });
            let partitions = partitions.collect();
            topics.push(WritableTxnMarkerTopicResult { name: topic.name.clone(), partitions, ..Default::default() });
        }
        markers.push(WritableTxnMarkerResult { producer_id: marker.producer_id, topics, ..Default::default() });
    }
    WriteTxnMarkersResponse { markers, ..Default::default() }
}
