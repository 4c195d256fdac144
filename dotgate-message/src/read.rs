//! The little that writers of messages have to read: questions and frames.

use crate::HEADER_LEN;

/// Where a name ends that begins at an offset: behind its root label or its first pointer, which is not followed. None if
/// it is cut short.
pub fn name_end(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            0xc0.. => return (at + 2 <= message.len()).then_some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

/// The first question of a message, as it is written: name, type and class. None if there is none, or it is cut short.
pub fn question_of(message: &[u8]) -> Option<&[u8]> {
    if message.get(4..6)? == [0, 0] {
        return None;
    }
    let end = name_end(message, HEADER_LEN)? + 4;
    message.get(HEADER_LEN..end)
}

/// The first whole message of a stream, and the bytes behind it.
pub fn split_frame(stream: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = stream.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}
