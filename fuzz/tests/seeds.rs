//! Every version of every message has a vector to start a fuzzer from, and no prefix of a vector is a message.

use std::collections::BTreeSet;

use fuzz_targets::message::ARMS;
use fuzz_targets::seeds::{self, vectors};
use fuzz_targets::{TARGETS, views};

#[test]
fn every_version_of_every_message_has_a_seed() {
    let mut missing = BTreeSet::new();
    for target in TARGETS {
        let seeds = seeds::of(target.0);
        for arm in ARMS.iter().filter(|arm| arm.target == target.0) {
            let names = arm.layout.versions().map(|version| format!("{}-v{version}", arm.layout.name));
            missing.extend(names.filter(|name| !seeds.contains_key(name)));
        }
    }
    assert!(missing.is_empty(), "{} without a seed: {missing:?}", missing.len());
}

#[test]
fn the_table_has_every_version_of_kafka() {
    let triples = ARMS.iter().filter(|arm| arm.target != "group_metadata").map(|arm| arm.layout.versions().count());
    assert_eq!(triples.sum::<usize>(), 618);
}

#[test]
fn no_prefix_of_a_message_is_a_message() {
    for vector in vectors() {
        let (name, version) = (vector.arm.layout.name, vector.version);
        for end in 0..vector.bytes.len() {
            let prefix = vector.bytes.slice(..end);
            for keeps_tags in [false, true] {
                let read = (vector.arm.decode)(version, &prefix, keeps_tags);
                assert!(read.is_err(), "{name} v{version} accepts {end} of {} bytes", vector.bytes.len());
            }
            let view = views::decode(name, version, &prefix);
            assert!(view.is_none_or(|read| read.is_err()), "view of {name} v{version} accepts {end} bytes");
        }
    }
}
