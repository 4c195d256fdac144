//! The PROXY header of a balancer's connection, which comes before all else, TLS included.
//! No byte after it is read here, so that the next reader starts with the client's first byte.

use std::io::{self, ErrorKind, Read};

use dotgate_core::{Engine, Moment, StreamHeader, StreamKey};

/// Bytes asked for while nothing is known of the header.
const FIRST: usize = 16;

/// How far a header came.
pub(super) enum Awaited {
    /// Some of it is missing.
    More,
    /// To its end: the connection has this key now.
    Client(StreamKey),
    /// The connection has ended.
    Nobody,
}

/// Reads what there is of the header behind `header`, which has come already.
pub(super) fn read(
    socket: &mut impl Read,
    header: &mut Vec<u8>,
    (key, engine): (StreamKey, &mut Engine),
    now: Moment,
) -> Awaited {
    let mut wanted = FIRST;
    loop {
        match read_up_to(socket, header, wanted) {
            Ok(0) => {
                engine.clients_mut().stream_closed(key);
                return Awaited::Nobody;
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Awaited::More,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => {
                engine.clients_mut().stream_closed(key);
                return Awaited::Nobody;
            }
        }
        match engine.clients_mut().stream_header(now, key, header) {
            StreamHeader::Incomplete { length } => wanted = length,
            StreamHeader::Complete { key, .. } => return Awaited::Client(key),
            StreamHeader::Refused => return Awaited::Nobody,
        }
    }
}

/// Reads once, as many bytes as are missing until there are `wanted`.
fn read_up_to(socket: &mut impl Read, bytes: &mut Vec<u8>, wanted: usize) -> io::Result<usize> {
    let before = bytes.len();
    bytes.resize(wanted.max(before + 1), 0);
    let read = socket.read(bytes.get_mut(before..).unwrap_or_default());
    bytes.truncate(before + read.as_ref().copied().unwrap_or_default());
    read
}
