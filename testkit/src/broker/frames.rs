//! Frames on a byte stream: a 32-bit length, then that many bytes.

use std::io::{self, IoSlice};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// The beginning of a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// Fewer bytes than a length prefix.
    Nothing,
    /// A part of a frame; the complete frame has this many bytes, its length prefix included.
    Part(usize),
    /// A complete frame without its length prefix, now removed from the buffer.
    Frame(Bytes),
}

/// Removes the first frame from `buffer` if it is complete.
///
/// # Errors
/// If the length is negative or above `limit_bytes`.
pub(super) fn split_frame(buffer: &mut BytesMut, limit_bytes: usize) -> io::Result<Head> {
    let Some(&prefix) = buffer.first_chunk::<PREFIX_BYTES>() else { return Ok(Head::Nothing) };
    let length = i32::from_be_bytes(prefix);
    let length = usize::try_from(length)
        .ok()
        .filter(|&length| length <= limit_bytes)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("frame of {length} bytes")))?;
    if buffer.len() - PREFIX_BYTES < length {
        return Ok(Head::Part(PREFIX_BYTES + length));
    }
    buffer.advance(PREFIX_BYTES);
    Ok(Head::Frame(buffer.split_to(length).freeze()))
}

/// Writes one frame, whose first bytes are its length prefix, with vectored writes.
pub(super) async fn write_frame<W: AsyncWrite + Unpin>(writer: &mut W, frame: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<_> = frame.iter().map(|chunk| IoSlice::new(chunk)).collect();
    let mut left = &mut slices[..];
    while !left.is_empty() {
        let written = writer.write_vectored(left).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut left, written);
    }
    writer.flush().await
}

const PREFIX_BYTES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frame_crosses_a_pipe_in_small_pieces() {
        let (mut near, mut far) = tokio::io::duplex(3);
        let frame = [Bytes::from_static(b"\0\0\0\nwater"), Bytes::new(), Bytes::from_static(b"wheel")];
        let reader = tokio::spawn(async move {
            let mut buffer = BytesMut::new();
            loop {
                match split_frame(&mut buffer, 10).unwrap() {
                    Head::Frame(frame) => return frame,
                    Head::Part(size_bytes) => assert_eq!(size_bytes, 14),
                    Head::Nothing => assert!(buffer.len() < 4),
                }
                tokio::io::AsyncReadExt::read_buf(&mut far, &mut buffer).await.unwrap();
            }
        });
        write_frame(&mut near, &frame).await.unwrap();
        assert_eq!(reader.await.unwrap(), "waterwheel");
    }

    #[test]
    fn a_length_out_of_bounds_is_refused_before_anything_is_allocated() {
        for prefix in [[0x7f, 0xff, 0xff, 0xff], [0xff, 0xff, 0xff, 0xff], [0, 0, 0, 11]] {
            let mut buffer = BytesMut::from(&prefix[..]);
            assert!(split_frame(&mut buffer, 10).is_err());
            assert!(buffer.capacity() < 100);
        }
    }
}
