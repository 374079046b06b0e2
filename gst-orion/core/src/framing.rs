// SPDX-License-Identifier: MPL-2.0
//! Messages on a byte stream: a 4-byte big-endian length, then that many bytes.

use thiserror::Error;

/// The longest message either side accepts, in bytes.
pub const MAX_MESSAGE: usize = 64 * 1024 * 1024;

/// Bytes of the length.
pub const PREFIX: usize = 4;

/// Why the stream cannot be read on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FramingError {
    /// Longer than [`MAX_MESSAGE`]; most often text that was printed to the protocol's stream.
    #[error("a message of {length} bytes is announced, at most {MAX_MESSAGE} are allowed (first bytes {start:?})")]
    TooLong {
        /// The length announced.
        length: usize,
        /// The same four bytes as text, which shows stray output at once.
        start: String,
    },
    /// The stream ended inside a message.
    #[error("the stream ended after {have} of {want} bytes of a message")]
    Truncated {
        /// Bytes that came.
        have: usize,
        /// Bytes that were announced, with the length itself.
        want: usize,
    },
}

/// The length to write before a message of `length` bytes.
///
/// # Errors
/// [`FramingError::TooLong`] over [`MAX_MESSAGE`].
pub fn prefix(length: usize) -> Result<[u8; PREFIX], FramingError> {
    match u32::try_from(length) {
        Ok(n) if length <= MAX_MESSAGE => Ok(n.to_be_bytes()),
        _ => Err(FramingError::TooLong { length, start: String::new() }),
    }
}

/// Cuts a stream of bytes into messages, whatever pieces it comes in.
#[derive(Debug, Default)]
pub struct Deframer {
    buffer: Vec<u8>,
    start: usize,
}

impl Deframer {
    /// Adds bytes as they were read.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        } else if self.start > self.buffer.len() / 2 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, if there is one.
    ///
    /// # Errors
    /// [`FramingError::TooLong`]: the stream is out of step and cannot be read on.
    pub fn next_message(&mut self) -> Result<Option<&[u8]>, FramingError> {
        let Some(length) = self.announced()? else {
            return Ok(None);
        };
        let from = self.start + PREFIX;
        if self.buffer.len() < from + length {
            return Ok(None);
        }
        self.start = from + length;
        Ok(Some(&self.buffer[from..from + length]))
    }

    /// To be asked when the stream has ended.
    ///
    /// # Errors
    /// [`FramingError::Truncated`] when part of a message is left over.
    pub fn finish(&self) -> Result<(), FramingError> {
        let have = self.buffer.len() - self.start;
        if have == 0 {
            return Ok(());
        }
        let want = self.announced().ok().flatten().map_or(PREFIX, |length| PREFIX + length);
        Err(FramingError::Truncated { have, want })
    }

    fn announced(&self) -> Result<Option<usize>, FramingError> {
        let Some(bytes) = self.buffer.get(self.start..self.start + PREFIX) else {
            return Ok(None);
        };
        let length = bytes.iter().fold(0usize, |n, byte| n << 8 | usize::from(*byte));
        if length > MAX_MESSAGE {
            return Err(FramingError::TooLong { length, start: String::from_utf8_lossy(bytes).into_owned() });
        }
        Ok(Some(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(body: &[u8]) -> Vec<u8> {
        [&prefix(body.len()).unwrap()[..], body].concat()
    }

    #[test]
    fn printed_text_is_shown_in_the_error() {
        let mut deframer = Deframer::default();
        deframer.push(b"Loading model\n");
        let error = deframer.next_message().unwrap_err();
        assert!(error.to_string().contains("\"Load\""), "{error}");
        assert!(prefix(MAX_MESSAGE + 1).is_err());
    }

    #[test]
    fn a_stream_that_ends_inside_a_message_is_truncated() {
        let mut deframer = Deframer::default();
        assert_eq!(deframer.finish(), Ok(()));
        deframer.push(&framed(b"hello")[..6]);
        assert_eq!(deframer.next_message(), Ok(None));
        assert_eq!(deframer.finish(), Err(FramingError::Truncated { have: 6, want: 9 }));
    }

    proptest! {
        #[test]
        fn any_cut_of_the_stream_gives_the_same_messages(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..8),
            cut in 1usize..20,
        ) {
            let stream: Vec<u8> = bodies.iter().flat_map(|b| framed(b)).collect();
            let mut deframer = Deframer::default();
            let mut got = Vec::new();
            for piece in stream.chunks(cut) {
                deframer.push(piece);
                while let Some(message) = deframer.next_message().unwrap() {
                    got.push(message.to_vec());
                }
            }
            prop_assert_eq!(got, bodies);
            prop_assert_eq!(deframer.finish(), Ok(()));
        }
    }
}
