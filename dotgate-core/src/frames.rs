//! Messages out of a byte stream, however the stream was cut (RFC 7766 section 8).
//!
//! Holds at most one unfinished frame (65,537 octets) beside what a paused reader left unread.

use dotgate_wire::split_frame;

use crate::limits;

/// What the taker of a message wants next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// The next message.
    Continue,
    /// No further message now; the rest is kept.
    Pause,
}

/// The unread end of a stream's bytes.
#[derive(Default)]
pub(crate) struct Frames {
    kept: Vec<u8>,
    /// Where in it what was not taken yet begins.
    start: usize,
}

/// Before each message stands its length.
const LENGTH_BYTES: usize = 2;

impl Frames {
    /// Hands each complete message of what is kept and of `bytes` to `take`, until it pauses; keeps the rest.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut take: impl FnMut(&[u8]) -> Next) {
        if self.kept.is_empty() {
            let rest = Self::split(bytes, &mut take);
            self.kept.extend_from_slice(rest);
            return;
        }
        self.kept.extend_from_slice(bytes);
        let rest = Self::split(&self.kept, &mut take).len();
        let used = self.kept.len() - rest;
        self.kept.drain(..used);
        if self.kept.is_empty() && self.kept.capacity() > limits::BUFFER_KEPT_BYTES {
            self.kept = Vec::new();
        }
    }

    /// Takes the next complete message of what is kept and of `input`. None if there is none: then all of it is kept.
    pub(crate) fn next<'a, 'b: 'a>(&'a mut self, input: &mut &'b [u8]) -> Option<&'a [u8]> {
        if self.unread().is_empty() {
            self.release();
            if let Some((message, rest)) = split_frame(input) {
                *input = rest;
                return Some(message);
            }
        }
        self.kept.extend_from_slice(std::mem::take(input));
        let Some((message, _)) = split_frame(self.unread()) else {
            self.kept.drain(..self.start);
            self.start = 0;
            return None;
        };
        let end = self.start + LENGTH_BYTES + message.len();
        let start = std::mem::replace(&mut self.start, end);
        self.kept.get(start + LENGTH_BYTES..end)
    }

    /// Keeps `bytes` for later.
    pub(crate) fn keep(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
    }

    /// Whether no octet of a further message is there.
    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Whether a whole message is there.
    pub(crate) fn has_message(&self) -> bool {
        split_frame(&self.kept).is_some()
    }

    /// What it takes, in bytes.
    pub(crate) fn capacity(&self) -> usize {
        self.kept.capacity()
    }

    fn unread(&self) -> &[u8] {
        self.kept.get(self.start..).unwrap_or_default()
    }

    /// Forgets what was taken, and the memory of it if that was much.
    fn release(&mut self) {
        self.kept.clear();
        self.start = 0;
        if self.kept.capacity() > limits::BUFFER_KEPT_BYTES {
            self.kept = Vec::new();
        }
    }

    fn split<'b>(mut bytes: &'b [u8], take: &mut impl FnMut(&[u8]) -> Next) -> &'b [u8] {
        while let Some((message, rest)) = split_frame(bytes) {
            bytes = rest;
            if take(message) == Next::Pause {
                break;
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(frames: &mut Frames, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut seen = Vec::new();
        frames.feed(bytes, |message| {
            seen.push(message.to_vec());
            Next::Continue
        });
        seen
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
    fn a_pause_keeps_what_was_not_taken() {
        let mut frames = Frames::default();
        let mut seen = 0;
        frames.feed(&[0, 1, b'a', 0, 1, b'b', 0], |_| {
            seen += 1;
            Next::Pause
        });
        assert_eq!(seen, 1);
        assert_eq!(collect(&mut frames, &[]), [b"b".to_vec()]);
        assert_eq!(collect(&mut frames, &[1, b'c']), [b"c".to_vec()]);
        assert!(frames.is_empty());
    }
}
