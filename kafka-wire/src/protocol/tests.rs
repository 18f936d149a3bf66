use bytes::Bytes;

use super::api_versions::ApiVersionsResponse;
use super::fetch::{
    AbortedTransaction, FetchRequest, FetchResponse, FetchResponseView, FetchTopic, FetchableTopicResponse,
    LeaderIdAndEpoch, PartitionData,
};
use super::header::{RequestHeader, ResponseHeader};
use super::metadata::MetadataRequest;
use super::{ApiKey, Message, MessageView};
use crate::wire::{DecodeCause, DecodeError, EncodeCause, EncodeError, Reader, Str, Writer};

fn decode<M: Message>(bytes: &Bytes, version: i16) -> Result<M, DecodeError> {
    M::decode(&mut Reader::new(bytes), version)
}

fn encode<M: Message>(message: &M, version: i16) -> Result<Bytes, EncodeError> {
    let mut w = Writer::new();
    message.encode(&mut w, version)?;
    Ok(w.into_bytes())
}

#[test]
fn a_set_field_that_the_version_lacks_is_an_error() {
    let request = FetchRequest { max_bytes: 7, rack_id: Str::from_static("a"), ..FetchRequest::default() };
    // The rack is ignorable, so it is left out in version 4.
    let decoded = decode::<FetchRequest>(&encode(&request, 4).unwrap(), 4).unwrap();
    assert_eq!((decoded.max_bytes, decoded.rack_id), (7, Str::EMPTY));

    let forget = FetchRequest { forgotten_topics_data: vec![Default::default()], ..FetchRequest::default() };
    let error = encode(&forget, 6).unwrap_err();
    assert_eq!((error.what, error.cause), ("forgotten_topics_data", EncodeCause::VersionLacksField(6)));
}

#[test]
fn null_needs_a_version_that_has_it() {
    let every_topic = MetadataRequest { topics: None, ..MetadataRequest::default() };
    let error = encode(&every_topic, 0).unwrap_err();
    assert_eq!((error.what, error.cause), ("topics", EncodeCause::NullNotAllowed(0)));
    assert_eq!(encode(&every_topic, 1).unwrap(), [0xff; 4][..]);
}

#[test]
fn unknown_versions_are_refused_in_both_directions() {
    let error = encode(&FetchRequest::default(), 3).unwrap_err();
    assert_eq!(error, EncodeError { what: "FetchRequest", cause: EncodeCause::UnknownVersion(3) });
    let error = decode::<FetchRequest>(&Bytes::new(), 19).unwrap_err();
    assert_eq!((error.what, error.cause), ("FetchRequest", DecodeCause::UnknownVersion(19)));
}

#[test]
fn tagged_fields_of_newer_brokers_are_skipped() {
    // Error 0, no APIs, throttle 0, then three tags: the epoch (1), an unknown one (90), migration (3).
    let frame = b"\0\0\x01\0\0\0\0\x03\x01\x08\0\0\0\0\0\0\0\x05\x5a\x02\xff\xff\x03\x01\x01";
    let frame = Bytes::from_static(frame);
    let mut r = Reader::new(&frame);
    let response = ApiVersionsResponse::decode(&mut r, 4).unwrap();
    r.finish().unwrap();
    assert_eq!((response.finalized_features_epoch, response.zk_migration_ready), (5, true));
}

#[test]
fn a_tag_of_a_later_version_is_unknown_before() {
    let topics = vec![FetchTopic { partitions: vec![Default::default()], ..Default::default() }];
    let mut request = FetchRequest { topics, ..FetchRequest::default() };
    request.topics[0].partitions[0].high_watermark = 9;
    let partition = |sent: i16, read: i16| {
        decode::<FetchRequest>(&encode(&request, sent).unwrap(), read).unwrap().topics[0].partitions[0].high_watermark
    };
    assert_eq!(partition(18, 18), 9);
    assert_eq!(partition(18, 17), i64::MAX);
    assert_eq!(partition(17, 18), i64::MAX);
}

#[test]
fn the_client_id_keeps_its_classic_length() {
    let header = RequestHeader {
        request_api_key: ApiKey::ApiVersions.into(),
        request_api_version: 4,
        correlation_id: 7,
        client_id: Some(Str::from_static("me")),
        ..Default::default()
    };
    assert_eq!(encode(&header, 2).unwrap(), b"\0\x12\0\x04\0\0\0\x07\0\x02me\0"[..]);
    assert_eq!(encode(&ResponseHeader { correlation_id: 7, ..Default::default() }, 0).unwrap(), b"\0\0\0\x07"[..]);
}

#[test]
fn counts_of_a_hostile_frame_reserve_nothing() {
    // A list of 2^31 - 1 topics in a frame of 21 bytes.
    let mut frame = vec![0; 17];
    frame.extend(i32::MAX.to_be_bytes());
    let error = decode::<FetchRequest>(&Bytes::from(frame), 4).unwrap_err();
    assert_eq!((error.at, error.what, error.cause), (17, "topics", DecodeCause::CountTooLarge));
}

/// A fetch request with unknown tagged fields: in the replica state (itself tag 1), in a partition, at the end.
const WITH_UNKNOWN_TAGS: &[u8] = b"\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\0\x04\0\0\0\x05\x02\
    \x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x02\0\0\0\x06\xff\xff\xff\xff\0\0\0\0\0\0\0\x08\
    \xff\xff\xff\xff\0\0\0\0\0\0\0\x09\0\0\0\x0a\x02\x01\x08\0\0\0\0\0\0\0\x0b\x05\x02hi\0\x01\x01\
    \x03\0\x01\x01\x01\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x09\x01z\x5a\x01y";

#[test]
fn unknown_tags_are_kept_on_request_and_written_back_where_they_were() {
    let frame = Bytes::from_static(WITH_UNKNOWN_TAGS);
    let mut r = Reader::new(&frame);
    r.keep_unknown_tags();
    let mut request = FetchRequest::decode(&mut r, 18).unwrap();
    r.finish().unwrap();
    let kept = r.take_unknown_tags();
    assert_eq!(kept.len(), 3);
    let put_back = |request: &FetchRequest| {
        let mut w = Writer::new();
        w.put_back(kept.clone());
        request.encode(&mut w, 18).unwrap();
        w.into_bytes()
    };
    assert_eq!(put_back(&request), frame);
    // The replica state has its default here, and is written all the same for the unknown fields in it.
    assert_eq!(request.replica_state, Default::default());

    // When a known field is no longer set, the others keep their places.
    request.topics[0].partitions[0].high_watermark = i64::MAX;
    let changed = put_back(&request);
    let mut r = Reader::new(&changed);
    r.keep_unknown_tags();
    assert_eq!(FetchRequest::decode(&mut r, 18).unwrap(), request);
    assert_eq!(r.take_unknown_tags(), kept);

    // Unless they are asked for, they are skipped.
    assert_eq!(decode::<FetchRequest>(&frame, 18).unwrap().max_bytes, 3);
    assert!(encode(&request, 18).unwrap().len() < changed.len());
}

#[test]
fn each_of_many_small_structs_may_carry_an_unknown_tag() {
    // 20,000 keys of nine bytes each: 18, 0, 3 and the empty tag 5.
    let keys = b"\0\x12\0\0\0\x03\x01\x05\0".repeat(20_000);
    let frame = Bytes::from([&b"\0\0\xa1\x9c\x01"[..], &keys, b"\0\0\0\0\0"].concat());
    let mut r = Reader::new(&frame);
    r.keep_unknown_tags();
    let response = ApiVersionsResponse::decode(&mut r, 3).unwrap();
    let kept = r.take_unknown_tags();
    assert_eq!((response.api_keys.len(), kept.len()), (20_000, 20_000));
    let mut w = Writer::new();
    w.put_back(kept);
    response.encode(&mut w, 3).unwrap();
    assert_eq!(w.into_bytes(), frame);
}

#[test]
fn a_view_reads_what_the_owned_message_has() {
    let partition = PartitionData {
        partition_index: 3,
        high_watermark: 9,
        current_leader: LeaderIdAndEpoch { leader_id: 4, leader_epoch: 5 },
        aborted_transactions: Some(vec![AbortedTransaction { producer_id: 1, first_offset: 2 }]),
        records: Some(Bytes::from_static(b"records")),
        ..Default::default()
    };
    let topic =
        FetchableTopicResponse { topic: Str::from_static("t"), partitions: vec![partition], ..Default::default() };
    let response = FetchResponse { session_id: 8, responses: vec![topic], ..Default::default() };
    for version in FetchResponse::LAYOUT.versions() {
        let mut response = response.clone();
        if version < 12 {
            response.session_id = if version >= 7 { 8 } else { 0 };
            response.responses[0].partitions[0].current_leader = LeaderIdAndEpoch::default();
        }
        let body = encode(&response, version).unwrap();
        let owned = decode::<FetchResponse>(&body, version).unwrap();
        let view = FetchResponseView::decode(&body, version).unwrap();
        assert_eq!(
            format!("{view:?}").replace("View", ""),
            format!("{owned:?}").replace("b\"records\"", "[114, 101, 99, 111, 114, 100, 115]")
        );
        // The following bytes are left.
        let longer = Bytes::from([&body[..], b"\x01\0\0"].concat());
        let (_, rest) = FetchResponseView::split(&longer, version).unwrap();
        assert_eq!(rest, b"\x01\0\0");
        // The error is the one of the owned form.
        let cut = body.slice(..body.len() - 1);
        let refused = FetchResponseView::decode(&cut, version).map(|_| ()).unwrap_err();
        assert_eq!(Some(refused), decode::<FetchResponse>(&cut, version).err());
    }
    let error = FetchResponseView::decode(&Bytes::new(), 99).map(|_| ()).unwrap_err();
    assert_eq!(error.cause, DecodeCause::UnknownVersion(99));
}
