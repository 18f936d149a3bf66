//! Parquet files that pyarrow has written (`parquet/write.py`), as records.

use std::path::{Path, PathBuf};

use processor::{FileFormat as _, FileRecords};
use processor_formats::Parquet;
use serde_json::Value;

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
    for name in ["snappy.parquet", "gzip.parquet", "lz4.parquet", "plain.parquet"] {
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
