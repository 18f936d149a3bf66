use serde_json::Value;

use super::{vectors, wire};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_message_is_printed_with_kafkas_names() {
    let arguments = ["decode", "--api", "Heartbeat", "--version", "3", "--request", "00016100000007000162ffff"];
    let pretty = wire(&arguments, "").ok();
    let expected =
        "{\n  \"groupId\": \"a\",\n  \"generationId\": 7,\n  \"memberId\": \"b\",\n  \"groupInstanceId\": null\n}\n";
    assert_eq!(pretty, expected);
    let compact = wire(&[&arguments[..], &["--compact"]].concat(), "").ok();
    assert_eq!(compact, "{\"groupId\":\"a\",\"generationId\":7,\"memberId\":\"b\",\"groupInstanceId\":null}\n");
}

#[test]
fn hex_comes_from_stdin_with_white_space_anywhere() {
    let arguments = ["decode", "--api", "12", "--version", "0", "--response", "-", "--compact"];
    assert_eq!(wire(&arguments, " 00\n0\t7\n").ok(), "{\"errorCode\":7}\n");
}

#[test]
fn headers_say_what_follows() {
    // Key 18, version 3, correlation id 9, client "me", no tags; then name "n", version "1", no tags.
    let request = ["decode", "--header", "--compact", "--request", "0012000300000009 00026d6500 026e023100"];
    let expected = "{\"header\":{\"requestApiKey\":18,\"requestApiVersion\":3,\"correlationId\":9,\"clientId\":\"me\"},\
                    \"body\":{\"clientSoftwareName\":\"n\",\"clientSoftwareVersion\":\"1\"}}\n";
    assert_eq!(wire(&request, "").ok(), expected);
    let response = [
        "decode",
        "--header",
        "--compact",
        "--api",
        "Heartbeat",
        "--version",
        "4",
        "--response",
        "0000000900 000000010007 00",
    ];
    let expected = "{\"header\":{\"correlationId\":9},\"body\":{\"throttleTimeMs\":1,\"errorCode\":7}}\n";
    assert_eq!(wire(&response, "").ok(), expected);
}

#[test]
fn messages_without_a_key_have_names() {
    let arguments = ["decode", "--data", "EndTxnMarker", "--compact"];
    let expected = "{\"coordinatorEpoch\":5}\n";
    assert_eq!(wire(&[&arguments[..], &["--version", "0", "00000005"]].concat(), "").ok(), expected);
    let expected = "{\"version\":0,\"body\":{\"coordinatorEpoch\":5}}\n";
    assert_eq!(wire(&[&arguments[..], &["--header", "000000000005"]].concat(), "").ok(), expected);
}

#[test]
fn a_broker_without_the_version_answers_api_versions_in_version_0() {
    let arguments = ["decode", "--api", "ApiVersions", "--version", "4", "--compact", "--response"];
    let body = "0023 00000001 0012 0000 0003";
    let expected = "{\"errorCode\":35,\"apiKeys\":[{\"apiKey\":18,\"minVersion\":0,\"maxVersion\":3}]}\n";
    assert_eq!(wire(&[&arguments[..], &[body]].concat(), "").ok(), expected);
}

#[test]
fn unknown_tagged_fields_are_mentioned() {
    let run = wire(&["decode", "--api", "Heartbeat", "--version", "4", "--response", "000000010007 01050101"], "");
    assert!(run.code == Some(0) && run.stderr.contains("1 tagged fields are not known"), "{run:?}");
}

#[test]
fn wrong_usage_is_answered_with_what_there_is() {
    let decode = |arguments: &[&str]| wire(&[&["decode"], arguments].concat(), "");
    decode(&["--api", "Fecth", "--version", "4", "--request", "00"]).fails(2, "the nearest is Fetch");
    decode(&["--api", "Fetch", "--version", "3", "--request", "00"]).fails(2, "Fetch has no version 3; it has 4 to 18");
    decode(&["--api", "LeaderAndIsr", "--version", "3", "--request", "00"]).fails(2, "Kafka 4 dropped them");
    decode(&["--data", "EndTxnMarker", "--version", "1", "00"]).fails(2, "EndTxnMarker has no version 1");
    decode(&["--request", "00"]).fails(2, "--api is missing");
    decode(&["--api", "Fetch", "--request", "00"]).fails(2, "--version is missing");
    decode(&["--api", "Fetch", "--response", "00"]).fails(2, "--version");
    decode(&["--data", "EndTxnMarker", "--version", "0"]).fails(2, "HEX");
    decode(&["--request", "00", "--response", "00"]).fails(2, "cannot be used with");
    decode(&["--responses", "file"]).fails(2, "--requests");
    decode(&[]).fails(2, "--frames");
}

#[test]
fn wrong_bytes_are_named_by_field_and_offset() {
    let decode = |hex: &str| wire(&["decode", "--api", "Heartbeat", "--version", "3", "--request", hex], "");
    decode("0001z1").fails(1, "character 5 of the hex is 'z'");
    decode("00016").fails(1, "5 hex digits");
    decode("0001610000").fails(1, "HeartbeatRequest v3: generation_id at byte 3: the frame ends inside it");
    decode("0000000c 00016100000007000162ffff").fails(1, "look like the length of a frame");
    let header = |hex: &str| wire(&["decode", "--header", "--request", hex], "");
    header("03e80000000000090000").fails(1, "no API has the key 1000");
    header("0012000900000009000000").fails(1, "ApiVersions has no version 9; it has 0 to 5");
    header("0012").fails(1, "RequestHeader: request_api_version at byte 2");
}

#[test]
fn bytes_behind_the_message_are_shown_with_it_and_are_a_difference() {
    // The Metadata request for all topics as librdkafka 2.3 and later write it.
    let frame = "0003000d00000003000772646b61666b6100 00000000 010000";
    let printed = wire(&["decode", "--compact", "--header", "--request", frame], "")
        .fails(1, "MetadataRequest v13: message at byte 22: bytes are left after the message: 010000");
    let body = &json(&printed)["body"];
    assert_eq!((&body["topics"], &body["allowAutoTopicCreation"]), (&Value::Null, &Value::Bool(false)));
    let decode = |hex: &str| wire(&["decode", "--api", "Heartbeat", "--version", "3", "--request", hex], "");
    decode("00016100000007000162ffff00").fails(1, "message at byte 12: bytes are left");
    // The answer of a broker that lacks the version of an ApiVersions request.
    let arguments = ["decode", "--api", "ApiVersions", "--version", "4", "--compact", "--response"];
    let refusal = wire(&[&arguments[..], &["0023 00000000 00000000 00 ff"]].concat(), "");
    refusal.fails(1, "ApiVersionsResponse v");
}

#[test]
fn what_is_printed_of_every_vector_is_json() {
    // One of each message, at its newest version, each in a process of its own.
    let mut newest = vectors();
    newest.reverse();
    newest.dedup_by(|next, kept| next.0 == kept.0);
    for (message, version, hex) in newest.iter().filter(|(_, _, hex)| hex != "-") {
        let name = message.strip_suffix("Request").or(message.strip_suffix("Response")).unwrap_or(message);
        let arguments = match message.strip_prefix(name) {
            Some("Request") => vec!["decode", "--api", name, "--version", version, "--request", hex],
            Some("Response") => vec!["decode", "--api", name, "--version", version, "--response", hex],
            _ => vec!["decode", "--data", name, "--version", version, hex],
        };
        let run = wire(&arguments, "");
        assert_eq!(run.code, Some(0), "{message}: {}", run.stderr);
        assert!(json(&run.stdout).is_object(), "{message}");
    }
}
