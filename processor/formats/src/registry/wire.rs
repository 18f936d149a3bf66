//! The bytes in front of a value: a zero, and the number of its schema.
//!
//! Source: "Wire format" in Confluent's documentation of the schema registry. Version 0 is the only one that records
//! have in their value.

use processor::SerdeError;

const MAGIC: u8 = 0;

/// Splits a record into the number of its schema and the rest.
pub(super) fn split(bytes: &[u8]) -> Result<(i32, &[u8]), SerdeError> {
    match bytes.split_first_chunk::<5>() {
        Some((&[MAGIC, a, b, c, d], rest)) => Ok((i32::from_be_bytes([a, b, c, d]), rest)),
        Some(([first, ..], _)) => Err(SerdeError::Custom(format!(
            "the first byte is {first}, not 0: this was not written with a schema registry"
        ))),
        None => Err(SerdeError::Custom(format!(
            "{} bytes are too few for the number of a schema: this was not written with a schema registry",
            bytes.len()
        ))),
    }
}

pub(super) fn put(id: i32, out: &mut Vec<u8>) {
    out.push(MAGIC);
    out.extend_from_slice(&id.to_be_bytes());
}

/// Passes over the path to a message inside its Protobuf file: the number of indexes and the indexes, as zigzag
/// varints. A single 0 stands for the first message.
#[cfg(feature = "protobuf")]
pub(super) fn skip_message_indexes(bytes: &[u8]) -> Result<&[u8], SerdeError> {
    let (count, mut rest) = varint(bytes)?;
    // Each index has a byte, so a count that is larger ends with the bytes.
    for _ in 0..count {
        (_, rest) = varint(rest)?;
    }
    Ok(rest)
}

/// Writes the path to a message: `[0]` is the first of the file, `[1, 0]` the first inside the second.
#[cfg(feature = "protobuf")]
pub(super) fn put_message_indexes(indexes: &[u32], out: &mut Vec<u8>) {
    if indexes == [0] {
        return out.push(0);
    }
    put_varint(indexes.len() as u64, out);
    indexes.iter().for_each(|index| put_varint(u64::from(*index), out));
}

/// A zigzag varint that is not negative.
#[cfg(feature = "protobuf")]
fn varint(bytes: &[u8]) -> Result<(u64, &[u8]), SerdeError> {
    let mut rest = bytes;
    let zigzag = prost::encoding::decode_varint(&mut rest).map_err(|error| SerdeError::Custom(error.to_string()))?;
    if zigzag & 1 == 1 {
        return Err(SerdeError::Custom("a message index is negative".to_owned()));
    }
    Ok((zigzag >> 1, rest))
}

#[cfg(feature = "protobuf")]
fn put_varint(value: u64, out: &mut Vec<u8>) {
    prost::encoding::encode_varint(value << 1, out);
}
