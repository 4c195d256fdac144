//! A message as dnstap has it: protobuf, as `dnstap.proto` describes it.
//!
//! Written here because it is one message with a dozen numbers and byte strings in it, less than what a library for protobuf
//! needs to be described.

use std::net::{IpAddr, SocketAddr};

use dotgate_core::labels::ClientTransport;
use dotgate_core::{Link, MessageKind};

/// Wire types of protobuf.
const VARINT: u64 = 0;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

/// Fields of `Dnstap`.
const VERSION: u64 = 2;
const MESSAGE: u64 = 14;
const KIND: u64 = 15;

/// What dotgate calls itself.
const SOFTWARE: &str = concat!("dotgate ", env!("CARGO_PKG_VERSION"));

/// The other end, as far as it is known.
pub(super) struct Peer {
    pub(super) address: Option<IpAddr>,
    pub(super) port: Option<u16>,
    pub(super) protocol: Protocol,
}

/// The numbers of `SocketProtocol`.
#[derive(Clone, Copy)]
pub(super) enum Protocol {
    Udp = 1,
    Tcp = 2,
    Dot = 3,
    Doh = 4,
    Doq = 7,
}

impl From<ClientTransport> for Protocol {
    fn from(transport: ClientTransport) -> Protocol {
        match transport {
            ClientTransport::Udp => Protocol::Udp,
            ClientTransport::Tcp => Protocol::Tcp,
            ClientTransport::Dot => Protocol::Dot,
            ClientTransport::Https => Protocol::Doh,
            ClientTransport::Doq => Protocol::Doq,
        }
    }
}

impl From<Link> for Protocol {
    fn from(link: Link) -> Protocol {
        match link {
            Link::Datagrams => Protocol::Udp,
            Link::Tcp => Protocol::Tcp,
            Link::Tls => Protocol::Dot,
        }
    }
}

impl Peer {
    /// An upstream, whose address is known if it has no other.
    pub(super) fn upstream(addresses: &[SocketAddr], link: Link) -> Peer {
        let address = match addresses {
            [address] => Some(address),
            _ => None,
        };
        Peer {
            address: address.map(SocketAddr::ip),
            port: address.map(SocketAddr::port),
            protocol: link.into(),
        }
    }
}

/// Writes a data frame: its length, then a `Dnstap`. `at` is in seconds and nanoseconds since 1970.
pub(super) fn write(
    out: &mut Vec<u8>,
    kind: MessageKind,
    peer: &Peer,
    (seconds, nanoseconds): (u64, u32),
    bytes: &[u8],
) {
    let mut message = Vec::with_capacity(bytes.len() + 64);
    let (number, is_response, is_of_client) = match kind {
        MessageKind::ClientQuery => (5, false, true),
        MessageKind::ClientResponse => (6, true, true),
        MessageKind::ForwarderQuery => (7, false, false),
        MessageKind::ForwarderResponse => (8, true, false),
    };
    put_number(&mut message, 1, number);
    if let Some(address) = peer.address {
        put_number(&mut message, 2, if address.is_ipv4() { 1 } else { 2 });
    }
    put_number(&mut message, 3, peer.protocol as u64);
    // The client is at the end that queries, the upstream at the one that responds.
    let (address_field, port_field) = if is_of_client { (4, 6) } else { (5, 7) };
    match peer.address {
        Some(IpAddr::V4(address)) => put_bytes(&mut message, address_field, &address.octets()),
        Some(IpAddr::V6(address)) => put_bytes(&mut message, address_field, &address.octets()),
        None => {}
    }
    if let Some(port) = peer.port {
        put_number(&mut message, port_field, port.into());
    }
    let (seconds_field, message_field) = if is_response { (12, 14) } else { (8, 10) };
    put_number(&mut message, seconds_field, seconds);
    put_varint(&mut message, (seconds_field + 1) << 3 | FIXED32);
    message.extend(nanoseconds.to_le_bytes());
    put_bytes(&mut message, message_field, bytes);

    let start = out.len();
    out.extend([0; 4]);
    put_bytes(out, VERSION, SOFTWARE.as_bytes());
    put_bytes(out, MESSAGE, &message);
    put_number(out, KIND, 1);
    let length = (out.len() - start - 4) as u32;
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}

fn put_number(out: &mut Vec<u8>, field: u64, number: u64) {
    put_varint(out, field << 3 | VARINT);
    put_varint(out, number);
}

fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_varint(out, field << 3 | BYTES);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_protobuf_has_them() {
        let varint = |number| {
            let mut out = Vec::new();
            put_varint(&mut out, number);
            out
        };
        assert_eq!(varint(0), [0]);
        assert_eq!(varint(127), [127]);
        assert_eq!(varint(300), [0xac, 2]);
        assert_eq!(varint(u64::MAX).len(), 10);
    }

    #[test]
    fn a_frame_has_the_length_of_what_follows() {
        let mut out = b"before".to_vec();
        let peer = Peer::upstream(&["[2001:db8::1]:853".parse().unwrap()], Link::Tls);
        write(
            &mut out,
            MessageKind::ForwarderQuery,
            &peer,
            (1_764_000_000, 5),
            b"query",
        );
        let frame = &out[6..];
        let length = u32::from_be_bytes(*frame.first_chunk().unwrap());
        assert_eq!(frame.len(), 4 + length as usize);
        // type 7, INET6, DOT, response address
        let start = [8, 7, 16, 2, 24, 3, 42, 16, 0x20, 1, 0x0d, 0xb8];
        assert!(
            frame.windows(start.len()).any(|it| it == start),
            "{frame:?}"
        );
        assert!(frame.ends_with(b"\x52\x05query\x78\x01"), "{frame:?}");
    }
}
