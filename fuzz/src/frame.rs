//! Splitting a connection's bytes into frames, whatever pieces they arrive in.

use kafka_wire::session::FrameSplitter;

const LIMIT_BYTES: usize = 1 << 16;

/// The first byte is the size of the pieces; the frames must be those that a split of the whole stream finds.
pub fn run(data: &[u8]) {
    let [piece, stream @ ..] = data else { return };
    let mut splitter = FrameSplitter::new(LIMIT_BYTES);
    let mut frames = Vec::new();
    let mut has_failed = false;
    for piece in stream.chunks(usize::from(*piece).max(1)) {
        splitter.buffer().extend_from_slice(piece);
        loop {
            match splitter.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(_) => {
                    has_failed = true;
                    break;
                }
            }
        }
        if has_failed {
            break;
        }
    }
    let (expected, must_fail) = split(stream);
    assert_eq!(frames, expected);
    assert_eq!(has_failed, must_fail);
}

/// The complete frames of the stream, and whether one of its lengths is refused.
fn split(mut stream: &[u8]) -> (Vec<&[u8]>, bool) {
    let mut frames = Vec::new();
    while let Some((length, rest)) = stream.split_first_chunk() {
        match usize::try_from(i32::from_be_bytes(*length)) {
            Ok(length) if length > LIMIT_BYTES => return (frames, true),
            Err(_) => return (frames, true),
            Ok(length) if length > rest.len() => break,
            Ok(length) => {
                let (frame, after) = rest.split_at(length);
                frames.push(frame);
                stream = after;
            }
        }
    }
    (frames, false)
}
