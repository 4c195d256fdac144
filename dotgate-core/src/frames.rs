//! Messages out of a byte stream, however the stream was cut (RFC 7766 section 8).
//!
//! Holds at most one unfinished frame (65,537 bytes) in addition to what a paused reader left unread.

use std::borrow::Cow;

use dotgate_wire::split_frame;

use crate::limits;

/// The unread end of a stream's bytes.
#[derive(Default)]
pub(crate) struct Frames {
    buffer: Vec<u8>,
    /// Where in it what was not taken yet begins.
    start: usize,
}

/// Each message is preceded by its length.
const LENGTH_BYTES: usize = 2;

impl Frames {
    /// Takes the next complete message from the buffer and `input`. None if there is none: then all of `input` is buffered.
    pub(crate) fn next<'a, 'b: 'a>(&'a mut self, input: &mut &'b [u8]) -> Option<&'a [u8]> {
        if self.unread().is_empty() {
            self.release();
            if let Some((message, rest)) = split_frame(input) {
                *input = rest;
                return Some(message);
            }
        }
        self.buffer.extend_from_slice(std::mem::take(input));
        let Some((message, _)) = split_frame(self.unread()) else {
            self.buffer.drain(..self.start);
            self.start = 0;
            return None;
        };
        let end = self.start + LENGTH_BYTES + message.len();
        let start = std::mem::replace(&mut self.start, end);
        self.buffer.get(start + LENGTH_BYTES..end)
    }

    /// The same for callers that use it while more is read: a message in the buffer is copied.
    pub(crate) fn next_owned<'b>(&mut self, input: &mut &'b [u8]) -> Option<Cow<'b, [u8]>> {
        if self.unread().is_empty()
            && let Some((message, rest)) = split_frame(input)
        {
            self.release();
            *input = rest;
            return Some(Cow::Borrowed(message));
        }
        self.next(input).map(|message| Cow::Owned(message.to_vec()))
    }

    /// Buffers `bytes`.
    pub(crate) fn keep(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether no byte of a further message is there.
    pub(crate) fn is_empty(&self) -> bool {
        self.unread().is_empty()
    }

    /// Whether a whole message is there.
    pub(crate) fn has_message(&self) -> bool {
        split_frame(self.unread()).is_some()
    }

    /// What it takes, in bytes.
    pub(crate) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// Discards what was taken, and frees its memory if that was much.
    fn release(&mut self) {
        self.buffer.clear();
        self.start = 0;
        if self.buffer.capacity() > limits::BUFFER_IDLE_BYTES {
            self.buffer = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(frames: &mut Frames, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut input = bytes;
        let next = || Some(frames.next(&mut input)?.to_vec());
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn messages_come_out_whole_however_the_stream_is_cut() {
        let stream = [0, 2, b'a', b'b', 0, 0, 0, 1, b'c'];
        for cut in 0..=stream.len() {
            let mut frames = Frames::default();
            let mut seen = collect(&mut frames, &stream[..cut]);
            seen.extend(collect(&mut frames, &stream[cut..]));
            assert_eq!(
                seen,
                [b"ab".to_vec(), Vec::new(), b"c".to_vec()],
                "cut at {cut}"
            );
            assert!(frames.is_empty());
        }
    }

    #[test]
    fn early_data_is_read_first() {
        let mut frames = Frames::default();
        let mut input: &[u8] = &[0, 1, b'a', 0, 1, b'b', 0];
        let first = frames.next_owned(&mut input);
        assert!(matches!(first, Some(Cow::Borrowed([b'a']))));
        frames.keep(input);
        assert!(frames.has_message());
        let mut input: &[u8] = &[1, b'c'];
        for expected in [b'b', b'c'] {
            let message = frames.next_owned(&mut input);
            assert_eq!(message, Some(Cow::Owned(vec![expected])));
        }
        assert_eq!(frames.next_owned(&mut input), None);
        assert!(frames.is_empty() && !frames.has_message());
    }
}
