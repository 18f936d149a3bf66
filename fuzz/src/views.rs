//! The rules for views: a view decodes whatever the owned message decodes, to the same values, and takes no memory.

use allocation_counter::measure;
use bytes::Bytes;
use kafka_wire::protocol::fetch::{FetchResponse, FetchResponseView, PartitionData, PartitionDataView};
use kafka_wire::protocol::metadata::{
    MetadataResponse, MetadataResponsePartition, MetadataResponsePartitionView, MetadataResponseView,
};
use kafka_wire::protocol::{ApiKey, Message, MessageView};
use kafka_wire::wire::{DecodeCause, DecodeError, Items, Reader, Str, View};

/// The first byte is the API key, the second the version.
pub fn run(data: &[u8]) {
    let [key, version, body @ ..] = data else { return };
    let (version, frame) = (i16::from(*version), Bytes::copy_from_slice(body));
    match ApiKey::from_i16(i16::from(*key)) {
        Some(ApiKey::Fetch) => same(&frame, version, same_fetch),
        Some(ApiKey::Metadata) => same(&frame, version, same_metadata),
        _ => {}
    }
}

/// Decodes the view of a message of this name; `None` if the message has no view.
pub fn decode(name: &str, version: i16, frame: &Bytes) -> Option<Result<(), DecodeError>> {
    match name {
        "FetchResponse" => Some(FetchResponseView::decode(frame, version).map(drop)),
        "MetadataResponse" => Some(MetadataResponseView::decode(frame, version).map(drop)),
        _ => None,
    }
}

fn same<'a, V: MessageView<'a>>(frame: &'a Bytes, version: i16, check: fn(&V::Owned, &V)) {
    let mut reader = Reader::new(frame);
    let owned = V::Owned::decode(&mut reader, version);
    let mut view = None;
    let taken = measure(|| view = Some(V::split(frame, version)));
    let view = view.expect("it was read");
    assert!(view.is_err() || taken.count_total == 0, "a view takes no memory");
    match (owned, view) {
        (Ok(owned), Ok((view, rest))) => {
            assert_eq!(reader.left(), rest.len(), "both end at the same byte");
            check(&owned, &view);
        }
        // The one error that a view cannot have.
        (Err(error), _) if error.cause == DecodeCause::ElementsTooLarge => {}
        (Err(owned), Err(view)) => assert_eq!(owned, view),
        (owned, view) => panic!("owned {:?}, view {:?}", owned.err(), view.err()),
    }
}

/// Compares two lists; decodes the second one on the way.
fn each<'a, T, V: View<'a>>(list: &[T], items: Items<'a, V>, check: impl Fn(&T, V)) {
    assert_eq!(list.len(), items.len());
    assert_eq!(items.iter().count(), items.len(), "every element is read again");
    list.iter().zip(items).for_each(|(element, item)| check(element, item));
}

fn text(text: &Option<Str>) -> Option<&str> {
    text.as_deref()
}

fn same_fetch(owned: &FetchResponse, view: &FetchResponseView<'_>) {
    assert_eq!(owned.throttle_time_ms, view.throttle_time_ms);
    assert_eq!((owned.error_code, owned.session_id), (view.error_code, view.session_id));
    each(&owned.responses, view.responses, |owned, view| {
        assert_eq!((owned.topic.as_str(), owned.topic_id), (view.topic, view.topic_id));
        each(&owned.partitions, view.partitions, |owned, view| same_fetched(owned, &view));
    });
    each(&owned.node_endpoints, view.node_endpoints, |owned, view| {
        assert_eq!((owned.node_id, owned.host.as_str()), (view.node_id, view.host));
        assert_eq!((owned.port, text(&owned.rack)), (view.port, view.rack));
    });
}

fn same_fetched(owned: &PartitionData, view: &PartitionDataView<'_>) {
    assert_eq!((owned.partition_index, owned.error_code), (view.partition_index, view.error_code));
    assert_eq!((owned.high_watermark, owned.last_stable_offset), (view.high_watermark, view.last_stable_offset));
    assert_eq!(owned.log_start_offset, view.log_start_offset);
    assert_eq!((&owned.diverging_epoch, &owned.current_leader), (&view.diverging_epoch, &view.current_leader));
    assert_eq!(owned.snapshot_id, view.snapshot_id);
    let aborted = view.aborted_transactions.map(|items| items.iter().collect::<Vec<_>>());
    assert_eq!(owned.aborted_transactions, aborted);
    assert_eq!(owned.preferred_read_replica, view.preferred_read_replica);
    assert_eq!(owned.records.as_deref(), view.records);
}

fn same_metadata(owned: &MetadataResponse, view: &MetadataResponseView<'_>) {
    assert_eq!((owned.throttle_time_ms, owned.controller_id), (view.throttle_time_ms, view.controller_id));
    assert_eq!((text(&owned.cluster_id), owned.error_code), (view.cluster_id, view.error_code));
    assert_eq!(owned.cluster_authorized_operations, view.cluster_authorized_operations);
    each(&owned.brokers, view.brokers, |owned, view| {
        assert_eq!((owned.node_id, owned.host.as_str()), (view.node_id, view.host));
        assert_eq!((owned.port, text(&owned.rack)), (view.port, view.rack));
    });
    each(&owned.topics, view.topics, |owned, view| {
        assert_eq!((owned.error_code, text(&owned.name)), (view.error_code, view.name));
        assert_eq!((owned.topic_id, owned.is_internal), (view.topic_id, view.is_internal));
        assert_eq!(owned.topic_authorized_operations, view.topic_authorized_operations);
        each(&owned.partitions, view.partitions, |owned, view| same_partition(owned, &view));
    });
}

fn same_partition(owned: &MetadataResponsePartition, view: &MetadataResponsePartitionView<'_>) {
    assert_eq!((owned.error_code, owned.partition_index), (view.error_code, view.partition_index));
    assert_eq!((owned.leader_id, owned.leader_epoch), (view.leader_id, view.leader_epoch));
    assert_eq!(owned.replica_nodes, view.replica_nodes.iter().collect::<Vec<_>>());
    assert_eq!(owned.isr_nodes, view.isr_nodes.iter().collect::<Vec<_>>());
    assert_eq!(owned.offline_replicas, view.offline_replicas.iter().collect::<Vec<_>>());
}
