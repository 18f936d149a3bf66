//! The cases in which we read bytes differently from Java on purpose. `kafka-wire/tests/DIFFERENCES.md` has the
//! reasons, a row for each rule.

use std::collections::BTreeSet;
use std::path::Path;

use kafka_wire::wire::DecodeCause;
use serde_json::Value;

use super::java::Judgement;
use super::ours::Reading;

/// Both results for the same bytes.
pub(crate) struct Case<'a> {
    pub(crate) ours: &'a Reading,
    pub(crate) java: &'a Judgement,
}

/// An intended difference.
pub(crate) struct Rule {
    /// The name in the first column of the table.
    pub(crate) name: &'static str,
    explains: fn(&Case<'_>) -> bool,
}

/// All of them.
pub(crate) const RULES: &[Rule] = &[
    Rule { name: "text that is not UTF-8", explains: |case| case.we_refuse_for(DecodeCause::InvalidUtf8) },
    Rule { name: "size of a known tagged field", explains: |case| case.we_refuse_a_tag_size() },
    Rule { name: "varint beyond 32 bits", explains: |case| case.we_refuse_for(DecodeCause::VarintTooLong) },
    Rule { name: "memory of lists", explains: |case| case.we_refuse_for(DecodeCause::ElementsTooLarge) },
    Rule {
        name: "unknown tags that do not ascend",
        explains: |case| case.java_refuses_for("Invalid raw tag field list"),
    },
    Rule { name: "the last of all tags", explains: |case| case.java_refuses_for("as an undefined tag") },
    Rule { name: "tag of another version", explains: |case| case.java_refuses_for("is not valid for version") },
    Rule { name: "JSON of doubles", explains: |case| case.differs_in_doubles() },
    Rule { name: "JSON of a default with unknown tags", explains: |case| case.differs_in_defaults() },
];

impl Case<'_> {
    /// Whether both read the same, or both refuse.
    pub(crate) fn agrees(&self) -> bool {
        match (self.ours, self.java) {
            (Reading::Read { hex, json }, Judgement::Read { hex: java_hex, json: java_json }) => {
                hex == java_hex && json == java_json
            }
            (Reading::Unread(_) | Reading::Unwritten(_), Judgement::Refused { .. }) => true,
            _ => false,
        }
    }

    /// The first rule that explains why the results differ.
    pub(crate) fn rule(&self) -> Option<&'static Rule> {
        RULES.iter().find(|rule| (rule.explains)(self))
    }

    /// Whether the bytes are the same, and a rule explains the JSON.
    pub(crate) fn differs_in_json_alone(&self) -> bool {
        self.differs_in_doubles() || self.differs_in_defaults()
    }

    fn we_refuse_for(&self, cause: DecodeCause) -> bool {
        matches!(self.ours, Reading::Unread(error) if error.cause == cause)
    }

    /// The size of a tag differs from that of its value, or exceeds the frame.
    fn we_refuse_a_tag_size(&self) -> bool {
        let Reading::Unread(error) = self.ours else { return false };
        let is_beyond = error.cause == DecodeCause::Truncated && error.what == "tagged field";
        is_beyond || error.cause == DecodeCause::TagSizeMismatch
    }

    /// We read the bytes; Java did not read or could not write them.
    fn java_refuses_for(&self, reason: &str) -> bool {
        let Judgement::Refused { text } = self.java else { return false };
        matches!(self.ours, Reading::Read { .. }) && text.contains(reason)
    }

    fn differs_in_doubles(&self) -> bool {
        self.differs_in_json(|ours, java| match (ours.as_f64(), java.as_f64()) {
            // The bytes are the same; the JSON parser used here may miss the last bit of a long fraction.
            (Some(ours), Some(java)) => (ours - java).abs() <= 2.0 * f64::EPSILON * ours.abs(),
            _ => false,
        })
    }

    fn differs_in_defaults(&self) -> bool {
        self.differs_in_json(|ours, java| *ours == Value::Null && java.is_object())
    }

    /// Whether the bytes are the same, and all differing values are of a certain kind; an absent value counts as null.
    fn differs_in_json(&self, is_fine: fn(&Value, &Value) -> bool) -> bool {
        match (self.ours, self.java) {
            (Reading::Read { hex, json }, Judgement::Read { hex: java_hex, json: java_json }) if hex == java_hex => {
                let value = |text: &str| serde_json::from_str(text).expect("both print JSON");
                differ_only(&value(json), &value(java_json), is_fine)
            }
            _ => false,
        }
    }
}

fn differ_only(ours: &Value, java: &Value, is_fine: fn(&Value, &Value) -> bool) -> bool {
    match (ours, java) {
        (Value::Object(ours), Value::Object(java)) => {
            let same = |name: &String| differ_only(ours.get(name).unwrap_or(&Value::Null), &java[name], is_fine);
            ours.keys().all(|name| java.contains_key(name)) && java.keys().all(same)
        }
        (Value::Array(ours), Value::Array(java)) => {
            ours.len() == java.len() && ours.iter().zip(java).all(|(ours, java)| differ_only(ours, java, is_fine))
        }
        _ => ours == java || is_fine(ours, java),
    }
}

/// For each rule, bytes that it explains: its name, the message, hex digits.
pub(crate) fn examples() -> Vec<(&'static str, &'static str, String)> {
    let of = |name, message, parts: &[&str]| (name, message, parts.concat());
    // A heartbeat of version 4 is a group id, a generation, a member id and an instance id, and then tagged fields.
    let heartbeat = "01000000000100";
    vec![
        of("text that is not UTF-8", "12 q 0", &["0001ff", "00000000", "0000"]),
        // ApiVersions has a tag with 8 bytes, for which this claims 9.
        of("size of a known tagged field", "18 s 3", &["0000", "01", "00000000", "01", "0109", "0000000000000005"]),
        of("varint beyond 32 bits", "12 q 4", &[heartbeat, "8080808010"]),
        // Five thousand groups without a name.
        of("memory of lists", "42 q 2", &["8927", &"01".repeat(5000), "00"]),
        of("unknown tags that do not ascend", "12 q 4", &[heartbeat, "02", "0500", "0400"]),
        of("the last of all tags", "12 q 4", &[heartbeat, "01", "ffffffff0700"]),
        // FetchRequest has tag 1 only from version 15 on.
        of("tag of another version", "1 q 12", &[&"00".repeat(25), "01", "01", "01", "01", "0100"]),
        of("JSON of doubles", "49 q 1", &["02010201", "c387278e4141ea19", "0000000000"]),
        // The same field with nothing set but an unknown tag.
        of(
            "JSON of a default with unknown tags",
            "1 q 15",
            &[&"00".repeat(21), "01", "01", "01", "01", "010f", "ffffffff", "ffffffffffffffff", "01", "6300"],
        ),
    ]
}

/// Rows of the first table, which is that of messages, by their first column.
pub(crate) fn told() -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kafka-wire/tests/DIFFERENCES.md");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (messages, _) = text.split_once("\n## Records").expect("the table of records follows");
    let rows = messages.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    rows.filter(|name| *name != "bytes").map(str::to_owned).collect()
}
