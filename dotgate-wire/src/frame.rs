//! Stream framing: a two-byte length in front of every message.
//!
//! Between a stream's bytes and the messages, on both sides of dotgate. Keeps no state: what is not
//! complete stays with the caller. Limits: a message has at most 65,535 bytes. Follows RFC 1035
//! section 4.2.2 and RFC 7766 section 8.

use crate::bytes::{length_u16, put_u16, set_u16, u16_at};

/// Bytes of the length in front of a message.
const PREFIX_LEN: usize = 2;

/// Splits the first message off `bytes`: the message, and the bytes behind it. `None` while the
/// message is not complete. A message may be empty; what that means is the caller's to decide.
pub fn split_frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::from(u16_at(bytes, 0)?);
    bytes.get(PREFIX_LEN..)?.split_at_checked(length)
}

/// Appends a length and the message that `write` appends, and returns what `write` returned. A
/// message longer than 65,535 bytes is a bug in dotgate: it is cut there, so that the stream stays in
/// step.
pub fn write_framed<R>(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    let start = out.len();
    put_u16(out, 0);
    let result = write(out);
    let length = out.len().saturating_sub(start + PREFIX_LEN);
    debug_assert!(
        length <= usize::from(u16::MAX),
        "a message of {length} bytes"
    );
    let length = length_u16(length);
    out.truncate(start + PREFIX_LEN + usize::from(length));
    set_u16(out, start, length);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_is_split_only_once_it_is_complete() {
        assert_eq!(split_frame(&[]), None);
        assert_eq!(split_frame(&[0]), None);
        assert_eq!(split_frame(&[0, 3, 1, 2]), None);
        assert_eq!(
            split_frame(&[0, 3, 1, 2, 3]),
            Some((&[1, 2, 3][..], &[][..]))
        );
        assert_eq!(split_frame(&[0, 1, 9, 0, 0]), Some((&[9][..], &[0, 0][..])));
    }

    #[test]
    fn empty_message_is_a_complete_frame() {
        assert_eq!(split_frame(&[0, 0, 7]), Some((&[][..], &[7][..])));
    }

    #[test]
    fn longest_message_fits_its_length() {
        let mut out = vec![7];
        let message = vec![0xab; 65_535];
        write_framed(&mut out, |out| out.extend_from_slice(&message));
        assert_eq!(split_frame(&out[1..]), Some((&message[..], &[][..])));
    }

    #[test]
    fn frame_goes_behind_what_is_there_and_returns_the_writers_result() {
        let mut out = vec![1, 2];
        let result = write_framed(&mut out, |out| {
            out.push(9);
            "written"
        });
        assert_eq!((out, result), (vec![1, 2, 0, 1, 9], "written"));
    }
}
