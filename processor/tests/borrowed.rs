//! Values that borrow from a record: the derives, JSON and the packed layout.

use std::borrow::Cow;

use processor::driver::TestDriver;
use processor::serde::{JsonView, Packed, Serde, SerdeError};
use processor::topology::BuildErrors;
use processor::types::Reborrow;
use processor::{
    Emit, ErrorKind, ErrorPolicy, Json, Nullable, Owned, Pack, Partitions, Raw, Topology, U64, Utf8, View,
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, View, Serialize, Deserialize)]
struct Order<'a> {
    customer: &'a str,
    #[serde(borrow)]
    note: Cow<'a, str>,
    #[serde(borrow, default)]
    address: Option<Address<'a>>,
    amount: u64,
}

#[derive(Clone, Debug, PartialEq, View, Pack, Serialize, Deserialize)]
struct Address<'a> {
    city: &'a str,
    number: u16,
}

#[derive(Clone, Debug, PartialEq, View, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Event<'a> {
    Text {
        #[serde(borrow)]
        text: Cow<'a, str>,
    },
    Number {
        number: i64,
    },
}

/// Every kind of field that can be packed.
#[derive(Clone, Debug, PartialEq, View, Pack)]
#[view(without_serde)]
struct Packet<'a> {
    id: u64,
    delta: i16,
    ratio: f64,
    is_new: bool,
    name: &'a str,
    note: Cow<'a, str>,
    raw: &'a [u8],
    hash: [u8; 4],
    address: Option<Address<'a>>,
    owner: String,
    pair: Pair,
}

#[derive(Clone, Debug, PartialEq, Pack)]
struct Pair(u8, Option<Vec<u8>>);

fn encoded<S: Serde>(serde: &S, value: &<S::View as View>::Ref<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    serde.encode(value, &mut out).expect("it can be written");
    out
}

#[test]
fn text_of_json_lies_in_the_record() {
    let bytes = br#"{"customer":"ann","note":"for \"Bob\"","address":{"city":"Ulm","number":7},"amount":5}"#;
    let order = JsonView::<Order<'_>>::new().decode(bytes).expect("an order");
    let address = Address { city: "Ulm", number: 7 };
    assert_eq!(order, Order { customer: "ann", note: "for \"Bob\"".into(), address: Some(address), amount: 5 });
    assert!(bytes.as_ptr_range().contains(&order.customer.as_ptr()), "the text is a part of the record");
    assert!(matches!(order.note, Cow::Owned(_)), "a text with escapes is not in the record");
    assert_eq!(encoded(&JsonView::<Order<'_>>::new(), &order), bytes);
    let plain = br#"{"customer":"ann","note":"tea","amount":5}"#;
    let order = JsonView::<Order<'_>>::new().decode(plain).expect("an order");
    assert!(matches!(order.note, Cow::Borrowed("tea")));
    assert_eq!(<Order<'static> as Reborrow>::reborrow(&order), order);
}

#[test]
fn a_text_with_escapes_that_cannot_be_borrowed_is_told_with_the_way_out() {
    let error = JsonView::<Order<'_>>::new().decode(br#"{"customer":"a\nb","note":"","amount":1}"#);
    let error = error.expect_err("it has an escape").to_string();
    assert!(error.contains("make the field a `Cow<str>` with `#[serde(borrow)]`"), "{error}");
    let error = JsonView::<Order<'_>>::new().decode(b"{").expect_err("it ends early").to_string();
    assert!(!error.contains("Cow"), "{error}");
}

#[test]
fn an_enum_can_be_a_view() {
    let serde = JsonView::<Event<'_>>::new();
    assert_eq!(serde.decode(br#"{"kind":"Number","number":3}"#), Ok(Event::Number { number: 3 }));
    let text = serde.decode(br#"{"kind":"Text","text":"tea"}"#).expect("an event");
    assert_eq!(text, Event::Text { text: "tea".into() });
}

#[test]
fn the_name_is_that_of_the_bytes() {
    // It is in changelogs, so it must not change.
    assert_eq!(JsonView::<Order<'_>>::new().name(), "Json<Order>");
    let address = "{city: text, number: u16}";
    assert_eq!(Packed::<Address<'_>>::new().name(), format!("Packed{address}"));
    let packet = format!(
        "Packed{{id: u64, delta: i16, ratio: f64, is_new: bool, name: text, note: text, raw: bytes, hash: 4 bytes, \
         address: optional {address}, owner: text, pair: (0: u8, 1: optional bytes)}}"
    );
    assert_eq!(Packed::<Packet<'_>>::new().name(), packet);
    assert_eq!(Packed::<Owned<Pair>>::new().name(), "Packed(0: u8, 1: optional bytes)");
}

#[test]
fn the_packed_layout_is_as_documented() {
    let serde = Packed::<Address<'_>>::new();
    let bytes = encoded(&serde, &Address { city: "Ulm", number: 258 });
    assert_eq!(bytes, [0, 0, 0, 3, b'U', b'l', b'm', 1, 2]);
    let read = serde.decode(&bytes).expect("an address");
    assert!(bytes.as_ptr_range().contains(&read.city.as_ptr()));
    assert_eq!(encoded(&Packed::<Owned<Pair>>::new(), &Pair(7, Some(vec![9]))), [7, 1, 0, 0, 0, 1, 9]);
    assert_eq!(encoded(&Packed::<Owned<Pair>>::new(), &Pair(7, None)), [7, 0]);
}

#[test]
fn an_error_names_the_field() {
    let serde = Packed::<Packet<'_>>::new();
    let packet = packet("n", b"raw");
    let bytes = encoded(&serde, &packet);
    assert_eq!(serde.decode(&bytes).as_ref(), Ok(&packet));
    for length in 0..bytes.len() {
        let error = serde.decode(&bytes[..length]).expect_err("it ends early").to_string();
        assert!(error.starts_with("field "), "{length}: {error}");
    }
    let longer = [&bytes[..], &[0]].concat();
    let (expected, actual) = (bytes.len(), longer.len());
    assert_eq!(serde.decode(&longer), Err(SerdeError::Length { expected, actual }));
    let mut wrong = bytes;
    wrong[18] = 2;
    assert_eq!(serde.decode(&wrong).expect_err("no bool").to_string(), "field is_new: 2 is neither 0 nor 1");
    let nested = encoded(&Packed::<Address<'_>>::new(), &Address { city: "Ulm", number: 1 });
    let error = Packed::<Address<'_>>::new().decode(&nested[..8]).expect_err("it ends early").to_string();
    assert_eq!(error, "field number: 1 bytes, not 2");
}

fn packet<'a>(text: &'a str, raw: &'a [u8]) -> Packet<'a> {
    Packet {
        id: u64::MAX,
        delta: -2,
        ratio: 0.5,
        is_new: true,
        name: text,
        note: text.into(),
        raw,
        hash: [1, 2, 3, 4],
        address: Some(Address { city: text, number: 9 }),
        owner: text.to_owned(),
        pair: Pair(0, Some(raw.to_vec())),
    }
}

proptest! {
    #[test]
    fn what_is_packed_is_read_back(text in ".*", raw in proptest::collection::vec(any::<u8>(), 0..64)) {
        let serde = Packed::<Packet<'_>>::new();
        let packet = packet(&text, &raw);
        let bytes = encoded(&serde, &packet);
        let read = serde.decode(&bytes);
        prop_assert_eq!(read.as_ref(), Ok(&packet));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..128)) {
        let _ = Packed::<Packet<'_>>::new().decode(&bytes);
        let _ = JsonView::<Order<'_>>::new().decode(&bytes);
    }
}

/// Adds up the amounts of each customer, with JSON that is copied or not.
fn totals(borrows: bool) -> Result<Topology, BuildErrors> {
    #[derive(Clone, Serialize, Deserialize)]
    struct Plain {
        customer: String,
        amount: u64,
    }
    let mut job = Topology::builder("app");
    job.on_error(ErrorKind::Decode, ErrorPolicy::Skip);
    if borrows {
        job.stream("in", JsonView::<Order<'_>>::new())
            .key_by("by-customer", Partitions(1), (Utf8, U64), |order| (order.value.customer, order.value.amount))
            .sum("totals", Emit::OnUpdate, |order| order.value)
            .to("out", Utf8, U64);
    } else {
        job.stream("in", Json::<Plain>::new())
            .map(|order| (order.value.customer.clone(), order.value.amount))
            .key_by("by-customer", Partitions(1), (processor::Text, U64), |order| order.value)
            .sum("totals", Emit::OnUpdate, |order| order.value)
            .to("out", processor::Text, U64);
    }
    job.build()
}

#[test]
fn a_job_gets_the_same_from_values_that_borrow() {
    let results = [true, false].map(|borrows| {
        let mut driver = TestDriver::new(totals(borrows).expect("a sound job"));
        for (customer, amount) in [("ann", 5), ("bob", 7), ("ann", 1)] {
            driver.pipe("in", None, &format!(r#"{{"customer":"{customer}","note":"","amount":{amount}}}"#), 1);
        }
        driver.settle();
        driver.crash();
        driver.read("out").into_iter().map(|record| (record.key, record.value)).collect::<Vec<_>>()
    });
    assert_eq!(results[0], results[1]);
    assert_eq!(results[0].len(), 2);
}

#[test]
fn views_can_be_cloned_merged_and_null() {
    let mut job = Topology::builder("app");
    let orders = job.stream("in", Nullable(JsonView::<Address<'_>>::new()));
    let there = orders.clone().filter(|address| address.value.is_some());
    there.merge(orders.filter(|address| address.value.is_none())).to(
        "out",
        Raw,
        Nullable(JsonView::<Address<'_>>::new()),
    );
    let mut driver = TestDriver::new(job.build().expect("a sound job"));
    driver.pipe("in", None, r#"{"city":"Ulm","number":7}"#, 1);
    driver.pipe_to("in", processor::output::Route::ByKey, None, None, 2);
    driver.settle();
    let values: Vec<_> = driver.read("out").into_iter().map(|record| record.value).collect();
    assert_eq!(values, [Some(br#"{"city":"Ulm","number":7}"#.to_vec()), None]);
}
