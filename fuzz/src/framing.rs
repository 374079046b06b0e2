// SPDX-License-Identifier: MPL-2.0
//! The first byte says into what pieces the stream, which follows, is cut.

use orion_core::framing::{Deframer, FramingError, MAX_MESSAGE, prefix};

pub(crate) fn run(data: &[u8]) {
    let [cut, stream @ ..] = data else { return };
    let whole = read(stream, stream.len());
    assert_eq!(whole, read(stream, usize::from(*cut)));
    let (messages, end) = whole;
    let mut written = Vec::new();
    for message in &messages {
        written.extend(prefix(message.len()).expect("a message that was read can be written"));
        written.extend(message);
    }
    assert!(stream.starts_with(&written), "what is written anew is what was read");
    match end {
        Ok(()) => assert_eq!(written.len(), stream.len()),
        Err(FramingError::Truncated { have, want }) => {
            assert_eq!(have, stream.len() - written.len());
            assert!(want > have);
        }
        Err(FramingError::TooLong { length, .. }) => assert!(length > MAX_MESSAGE),
    }
}

fn read(stream: &[u8], piece: usize) -> (Vec<Vec<u8>>, Result<(), FramingError>) {
    let (mut deframer, mut messages) = (Deframer::default(), Vec::new());
    for piece in stream.chunks(piece.max(1)) {
        deframer.push(piece);
        loop {
            match deframer.next_message() {
                Ok(Some(message)) => messages.push(message.to_vec()),
                Ok(None) => break,
                Err(error) => return (messages, Err(error)),
            }
        }
    }
    let end = deframer.finish();
    (messages, end)
}
