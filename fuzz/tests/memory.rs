//! Decoding hostile bytes takes at most 16 times those bytes and 64 KiB. The allocations are counted, not estimated.

use bytes::Bytes;
use fuzz_targets::make::{Ask, make};
use fuzz_targets::message::{ARMS, Arm, bounded};
use fuzz_targets::seeds::vectors;
use fuzz_targets::views;

/// Enough elements for lists to reach their memory limit, and few enough to stay below it.
const COUNTS: [usize; 2] = [1_200, 5_000];

/// Decodes the frame in every way, each within its limit, and returns whether it is a message.
fn decode(arm: &Arm, version: i16, frame: &[u8]) -> bool {
    let frame = Bytes::copy_from_slice(frame);
    let read = bounded(&frame, || (arm.decode)(version, &frame, false));
    let _ = bounded(&frame, || (arm.decode)(version, &frame, true));
    let _ = bounded(&frame, || views::decode(arm.layout.name, version, &frame));
    read.is_ok()
}

/// Makes a message in which the choice `ask` is made with `count` the `wide`th time it comes up, with `before` and
/// `after` the other times. Returns the number of times as well.
fn hostile(arm: &Arm, version: i16, ask: Ask, wide: usize, [before, count, after]: [usize; 3]) -> (Vec<u8>, usize) {
    let mut asked = 0;
    let mut choose = |question| {
        if question != ask {
            return usize::from(matches!(question, Ask::Elements | Ask::Tagged));
        }
        asked += 1;
        match (asked - 1).cmp(&wide) {
            std::cmp::Ordering::Less => before,
            std::cmp::Ordering::Equal => count,
            std::cmp::Ordering::Greater => after,
        }
    };
    let made = make(arm.layout.name, version, &mut choose).expect("every message has a schema");
    (made.bytes, asked)
}

fn every_version(mut check: impl FnMut(&Arm, i16)) {
    for arm in ARMS.iter() {
        for version in arm.layout.versions() {
            eprintln!("{} v{version}", arm.layout.name);
            check(arm, version);
        }
    }
}

#[test]
fn lists_of_the_emptiest_elements_stay_within_their_memory() {
    every_version(|arm, version| {
        let (frame, lists) = hostile(arm, version, Ask::Elements, usize::MAX, [1, 0, 0]);
        let read = (arm.decode)(version, &Bytes::copy_from_slice(&frame), true);
        assert_eq!(read, Ok(()), "{frame:?}");
        for wide in 0..lists {
            for (count, after) in COUNTS.into_iter().flat_map(|count| [(count, 0), (count, 1)]) {
                let (frame, _) = hostile(arm, version, Ask::Elements, wide, [1, count, after]);
                decode(arm, version, &frame);
                decode(arm, version, &frame[..frame.len() - 1]);
            }
        }
    });
}

#[test]
fn kept_tags_stay_within_their_memory() {
    every_version(|arm, version| {
        if !arm.layout.is_flexible(version) {
            return;
        }
        for (first, others) in [(20_000, 0), (100, 100), (2, 2), (1, 1)] {
            let (frame, _) = hostile(arm, version, Ask::UnknownTags, 0, [0, first, others]);
            decode(arm, version, &frame);
        }
        for (count, tags) in [(300, 1), (2_000, 1), (20_000, 1), (20_000, 2), (5_000, 5)] {
            let mut is_first = true;
            let mut choose = |ask| match ask {
                Ask::Elements if std::mem::take(&mut is_first) => count,
                Ask::UnknownTags => tags,
                _ => 0,
            };
            let made = make(arm.layout.name, version, &mut choose).expect("every message has a schema");
            decode(arm, version, &made.bytes);
        }
    });
}

#[test]
fn damaged_messages_stay_within_their_memory() {
    for vector in vectors() {
        eprintln!("{} v{}", vector.arm.layout.name, vector.version);
        let mut frame = vector.bytes.to_vec();
        for at in 0..frame.len() {
            // The largest lengths, classic and compact, and null.
            for damage in [0x7f, 0xff, 0x00] {
                let byte = std::mem::replace(&mut frame[at], damage);
                decode(vector.arm, vector.version, &frame);
                frame[at] = byte;
            }
            decode(vector.arm, vector.version, &frame[..at]);
        }
    }
}
