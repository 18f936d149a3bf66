//! Produce: checks one batch for each partition, and appends it as it is.

use bytes::Bytes;
use kafka_wire::compression::Compression;
use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::produce::{
    BatchIndexAndErrorMessage, PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse,
    TopicProduceData, TopicProduceResponse,
};
use kafka_wire::record::{Batch, BatchHeader, MAGIC_V2, RecordErrorCause};
use kafka_wire::types::PartitionId;
use kafka_wire::wire::Str;

use super::{Client, Handled, Handler};
use crate::broker::broker_configs;
use crate::broker::internal_topics::is_internal;
use crate::broker::log::{self, AppendInfo, Log, LogSettings};
use crate::broker::partition::PartitionName;
use crate::broker::record_rules::{RecordRules, Refusal};
use crate::broker::state::State;
use crate::broker::transactions::{Participant, ProducerIdentity};

impl Handler for ProduceRequest {
    fn handle(self, state: &mut State, client: &Client) -> Handled<ProduceResponse> {
        if !matches!(self.acks, ACKS_ALL | ACKS_NONE | ACKS_LEADER) {
            return Handled::Now(self.refuse(ErrorCode::INVALID_REQUIRED_ACKS, client.context.version));
        }
        let write = Write {
            version: client.context.version,
            transactional_id: self.transactional_id.as_ref(),
            is_administrator: client.id.as_str() == ADMINISTRATOR,
        };
        let response = self.respond(|topic, data| write.append(state, topic, data));
        if self.acks != ACKS_NONE {
            return Handled::Now(response);
        }
        let mut outcomes = response.responses.iter().flat_map(|topic| &topic.partition_responses);
        // With acks=0 the client reads no response; closing the connection is the only way to report a failure.
        if outcomes.all(|outcome| outcome.error_code == ErrorCode::NONE.0) { Handled::Never } else { Handled::Close }
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> ProduceResponse {
        self.respond(|_, _| Err(error.into()))
    }
}

trait Respond {
    /// The response that has the result of `append` for each partition.
    fn respond(
        &self,
        append: impl FnMut(&TopicProduceData, &PartitionProduceData) -> Result<AppendInfo, Refusal>,
    ) -> ProduceResponse;
}

impl Respond for ProduceRequest {
    fn respond(
        &self,
        mut append: impl FnMut(&TopicProduceData, &PartitionProduceData) -> Result<AppendInfo, Refusal>,
    ) -> ProduceResponse {
        let mut responses = Vec::with_capacity(self.topic_data.len());
        for topic in &self.topic_data {
            let partitions = topic.partition_data.iter().map(|data| respond_one(data.index, append(topic, data)));
            responses.push(TopicProduceResponse {
                partition_responses: partitions.collect(),
                name: topic.name.clone(),
                topic_id: topic.topic_id,
                ..Default::default()
            });
        }
        ProduceResponse { responses, ..ProduceResponse::default() }
    }
}

/// The fields of the request that apply to all of its batches.
struct Write<'a> {
    version: i16,
    transactional_id: Option<&'a Str>,
    is_administrator: bool,
}

impl Write<'_> {
    fn append(
        &self,
        state: &mut State,
        topic: &TopicProduceData,
        data: &PartitionProduceData,
    ) -> Result<AppendInfo, Refusal> {
        let name = state.topic_name(&topic.name, topic.topic_id);
        let found = state.topics.by_name(&name).ok_or(if self.version >= FIRST_WITH_TOPIC_IDS {
            ErrorCode::UNKNOWN_TOPIC_ID
        } else {
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        })?;
        let log_start_offset = match state.topics.partition(&name, data.index) {
            Some(partition) => partition.log.start_offset(),
            None => return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.into()),
        };
        if is_internal(&name) && !self.is_administrator {
            return Err(ErrorCode::INVALID_TOPIC_EXCEPTION.into());
        }
        let limit = found.config("max.message.bytes").and_then(|limit| limit.trim().parse().ok());
        let is_log_append_time = found.config("message.timestamp.type") == Some("LogAppendTime");
        let rules = RecordRules::of(found, state.timestamp());
        let batch = read_batch(data.records.clone().unwrap_or_default())?;
        if batch.size_bytes() > limit.unwrap_or(state.config.batch_limit_bytes) {
            return Err(ErrorCode::MESSAGE_TOO_LARGE.into());
        }
        check_header(&batch.header, self.version)?;
        let partition = PartitionId(data.index);
        if batch.header.is_transactional() {
            self.check_transaction(state, &name, partition, &batch.header)?;
        }
        rules.check(&batch, log_start_offset)?;
        state.check_room(batch.size_bytes())?;
        let now = state.timestamp();
        let append = |log: &mut Log, settings: &LogSettings| {
            log.append(&batch, &log::Write { now, log_append_time: is_log_append_time, settings })
        };
        let info = state.topics.change_log(now, &name, partition, append).expect("looked up above")?;
        state.wake(&name, partition);
        Ok(info)
    }

    /// Checks that the partition is in the transaction. Version 12 and later add it with the first write to it
    /// (KIP-890, part 2), which has to be the first of its sequence if the log does not know the producer: an earlier
    /// one was refused. Before, the client has to have added it; the coordinator is asked unless the log has seen
    /// the transaction already. If [`VERIFICATION`] is off, neither is checked.
    fn check_transaction(
        &self,
        state: &mut State,
        topic: &Str,
        partition: PartitionId,
        header: &BatchHeader,
    ) -> Result<(), ErrorCode> {
        let id = self.transactional_id.ok_or(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED)?;
        let producer = ProducerIdentity { id: header.producer_id, epoch: header.producer_epoch };
        let log = state.topics.partition(topic, partition.0).map(|found| &found.log);
        let is_open = log.is_some_and(|log| log.has_open_transaction(producer.id));
        let is_late = header.base_sequence != 0 && !log.is_some_and(|log| log.knows_producer(producer.id));
        let participant = || Participant::Partition(PartitionName { topic: topic.detached(), partition });
        let result = if self.version >= FIRST_THAT_ADDS {
            state.transactions.add(state.now, id, producer, [participant()]).and_then(|()| {
                let is_refused = is_late && broker_configs::is_on(state, VERIFICATION);
                if is_refused { Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER) } else { Ok(()) }
            })
        } else if is_open || !broker_configs::is_on(state, VERIFICATION) {
            Ok(())
        } else {
            state.transactions.verify(id, producer, &participant())
        };
        result.map_err(|error| match error {
            ErrorCode::PRODUCER_FENCED => ErrorCode::INVALID_PRODUCER_EPOCH,
            ErrorCode::TRANSACTION_ABORTABLE if self.version < FIRST_WITH_ABORTABLE => ErrorCode::INVALID_TXN_STATE,
            // Older producers take this code for a broker that cannot write at the moment, and retry.
            ErrorCode::CONCURRENT_TRANSACTIONS if self.version < FIRST_THAT_ADDS => ErrorCode::NOT_ENOUGH_REPLICAS,
            other => other,
        })
    }
}

/// Reads the one batch that a request may have for a partition, and checks its checksum.
fn read_batch(records: Bytes) -> Result<Batch, ErrorCode> {
    // Message sets of the old formats are no longer stored (KIP-724). Kafka looks at the format before anything
    // else: `ProduceRequest.validateRecords`.
    let magic = records.get(..Batch::HEAD_BYTES).and_then(<[u8]>::last);
    if magic.is_some_and(|magic| magic.cast_signed() != MAGIC_V2) {
        return Err(ErrorCode::INVALID_RECORD);
    }
    let batch = Batch::from_bytes(records).and_then(|batch| batch.check_crc().map(|()| batch));
    batch.map_err(|error| match error.cause {
        RecordErrorCause::UnsupportedMagic(_) | RecordErrorCause::OutOfRange(_) | RecordErrorCause::BytesLeft(_) => {
            ErrorCode::INVALID_RECORD
        }
        RecordErrorCause::Compression(_) => ErrorCode::UNSUPPORTED_COMPRESSION_TYPE,
        _ => ErrorCode::CORRUPT_MESSAGE,
    })
}

/// Checks everything that the header alone can show; the records stay unread.
fn check_header(header: &BatchHeader, version: i16) -> Result<(), ErrorCode> {
    let is_counted = header.record_count > 0 && header.last_offset_delta == header.record_count - 1;
    let is_sequenced = !header.has_producer_id() || (header.producer_epoch.0 >= 0 && header.base_sequence >= 0);
    let is_owned = header.has_producer_id() || !header.is_transactional();
    if !is_counted || !is_sequenced || !is_owned || header.is_control() {
        return Err(ErrorCode::INVALID_RECORD);
    }
    if header.compression() == Compression::Zstd && version < FIRST_WITH_ZSTD {
        return Err(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE);
    }
    Ok(())
}

fn respond_one(index: i32, result: Result<AppendInfo, Refusal>) -> PartitionProduceResponse {
    match result {
        Ok(info) => PartitionProduceResponse {
            index,
            base_offset: info.base_offset.0,
            log_append_time_ms: info.log_append_time.map_or(-1, |time| time.0),
            log_start_offset: info.log_start_offset.0,
            ..PartitionProduceResponse::default()
        },
        Err(refusal) => PartitionProduceResponse {
            index,
            error_code: refusal.error.0,
            base_offset: -1,
            log_start_offset: refusal.log_start_offset.0,
            error_message: refusal.summary().map(Str::from),
            record_errors: refusal
                .records
                .into_iter()
                .map(|(batch_index, why)| BatchIndexAndErrorMessage {
                    batch_index,
                    batch_index_error_message: Some(why.into()),
                    ..Default::default()
                })
                .collect(),
            ..PartitionProduceResponse::default()
        },
    }
}

const ACKS_ALL: i16 = -1;
const ACKS_NONE: i16 = 0;
const ACKS_LEADER: i16 = 1;

/// The client id of Kafka's own administration client, the only one that may write to internal topics.
const ADMINISTRATOR: &str = "__admin_client";

/// The setting by which leaders ask the coordinator.
const VERIFICATION: &str = "transaction.partition.verification.enable";

const FIRST_WITH_ZSTD: i16 = 7;
const FIRST_WITH_ABORTABLE: i16 = 11;
const FIRST_THAT_ADDS: i16 = 12;
const FIRST_WITH_TOPIC_IDS: i16 = 13;
