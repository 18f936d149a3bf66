use super::{Scratch, vectors, wire};

/// A vector as a line for the tool.
fn line(message: &str, version: &str, hex: &str) -> String {
    // The names of headers end like those of requests and responses, but headers are neither.
    match (message.strip_suffix("Request"), message.strip_suffix("Response")) {
        (Some(api), _) => format!("{api} q {version} {hex}\n"),
        (_, Some(api)) => format!("{api} s {version} {hex}\n"),
        _ => format!("{message} d {version} {hex}\n"),
    }
}

#[test]
fn every_vector_comes_out_as_it_went_in() {
    let vectors = vectors();
    let lines: String = vectors.iter().map(|(message, version, hex)| line(message, version, hex)).collect();
    let text = wire(&["roundtrip"], &lines).ok();
    let (oks, count) = text.trim_end().rsplit_once('\n').unwrap();
    assert!(oks.lines().all(|line| line == "ok"), "{oks}");
    assert_eq!(count, format!("{} ok, 0 differ, 0 errors", vectors.len()));
}

#[test]
fn keys_names_and_empty_bodies_are_understood() {
    let lines =
        "# ListGroups v0 and ApiVersions v0 have no fields\n\n16 q 0\nListGroups q 0 -\n18 q 0 \r\n12 s 0 0007\n";
    assert_eq!(wire(&["roundtrip"], lines).ok(), "ok\nok\nok\nok\n4 ok, 0 differ, 0 errors\n");
}

#[test]
fn unknown_tagged_fields_survive() {
    // Heartbeat v4 response: throttle, error, two tags: 5 of three bytes, 300 of none.
    let line = "12 s 4 000000010007020503010203ac0200\n";
    assert_eq!(wire(&["roundtrip", "-"], line).ok(), "ok\n1 ok, 0 differ, 0 errors\n");
}

#[test]
fn what_is_wrong_with_a_line_is_said_and_the_next_one_is_read() {
    let cases = [
        // No group id, generation 1, no member id, and -5 for a null instance id, where every encoder writes -1.
        ("12 q 3 0000000000010000fffb", "differs at byte 9"),
        // One byte, and three, after the last field.
        ("12 s 0 000700", "differs at byte 2"),
        ("3 q 13 00000000010000", "differs at byte 4"),
        ("12 s 0 00", "error: error_code at byte 0: the frame ends inside it"),
        ("12 s 0 0g", "error: character 2 of the hex is 'g', no hex digit"),
        ("12 s 0 000", "error: 3 hex digits are no whole bytes"),
        ("12 s 9 0007", "error: Heartbeat has no version 9; it has 0 to 4"),
        ("12 s x 0007", "error: \"x\" is no version"),
        ("12 r 0 0007", "error: not a line of the form KEY q|s|d VERSION HEX"),
        ("999 s 0 0007", "error: no API has the key 999"),
        ("4 q 0 0007", "error: LeaderAndIsr has no messages any more: Kafka 4 dropped them"),
        ("Hearbeat s 0 0007", "error: there is no API \"Hearbeat\"; the nearest is Heartbeat"),
        ("EndTxnMaker d 0 00000001", "error: there is no message \"EndTxnMaker\"; the nearest is EndTxnMarker"),
        ("EndTxnMarker d 0 00000001", "ok"),
    ];
    let lines: String = cases.iter().map(|(line, _)| format!("{line}\n")).collect();
    let text = wire(&["roundtrip"], lines).fails(1, "");
    let expected: Vec<&str> = cases.iter().map(|(_, outcome)| *outcome).chain(["1 ok, 3 differ, 10 errors"]).collect();
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn bytes_that_are_no_text_are_an_error_of_their_line() {
    let text = wire(&["roundtrip"], b"12 s 0 \xff\xff\n\xff q 0 00\n12 s 0 0000").fails(1, "");
    assert_eq!(text.lines().last(), Some("1 ok, 0 differ, 2 errors"));
}

#[test]
fn files_are_read_one_after_the_other() {
    let [one, two] = ["one", "two"].map(|name| Scratch::new(name, b"12 s 0 0007\n"));
    assert_eq!(wire(&["roundtrip", one.path(), two.path()], "").ok(), "ok\nok\n2 ok, 0 differ, 0 errors\n");
    wire(&["roundtrip", "/nonexistent/lines"], "").fails(1, "/nonexistent/lines");
}

/// Every vector with a byte changed, cut off, and extended: each gets an answer, whatever it is.
#[test]
fn damaged_messages_are_answered() {
    let mut lines = String::new();
    for (index, (message, version, hex)) in vectors().iter().enumerate() {
        let hex = hex.trim_start_matches('-');
        let at = if hex.is_empty() { 0 } else { index * 7919 % (hex.len() / 2) * 2 };
        for changed in ["00", "01", "7f", "80", "ff"] {
            let damaged = format!("{}{changed}{}", &hex[..at], hex.get(at + 2..).unwrap_or_default());
            lines += &line(message, version, &damaged);
        }
        lines += &line(message, version, &hex[..at]);
        lines += &line(message, version, &format!("{hex}00"));
    }
    let text = wire(&["roundtrip"], &lines).fails(1, "");
    assert_eq!(text.lines().count(), lines.lines().count() + 1);
    let is_answer = |line: &str| line == "ok" || line.starts_with("differs at byte ") || line.starts_with("error: ");
    assert_eq!(text.lines().filter(|line| !is_answer(line)).count(), 1, "all but the count");
}

/// Every element of a long list has an unknown field. Each kept field has to be small, or the memory limit refuses
/// them.
#[test]
fn unknown_tagged_fields_of_many_small_structs_survive() {
    let keys = "001200000003010500".repeat(20_000);
    let line = format!("18 s 3 0000a19c01{keys}0000000000\n");
    assert_eq!(wire(&["roundtrip"], line).ok(), "ok\n1 ok, 0 differ, 0 errors\n");
}
