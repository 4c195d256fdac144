//! Frame Streams, with a handshake in both directions: a control frame is a length of zero, its own length, its type and
//! its fields; a data frame is its length and its bytes. The one field is the content type.

use std::io::{self, ErrorKind, Read, Write};

/// What the frames are.
const CONTENT_TYPE: &[u8] = b"protobuf:dnstap.Dnstap";

/// The longest control frame (`FSTRM_CONTROL_FRAME_LENGTH_MAX`).
const CONTROL_MAX: usize = 512;

const ACCEPT: u32 = 1;
const START: u32 = 2;
const STOP: u32 = 3;
const READY: u32 = 4;
const FINISH: u32 = 5;

const CONTENT_TYPE_FIELD: u32 = 1;

/// Begins a stream, if the reader takes dnstap.
pub(super) fn start(stream: &mut (impl Read + Write)) -> io::Result<()> {
    stream.write_all(&control(READY, Some(CONTENT_TYPE)))?;
    let accept = read_control(stream, ACCEPT)?;
    if !takes_dnstap(&accept) {
        let problem = "the reader does not accept protobuf:dnstap.Dnstap";
        return Err(io::Error::new(ErrorKind::InvalidData, problem));
    }
    stream.write_all(&control(START, Some(CONTENT_TYPE)))
}

/// Ends a stream, and waits until the reader has read it all.
pub(super) fn stop(stream: &mut (impl Read + Write)) -> io::Result<()> {
    stream.write_all(&control(STOP, None))?;
    read_control(stream, FINISH).map(drop)
}

fn control(kind: u32, content_type: Option<&[u8]>) -> Vec<u8> {
    let mut body = kind.to_be_bytes().to_vec();
    if let Some(content_type) = content_type {
        body.extend(CONTENT_TYPE_FIELD.to_be_bytes());
        body.extend((content_type.len() as u32).to_be_bytes());
        body.extend(content_type);
    }
    let mut frame = vec![0; 4];
    frame.extend((body.len() as u32).to_be_bytes());
    frame.extend(body);
    frame
}

/// Reads a control frame of this type, and returns its fields.
fn read_control(stream: &mut impl Read, wanted: u32) -> io::Result<Vec<u8>> {
    let wrong = |problem| Err(io::Error::new(ErrorKind::InvalidData, problem));
    let mut number = || {
        let mut bytes = [0; 4];
        stream.read_exact(&mut bytes)?;
        Ok::<u32, io::Error>(u32::from_be_bytes(bytes))
    };
    let (escape, length) = (number()?, number()? as usize);
    if escape != 0 || !(4..=CONTROL_MAX).contains(&length) {
        return wrong("the reader does not speak Frame Streams");
    }
    let kind = number()?;
    let mut fields = vec![0; length - 4];
    stream.read_exact(&mut fields)?;
    if kind != wanted {
        return wrong("the reader sent an unexpected control frame");
    }
    Ok(fields)
}

/// Whether dnstap is one of the content types, or all are taken.
fn takes_dnstap(mut fields: &[u8]) -> bool {
    let mut types = 0;
    while let Some((kind, rest)) = fields.split_first_chunk::<4>()
        && let Some((length, rest)) = rest.split_first_chunk::<4>()
        && let Some((value, rest)) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)
    {
        if u32::from_be_bytes(*kind) == CONTENT_TYPE_FIELD {
            if value == CONTENT_TYPE {
                return true;
            }
            types += 1;
        }
        fields = rest;
    }
    types == 0
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// A reader that sends this.
    struct Peer(Cursor<Vec<u8>>, Vec<u8>);

    impl Read for Peer {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Write for Peer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn started_with(sent: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        let mut peer = Peer(Cursor::new(sent), Vec::new());
        (start(&mut peer), peer.1)
    }

    #[test]
    fn a_stream_begins_when_the_reader_takes_dnstap() {
        let (started, written) = started_with(control(ACCEPT, Some(CONTENT_TYPE)));
        started.unwrap();
        let expected = [
            control(READY, Some(CONTENT_TYPE)),
            control(START, Some(CONTENT_TYPE)),
        ];
        assert_eq!(written, expected.concat());
        assert_eq!(written[..12], [0, 0, 0, 0, 0, 0, 0, 34, 0, 0, 0, 4]);
        started_with(control(ACCEPT, None)).0.unwrap();
    }

    #[test]
    fn a_reader_of_something_else_is_refused() {
        let wrong = [
            control(ACCEPT, Some(b"text")),
            control(FINISH, None),
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            vec![0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
            vec![0, 0, 0, 0, 0, 0, 0, 3],
            Vec::new(),
        ];
        for sent in wrong {
            assert!(started_with(sent.clone()).0.is_err(), "{sent:?}");
        }
    }
}
