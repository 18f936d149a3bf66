//! Parquet files that pyarrow has written (`parquet/write.py`), as records; and records as Parquet files.

use std::path::{Path, PathBuf};

use processor::driver::{CommitPoint, TestDriver};
use processor::{ErrorKind, ErrorPolicy, FileFormat as _, FileRecords, FileSink, RowFormat as _, Topology, Utf8};
use processor_formats::{Parquet, ParquetRows};
use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parquet")
}

/// The rows of a file from a position on.
fn rows(name: &str, position: u64) -> std::io::Result<Vec<String>> {
    let mut records: Box<dyn FileRecords> = Parquet::new().open(&folder().join(name), position)?;
    let (mut value, mut rows) = (Vec::new(), Vec::new());
    while records.next(&mut value)? {
        rows.push(String::from_utf8(value.clone()).expect("text"));
    }
    Ok(rows)
}

fn expected() -> Vec<Value> {
    let text = std::fs::read_to_string(folder().join("rows.jsonl")).expect("it is there");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn rows_are_those_that_were_written() {
    let expected = expected();
    assert_eq!(expected.len(), 25);
    for name in ["snappy.parquet", "gzip.parquet", "lz4.parquet", "plain.parquet", "brotli.parquet"] {
        let rows = rows(name, 0).expect(name);
        let read: Vec<Value> = rows.iter().map(|row| serde_json::from_str(row).expect("JSON")).collect();
        assert_eq!(read, expected, "{name}");
        assert!(
            rows[1].starts_with(r#"{"id":1000000007,"small":-11,"unsigned":4000000001,"price":0.125,"#),
            "{}",
            rows[1]
        );
    }
}

#[test]
fn a_file_is_read_from_any_row_on() {
    let all = rows("snappy.parquet", 0).expect("rows");
    for position in 0..=25 {
        assert_eq!(rows("snappy.parquet", position as u64).expect("rows"), all[position..], "{position}");
    }
    let error = rows("snappy.parquet", 26).expect_err("there are 25").to_string();
    assert!(error.contains("it has 25 rows, and 26 were read before"), "{error}");
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let error = rows("zstd.parquet", 0).expect_err("it needs C").to_string();
    assert!(error.contains("zstd"), "{error}");
    assert!(rows("rows.jsonl", 0).is_err() && rows("missing.parquet", 0).is_err());
    let whole = std::fs::read(folder().join("snappy.parquet")).expect("it is there");
    let damaged = std::env::temp_dir().join(format!("waterwheel-parquet-{}", std::process::id()));
    for at in (0..whole.len()).step_by(97) {
        // Neither a file that ends early nor one with a wrong byte is a panic.
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        for bytes in [&bytes[..], &whole[..at]] {
            std::fs::write(&damaged, bytes).expect("the directory for temporary files can be written");
            let _ = rows(damaged.to_str().expect("text"), 0);
        }
    }
    std::fs::remove_file(damaged).expect("it is ours");
}

/// A column of each type that can be written.
const SCHEMA: &str = "message row {
    required int64 id; required int32 small (INTEGER(8, true)); required int32 unsigned (INTEGER(32, false));
    required int64 huge (INTEGER(64, false)); required double price; optional float ratio; required boolean is_new;
    optional binary text (STRING); optional binary raw; required int32 day (DATE);
    required int64 at (TIMESTAMP(MILLIS, true)); optional binary more (JSON);
}";

fn record(number: i64) -> Value {
    json!({
        "id": number * 1_000_000_007, "small": number - 100, "unsigned": 4_000_000_000_u32, "huge": u64::MAX,
        "price": number as f64 / 8.0, "ratio": if number % 3 == 0 { Value::Null } else { json!(-0.25) },
        "is_new": number % 2 == 0, "text": format!("line {number} \"\u{e4}\"\n"), "raw": "Af8=", "day": 19_754,
        "at": 1_706_788_800_250_i64 + number, "more": {"tags": [number]}, "left out": "there is no column for it",
    })
}

/// The row that such a record is, as it is read.
fn row(number: i64) -> Value {
    let mut row = record(number);
    row["day"] = json!("2024-02-01");
    row["at"] = json!(format!("2024-02-01 12:00:00.{:03} +00:00", 250 + number));
    row["more"] = json!(format!("{{\"tags\":[{number}]}}"));
    row.as_object_mut().expect("an object").remove("left out");
    row
}

#[test]
fn records_become_the_rows_of_files_once_wherever_a_commit_dies() {
    let room = std::env::temp_dir().join(format!("waterwheel-rows-{}", std::process::id()));
    let sink = FileSink::new(&room).extension("parquet").rows(ParquetRows::new(SCHEMA).expect("a schema"));
    let mut job = Topology::builder("app");
    job.on_error(ErrorKind::Produce, ErrorPolicy::Skip);
    job.stream("in", Utf8).to_sink("rows", Utf8, sink.roll_at(1_500));
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    for number in 0..60 {
        driver.pipe("in", None, &record(number).to_string(), 0);
        driver.pipe("in", None, r#"{"id": "not a row"}"#, 0);
        if number % 3 == 0 {
            driver.crash_at(CommitPoint::ALL[usize::try_from(number / 3).expect("few") % CommitPoint::ALL.len()]);
            driver.settle();
        }
    }
    driver.end_of_input();
    assert!(driver.fatal().is_none() && driver.crash_count() > 10, "{:?}", driver.fatal());
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&room).expect("it is there").map(|file| file.expect("a file").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "parquet"));
    files.sort();
    assert!(files.len() > 5, "{files:?}");
    let all: Vec<Value> = files
        .iter()
        .flat_map(|file| rows(file.to_str().expect("text"), 0).expect("it is complete"))
        .map(|row| serde_json::from_str(&row).expect("JSON"))
        .collect();
    assert_eq!(all, (0..60).map(row).collect::<Vec<_>>());
    std::fs::remove_dir_all(room).expect("it is ours");
}

#[test]
fn what_is_not_a_row_and_what_is_no_schema_is_told() {
    let rows = ParquetRows::new("message r { required int32 n (INTEGER(8, true)); optional binary t (STRING); }");
    let rows = rows.expect("a schema");
    let told = |record: &str| rows.check(record.as_bytes()).expect_err(record);
    assert_eq!(rows.check(br#"{"n": -128, "t": null}"#), Ok(()));
    assert_eq!(told(r#"{"t": "x"}"#), "no field `n`");
    assert_eq!(told(r#"{"n": null}"#), "field `n`: null is not a whole number from -128 to 127");
    assert_eq!(told(r#"{"n": 128}"#), "field `n`: 128 is not a whole number from -128 to 127");
    assert_eq!(told(r#"{"n": 1, "t": 2}"#), "field `t`: 2 is not text");
    assert!(told("[1]").contains("map"), "{}", told("[1]"));
    for (schema, reason) in [
        ("message r { repeated int32 n; }", "is repeated"),
        ("message r { required group g { required int32 n; } }", "is a group"),
        ("message r { required int32 n (DECIMAL(5, 2)); }", "is a decimal"),
        ("message r { required int96 n; }", "has a type that is not written"),
        ("message r { }", "without columns"),
        ("a schema", ""),
    ] {
        let error = ParquetRows::new(schema).expect_err(schema).to_string();
        assert!(error.contains(reason), "{schema}: {error}");
    }
}
