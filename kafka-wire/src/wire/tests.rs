use bytes::Bytes;

use super::varint::{
    put_unsigned_varint, put_unsigned_varlong, put_varlong, unsigned_varint, unsigned_varlong, varlong,
};
use super::{DecodeCause, DecodeError, EncodeCause, Malformed, Reader, Str, Uuid, ViewReader, Writer};

/// Reads from bytes that live as long as the test.
fn with<T>(bytes: &[u8], read: impl FnOnce(&mut Reader<'_>) -> T) -> T {
    read(&mut Reader::new(&Bytes::copy_from_slice(bytes)))
}

/// The error of reading such bytes.
fn refused<T: std::fmt::Debug>(
    bytes: &[u8],
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, Malformed>,
) -> DecodeError {
    with(bytes, |r| {
        let malformed = read(r).unwrap_err();
        r.explain(malformed)
    })
}

#[test]
fn varints_keep_every_width_and_sign() {
    for number in (0..32).flat_map(|shift| [1 << shift, (1 << shift) - 1, u32::MAX - (1 << shift)]) {
        let mut out = Vec::new();
        put_unsigned_varint(&mut out, number);
        assert_eq!(unsigned_varint(&out), Ok((&[][..], number)));
    }
    for number in (0..64).flat_map(|shift| [1_u64 << shift, (1 << shift) - 1, u64::MAX - (1 << shift)]) {
        let (mut out, mut signed) = (Vec::new(), Vec::new());
        put_unsigned_varlong(&mut out, number);
        assert_eq!(unsigned_varlong(&out), Ok((&[][..], number)));
        put_varlong(&mut signed, number.cast_signed());
        assert_eq!(varlong(&signed), Ok((&[][..], number.cast_signed())));
    }
    let check = |bytes: &[u8], number| assert_eq!(varlong(bytes), Ok((&[][..], number)));
    check(&[0], 0);
    check(&[1], -1);
    check(&[2], 1);
    check(&[0xac, 0x02], 150);
    check(&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], i64::MAX);
    check(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], i64::MIN);
    assert_eq!(varlong(&[0x81, 0x00]), Ok((&[][..], -1)), "a longer spelling than needed");
}

#[test]
fn varints_that_do_not_end_are_refused() {
    let cause = |result: nom::IResult<&[u8], u32, DecodeCause>| match result {
        Err(nom::Err::Error(cause)) => cause,
        other => panic!("{other:?}"),
    };
    assert_eq!(cause(unsigned_varint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0x01])), DecodeCause::VarintTooLong);
    assert_eq!(cause(unsigned_varint(&[0xff, 0xff, 0xff, 0xff, 0x1f])), DecodeCause::VarintTooLong);
    assert_eq!(cause(unsigned_varint(&[0x80])), DecodeCause::Truncated);
    assert_eq!(cause(unsigned_varint(&[])), DecodeCause::Truncated);
    assert!(varlong(&[0xff; 11]).is_err());
    assert!(varlong(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]).is_err());
}

#[test]
fn a_uuid_prints_like_kafkas() {
    let id = Uuid([0x8f, 0x14, 0xe4, 0x5f, 0xce, 0xea, 0x16, 0x7a, 0x5a, 0x36, 0xde, 0xdd, 0x4b, 0xea, 0x25, 0x43]);
    assert_eq!(id.to_string(), "jxTkX87qFnpaNt7dS-olQw");
    assert_eq!("jxTkX87qFnpaNt7dS-olQw".parse(), Ok(id));
    assert_eq!(Uuid::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
    assert!("jxTkX87qFnpaNt7dS+olQw".parse::<Uuid>().is_err());
    assert!("short".parse::<Uuid>().is_err());
}

#[test]
fn strings_are_checked_and_share_the_frame() {
    with(b"\x00\x05topic\xff\xff", |r| {
        assert_eq!(r.string("name").unwrap(), "topic");
        assert_eq!(r.nullable_string("name").unwrap(), None);
        r.finish().unwrap();
    });

    let refused = |bytes| refused(bytes, |r| r.string("name"));
    let error = refused(b"\xff\xff");
    assert_eq!((error.at, error.what, error.cause), (0, "name", DecodeCause::UnexpectedNull));
    assert_eq!(refused(b"\x00\x02\xc3\x28").cause, DecodeCause::InvalidUtf8);
    assert_eq!(refused(b"\x00\x09short").cause, DecodeCause::Truncated);
}

#[test]
fn every_length_below_zero_is_null_as_in_java() {
    assert_eq!(with(b"\xff\xfe", |r| r.nullable_string("name")), Ok(None));
    assert_eq!(with(b"\x80\x00\x00\x00", |r| r.nullable_bytes("bytes")), Ok(None));
    let compact = with(b"\x80\x80\x80\x80\x0f", |r| {
        r.set_flexible(true);
        r.nullable_array::<i32>("list", 0)
    });
    assert_eq!(compact, Ok(None));
}

#[test]
fn counts_are_checked_before_memory_is_reserved() {
    let error = refused(b"\x7f\xff\xff\xff\x00\x00", |r| r.array::<i16>("topics", 0));
    assert_eq!((error.at, error.cause), (0, DecodeCause::CountTooLarge));
    with(b"\x03\x00\x01\x00\x02", |r| {
        r.set_flexible(true);
        assert_eq!(r.array::<i16>("topics", 0).unwrap(), [1, 2]);
    });
}

#[test]
fn items_stay_in_the_frame_and_are_checked_before() {
    let mut r = ViewReader::new(b"\x00\x00\x00\x02\x00\x01a\x00\x03b", false);
    assert!(r.items::<&str>("topics", 0).is_err());
    let mut r = ViewReader::new(b"\x00\x00\x00\x02\x00\x01a\x00\x02bc\x07", false);
    let items = r.items::<&str>("topics", 0).unwrap();
    assert_eq!(r.i8("behind").unwrap(), 7);
    assert_eq!((items.len(), items.iter().len()), (2, 2));
    assert_eq!(items.into_iter().collect::<Vec<_>>(), ["a", "bc"]);
    let mut r = ViewReader::new(b"\x7f\xff\xff\xff\x00\x00", false);
    assert!(r.items::<i64>("topics", 0).is_err());
}

#[test]
fn elements_take_a_bounded_amount_of_memory() {
    // Four million empty strings: 4 MB on the wire, 128 MB in memory.
    let count = 4_000_000u32;
    let mut frame = Vec::new();
    put_unsigned_varint(&mut frame, count + 1);
    frame.resize(frame.len() + count as usize, 1);
    let error = refused(&frame, |r| {
        r.set_flexible(true);
        r.array::<Str>("topics", 0)
    });
    assert_eq!((error.at, error.cause), (0, DecodeCause::ElementsTooLarge));
}

#[test]
fn unknown_tags_are_skipped_and_sizes_checked() {
    let frame = |size: u8| [2, 0, size, 0, 7, 9, 1, 0xee];
    let read = |frame: [u8; 8]| {
        let frame = Bytes::copy_from_slice(&frame);
        let mut r = Reader::new(&frame);
        r.set_flexible(true);
        let mut found = 0;
        let read = r.tags(|r, tag| {
            if tag == 0 {
                found = r.i16("found")?;
            }
            Ok(tag == 0)
        });
        read.map_err(|malformed| r.explain(malformed))?;
        r.finish().map(|()| found)
    };
    assert_eq!(read(frame(2)), Ok(7));
    assert_eq!(read(frame(3)).unwrap_err().cause, DecodeCause::TagSizeMismatch);
    assert_eq!(read(frame(200)).unwrap_err().cause, DecodeCause::Truncated);
}

#[test]
fn large_records_are_a_chunk_of_their_own() {
    let records = Bytes::from(vec![7; 5000]);
    let mut w = Writer::new();
    w.i16(1);
    w.records("records", &records).unwrap();
    w.i16(2);
    let chunks = w.finish();
    assert_eq!(chunks.len(), 3);
    assert_eq!(chunks[1].as_ptr(), records.as_ptr());

    let mut w = Writer::new();
    w.records("records", &records).unwrap();
    let frame = w.finish_frame().unwrap().concat();
    assert_eq!(frame[..8], [0, 0, 0x13, 0x8c, 0, 0, 0x13, 0x88]);
    assert_eq!(frame.len(), 5008);
}

#[test]
fn a_frame_begins_with_its_size() {
    let mut w = Writer::new();
    w.i32(5);
    assert_eq!(w.finish_frame().unwrap().concat(), [0, 0, 0, 4, 0, 0, 0, 5]);
    assert_eq!(Writer::new().finish_frame().unwrap().concat(), [0, 0, 0, 0]);
}

#[test]
fn strings_have_the_same_limit_in_both_forms() {
    let long = Str::from("x".repeat(32_768));
    let mut w = Writer::new();
    assert_eq!(w.string("name", &long).unwrap_err().cause, EncodeCause::TooLong);
    w.set_flexible(true);
    assert_eq!(w.string("name", &long).unwrap_err().cause, EncodeCause::TooLong);
    let mut frame = vec![0x81, 0x80, 0x02];
    frame.resize(3 + 32_768, b'x');
    let error = refused(&frame, |r| {
        r.set_flexible(true);
        r.string("name")
    });
    assert_eq!(error.cause, DecodeCause::InvalidLength);
}

#[test]
fn tags_are_counted_and_sized() {
    let mut w = Writer::new();
    w.set_flexible(true);
    let mut tags = w.tags();
    tags.add(3, |w| w.string("cluster", &Str::from_static("ab"))).unwrap();
    w.put_tags(tags).unwrap();
    assert_eq!(w.into_bytes(), b"\x01\x03\x03\x03ab"[..]);
}

#[test]
fn a_null_struct_is_one_byte() {
    let mut w = Writer::new();
    w.nullable_struct(None::<&i32>, 0).unwrap();
    w.nullable_struct(Some(&5), 0).unwrap();
    with(&w.into_bytes(), |r| {
        assert_eq!(r.nullable_struct::<i32>("x", 0).unwrap(), None);
        assert_eq!(r.nullable_struct::<i32>("x", 0).unwrap(), Some(5));
    });
}
